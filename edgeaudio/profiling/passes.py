"""From time stamps to stages and stalls: arithmetic, after the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.profiling.measurement import Group, Stage, Stall
from edgeaudio.profiling.probe import Log
from edgeaudio.profiling.statistics import summarise
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["Blocks", "Clock", "Passes", "Window", "find_blocks", "remainder", "stage", "stalls"]

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
    def of(cls, log: Log, part: int) -> Passes:
        """Return all that were collected of a part."""
        table = log.passes(part)
        return cls(table[:, 0], table[:, 1])

    def within(self, window: Window) -> Passes:
        """Return those that ended in the window."""
        inside = (self.end > window.begin) & (self.end <= window.end)
        return Passes(self.begin[inside], self.end[inside])


class Blocks(NamedTuple):
    """Blocks that were heard: arrays ``[n]`` of moments."""

    captured: Times
    """When the newest sample of each was captured."""
    waited_from: Times
    read: Times
    """When it was read, and the engine's work on it began."""
    done: Times
    """When the engine began to wait for the next block."""

    def within(self, window: Window) -> Blocks:
        """Return those that were waited for and done in the window."""
        inside = (self.waited_from >= window.begin) & (self.done <= window.end)
        return Blocks(*(moments[inside] for moments in self))


class Clock:
    """When samples were captured, from what the source said now and then: its clock may drift.

    Between two sayings the moment of sample 0 is taken to change evenly.
    """

    def __init__(self) -> None:
        self._said: list[tuple[int, int]] = []
        """At which moment, when sample 0 was captured; in pairs, since several threads hear it."""

    def hear(self, now_ns: int, sample: int, captured_s: float) -> None:
        """Note that at `now_ns` the source said when this sample was captured, in seconds."""
        self._said.append((now_ns, round((captured_s - sample / SAMPLE_RATE_HZ) * 1e9)))

    def captured(self, at: Times, samples: NDArray[np.int64]) -> Times:
        """Return when each of the samples was captured, as it was known at the moments `at`."""
        moments, origins = np.array(sorted(self._said)).T
        first = origins[0]  # float64 has no room for nanoseconds since the machine was started
        drift = np.interp(at, moments, origins - first)
        captured: Times = first + np.round(samples / SAMPLE_RATE_HZ * 1e9 + drift).astype(np.int64)
        return captured


def find_blocks(
    waits: NDArray[np.int64],
    heard: Passes,
    restarts: Sequence[tuple[int, int]],
    clock: Clock,
    *,
    hop_samples: int,
    first_samples: int,
) -> Blocks:
    """Tell blocks from waits in vain, and find out which samples they were.

    Parameters
    ----------
    waits : array [n, 3]
        All waits since the source's start: begin, end, and how many samples could be read.
    heard : Passes
        Of a frontend, which hears each block once.
    restarts : sequence of (int, int)
        When audio was lost, and the sample with which it went on.
    clock : Clock
        When samples were captured.
    hop_samples, first_samples : int
        Lengths of a block, and of the first one after the start or a loss.
    """
    read = waits[:, 1]
    done = np.append(waits[1:, 0], np.iinfo(np.int64).max)
    is_block = np.searchsorted(heard.begin, done) > np.searchsorted(heard.begin, read)
    blocks, available = np.flatnonzero(is_block), waits[is_block, 2]
    # Of several losses before one block the last one counts.
    begins = {0: 0} | {int(np.searchsorted(read[blocks], at)): sample for at, sample in restarts}
    n = np.minimum(available, hop_samples)
    for first in begins:
        n[first : first + 1] = np.minimum(available[first : first + 1], first_samples)
    end = np.cumsum(n)
    for first, sample in begins.items():
        end[first:] += sample - (end[first - 1] if first else 0)
    return Blocks(clock.captured(read[blocks], end - 1), waits[blocks, 0], read[blocks], done[blocks])


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
    """Describe a stage by its passes in the window; None if there were none."""
    passes = passes.within(window)
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
