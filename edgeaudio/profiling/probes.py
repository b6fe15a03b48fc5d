"""All probes of one run: which parts of an engine are watched, and what became of their stamps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgeaudio.events import Caption, Detection, Event, SoundEvent, SoundStart, SpeechEnd, SpeechStart
from edgeaudio.frontend import Frontend
from edgeaudio.profiling.measurement import Group, Stage, Stall
from edgeaudio.profiling.passes import Clock, Passes, Window, find_blocks, remainder, stage, stalls
from edgeaudio.profiling.probe import (
    Log,
    now_ns,
    watch,
    watch_decisions,
    watch_restarts,
    watch_shedding,
    watch_source,
)
from edgeaudio.tasks.base import in_background

if TYPE_CHECKING:
    from edgeaudio.engine import Engine
    from edgeaudio.sources import Source
    from edgeaudio.tasks.base import Task

__all__ = ["Found", "Probes"]

_Onset = SoundStart | SpeechStart
_Ending = SoundEvent | SpeechEnd
_Heard = Detection | Caption | _Onset | _Ending
_EVENTS = 256
_EVENT, _WHOLE_WAY, _WORD = range(3)
"""Numbers of the ways of each task's events."""
_COLLECT_S = 30.0
"""Collecting takes some hundred microseconds, however little there is."""


class Found(NamedTuple):
    """What the stamps tell."""

    stages: list[Stage]
    stalls: list[Stall]
    max_lag_ms: float
    n_passes: int
    n_waits: int


class _Part(NamedTuple):
    """Passes that become a stage."""

    name: str
    group: Group
    passes: Passes
    task: str | None = None


class _TaskProbe:
    """What is watched of one task.

    Parameters
    ----------
    task : Task
    log : Log
        Of the thread in which the task runs.
    part : int
        Two numbers from here on stand in the log for its calls and for the steps of its network.
    """

    def __init__(self, task: Task, log: Log, part: int) -> None:
        self.name = task.name
        self._task = task
        self._graph = getattr(task, "graph", None)
        self._log = log
        self._part = part
        self._events = Log(_EVENTS)
        self.logs = (log, self._events)
        self._shed: list[tuple[int, int]] = []
        """When which level began."""
        self._caption = (-1, 0)
        """The newest caption, and how many of its words have been seen."""

    def attach(self) -> list[Callable[[], None]]:
        """Begin; return what ends it."""
        found = [watch(self._task, "process", self._log, self._part)]
        if self._graph is not None:
            found.append(watch(self._graph, "step", self._log, self._part + 1))
        if hasattr(self._task, "shed"):
            found.append(watch_shedding(self._task, self._shed))
        return found

    def receive(self, event: _Heard, decided_ns: int, captured_at: Callable[[int], float]) -> None:
        """Note when an event has reached the caller."""
        now = now_ns()
        self._events.add(decided_ns, now, _EVENT)
        # What ends has been over for a while when that is decided.
        if not isinstance(event, _Ending):
            self._events.add(decided_ns - round(event.latency_s * 1e9), now, _WHOLE_WAY)
        for end_sample in self._new_words(event):
            self._events.add(round(captured_at(end_sample - 1) * 1e9), now, _WORD)

    def calls(self) -> Passes:
        """Return all that it did."""
        return Passes.of(self._log, self._part)

    def parts(self) -> list[_Part]:
        """Return what it computed: its network's steps and the rest, or all where nobody can tell."""
        if self._graph is None:
            return [_Part(f"task {self.name}", "task", self.calls(), self.name)]
        steps = Passes.of(self._log, self._part + 1)
        return [
            _Part(f"model {self.name}", "model", steps, self.name),
            _Part(f"decode {self.name}", "decode", remainder(self.calls(), [steps]), self.name),
        ]

    def ways(self) -> list[_Part]:
        """Return how long its events were under way."""
        groups: list[tuple[Group, int]] = [("event", _EVENT), ("end to end", _WHOLE_WAY), ("word", _WORD)]
        return [
            _Part(f"{group} {self.name}", group, Passes.of(self._events, way), self.name)
            for group, way in groups
        ]

    def shed_seconds(self, level: int, until_ns: int) -> float:
        """Return for how long this level, or a higher one, held."""
        ends = [*(at for at, _ in self._shed[1:]), until_ns]
        spans = zip(self._shed, ends, strict=False)
        return sum(max(0, min(end, until_ns) - begin) for (begin, held), end in spans if held >= level) / 1e9

    def _new_words(self, event: _Heard) -> list[int]:
        """Return the ends of the words, sounds and speech that no event has told before."""
        if isinstance(event, _Onset):
            return []
        if not isinstance(event, Caption):
            return [event.end_sample]
        known = self._caption[1] if event.caption_id == self._caption[0] else 0
        self._caption = (event.caption_id, len(event.words))
        return [word.end_sample for word in event.words[known:]]


