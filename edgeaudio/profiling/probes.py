"""All probes of one run: which parts of an engine are watched, and what became of their stamps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgeaudio.events import Caption, Detection, Event
from edgeaudio.frontend import Frontend
from edgeaudio.profiling.measurement import Group, Stage, Stall
from edgeaudio.profiling.passes import Clock, Passes, Window, find_blocks, remainder, stage, stalls
from edgeaudio.profiling.probe import (
    Stamps,
    WaitStamps,
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

_EVENTS = 256
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
    """What is watched of one task."""

    def __init__(self, task: Task, passes: int) -> None:
        self.task = task
        self.name = task.name
        self.background = in_background(task)
        self.graph = getattr(task, "graph", None)
        self.calls = Stamps(passes)
        self.steps = Stamps(passes)
        self._ways: dict[Group, Stamps] = {
            "event": Stamps(_EVENTS),
            "end to end": Stamps(_EVENTS),
            "word": Stamps(_EVENTS),
        }
        self.stamps = (self.calls, self.steps, *self._ways.values())
        self.shed: list[tuple[int, int]] = []
        """When which level began."""
        self._caption = (-1, 0)
        """The newest caption, and how many of its words have been seen."""

    def attach(self) -> list[Callable[[], None]]:
        """Begin; return what ends it."""
        found = [watch(self.task, "process", self.calls)]
        if self.graph is not None:
            found.append(watch(self.graph, "step", self.steps))
        if hasattr(self.task, "shed"):
            found.append(watch_shedding(self.task, self.shed))
        return found

    def receive(
        self, event: Detection | Caption, decided_ns: int, captured_at: Callable[[int], float]
    ) -> None:
        """Note when an event has reached the caller."""
        now = now_ns()
        begun: list[tuple[Group, int]] = [
            ("event", decided_ns),
            ("end to end", decided_ns - round(event.latency_s * 1e9)),
            *(("word", round(captured_at(end - 1) * 1e9)) for end in self._new_words(event)),
        ]
        for group, begin in begun:
            self._ways[group].put(begin)
            self._ways[group].put(now)

    def parts(self) -> list[_Part]:
        """Return what it computed: its network's steps and the rest, or all where nobody can tell."""
        calls, steps = Passes.of(self.calls), Passes.of(self.steps)
        if self.graph is None:
            return [_Part(f"task {self.name}", "task", calls, self.name)]
        return [
            _Part(f"model {self.name}", "model", steps, self.name),
            _Part(f"decode {self.name}", "decode", remainder(calls, [steps]), self.name),
        ]

    def ways(self) -> list[_Part]:
        """Return how long its events were under way."""
        return [
            _Part(f"{group} {self.name}", group, Passes.of(stamps), self.name)
            for group, stamps in self._ways.items()
        ]

    def shed_seconds(self, level: int, now: int) -> float:
        """Return for how long this level, or a higher one, held."""
        ends = [*(at for at, _ in self.shed[1:]), now]
        spans = zip(self.shed, ends, strict=False)
        return sum(end - begin for (begin, held), end in spans if held >= level) / 1e9

    def _new_words(self, event: Detection | Caption) -> list[int]:
        """Return the ends of the words that no event has told before."""
        if isinstance(event, Detection):
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
        room = int(1.25 * passes) + 100
        self._waits = WaitStamps(room)
        frontends = self._listener.frontends
        self._frontends = [
            (frontend, name, Stamps(room))
            for frontend, name in zip(frontends, _names(frontends), strict=True)
        ]
        self._tasks = {task.name: _TaskProbe(task, room) for task in tasks}
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
            watch_source(self._source, self._waits, alarm),
            watch_restarts(self._listener, self._restarts),
            watch_decisions(self._listener, self._decided_ns),
            *(watch(frontend, "process", stamps) for frontend, _, stamps in self._frontends),
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
        if isinstance(event, (Detection, Caption)) and event.model in self._tasks:
            decided_ns = self._decided_ns.pop(id(event), 0)
            self._tasks[event.model].receive(event, decided_ns, self._source.captured_at)

    def shed_seconds(self, measures: Sequence[str]) -> dict[str, float]:
        """Return for how long each measure was taken, until now; `measures` as they follow each other."""
        now = now_ns()
        return {
            name: seconds
            for level, name in enumerate(measures, 1)
            if (seconds := sum(probe.shed_seconds(level, now) for probe in self._tasks.values())) > 0
        }

    def result(self, window: Window, hop_ms: float) -> Found:
        """Return what the stamps tell of a window; after `release`."""
        frontends = [_Part(name, "frontend", Passes.of(stamps)) for _, name, stamps in self._frontends]
        blocks = find_blocks(self._waits, frontends[0].passes, self._restarts, self._clock)
        max_lag_ns = int((blocks.read - blocks.captured).max(initial=0))
        blocks = blocks.within(window)
        near = [probe for probe in self._tasks.values() if not probe.background]
        parts = [*frontends, *(part for probe in near for part in probe.parts())]
        calls = [part.passes for part in frontends] + [Passes.of(probe.calls) for probe in near]
        all_parts = [
            _Part("wait", "wait", Passes.of(self._waits)),
            _Part("ring", "ring", Passes(blocks.captured, blocks.read)),
            _Part("engine", "engine", remainder(Passes(blocks.read, blocks.done), calls)),
            *parts,
            *(part for probe in self._tasks.values() if probe.background for part in probe.parts()),
            *(part for probe in self._tasks.values() for part in probe.ways()),
        ]
        stages = [stage(part.name, part.group, part.passes, window, task=part.task) for part in all_parts]
        stamped = [stamps for _, _, stamps in self._frontends]
        stamped += [stamps for probe in self._tasks.values() for stamps in (probe.calls, probe.steps)]
        return Found(
            [one for one in stages if one is not None],
            stalls(blocks, {part.name: part.passes for part in parts}, hop_ms, window),
            max_lag_ns / 1e6,
            sum(Passes.of(stamps).within(window).n for stamps in stamped),
            Passes.of(self._waits).within(window).n,
        )

    def _run(self) -> None:
        """Collect what was put in; in a thread of its own, since the engine's has no time for that."""
        stamped = [self._waits, *(stamps for _, _, stamps in self._frontends)]
        stamped += [stamps for probe in self._tasks.values() for stamps in probe.stamps]
        ending = False
        while not ending:
            ending = self._ending.wait(_COLLECT_S)
            self.ask_clock()
            for stamps in stamped:
                stamps.collect()
            self.collecting_s = time.thread_time()


def _names(frontends: Sequence[Frontend]) -> list[str]:
    """Name each by its features; where this does not tell them apart, by a number, too."""
    names = [f"frontend {frontend.spec.features} {frontend.spec.n_bands}" for frontend in frontends]
    return [
        f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name
        for i, name in enumerate(names)
    ]
