"""How well speech is told from everything else, a hundred times a second: misses against false alarms.

Nothing here knows where the probabilities come from: a model's posteriors, another project's detector, or one
that only says yes and no are judged alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeaudio.errors import InputError

__all__ = ["FRAME_S", "FrameScores", "RocPoint", "on_frames", "score_frames"]

FRAME_S = 0.01
"""Frame i of a truth is the sound from ``i * FRAME_S`` to ``(i + 1) * FRAME_S``."""

_MOST_THRESHOLDS = 512
_RESAMPLINGS = 1000

Interval = tuple[float, float]


def on_frames(probabilities: ArrayLike, *, period_s: float, n_frames: int) -> NDArray[np.float32]:
    """Spread a detector's probabilities, one every `period_s`, over frames of 10 ms.

    A frame gets the probability of the stretch of sound that holds its middle. What a detector says
    late stays late: that costs it misses and false alarms, as it does who waits for it.

    Parameters
    ----------
    probabilities : array_like, shape [n]
        Number i was given when the sound from ``i * period_s`` to ``(i + 1) * period_s`` had been heard.
    period_s : float
    n_frames : int
        How many frames there are to judge; those behind the last probability get this one.

    Returns
    -------
    array [n_frames] float32

    Examples
    --------
    >>> on_frames([0.0, 1.0], period_s=0.02, n_frames=5).tolist()
    [0.0, 0.0, 1.0, 1.0, 1.0]
    """
    values = np.asarray(probabilities, np.float32)
    if not len(values):
        return np.zeros(n_frames, np.float32)
    index = ((np.arange(n_frames) + 0.5) * (FRAME_S / period_s)).astype(np.int64)
    spread: NDArray[np.float32] = values[np.minimum(index, len(values) - 1)]
    return spread


@dataclass(frozen=True)
class RocPoint:
    """What happens where everything from `threshold` on is taken for speech."""

    threshold: float
    miss_rate: float
    false_alarm_rate: float


@dataclass(frozen=True)
class FrameScores:
    """Frames counted by threshold, apart for each group of recordings that are alike.

    Column k of `speech` and `other` ``[n_groups, n_thresholds + 1]`` counts the frames whose probability
    reaches k of the `thresholds`, which rise.
    """

    thresholds: NDArray[np.float64]
    speech: NDArray[np.float64]
    other: NDArray[np.float64]
    threshold: float
    """The detector's own."""

    @property
    def n_speech(self) -> int:
        """Frames of speech that count."""
        return int(self.speech.sum())

    @property
    def n_other(self) -> int:
        """Frames of anything else that count."""
        return int(self.other.sum())

    @property
    def roc(self) -> list[RocPoint]:
        """From all frames taken for speech to none; ends included, thresholds 0 and 1 there."""
        miss, false_alarm = self._rates
        thresholds = (0.0, *self.thresholds, max(1.0, float(self.thresholds[-1])))
        return [
            RocPoint(float(t), float(m), float(f))
            for t, m, f in zip(thresholds, miss, false_alarm, strict=True)
        ]

    @property
    def auc(self) -> float:
        """Area under the curve of hits against false alarms: 1 is faultless, 0.5 is guessing."""
        return float(_area(*self._rates))

    @property
    def auc_interval(self) -> Interval:
        """95 %, by a bootstrap over groups."""
        return _quantiles(_area(*self._drawn))

    @property
    def miss_rate(self) -> float:
        """Part of the frames of speech that stay below the detector's threshold."""
        return float(self._at_threshold(*self._rates)[0])

    @property
    def false_alarm_rate(self) -> float:
        """Part of the other frames that reach the detector's threshold."""
        return float(self._at_threshold(*self._rates)[1])

    @property
    def intervals(self) -> tuple[Interval, Interval]:
        """95 % intervals of both rates at the detector's threshold, by a bootstrap over groups."""
        miss, false_alarm = self._at_threshold(*self._drawn)
        return _quantiles(miss), _quantiles(false_alarm)

    def miss_rate_at(self, false_alarm_rate: float) -> float:
        """Return the miss rate at a given rate of false alarms, between the points of the curve."""
        return _interpolated(*self._rates, false_alarm_rate)

    def miss_interval_at(self, false_alarm_rate: float) -> Interval:
        """Return the 95 % interval of `miss_rate_at`, by a bootstrap over groups."""
        miss, false_alarm = self._drawn
        drawn = [_interpolated(m, f, false_alarm_rate) for m, f in zip(miss, false_alarm, strict=True)]
        return _quantiles(np.array(drawn))

    @cached_property
    def _rates(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _rates(self.speech.sum(axis=0), self.other.sum(axis=0))

    def _at_threshold(self, *rates: NDArray[np.float64]) -> tuple[Any, Any]:
        # Taken for speech is what reaches more thresholds than lie below the detector's.
        column = int(np.searchsorted(self.thresholds, self.threshold, side="left")) + 1
        miss, false_alarm = (rate[..., column] for rate in rates)
        return miss, false_alarm

    @cached_property
    def _drawn(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rates ``[n_draws, n_thresholds + 2]`` of groups drawn again and again; the same each time.

        Whole groups are drawn, since frames of one recording are alike. A draw that misses one of the two
        kinds says nothing and is left out.
        """
        n_groups = len(self.speech)
        rng = np.random.default_rng(0)
        times = rng.multinomial(n_groups, [1 / n_groups] * n_groups, size=_RESAMPLINGS).astype(np.float64)
        speech, other = times @ self.speech, times @ self.other
        both = (speech.sum(axis=1) > 0) & (other.sum(axis=1) > 0)
        return _rates(speech[both], other[both])


def score_frames(
    probabilities: Sequence[NDArray[np.float32]],
    truths: Sequence[NDArray[np.int8]],
    *,
    groups: Sequence[str] | None = None,
    threshold: float = 0.5,
) -> FrameScores:
    """Count what a detector says of recordings whose every frame is known.

    Parameters
    ----------
    probabilities : sequence of array [n_frames]
        Of each recording, a number for every 10 ms, see `on_frames`; who only says yes or no says 1 or 0.
    truths : sequence of array [n_frames] int8
        1 for speech, 0 for anything else, -1 for what is not judged, as `edgeaudio.evaluation.speech` makes
        them. Where the two lengths differ, what is behind the shorter one is not judged.
    groups : sequence of str, optional
        Which recordings are alike, such as those of one speaker: intervals are drawn from whole groups. By
        default each recording is one.
    threshold : float
        The detector's own.

    Raises
    ------
    InputError
        If there is no frame of speech, or none of anything else.
    """
    groups = [str(i) for i in range(len(truths))] if groups is None else groups
    pooled = [p[: len(t)][t[: len(p)] >= 0] for p, t in zip(probabilities, truths, strict=True)]
    thresholds = _thresholds(np.concatenate([np.zeros(0), *pooled]), threshold)
    number = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    counts = np.zeros((2, len(number), len(thresholds) + 1))
    for values, truth, group in zip(probabilities, truths, groups, strict=True):
        n = min(len(values), len(truth))
        reached = np.searchsorted(thresholds, values[:n], side="right")
        for kind in (0, 1):
            found = np.bincount(reached[truth[:n] == kind], minlength=counts.shape[2])
            counts[kind, number[group]] += found
    for kind, name in ((1, "speech"), (0, "anything but speech")):
        if not counts[kind].sum():
            raise InputError(
                f"the recordings hold no frame of {name}",
                hint="Misses are counted in speech, false alarms in everything else: both are needed.",
            )
    return FrameScores(thresholds, counts[1], counts[0], threshold)


def _thresholds(values: NDArray[np.float64], own: float) -> NDArray[np.float64]:
    """All values that occur, or as many quantiles of them, and the detector's own threshold."""
    found = np.unique(values)
    if len(found) > _MOST_THRESHOLDS:
        found = np.unique(np.quantile(values, np.linspace(0, 1, _MOST_THRESHOLDS), method="nearest"))
    return np.union1d(found, [own])


def _rates(
    speech: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Miss and false-alarm rates ``[…, n_thresholds + 2]`` of counts by how many thresholds are reached.

    Number k takes for speech what reaches at least k thresholds.
    """
    miss, hold = (_below(counts) / counts.sum(axis=-1, keepdims=True) for counts in (speech, other))
    return miss, 1.0 - hold


def _below(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    none = np.zeros((*counts.shape[:-1], 1))
    return np.concatenate((none, np.cumsum(counts, axis=-1)), axis=-1)


def _area(miss: NDArray[np.float64], false_alarm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area under each curve by trapezoids: where a threshold does not tell two frames apart, half counts."""
    hit = 1.0 - miss
    area: NDArray[np.float64] = ((hit[..., 1:] + hit[..., :-1]) / 2 * -np.diff(false_alarm, axis=-1)).sum(-1)
    return area


def _interpolated(miss: NDArray[np.float64], false_alarm: NDArray[np.float64], at: float) -> float:
    # From few false alarms to many; among equal ones the fewest misses come last, and count.
    return float(np.interp(at, false_alarm[::-1], miss[::-1]))


def _quantiles(values: NDArray[np.float64]) -> Interval:
    if not np.size(values):
        return 0.0, 1.0
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
