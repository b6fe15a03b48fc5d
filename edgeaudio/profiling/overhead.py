"""What measuring costs, measured beside the run.

A probe is timed around something that does nothing, and what the same costs without a probe is taken off. So
the share covers more than the clock: the further call, the counting and the storing, and of a wait the
questions asked of the source.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from edgeaudio.profiling.measurement import Overhead
from edgeaudio.profiling.probe import Stamps, WaitStamps, timed, watch_source
from edgeaudio.sources.array import ArraySource

__all__ = ["overhead", "timestamp_ns"]

_CALLS = 2000
_ROUNDS = 15
"""The quickest round counts: whatever else the machine does makes it only slower."""
_HOP_SAMPLES = 1280


def overhead(
    *, n_passes: int, n_waits: int, seconds: float, busy_s: float, sensors_share: float = 0.0
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
    sensors_share : float
        Goes into the result.
    """
    probes_s = (n_passes * _pass_ns() + n_waits * _wait_ns()) / 1e9
    return Overhead(
        timestamp_ns=timestamp_ns(),
        timestamps_per_s=2 * (n_passes + n_waits) / seconds,
        share_of_busy=probes_s / busy_s if busy_s > 0 else 0.0,
        sensors_share=sensors_share,
    )


def timestamp_ns() -> float:
    """Return what it takes to read the clock and to store what it says."""
    words, now = Stamps(1).words, time.monotonic_ns

    def stamps() -> None:
        for _ in range(_CALLS):
            words[0] = now()

    def nothing() -> None:
        for _ in range(_CALLS):
            pass

    return _quickest_ns(stamps) - _quickest_ns(nothing)


@lru_cache(maxsize=1)
def _pass_ns() -> float:
    def bare(argument: Any) -> Any:
        return argument

    watched = timed(bare, Stamps(_CALLS))
    return _quickest_ns(lambda: _call(watched)) - _quickest_ns(lambda: _call(bare))


@lru_cache(maxsize=1)
def _wait_ns() -> float:
    source = ArraySource(np.zeros(2 * _HOP_SAMPLES, np.float32), paced=True)
    source.start()

    def wait(n_samples: int, timeout_s: float) -> int:
        return _HOP_SAMPLES

    source.wait = wait  # type: ignore[method-assign]  # what remains is the probe
    watch_source(source, WaitStamps(_CALLS), lambda now_ns: now_ns + 10**15)
    watched = source.wait
    return _quickest_ns(lambda: _wait(watched)) - _quickest_ns(lambda: _wait(wait))


def _call(call: Callable[[Any], Any]) -> None:
    for _ in range(_CALLS):
        call(None)


def _wait(wait: Callable[[int, float], int]) -> None:
    for _ in range(_CALLS):
        wait(_HOP_SAMPLES, 0.1)


def _quickest_ns(run: Callable[[], None]) -> float:
    """Return the nanoseconds of one of the calls that `run` makes."""
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - started)
    return min(times) / _CALLS
