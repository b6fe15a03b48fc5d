"""Figures with 95 % intervals, and the difference of two of them."""

from __future__ import annotations

import math
from typing import NamedTuple

from edgeaudio.profiling.measurement import COMPUTING, Measurement

__all__ = ["Estimate", "computing_percent", "difference"]


class Estimate(NamedTuple):
    """A figure, and the ends of its interval."""

    value: float
    low: float
    high: float


def difference(before: Estimate, after: Estimate, *, widening: float = 1.0) -> Estimate:
    """Return ``after - before`` for figures that know nothing of each other.

    ::

        d - sqrt((b - b_low)² + (a_high - a)²)  to  d + sqrt((b_high - b)² + (a - a_low)²),   d = b - a

    allows for intervals that are not symmetric (Zou and Donner, "Construction of confidence limits about
    effect measures", Statistics in Medicine 27, 2008).

    Parameters
    ----------
    before, after : Estimate
        a and b.
    widening : float
        By how much to lengthen the interval to both sides.

    Examples
    --------
    >>> difference(Estimate(10, 7, 13), Estimate(20, 16, 24))
    Estimate(value=10, low=5.0, high=15.0)
    """
    value = after.value - before.value
    # A bootstrap's interval of a handful of values may lie beside the figure itself.
    down = math.hypot(max(0.0, after.value - after.low), max(0.0, before.high - before.value))
    up = math.hypot(max(0.0, after.high - after.value), max(0.0, before.value - before.low))
    return Estimate(value, value - widening * down, value + widening * up)


def computing_percent(measurement: Measurement) -> Estimate:
    """Return the CPU time of the engine's threads in % of the audio's length.

    The interval is as wide, in proportion, as that of the time in all stages. Its ends are sums of the
    stages' own: a slow moment slows all of them, so that they do not even out.
    """
    value = 100 * measurement.cost.real_time_factor
    stages = [s for s in measurement.stages if s.group in COMPUTING and s.mean_ms > 0]
    total = sum(stage.share for stage in stages)
    if total <= 0:
        return Estimate(value, value, value)
    low, high = (
        sum(stage.share * stage.mean_interval_ms[end] / stage.mean_ms for stage in stages) / total
        for end in (0, 1)
    )
    return Estimate(value, low * value, high * value)