class Probes:
    """Watches the parts of an engine.

    Parameters
    ----------
    engine : Engine
        Not started yet.
    source, tasks
        What it was made of.
    passes : float
        How many passes of a part are expected.
    """

    def __init__(self, engine: Engine, source: Source, tasks: Sequence[Task], *, passes: float) -> None:
        self._listener = engine.listener
        self._source = source
        # As in the engine: what is slow has a thread of its own.
        near = [task for task in tasks if not in_background(task)]
        far = [task for task in tasks if in_background(task)]
        self._frontends = list(zip(self._listener.frontends, _names(self._listener.frontends), strict=True))
        n_parts = len(self._frontends) + 2 * len(near)
        self._log = Log(int(1.25 * passes * (1 + n_parts)) + 100)
        far_log = Log(int(1.25 * passes * 2 * len(far)))
        self._near = [
            _TaskProbe(task, self._log, len(self._frontends) + 2 * i) for i, task in enumerate(near)
        ]
        self._far = [_TaskProbe(task, far_log, 2 * i) for i, task in enumerate(far)]
        self._tasks = {probe.name: probe for probe in (*self._near, *self._far)}
        self._decided_ns: dict[int, int] = {}
        self._restarts: list[tuple[int, int]] = []
        self._clock = Clock()
        self._attached: list[Callable[[], None]] = []
        self.collecting_s = 0.0
        """CPU time that collecting the stamps took so far."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgeaudio-probes", daemon=True)

    def attach(self, alarm: Callable[[int], int]) -> None:
        """Begin; for `alarm` see `watch_source`."""
        self._attached = [
            watch_source(self._source, self._log, alarm),
            watch_restarts(self._listener, self._restarts),
            watch_decisions(self._listener, self._decided_ns),
            *(watch(frontend, "process", self._log, i) for i, (frontend, _) in enumerate(self._frontends)),
        ]
        for probe in self._tasks.values():
            self._attached += probe.attach()
        self._thread.start()

    def release(self) -> None:
        """Give all parts back as they were. The engine has ended."""
        while self._attached:
            self._attached.pop()()
        self._ending.set()
        self._thread.join()

    def ask_clock(self) -> None:
        """Note which sample was captured when, as the source has it now."""
        ring = self._source.ring
        if ring.written:
            sample = ring.position
            self._clock.hear(now_ns(), sample, self._source.captured_at(sample))

    def receive(self, event: Event) -> None:
        """Take note of an event, in the caller's thread, as soon as it has come."""
        if isinstance(event, _Heard) and event.model in self._tasks:
            decided_ns = self._decided_ns.pop(id(event), 0)
            self._tasks[event.model].receive(event, decided_ns, self._source.captured_at)

    def shed_seconds(self, measures: Sequence[str], until_ns: int) -> dict[str, float]:
        """Return for how long each measure was taken; `measures` as they follow each other."""
        found = {}
        for level, name in enumerate(measures, 1):
            seconds = sum(probe.shed_seconds(level, until_ns) for probe in self._tasks.values())
            if seconds > 0:
                found[name] = seconds
        return found

    def result(self, window: Window, hop_ms: float) -> Found:
        """Return what the stamps tell of a window; after `release`."""
        frontends = [
            _Part(name, "frontend", Passes.of(self._log, i)) for i, (_, name) in enumerate(self._frontends)
        ]
        waits = self._log.waits()
        blocks = find_blocks(
            waits,
            frontends[0].passes,
            self._restarts,
            self._clock,
            hop_samples=self._listener.hop_samples,
            first_samples=self._listener.first_samples,
        )
        calls = [part.passes for part in frontends] + [probe.calls() for probe in self._near]
        parts = [*frontends, *(part for probe in self._near for part in probe.parts())]
        max_lag_ns = int((blocks.read - blocks.captured).max(initial=0))
        blocks = blocks.within(window)
        waited = Passes(waits[:, 0], waits[:, 1])
        all_parts = [
            _Part("wait", "wait", waited),
            _Part("ring", "ring", Passes(blocks.captured, blocks.read)),
            _Part("engine", "engine", remainder(Passes(blocks.read, blocks.done), calls)),
            *parts,
            *(part for probe in self._far for part in probe.parts()),
            *(part for probe in self._tasks.values() for part in probe.ways()),
        ]
        stages = [stage(part.name, part.group, part.passes, window, task=part.task) for part in all_parts]
        found = [one for one in stages if one is not None]
        return Found(
            found,
            stalls(blocks, {part.name: part.passes for part in parts}, hop_ms, window),
            max_lag_ns / 1e6,
            # A task whose network is known has two probes: its decisions are what remains of its calls.
            sum(one.count for one in found if one.group in ("frontend", "model", "decode", "task")),
            waited.within(window).n,
        )

    def _run(self) -> None:
        """Collect what was put in; in a thread of its own, since the engine's has no time for that."""
        logs = {log for probe in self._tasks.values() for log in probe.logs} | {self._log}
        ending = False
        while not ending:
            ending = self._ending.wait(_COLLECT_S)
            self.ask_clock()
            for log in logs:
                log.collect()
            if not ending:  # the last time is after the run
                self.collecting_s = time.thread_time()


def _names(frontends: Sequence[Frontend]) -> list[str]:
    """Name each by its features; where this does not tell them apart, by a number, too."""
    names = [f"frontend {frontend.spec.features} {frontend.spec.n_bands}" for frontend in frontends]
    return [
        f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name
        for i, name in enumerate(names)
    ]
