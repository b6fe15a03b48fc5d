"""How far a measured rate can be trusted: confidence intervals for proportions, counts and ratios."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

__all__ = ["bootstrap_interval", "poisson_interval", "wilson_interval"]

_RESAMPLINGS = 2000


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    Unlike the normal approximation it stays inside 0..1 and is honest at 0 and 100 %.
    Without trials nothing is known: (0, 1).

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    J. Am. Stat. Assoc. 22 (1927).

    Examples
    --------
    >>> low, high = wilson_interval(95, 100)
    >>> round(low, 4), round(high, 4)
    (0.8882, 0.9785)
    """
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / trials
    centre = p + z * z / (2 * trials)
    half = z * math.sqrt(p * (1 - p) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    # At the ends centre and half are equal but for rounding.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == trials else (centre + half) / scale
    return low, high


def poisson_interval(count: int, exposure: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact (Garwood) interval of a rate, from a count of events in ``exposure`` hours.

    The upper limit is the rate at which ``count`` or fewer events have the probability
    ``(1 - confidence) / 2``, the lower limit that at which ``count`` or more have it. Zero events
    in ten hours therefore still allow 0.37 events per hour. Without exposure: (0, inf).

    References
    ----------
    F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936).

    Examples
    --------
    >>> low, high = poisson_interval(0, 10.0)
    >>> low, round(high, 4)
    (0.0, 0.3689)
    """
    if exposure <= 0:
        return 0.0, math.inf
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _bisect(lambda mean: _at_least(count, mean) < tail, 0.0, float(count))
    # Twelve standard deviations: the tail there is far below any confidence that can be asked for.
    ceiling = count + 12 * math.sqrt(count + 1) + 40
    high = _bisect(lambda mean: _at_most(count, mean) > tail, float(count), ceiling)
    return low / exposure, high / exposure


def bootstrap_interval(
    errors: Sequence[int], totals: Sequence[int], groups: Sequence[str], *, confidence: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of a ratio of sums, such as errors per word, resampled by groups.

    What one speaker says is alike, so that speakers are drawn, with all that they said, and not
    recordings. With a single group its members are drawn. The draws are the same each time.

    Parameters
    ----------
    errors, totals : sequence of int
        Of each recording; the totals sum to more than 0.
    groups : sequence of str
        Who speaks in each recording.

    References
    ----------
    M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
    ICASSP 2004.

    Examples
    --------
    >>> low, high = bootstrap_interval([1, 0, 3, 2], [10, 10, 10, 10], ["ann", "ann", "bob", "eve"])
    >>> low, high
    (0.05, 0.3)
    """
    names = list(dict.fromkeys(groups))
    if len(names) == 1:
        names = [str(i) for i in range(len(groups))]
        groups = names
    number = {name: i for i, name in enumerate(names)}
    sums = np.zeros((len(names), 2))
    for group, n_errors, total in zip(groups, errors, totals, strict=True):
        sums[number[group]] += n_errors, total
    draws = np.random.default_rng(0).integers(len(names), size=(_RESAMPLINGS, len(names)))
    drawn = sums[draws].sum(axis=1)
    ratios = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(ratios[:, 0] / ratios[:, 1], [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _probability(count: int, mean: float) -> float:
    return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))


def _at_most(count: int, mean: float) -> float:
    """P(X ≤ count) for a Poisson X, ``mean ≥ count``: downwards from ``count`` the terms shrink."""
    if mean == 0:
        return 1.0
    term = total = _probability(count, mean)
    while count > 0 and term > 1e-17 * total:
        term *= count / mean
        total += term
        count -= 1
    return total


def _at_least(count: int, mean: float) -> float:
    """P(X ≥ count) for a Poisson X, ``mean ≤ count``: upwards from ``count`` the terms shrink."""
    if mean == 0:
        return 0.0
    term = total = _probability(count, mean)
    while term > 1e-17 * total:
        count += 1
        term *= mean / count
        total += term
    return total


def _bisect(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """The point in ``[low, high]`` where a monotonic ``is_below`` turns from True to False."""
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if is_below(middle):
            low = middle
        else:
            high = middle
