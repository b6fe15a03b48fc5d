"""Find the settings that suit this device: equal in what is decided, and cheaper or prompter.

::

    ways to compute ── equal decisions? ── race on recordings, unpaced ── the best three
                                                                              │ × hop × block
    profile file ── winner against the profile's settings ── race in real time┘

All racing is in turns (`edgeaudio.profiling.race`). The settings of the profile that is tuned run along to
the end, and stay if nothing better was found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from statistics import fmean
from typing import TYPE_CHECKING

from edgeaudio.errors import EdgeAudioError, InputError
from edgeaudio.profiles import Measured, Profile, Runtime
from edgeaudio.profiling.candidates import Candidate, Compute, Decisions, ModelFacts, computes, rhythms
from edgeaudio.profiling.machine import machine
from edgeaudio.profiling.race import Race, planned_turns, race
from edgeaudio.profiling.tuning import Comparison, Tried, Tuning, cost, tuned_profile
from edgeaudio.profiling.turns import BlockSource, Turn, take_turn
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

if TYPE_CHECKING:
    from edgeaudio.profiling.wanted import Wanted
    from edgeaudio.sources.base import Source
    from edgeaudio.tasks.base import Task

__all__ = ["tune"]

_PIECE_S = 6.0
"""What is replayed in a turn of the race unpaced."""
_WARM_UP_S = 0.5
_TURN_S = 3.0
_FINAL_TURN_S = 4.0
_FEWEST_PAIRS = 4
_SURVIVORS = 2
"""Ways to compute that race in real time beside the profile's own."""
_HOPELESS = 1.25
"""A way that computes for so much longer unpaced cannot be cheaper in real time."""


