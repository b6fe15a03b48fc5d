"""How many streams one model can serve at once, answering each in time.

Streams go in step: the audio of all comes at the same moment, every round, which is the worst case for
whoever is answered last. One thread does everything: a frontend for each stream, the model for all, a
decision for each. The model runs in batches, or in turns; both are measured, in turns, at the number
asked for, and the one that works least near its limit is driven there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import installed_runtimes, pip_command
from edgeaudio.backends.base import Runtime
from edgeaudio.backends.many import Way, check_many
from edgeaudio.errors import EdgeAudioError, ModelError, UsageError
from edgeaudio.models.bundle import Bundle
from edgeaudio.profiles import Profile
from edgeaudio.profiling.crowd import Crowd, Rounds, round_ms
from edgeaudio.profiling.machine import machine
from edgeaudio.profiling.statistics import quantile
from edgeaudio.profiling.streams_found import StreamsFound, StreamsRun
from edgeaudio.types import Samples

__all__ = ["MOST_STREAMS", "find_largest", "measure_streams"]

MOST_STREAMS = 4096
"""No more are tried: they take 300 MB, and more than a core can serve."""

_WAYS: tuple[tuple[Way, Runtime], ...] = (("batched", "onnx"), ("in turns", "onnx"), ("in turns", "litert"))
_TURNS = 4
_WARM_UP_ROUNDS = 3
_TRIAL_S = 3.0
_MOST_COMPARED = 256
"""Streams of each way at once: enough to see which is best for many, and memory for all."""
_LEAST_ROUNDS = 10
_BUSIEST = 0.95
"""A longer part of the time than this nobody can work without falling behind now and then."""
_CLOSE = 20
"""The limit is looked for to a twentieth."""


def measure_streams(
    bundle: Bundle,
    n_streams: int,
    samples: Samples,
    *,
    profile: Profile,
    seconds: float = 10.0,
    runtime: Runtime | None = None,
    progress: Callable[[str], None] = lambda text: None,
    stopping: Callable[[], bool] = lambda: False,
) -> StreamsFound:
    """Measure `n_streams` simultaneous streams, and find the most that keep the profile's budget.

    Parameters
    ----------
    bundle : Bundle
        A spotter's model.
    n_streams : int
        1 to `MOST_STREAMS`.
    samples : array [n] float32
        At least a second of real audio at 16 kHz.
    profile : Profile
        Its hop, runtimes, providers, precision and threads; and its p95 budget, without which it is
        the length of a round.
    seconds : float
        How long each way is measured, and how long the limit has to be kept.
    runtime : {"litert", "onnx"}, optional
        Only this one.
    progress : callable, optional
        Told what is done next.
    stopping : callable, optional
        Whether somebody wants an early end.

    Raises
    ------
    UsageError
        Not so many streams.
    EdgeAudioError
        The model can be run in no way; what the first one raises.
    """
    if not 1 <= n_streams <= MOST_STREAMS:
        raise UsageError(f"{n_streams} streams cannot be measured", hint=f"1 to {MOST_STREAMS} can.")
    if bundle.manifest.decision is None:
        raise ModelError(
            f"streams are measured for spotters, and model '{bundle.name}' is for {bundle.manifest.kind}",
            hint="One stream of another kind is measured with --task and without --streams.",
        )
    trials = _Trials(bundle, samples, profile, seconds, stopping)
    wanted = [(way, there) for way, there in _WAYS if there in profile.runtime and runtime in (None, there)]
    usable, left_out = trials.check(wanted)
    progress(f"{n_streams} streams")
    compared = trials.compare(n_streams, usable)
    progress("the way that works least")
    way = trials.cheapest(usable, compared)

    def keeps(n: int) -> bool:
        progress(f"{n} streams {way[0]} on {way[1]}")
        return trials.short(n, way).keeps

    most = find_largest(keeps, n_streams, MOST_STREAMS, stopping)
    largest = trials.confirm(most, way, progress)
    return StreamsFound(
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model=bundle.name,
        profile=profile.name,
        budget_ms=trials.budget_ms,
        round_ms=trials.round_ms,
        compared=compared,
        left_out=left_out,
        tried=trials.tried,
        largest=largest,
        more=most == MOST_STREAMS,
        gpu=_gpu(compared, profile),
        complete=not stopping(),
        machine=machine(),
    )


def find_largest(
    keeps: Callable[[int], bool], start: int, most: int, stopping: Callable[[], bool] = lambda: False
) -> int:
    """Return a number that keeps, where none that is a twentieth larger does; 0 if not even 1 does.

    From `start` it goes up or down by doubling, then halves what lies between; never above `most`.

    Examples
    --------
    >>> find_largest(lambda n: n <= 700, 8, 4096) in range(666, 701)
    True
    """
    low, high = 0, most + 1
    n = start
    while high - low > max(1, low // _CLOSE) and not stopping():
        if keeps(n):
            low = n
        else:
            high = n
        if low == 0:
            n = high // 2
        elif high > most:
            n = min(2 * low, most)
        else:
            n = (low + high) // 2
        if low == most or n == 0:
            break
    return low


class _Trials:
    """Runs crowds, and remembers what came out."""

    def __init__(
        self,
        bundle: Bundle,
        samples: Samples,
        profile: Profile,
        seconds: float,
        stopping: Callable[[], bool],
    ) -> None:
        self.round_ms = round_ms(bundle, profile)
        self.budget_ms = profile.budgets.p95_word_to_event_ms or self.round_ms
        self.tried: list[StreamsRun] = []
        self._bundle = bundle
        self._samples = samples
        self._profile = profile
        self._n_rounds = max(_LEAST_ROUNDS, math.ceil(1000 * seconds / self.round_ms))
        self._stopping = stopping

    def check(self, wanted: list[tuple[Way, Runtime]]) -> tuple[list[tuple[Way, Runtime]], dict[str, str]]:
        """Return the ways in which the model answers as it should, and why not in the others."""
        golden = self._bundle.golden()
        usable: list[tuple[Way, Runtime]] = []
        left_out: dict[str, str] = {}
        failures: list[EdgeAudioError] = []
        for way, runtime in wanted:
            name = f"{way} on {runtime}"
            if runtime not in installed_runtimes():
                left_out[name] = f"not installed: {pip_command(runtime)}"
                continue
            try:
                check_many(
                    self._bundle,
                    way,
                    runtime,
                    self._profile,
                    frames=golden.frames,
                    tolerance=golden.tolerance,
                )
            except EdgeAudioError as error:
                left_out[name] = str(error).replace("\n ", "")
                failures.append(error)
                continue
            usable.append((way, runtime))
        if not usable:
            raise failures[0] if failures else UsageError(f"no runtime that the profile names: {left_out}")
        return usable, left_out

    def compare(self, n_streams: int, ways: list[tuple[Way, Runtime]]) -> list[StreamsRun]:
        """Measure the same number in several ways, in turns, so that what else runs disturbs all alike."""
        crowds = [self._crowd(n_streams, way) for way in ways]
        parts: list[list[Rounds]] = [[] for _ in crowds]
        for _ in range(_TURNS):
            for crowd, rounds in zip(crowds, parts, strict=True):
                rounds.append(crowd.run(math.ceil(self._n_rounds / _TURNS), paced=True, stop=self._ended))
        return [self._judged(crowd, rounds) for crowd, rounds in zip(crowds, parts, strict=True)]

    def cheapest(self, ways: list[tuple[Way, Runtime]], compared: list[StreamsRun]) -> tuple[Way, Runtime]:
        """Return the way that takes least time for about as many streams as may be possible.

        What is best for a few need not be so for many: batches pay only then.
        """
        if len(ways) == 1:
            return ways[0]
        least = min(
            (run.frontend_share + run.model_share + run.decision_share) / run.streams for run in compared
        )
        n_streams = max(compared[0].streams, min(_MOST_COMPARED, int(_BUSIEST / least)))
        crowds = [self._crowd(n_streams, way) for way in ways]
        work: list[list[float]] = [[] for _ in crowds]
        for _ in range(_LEAST_ROUNDS):
            for crowd, taken in zip(crowds, work, strict=True):
                taken.append(float(crowd.run(1, paced=False, stop=self._ended).work_ms.sum()))
        # The median: whatever else ran at a time is no property of the way.
        return ways[int(np.argmin(np.median(work, axis=1)))]

    def short(self, n_streams: int, way: tuple[Way, Runtime]) -> StreamsRun:
        """Measure long enough to see roughly; what is hopeless ends early."""
        n_rounds = min(self._n_rounds, math.ceil(1000 * _TRIAL_S / self.round_ms))
        return self._run(n_streams, way, n_rounds, hopeless_of=n_rounds)

    def confirm(
        self, n_streams: int, way: tuple[Way, Runtime], progress: Callable[[str], None]
    ) -> StreamsRun | None:
        """Return the run of so many streams, or of a twentieth less again and again, that keeps for long."""
        while n_streams and not self._stopping():
            progress(f"{n_streams} streams {way[0]} on {way[1]}, for the whole time")
            run = self._run(n_streams, way, self._n_rounds, hopeless_of=self._n_rounds)
            if run.keeps:
                return run
            n_streams -= max(1, n_streams // _CLOSE)
        kept = [run for run in self.tried if run.keeps]
        return max(kept, key=lambda run: run.streams) if kept and self._stopping() else None

    def _run(self, n_streams: int, way: tuple[Way, Runtime], n_rounds: int, hopeless_of: int) -> StreamsRun:
        crowd = self._crowd(n_streams, way)
        allowed = 0.05 * hopeless_of * n_streams

        def stop(answered_ms: NDArray[np.float64]) -> bool:
            late = int((answered_ms > self.budget_ms).sum())
            return self._ended(answered_ms) or late > allowed

        run = self._judged(crowd, [crowd.run(n_rounds, paced=True, stop=stop)])
        self.tried.append(run)
        return run

    def _crowd(self, n_streams: int, way: tuple[Way, Runtime]) -> Crowd:
        crowd = Crowd(self._bundle, n_streams, *way, profile=self._profile, samples=self._samples)
        crowd.run(_WARM_UP_ROUNDS, paced=False, stop=self._ended)
        return crowd

    def _ended(self, answered_ms: NDArray[np.float64]) -> bool:
        return self._stopping()

    def _judged(self, crowd: Crowd, parts: list[Rounds]) -> StreamsRun:
        answered = np.concatenate([part.answered_ms.ravel() for part in parts])
        work = np.concatenate([part.work_ms for part in parts])
        shares = work.mean(axis=0) / crowd.round_ms
        p95_ms = quantile(answered, 0.95)
        graph = crowd.graph
        return StreamsRun(
            streams=crowd.n_streams,
            way=graph.way,
            runtime=graph.runtime,
            provider=graph.provider,
            precision=graph.precision,
            threads=graph.threads,
            rounds=len(work),
            p50_ms=quantile(answered, 0.5),
            p95_ms=p95_ms,
            p99_ms=quantile(answered, 0.99),
            max_ms=float(answered.max()),
            frontend_share=float(shares[0]),
            model_share=float(shares[1]),
            decision_share=float(shares[2]),
            keeps=p95_ms <= self.budget_ms and float(shares.sum()) <= _BUSIEST,
        )


def _gpu(compared: list[StreamsRun], profile: Profile) -> str:
    used = sorted({run.provider for run in compared} - {"cpu"})
    if used:
        return f"measured with {', '.join(used)}"
    return f"not measured: the profile '{profile.name}' computes on the CPU"
