"""From time stamps to stages and stalls: arithmetic, after the run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.profiling.measurement import Group, Stage, Stall
from edgeaudio.profiling.probe import Stamps, WaitStamps
from edgeaudio.profiling.statistics import summarise

__all__ = ["Blocks", "Passes", "Window", "blocks_heard", "remainder", "stage", "stalls"]

_MOST_SAMPLES = 3000
"""Passes of a stage that a measurement keeps one by one."""
_LONGEST = 100
"""Of these, the longest ones, whatever an even choice would leave out."""
_PATIENCE_HOPS = 0.5
"""How long a whole block may wait. Its oldest sample has then waited for a hop and a half."""
_MS = 1e6

Times = NDArray[np.int64]
"""Nanoseconds of `time.monotonic_ns`."""


class Window(NamedTuple):
    """What of a run is looked at, in nanoseconds of `time.monotonic_ns`."""

    origin: int
    """When sample 0 was captured; moments count from here."""
    begin: int
    """The end of the warm-up."""
    end: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.begin) / 1e9


class Passes(NamedTuple):
    """Passes of one part, in order of time."""

    begin: Times
    end: Times

    @property
    def duration(self) -> Times:
        """Of each, ``[n]`` nanoseconds."""
        return self.end - self.begin

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.begin)

    @classmethod
    def of(cls, stamps: Stamps, window: Window) -> Passes:
        """Return those that ended in the window."""
        table = stamps.passes()
        table = table[(table[:, 1] > window.begin) & (table[:, 1] <= window.end)]
        return cls(table[:, 0], table[:, 1])


class Blocks(NamedTuple):
    """Blocks that were heard: arrays ``[n]`` of moments."""

    captured: Times
    """When the newest sample of each was captured."""
    waited_from: Times
    read: Times
    """When it was read, and the engine's work on it began."""
    done: Times
    """When the engine began to wait for the next block."""


def blocks_heard(waits: WaitStamps, heard: Passes, window: Window) -> Blocks:
    """Return the blocks of the window; `heard` are passes of a frontend, which hears each block once."""
    table = waits.passes()
    done = np.append(table[1:, waits.BEGIN], window.end)
    inside = (table[:, waits.BEGIN] >= window.begin) & (done <= window.end)
    last = np.searchsorted(heard.begin, done)
    first = np.searchsorted(heard.begin, table[:, waits.END])
    chosen = inside & (last > first) & (table[:, waits.BLOCK] > 0)
    rows = table[chosen]
    return Blocks(rows[:, waits.CAPTURED], rows[:, waits.BEGIN], rows[:, waits.END], done[chosen])


def remainder(whole: Passes, parts: list[Passes]) -> Passes:
    """Return what is left of each pass without those that began in it, as if it had come last."""
    left = whole.duration
    for part in parts:
        total = np.concatenate(([0], np.cumsum(part.duration)))
        behind, before = (np.searchsorted(part.begin, moments) for moments in (whole.end, whole.begin))
        left = left - total[behind] + total[before]
    return Passes(whole.end - left, whole.end)


def stage(
    name: str, group: Group, passes: Passes, window: Window, *, task: str | None = None
) -> Stage | None:
    """Describe a stage by its passes; None if there were none."""
    if not passes.n:
        return None
    moments_s = (passes.begin - window.origin) / 1e9
    durations_ms = passes.duration / _MS
    found = summarise(moments_s, durations_ms)
    waiting = group in ("wait", "ring", "event", "end to end", "word")
    kept = _choice(durations_ms)
    return Stage(
        name=name,
        group=group,
        task=task,
        count=passes.n,
        mean_ms=found.mean,
        p50_ms=found.p50,
        p95_ms=found.p95,
        p99_ms=found.p99,
        max_ms=found.largest,
        mean_interval_ms=found.mean_interval,
        p95_interval_ms=found.p95_interval,
        share=0.0 if waiting else float(durations_ms.sum()) / (1000 * window.seconds),
        samples=[(round(float(moments_s[i]), 6), round(float(durations_ms[i]), 6)) for i in kept],
    )


def _choice(durations: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which passes are kept one by one: all, or an even choice and the longest ones."""
    n = len(durations)
    if n <= _MOST_SAMPLES:
        return np.arange(n)
    even = np.linspace(0, n - 1, _MOST_SAMPLES - _LONGEST).round().astype(np.int64)
    return np.union1d(even, np.argpartition(durations, -_LONGEST)[-_LONGEST:])


def stalls(blocks: Blocks, parts: dict[str, Passes], hop_ms: float, window: Window) -> list[Stall]:
    """Find the moments at which whole blocks waited for more than half a hop, and what held the engine up.

    Parameters
    ----------
    blocks : Blocks
        All that were heard.
    parts : dict
        By name: the stages of the engine's own thread.
    hop_ms : float
        From block to block.
    """
    late = blocks.read - blocks.captured
    rows = np.flatnonzero(late > _PATIENCE_HOPS * hop_ms * _MS)
    found = []
    for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
        if not len(run):
            continue
        first = int(run[0])
        due, read = int(blocks.captured[first]), int(blocks.read[first])
        # Ready and due, and nobody woke the engine: then it was the machine, or the audio came late.
        overslept = {"wait": read - max(due, int(blocks.waited_from[first]))}
        worked = {name: _overlap(part, due, read) for name, part in parts.items()}
        culprits = overslept | worked
        found.append(
            Stall(
                at_s=(due - window.origin) / 1e9,
                duration_ms=float(late[run].max()) / _MS,
                stage=max(culprits, key=lambda name: culprits[name]),
            )
        )
    return found


def _overlap(part: Passes, begin: int, end: int) -> int:
    """Return the time between two moments that the part's longest pass there took."""
    shared = np.minimum(part.end, end) - np.maximum(part.begin, begin)
    return int(shared.max(initial=0))
