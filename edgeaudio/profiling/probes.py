"""All probes of one run: which parts of an engine are watched, and what became of their stamps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgeaudio.events import Caption, Detection, Event
from edgeaudio.frontend import Frontend
from edgeaudio.profiling.measurement import Group, Stage, Stall
from edgeaudio.profiling.passes import Passes, Window, blocks_heard, remainder, stage, stalls
from edgeaudio.profiling.probe import (
    Stamps,
    WaitStamps,
    now_ns,
    watch,
    watch_decisions,
    watch_shedding,
    watch_source,
)
from edgeaudio.tasks.base import in_background

if TYPE_CHECKING:
    from edgeaudio.engine import Engine
    from edgeaudio.sources import Source
    from edgeaudio.tasks.base import Task

__all__ = ["Found", "Probes"]

_MOST_PASSES = 2**20
_MOST_EVENTS = 2**16
_SHED = ("tentative text", "narrower search")
"""What a recogniser leaves out at level 1 and, as well, at level 2."""


class Found(NamedTuple):
    """What the stamps tell."""

    stages: list[Stage]
    stalls: list[Stall]
    max_lag_ms: float
    n_events: dict[str, int]
    """By the task's name."""
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
        self.received = Stamps(_MOST_EVENTS)
        self._whole_way = Stamps(_MOST_EVENTS)
        self._words = Stamps(_MOST_EVENTS)
        self.shed: list[tuple[int, int]] = []
        """When which level began."""
        self._caption = (-1, 0)
        """The newest caption, and how many of its words have been seen."""

    def attach(self) -> list[Callable[[], None]]:
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
        self.received.add(decided_ns, now)
        self._whole_way.add(decided_ns - round(event.latency_s * 1e9), now)
        for end_sample in self._new_words(event):
            self._words.add(int(captured_at(end_sample - 1) * 1e9), now)

    def parts(self, window: Window) -> list[_Part]:
        """Return what it computed: its network's steps and the rest, or all where nobody can tell."""
        calls, steps = Passes.of(self.calls, window), Passes.of(self.steps, window)
        if self.graph is None:
            return [_Part(f"task {self.name}", "task", calls, self.name)]
        return [
            _Part(f"model {self.name}", "model", steps, self.name),
            _Part(f"decode {self.name}", "decode", remainder(calls, [steps]), self.name),
        ]

    def ways(self, window: Window) -> list[_Part]:
        """Return how long its events were under way."""
        stamped: tuple[tuple[Group, Stamps], ...] = (
            ("event", self.received),
            ("end to end", self._whole_way),
            ("word", self._words),
        )
        return [
            _Part(f"{group} {self.name}", group, Passes.of(stamps, window), self.name)
            for group, stamps in stamped
        ]

    def shed_seconds(self, now: int) -> list[float]:
        """Return for how long each level, or a higher one, held."""
        until = [at for at, _ in self.shed[1:]] + [now]
        lengths = [
            (level, (end - begin) / 1e9) for (begin, level), end in zip(self.shed, until, strict=False)
        ]
        return [sum(length_s for level, length_s in lengths if level > i) for i in range(len(_SHED))]

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
        room = min(_MOST_PASSES, int(1.25 * passes) + 100)
        self._waits = WaitStamps(room)
        frontends = self._listener.frontends
        self._frontends = [
            (f, name, Stamps(room)) for f, name in zip(frontends, _names(frontends), strict=True)
        ]
        self._tasks = {task.name: _TaskProbe(task, room) for task in tasks}
        self._decided_ns: dict[int, int] = {}
        self._attached: list[Callable[[], None]] = []

    def attach(self, alarm: Callable[[int], int]) -> None:
        """Begin; for `alarm` see `watch_source`."""
        self._attached = [
            watch_source(self._source, self._waits, alarm),
            watch_decisions(self._listener, self._decided_ns),
            *(watch(frontend, "process", stamps) for frontend, _, stamps in self._frontends),
        ]
        for probe in self._tasks.values():
            self._attached += probe.attach()

    def release(self) -> None:
        """Give all parts back as they were."""
        while self._attached:
            self._attached.pop()()

    def receive(self, event: Event) -> None:
        """Take note of an event, in the caller's thread, as soon as it has come."""
        if isinstance(event, (Detection, Caption)) and event.model in self._tasks:
            decided_ns = self._decided_ns.pop(id(event), 0)
            self._tasks[event.model].receive(event, decided_ns, self._source.captured_at)

    def shed_seconds(self) -> dict[str, float]:
        """Return for how long what was left out, until now."""
        levels = [probe.shed_seconds(now_ns()) for probe in self._tasks.values()]
        return {name: s for i, name in enumerate(_SHED) if (s := sum(level[i] for level in levels)) > 0}

    def _max_lag_ms(self) -> float:
        """How long the newest sample of a block waited at most, in the whole run."""
        table = self._waits.passes()
        table = table[table[:, WaitStamps.BLOCK] > 0]
        return float((table[:, WaitStamps.END] - table[:, WaitStamps.CAPTURED]).max(initial=0)) / 1e6

    def result(self, window: Window, hop_ms: float) -> Found:
        """Return what the stamps in the window tell."""
        frontends = [
            _Part(name, "frontend", Passes.of(stamps, window)) for _, name, stamps in self._frontends
        ]
        blocks = blocks_heard(self._waits, frontends[0].passes, window)
        parts, calls = list(frontends), [part.passes for part in frontends]
        background: list[_Part] = []
        for probe in self._tasks.values():
            (background if probe.background else parts).extend(probe.parts(window))
            if not probe.background:
                calls.append(Passes.of(probe.calls, window))
        waits = Passes.of(self._waits, window)
        all_parts = [
            _Part("wait", "wait", waits),
            _Part("ring", "ring", Passes(blocks.captured, blocks.read)),
            _Part("engine", "engine", remainder(Passes(blocks.read, blocks.done), calls)),
            *parts,
            *background,
            *(part for probe in self._tasks.values() for part in probe.ways(window)),
        ]
        stages = [stage(part.name, part.group, part.passes, window, task=part.task) for part in all_parts]
        stamped = [self._waits, *(stamps for _, _, stamps in self._frontends)]
        stamped += [stamps for probe in self._tasks.values() for stamps in (probe.calls, probe.steps)]
        n_events = {probe.name: Passes.of(probe.received, window).n for probe in self._tasks.values()}
        return Found(
            [one for one in stages if one is not None],
            stalls(blocks, {part.name: part.passes for part in parts}, hop_ms, window),
            self._max_lag_ms(),
            n_events,
            sum(Passes.of(stamps, window).n for stamps in stamped[1:]),
            waits.n,
        )


def _names(frontends: Sequence[Frontend]) -> list[str]:
    """Name each by its features; where this does not tell them apart, by a number, too."""
    names = [f"frontend {frontend.spec.features} {frontend.spec.n_bands}" for frontend in frontends]
    return [
        f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name
        for i, name in enumerate(names)
    ]
