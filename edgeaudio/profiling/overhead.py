"""What measuring costs, measured beside the run.

Probes are timed around parts that do little, and what the same parts cost without probes is taken off. So
the cost covers more than the clock: the further call, the storing, and what the caches have forgotten. For
that, the parts are called as an engine calls its own: one after the other, after a pause, each with memory of
its own to go through. Called again and again without a pause, the same probes take a fifth of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edgeaudio.profiling.measurement import Overhead
from edgeaudio.profiling.probe import Log, now_ns, timed, watch_source
from edgeaudio.sources.array import ArraySource

__all__ = ["overhead", "timestamp_ns"]

_STAMPS = 2000
_ROUNDS = 15
"""The quickest round counts: whatever else the machine does makes it only slower."""
_BLOCKS = 120
_PAUSE_S = 0.002
_MOST_PARTS = 50
_PART_BYTES = 2**16


def overhead(
    *,
    n_passes: int,
    n_waits: int,
    seconds: float,
    busy_s: float,
    collecting_s: float = 0.0,
    sensors_share: float = 0.0,
) -> Overhead:
    """Return the cost of a run's probes.

    Parameters
    ----------
    n_passes, n_waits : int
        Stamped passes of parts, and waits for a block.
    seconds : float
        In how long a time.
    busy_s : float
        CPU time of the engine's threads meanwhile.
    collecting_s : float
        CPU time of the thread that collects the stamps.
    sensors_share : float
        Goes into the result.
    """
    probes_s = 0.0
    if n_waits:
        parts = min(max(1, round(n_passes / n_waits)), _MOST_PARTS)
        probes_s = n_waits * block_ns(parts) / 1e9 * (n_passes / n_waits / parts)
    return Overhead(
        timestamp_ns=timestamp_ns(),
        timestamps_per_s=2 * (n_passes + n_waits) / seconds,
        share_of_busy=(probes_s + collecting_s) / busy_s if busy_s > 0 else 0.0,
        sensors_share=sensors_share,
    )


def timestamp_ns() -> float:
    """Return what it takes to read the clock and to store what it says."""
    log = Log(0)
    fresh, now = log.fresh, now_ns

    def stamp() -> None:
        for _ in range(_STAMPS):
            fresh.append(now())

    def nothing() -> None:
        for _ in range(_STAMPS):
            pass

    with_stamps, without = [], []
    for _ in range(_ROUNDS):
        with_stamps.append(_time_ns(stamp))
        without.append(_time_ns(nothing))
        fresh.clear()
    return (min(with_stamps) - min(without)) / _STAMPS


def block_ns(n_parts: int) -> float:
    """Return what the probes of one block cost: a wait, and one pass of each of `n_parts` parts."""
    log = Log(0)
    bare = [_part() for _ in range(n_parts)]
    watched = [timed(call, log, i) for i, call in enumerate(bare)]
    idle, watched_source = _Idle(), _Idle()
    watch_source(watched_source, log, lambda _now_ns: 2**62)
    # In pairs: what else the machine does changes from second to second.
    more_ns = [_block_ns(watched_source, watched) - _block_ns(idle, bare) for _ in range(_BLOCKS)]
    return max(0.0, float(np.median(more_ns)))


def _block_ns(source: ArraySource, parts: list[Callable[[Any], Any]]) -> int:
    time.sleep(_PAUSE_S)
    started = time.perf_counter_ns()
    source.wait(1280, 0.1)
    for call in parts:
        call(None)
    return time.perf_counter_ns() - started


def _time_ns(work: Callable[[], None]) -> int:
    started = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - started


def _part() -> Callable[[Any], Any]:
    """Return something that displaces from the nearest caches what a small network would."""
    memory = np.zeros(_PART_BYTES, np.uint8)

    def part(_argument: Any) -> Any:
        return memory.max()

    return part


class _Idle(ArraySource):
    """A source that has everything at once: what remains of a wait is the probe."""

    def __init__(self) -> None:
        super().__init__(np.zeros(1, np.float32))

    def wait(self, n_samples: int, timeout_s: float) -> int:
        return n_samples