def tune(
    wanted: Sequence[Wanted],
    samples: Samples,
    *,
    profile: Profile,
    runtimes: Sequence[Runtime] = ("litert", "onnx"),
    seconds: float = 30.0,
    audio: str = "recordings",
    microphone: Callable[[Profile], Source] | None = None,
    progress: Callable[[str, float], None] = lambda text, left_s: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Tuning | None:
    """Tune a profile to this device; None if it was ended before anything was known.

    Parameters
    ----------
    wanted : sequence of Wanted
        What listens.
    samples : array [n] float32
        Recordings at 16 kHz in which something is said that the tasks decide about.
    profile : Profile
        Where to begin. The result is not measurably dearer or later.
    runtimes : sequence of {"litert", "onnx"}
        Which may be used, if they are installed.
    seconds : float
        How long the winner and the profile's settings are compared in the end, each.
    audio : str
        What the result calls the recordings.
    microphone : callable, optional
        Opens the microphone for a profile, to race on that. Without it recordings come in blocks.
    progress : callable, optional
        Told what is done, and how many seconds are left: at most, while candidates may still drop out.
    stopping : callable, optional
        Whether somebody wants an early end.

    Raises
    ------
    InputError
        Nothing is decided about the recordings.
    EdgeAudioError
        The profile's own settings cannot be run.
    """
    begun_s = time.monotonic()
    search = _Search(wanted, samples, profile, seconds)
    search.microphone, search.progress, search.stopping = microphone, progress, stopping
    search.qualify(runtimes)
    search.race_unpaced()
    search.race_in_real_time()
    comparison = search.compare()
    if not search.tried:
        return None
    where = machine()
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    complete = not stopping()
    results: dict[str, float | str] = {
        "tasks": " + ".join(model.name for model in search.models),
        "audio": audio,
        "blocks": "simulated by a thread" if microphone is None else "of the microphone",
        "equal decisions": search.n_decisions,
        "candidates": len(search.tried),
        "search": "complete" if complete else "ended early: the best so far",
        **search.results(comparison),
    }
    measured = Measured(
        made=made,
        device=where.model[:200],
        versions={**where.versions, "python": where.python, "system": where.system},
        results=results,
    )
    return Tuning(
        made=made,
        tuned=profile.name,
        profile=tuned_profile(profile, search.best.applied(profile), measured),
        better=search.best != search.reference,
        complete=complete,
        audio=audio,
        decisions=search.n_decisions,
        left_out=search.left_out,
        tried=search.tried,
        comparison=comparison,
        seconds=time.monotonic() - begun_s,
        machine=where,
    )


class _Search:
    """What is known so far; `best` is always what would be chosen if all ended now."""

    microphone: Callable[[Profile], Source] | None
    progress: Callable[[str, float], None]
    stopping: Callable[[], bool]

    def __init__(self, wanted: Sequence[Wanted], samples: Samples, profile: Profile, seconds: float) -> None:
        self.models = [ModelFacts.read(one) for one in wanted]
        self.left_out: dict[str, str] = {}
        self.tried: list[Tried] = []
        self.n_decisions = 0
        self._samples = samples
        self._profile = profile
        self._rhythms = rhythms(profile, self.models)
        self._turns: dict[Candidate, list[Turn]] = {}
        self._final_turns = max(_FEWEST_PAIRS, round(seconds / _FINAL_TURN_S))
        tasks = [model.wanted.load(profile) for model in self.models]
        own = Compute.of(tasks[0], profile)
        self._tasks: dict[Compute, list[Task]] = {own: tasks}
        self.reference = self.best = Candidate(own, profile.hop_ms, profile.block_ms)

    def qualify(self, runtimes: Sequence[Runtime]) -> None:
        """Load the models in each way, and keep those ways in which they decide as in the profile's own."""
        expected = Decisions.of(self._tasks[self.reference.compute], self._samples, self._profile)
        self.n_decisions = expected.count
        if not expected.count:
            raise InputError(
                "nothing is decided about the recordings, so that decisions cannot be compared",
                hint="Give a file in which these models hear something: edgeaudio profile --tune FILE",
            )
        for way in computes(self._profile, runtimes):
            if self.stopping():
                return
            if way == self.reference.compute:
                continue
            self.progress(f"equal decisions? {way}", self._left_s())
            applied = self.reference._replace(compute=way)
            try:
                settings = applied.applied(self._profile)
                tasks = [model.wanted.load(settings) for model in self.models]
                reason = Decisions.of(tasks, self._samples, settings).difference(expected, self.models)
            except (EdgeAudioError, ValueError) as error:  # a profile's own checks raise ValueError
                reason = str(error).replace("\n ", "")
            if reason is None:
                self._tasks[way] = tasks
            else:
                self.left_out[str(way)] = reason

    def race_unpaced(self) -> None:
        """Let all ways to compute replay the same pieces; the best go on, the others are given back."""
        own = self.reference.compute
        others = [way for way in self._tasks if way != own]
        n_samples = round(_PIECE_S * SAMPLE_RATE_HZ)
        pieces = [self._samples[i : i + n_samples] for i in range(0, len(self._samples), n_samples)]
        taken = dict.fromkeys(self._tasks, 0)
        walls_s: list[float] = []

        def replay(way: Compute) -> float | None:
            if self.stopping():
                return None
            piece = pieces[taken[way] % len(pieces)]
            taken[way] += 1
            before = time.process_time(), time.monotonic()
            Decisions.of(self._tasks[way], piece, self._profile)
            walls_s.append(time.monotonic() - before[1])
            return max(time.process_time() - before[0], 1e-6)

        def ended(turns_left: int) -> None:
            self.progress("who computes cheapest?", turns_left * fmean(walls_s) + self._left_s())

        found = race(others, own, replay, lambda turn, reference: turn / reference, ended=ended)
        self._note(found, "unpaced")
        kept = [way for way in found.order if found.results[way].score < _HOPELESS][:_SURVIVORS]
        self._tasks = {way: tasks for way, tasks in self._tasks.items() if way in (own, *kept)}
        if kept and found.results[kept[0]].score < 1.0:
            self.best = self.reference._replace(compute=kept[0])

    def race_in_real_time(self) -> None:
        """Let what is left race with every hop and block."""
        others = [
            candidate
            for way in self._tasks
            for rhythm in self._rhythms
            if (candidate := Candidate(way, *rhythm)) != self.reference
        ]

        def ended(turns_left: int) -> None:
            left_s = turns_left * (_WARM_UP_S + _TURN_S) + self._final_s()
            self.progress("who is prompt and cheap in real time?", left_s)

        found = race(others, self.reference, self._take_turn, cost, ended=ended)
        self._note(found, "real time")
        if found.results:
            best = found.order[0]
            self.best = best if found.results[best].score < 1.0 else self.reference

    def compare(self) -> Comparison | None:
        """Measure the winner against the profile's settings; those stay if it is worse in anything."""
        if self.best == self.reference or self.stopping():
            return None
        turns: dict[Candidate, list[Turn]] = {self.best: [], self.reference: []}
        for n in range(self._final_turns):
            self.progress(f"the winner: {self.best}", self._final_s(n))
            pair = [self.best, self.reference]
            for candidate in pair if n % 2 else pair[::-1]:
                turn = self._take_turn(candidate, _FINAL_TURN_S)
                if turn is not None:
                    turns[candidate].append(turn)
        mine, theirs = turns[self.best], turns[self.reference]
        pairs = min(len(mine), len(theirs))
        if pairs < _FEWEST_PAIRS:
            return None
        comparison = Comparison.of(mine[:pairs], theirs[:pairs])
        if comparison.is_worse:
            self.best = self.reference
        return comparison

    def results(self, comparison: Comparison | None) -> dict[str, float | str]:
        """Return what is known of the settings that were chosen."""
        if comparison is not None and self.best != self.reference:
            return comparison.results(self._profile.name)
        turns = self._turns.get(self.best)
        if not turns:
            return {}
        return {
            "cpu share": round(fmean(turn.cpu_share for turn in turns), 5),
            "p95 ms": round(fmean(turn.p95_ms for turn in turns), 3),
            "measured in turns": len(turns),
        }

    def _take_turn(self, candidate: Candidate, seconds: float = _TURN_S) -> Turn | None:
        if self.stopping():
            return None
        settings = candidate.applied(self._profile)
        source = (
            BlockSource(self._samples, settings.block_ms)
            if self.microphone is None
            else self.microphone(settings)
        )
        turn = take_turn(
            source,
            self._tasks[candidate.compute],
            [model.step_frames for model in self.models],
            settings,
            warm_up_s=_WARM_UP_S,
            seconds=seconds,
            stopping=self.stopping,
        )
        if turn is not None:
            self._turns.setdefault(candidate, []).append(turn)
        return turn

    def _note(self, found: Race[Compute] | Race[Candidate], name: str) -> None:
        for n, runner in enumerate(found.order):
            result = found.results[runner]  # type: ignore[index]
            self.tried.append(
                Tried(settings=str(runner), race=name, turns=result.laps, score=result.score, winner=n == 0)
            )

    def _left_s(self) -> float:
        """Return at most how long the races in real time take."""
        n_ways = min(len(self._tasks), 1 + _SURVIVORS)
        n_turns = planned_turns(max(1, n_ways * len(self._rhythms) - 1))
        return n_turns * (_WARM_UP_S + _TURN_S) + self._final_s()

    def _final_s(self, n: int = 0) -> float:
        return 2 * (self._final_turns - n) * (_WARM_UP_S + _FINAL_TURN_S)
