"""Quantiles, and how far they can be trusted: a block bootstrap over time.

Neighbouring passes of a stage resemble each other (a busy neighbour, a clock that changes), so that drawing
single passes anew would promise too narrow intervals. Whole stretches of time are drawn instead (Künsch 1989,
"The jackknife and the bootstrap for general stationary observations").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Summary", "quantile", "summarise"]

_RESAMPLES = 400
_BLOCKS = 20
"""Into so many stretches a run is cut, as long as each is `_LEAST_S` long."""
_LEAST_S = 1.0
_FEWEST_BLOCKS = 8
_SEED = 20261121
_INTERVAL = (0.025, 0.975)

Values = NDArray[np.float64]


class Summary(NamedTuple):
    """What `summarise` finds, in the values' unit; intervals hold 95 %."""

    mean: float
    p50: float
    p95: float
    p99: float
    largest: float
    mean_interval: tuple[float, float]
    p95_interval: tuple[float, float]


def quantile(values: Values, q: float) -> float:
    """Return the smallest value that a part `q` of the values does not exceed: one that was seen.

    Examples
    --------
    >>> quantile(np.arange(1.0, 101.0), 0.95)
    95.0
    """
    return float(np.quantile(values, q, method="inverted_cdf"))


def summarise(moments_s: Values, values: Values) -> Summary:
    """Describe values ``[n]``, n > 0, seen at the moments ``[n]``; the same input gives the same result.

    Intervals say how well this run knows its own mean and 95th percentile. Of a handful of values a
    bootstrap knows little: it never goes beyond the smallest and the largest of them.
    """
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    blocks = _blocks(moments_s)
    # How often each stretch of time is drawn, in each resample.
    n_blocks = int(blocks.max()) + 1
    draws = np.random.default_rng(_SEED).integers(0, n_blocks, (_RESAMPLES, n_blocks))
    counts = np.bincount(blocks, minlength=n_blocks)
    totals = np.bincount(blocks, values, n_blocks)
    n_drawn = counts[draws].sum(axis=1)
    filled = n_drawn > 0  # rare values: all stretches drawn may hold none
    means = totals[draws].sum(axis=1)[filled] / n_drawn[filled]
    place = blocks[order]
    p95s = [_p95(ascending, np.bincount(drawn, minlength=n_blocks)[place]) for drawn in draws[filled]]
    return Summary(
        float(values.mean()),
        quantile(values, 0.50),
        quantile(values, 0.95),
        quantile(values, 0.99),
        float(ascending[-1]),
        _interval(means),
        _interval(np.array(p95s)),
    )


def _blocks(moments_s: Values) -> NDArray[np.int64]:
    """Number the stretches of time from 0 and return that of each moment, ``[n]``."""
    start_s = float(moments_s.min())
    length_s = float(moments_s.max()) - start_s
    block_s = min(max(length_s / _BLOCKS, _LEAST_S), max(length_s, _LEAST_S) / _FEWEST_BLOCKS)
    # The last moment lies on the end of the last stretch, and is not a stretch of its own.
    last = max(1, round(length_s / block_s)) - 1
    return np.minimum(((moments_s - start_s) / block_s).astype(np.int64), last)


def _p95(ascending: Values, weights: NDArray[np.int64]) -> float:
    """Return the 95th percentile of values of which each occurs `weights` times."""
    reached = np.cumsum(weights)
    return float(ascending[np.searchsorted(reached, 0.95 * reached[-1])])


def _interval(estimates: Values) -> tuple[float, float]:
    low, high = np.quantile(estimates, _INTERVAL)
    return float(low), float(high)
