"""From posteriors to stretches of time: from when to when something sounded.

Pure logic on numbers, without audio, models or clocks; time is counted in output frames. Each label has
its own stretches, whatever the others do.

A stretch begins in the frame in which the label's smoothed posterior reaches its threshold, and counts once
it has stayed at least at the release level for ``least_on_ms``. It ends in the first frame below the
release level, once it has been below for ``least_off_ms``: a shorter dip is a part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.models.manifest import Activity
from edgeaudio.tasks.trigger import check_threshold

__all__ = ["Edge", "Hysteresis"]

_OFF, _RISING, _ON, _FALLING = range(4)
_STATE, _START, _BELOW = range(3)
_ROW, _LABEL, _BEGAN, _FROM, _TO = range(5)


class Edge(NamedTuple):
    """A stretch has begun or is over; frames are counted since the reset.

    ``frame`` is the one in which this was decided, ``start`` the first of the stretch, ``score`` its highest
    smoothed posterior so far. ``frame_end`` is the first frame after what is known of the stretch: of the
    whole stretch where it is over, else the one after ``frame``.
    """

    label: str
    began: bool
    frame: int
    start: int
    score: float
    frame_end: int


@numba.njit(nogil=True)
def _follow(  # noqa: PLR0917 - compiled code takes no keywords
    label: int,
    mean: float,
    now: int,
    limits: NDArray[np.float64],
    least_on: int,
    least_off: int,
    state: NDArray[np.int64],
    peaks: NDArray[np.float64],
) -> bool:
    """Take one smoothed posterior in, and say whether it begins or ends a stretch."""
    above = mean >= limits[1, label]
    doing = state[_STATE, label]
    if doing == _OFF:
        if mean < limits[0, label]:
            return False
        doing = _RISING
        state[_START, label] = now
        peaks[label] = mean
    peaks[label] = max(peaks[label], mean)
    told = False
    if above and doing == _RISING:
        told = now - state[_START, label] + 1 >= least_on
        doing = _ON if told else _RISING
    elif above:
        doing = _ON
    elif doing == _RISING:
        doing = _OFF
    else:
        if doing == _ON:
            state[_BELOW, label] = now
        told = now - state[_BELOW, label] + 1 >= least_off
        doing = _OFF if told else _FALLING
    state[_STATE, label] = doing
    return told


@cached_njit(nogil=True)
def _decide(  # noqa: PLR0917 - compiled code takes no keywords
    posteriors: NDArray[np.float32],
    recent: NDArray[np.float64],
    limits: NDArray[np.float64],
    least_on: int,
    least_off: int,
    state: NDArray[np.int64],
    peaks: NDArray[np.float64],
    clock: NDArray[np.int64],
    edges: NDArray[np.int64],
    scores: NDArray[np.float64],
) -> int:
    """Advance by the rows of `posteriors`, and return how many edges were written.

    `recent` ``[window, n_labels]`` is a ring of rows; `limits` ``[2, n_labels]`` holds threshold and
    release level; `state` ``[3, n_labels]`` what a label does, since when, and where it went below.
    `edges` ``[rows * n_labels, 5]`` gets frame, label, whether it began, start and end; `scores` the
    stretch's peak.
    """
    n_edges = 0
    window, n_labels = recent.shape
    for row in range(posteriors.shape[0]):
        now = clock[0]
        for label in range(n_labels):
            value = posteriors[row, label]
            # A broken network may say NaN; that is no sound.
            recent[now % window, label] = 0.0 if np.isnan(value) else value
            # Summed anew: a running total would drift, and the same sound score otherwise an hour later.
            total = 0.0
            for k in range(window):
                total += recent[k, label]
            mean = total / window
            if _follow(label, mean, now, limits, least_on, least_off, state, peaks):
                began = state[_STATE, label] == _ON
                edges[n_edges, _ROW] = now
                edges[n_edges, _LABEL] = label
                edges[n_edges, _BEGAN] = began
                edges[n_edges, _FROM] = state[_START, label]
                edges[n_edges, _TO] = now + 1 if began else state[_BELOW, label]
                scores[n_edges] = peaks[label]
                n_edges += 1
        clock[0] = now + 1
    return n_edges


class Hysteresis:
    """Turns a stream of posteriors into the beginnings and ends of stretches.

    Parameters
    ----------
    labels : sequence of str
        One for each column of the posteriors.
    activity : Activity
        Threshold (for some labels their own), release ratio (the release level as a part of the
        threshold), smoothing, least times on and off, and silent labels, as a model's manifest states them.
        Its pre-roll is left to the caller, who knows the audio.
    frame_ms : float
        Time from one row of posteriors to the next. Times are rounded to whole frames, and all take at
        least one; the frames before the stream's start count as zeros.

    Raises
    ------
    UsageError
        If a threshold is not between 0 and 1.
    """

    def __init__(self, labels: Sequence[str], activity: Activity, *, frame_ms: float) -> None:
        self.labels = tuple(labels)
        n_labels = len(self.labels)
        self._limits = np.full((2, n_labels), np.inf)
        for column, label in enumerate(self.labels):
            if label not in activity.silent_labels:
                threshold = activity.thresholds.get(label, activity.threshold)
                check_threshold(threshold, f"the threshold of {label!r}")
                self._limits[:, column] = threshold, threshold * activity.release_ratio
        self._least_on = max(1, round(activity.least_on_ms / frame_ms))
        self._least_off = max(1, round(activity.least_off_ms / frame_ms))
        self._recent = np.zeros((max(1, round(activity.smoothing_ms / frame_ms)), n_labels), np.float64)
        self._state = np.zeros((3, n_labels), np.int64)
        self._peaks = np.zeros(n_labels, np.float64)
        self._clock = np.zeros(1, np.int64)
        self._reserve(n_labels)
        self.reset()

    @property
    def threshold_of(self) -> dict[str, float]:
        """Threshold of each label that is not silent."""
        return {
            label: float(limit)
            for label, limit in zip(self.labels, self._limits[0], strict=True)
            if np.isfinite(limit)
        }

    @property
    def lag_frames(self) -> int:
        """By how many frames the smoothed posteriors are behind the posteriors: half the smoothing."""
        return (len(self._recent) - 1) // 2

    @property
    def least_on_frames(self) -> int:
        """In how many frames a stretch is sure, the one in which it begins included."""
        return self._least_on

    def process(self, posteriors: NDArray[np.float32]) -> list[Edge]:
        """Take ``[n, n_labels]`` posteriors in, n of any size, and return what began and ended, in order."""
        # A label has one edge a frame at most: it ends below the level above which it begins.
        if posteriors.size > len(self._scores):
            self._reserve(posteriors.size)
        n_edges = _decide(
            posteriors,
            self._recent,
            self._limits,
            self._least_on,
            self._least_off,
            self._state,
            self._peaks,
            self._clock,
            self._edges,
            self._scores,
        )
        return self._named(n_edges) if n_edges else []

    def flush(self) -> list[Edge]:
        """End what is still going on: the stream is over. Afterwards only `reset` makes sense."""
        now = int(self._clock[0])
        edges = []
        for column in np.flatnonzero(self._state[_STATE] >= _ON):
            doing, start, below = (int(value) for value in self._state[:, column])
            end = below if doing == _FALLING else now
            edges.append(Edge(self.labels[column], False, now - 1, start, float(self._peaks[column]), end))
        self._state[_STATE] = _OFF
        return edges

    def reset(self) -> None:
        """Begin anew: nothing sounds, nothing is remembered, the next frame is number 0."""
        self._recent[:] = 0.0
        self._state[:] = 0
        self._clock[:] = 0

    def _named(self, n_edges: int) -> list[Edge]:
        return [
            Edge(self.labels[label], bool(began), int(frame), int(start), float(score), int(end))
            for (frame, label, began, start, end), score in zip(
                self._edges[:n_edges], self._scores[:n_edges], strict=True
            )
        ]

    def _reserve(self, n_edges: int) -> None:
        self._edges = np.zeros((n_edges, 5), np.int64)
        self._scores = np.zeros(n_edges, np.float64)
