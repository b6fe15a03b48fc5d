"""How far a recogniser's confidences can be believed, and how to make them believable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeaudio.errors import InputError
from edgeaudio.evaluation.alignment import align
from edgeaudio.events import Caption

__all__ = ["Calibration", "ScoredWords", "calibration_error", "fit_confidence"]

_BINS = 10
_SWEEPS = 50
_RIDGE = 1e-3
"""Keeps the scale finite where right and wrong words do not overlap."""


@dataclass(frozen=True)
class Calibration:
    """A word's confidence is ``1 / (1 + exp(-(scale * evidence + offset)))``.

    ``error`` is the expected calibration error on the words that it was fitted to, ``words`` their
    number, ``right`` the part of them that was right.
    """

    scale: float
    offset: float
    error: float
    words: int
    right: float


def fit_confidence(evidence: ArrayLike, right: ArrayLike) -> Calibration:
    """Fit confidences to words of which it is known whether they were right.

    Logistic regression of one variable by Newton's method (Platt, "Probabilistic outputs for support
    vector machines", 1999). More evidence never makes a word less certain.

    Parameters
    ----------
    evidence : array [n] float
        What the decoder says of each word, see :class:`edgeaudio.decoding.base.Word`.
    right : array [n] bool

    Raises
    ------
    InputError
        There are fewer than two words, or all are right, or all are wrong.
    """
    x, y = np.asarray(evidence, np.float64), np.asarray(right, np.float64)
    if len(x) < 2 or not 0.0 < y.mean() < 1.0:
        raise InputError(
            f"{len(x)} words of which {int(y.sum())} are right tell nothing about confidence",
            hint="Take recordings of which some words come out right and some wrong.",
        )
    spread = max(float(x.std()), 1e-9)
    columns = np.stack(((x - x.mean()) / spread, np.ones_like(x)), axis=1)
    weights = np.array([0.0, math.log(y.mean() / (1.0 - y.mean()))])
    for _ in range(_SWEEPS):
        p = _logistic(columns @ weights)
        slope = columns.T @ (y - p) - _RIDGE * weights
        curvature = columns.T @ (columns * (p * (1.0 - p))[:, None]) + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        # Far from the solution Newton's steps overshoot.
        weights += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    scale = max(0.0, float(weights[0]) / spread)
    offset = float(weights[1]) - scale * float(x.mean())
    if scale == 0.0:
        offset = math.log(y.mean() / (1.0 - y.mean()))
    error = calibration_error(_logistic(scale * x + offset), y)
    return Calibration(scale, offset, error, len(x), float(y.mean()))


def calibration_error(confidence: ArrayLike, right: ArrayLike) -> float:
    """Expected calibration error: by how much confidence and truth differ, over ten equal ranges.

    Mean over the words of the difference between the mean confidence and the part that is right within
    the word's range (Naeini, Cooper and Hauskrecht, 2015).

    Examples
    --------
    >>> calibration_error([0.75, 0.75, 0.75, 0.75], [True, True, True, False])
    0.0
    """
    p, y = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    if not len(p):
        return 0.0
    place = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)
    differences = np.bincount(place, weights=p - y, minlength=_BINS)
    return float(np.abs(differences).sum() / len(p))


class ScoredWords:
    """Collects the confidences of words, and whether they were right."""

    def __init__(self) -> None:
        self._confidence: list[float] = []
        self._right: list[bool] = []

    def add(self, captions: Iterable[Caption], said: Sequence[str]) -> None:
        """Take the final captions of a recording in which `said` is said, normalised words."""
        words = [word for caption in captions if caption.final for word in caption.words]
        written = iter(words)
        for reference, text in align(said, [word.text for word in words]):
            if text:
                self._confidence.append(next(written).confidence)
                self._right.append(reference == text)

    @property
    def error(self) -> float:
        """Expected calibration error, see :func:`calibration_error`; 0 without words."""
        return calibration_error(self._confidence, self._right)


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    p: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(x, -50.0, 50.0)))
    return p
