"""From posteriors to decisions: a word was spoken, and only once.

Pure logic on numbers, without audio, models or clocks; time is counted in output frames.

A word fires when its smoothed posterior reaches its threshold while it is armed. Then it is deaf
for its refractory time, and is armed again in the first frame after that in which the smoothed
posterior lies below the release level. So one utterance, however long, fires once. For a short
time after any word has fired, no other may: a word that crosses in this guard time is taken
for a part of the same utterance, and must be released as well before it can fire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.errors import UsageError
from edgeaudio.models.manifest import Decision

__all__ = ["Firing", "Trigger", "check_threshold"]

_LONG_AGO = -(2**62)
_FRAME, _LAST = range(2)


class Firing(NamedTuple):
    """A decision: in which output frame (counted since the reset), which label, how sure."""

    frame: int
    label: str
    score: float


def check_threshold(threshold: float, where: str = "the threshold") -> float:
    """Return `threshold` if it lies strictly between 0 and 1.

    Raises
    ------
    UsageError
        If it does not, naming `where` it was given and the value.
    """
    if not 0.0 < threshold < 1.0:
        raise UsageError(
            f"{where} is {threshold:g}, but a score lies between 0 and 1",
            hint="Give a number above 0 and below 1; a higher one means fewer false alarms and more misses.",
        )
    return threshold


@cached_njit(nogil=True)
def _decide(  # noqa: PLR0917 - compiled code takes no keywords
    posteriors: NDArray[np.float32],
    recent: NDArray[np.float64],
    limits: NDArray[np.float64],
    refractory: int,
    guard: int,
    smoothed: NDArray[np.float64],
    fired_at: NDArray[np.int64],
    armed: NDArray[np.bool_],
    clock: NDArray[np.int64],
    firings: NDArray[np.int64],
) -> int:
    """Advance by the rows of `posteriors`; write label (or -1) a row, return how many fired.

    `recent` ``[window, n_labels]`` is a ring of rows; `limits` ``[2, n_labels]`` holds threshold and
    release level; `smoothed` and `firings` have as many rows as `posteriors`.
    """
    n_fired = 0
    window, n_labels = recent.shape
    for row in range(posteriors.shape[0]):
        now = clock[_FRAME]
        guarded = now - clock[_LAST] < guard
        best = -1
        for label in range(n_labels):
            value = posteriors[row, label]
            # A broken network may say NaN; that is no word.
            recent[now % window, label] = 0.0 if np.isnan(value) else value
            total = 0.0
            for k in range(window):
                total += recent[k, label]
            mean = total / window
            smoothed[row, label] = mean
            if mean < limits[1, label] and now - fired_at[label] >= refractory:
                armed[label] = True
            if armed[label] and mean >= limits[0, label]:
                if guarded:
                    armed[label] = False
                elif best < 0:
                    best = label
                elif mean > smoothed[row, best]:
                    armed[best] = False
                    best = label
                else:
                    armed[label] = False
        firings[row] = best
        if best >= 0:
            armed[best] = False
            fired_at[best] = clock[_LAST] = now
            n_fired += 1
        clock[_FRAME] = now + 1
    return n_fired


class Trigger:
    """Turns a stream of posteriors into firings.

    Parameters
    ----------
    labels : sequence of str
        One for each column of the posteriors.
    decision : Decision
        Threshold (for some labels their own), smoothing, refractory and guard time, release ratio (the
        release level as a part of the threshold) and silent labels, as a model's manifest states them.
    frame_ms : float
        Time from one row of posteriors to the next. Times are rounded to whole frames; the smoothing
        takes at least one, and the frames before the stream's start count as zeros.

    Raises
    ------
    UsageError
        If a threshold is not between 0 and 1.
    """

    def __init__(self, labels: Sequence[str], decision: Decision, *, frame_ms: float) -> None:
        self.labels = tuple(labels)
        n_labels = len(self.labels)
        self._limits = np.full((2, n_labels), np.inf)
        for column, label in enumerate(self.labels):
            if label not in decision.silent_labels:
                threshold = decision.thresholds.get(label, decision.threshold)
                check_threshold(threshold, f"the threshold of {label!r}")
                self._limits[:, column] = threshold, threshold * decision.release_ratio
        self._refractory = round(decision.refractory_ms / frame_ms)
        self._guard = round(decision.guard_ms / frame_ms)
        self._recent = np.zeros((max(1, round(decision.smoothing_ms / frame_ms)), n_labels), np.float64)
        self._fired_at = np.zeros(n_labels, np.int64)
        self._armed = np.zeros(n_labels, np.bool_)
        self._clock = np.zeros(2, np.int64)
        self._reserve(1)
        self.reset()

    @property
    def threshold_of(self) -> dict[str, float]:
        """Threshold of each label that can fire."""
        return {
            label: float(limit)
            for label, limit in zip(self.labels, self._limits[0], strict=True)
            if np.isfinite(limit)
        }

    @property
    def smoothed(self) -> NDArray[np.float64]:
        """``[n, n_labels]`` smoothed posteriors of the latest `process`; a view valid until the next."""
        return self._smoothed[: self._n_rows]

    def process(self, posteriors: NDArray[np.float32]) -> list[Firing]:
        """Take ``[n, n_labels]`` posteriors in, n of any size, and return what fired, in order."""
        n = len(posteriors)
        if n > len(self._firings):
            self._reserve(n)
        self._n_rows = n
        first = int(self._clock[_FRAME])
        n_fired = _decide(
            posteriors,
            self._recent,
            self._limits,
            self._refractory,
            self._guard,
            self._smoothed,
            self._fired_at,
            self._armed,
            self._clock,
            self._firings,
        )
        return self._named(first, n) if n_fired else []

    def flush(self) -> list[Firing]:
        """Return nothing: every frame was decided when it came."""
        return []

    def reset(self) -> None:
        """Begin anew: every word armed, nothing remembered, the next frame is number 0."""
        self._recent[:] = 0.0
        self._fired_at[:] = _LONG_AGO
        self._armed[:] = True
        self._clock[:] = 0, _LONG_AGO
        self._n_rows = 0

    def _named(self, first: int, n: int) -> list[Firing]:
        firings = []
        for row in np.flatnonzero(self._firings[:n] >= 0):
            label = self._firings[row]
            firings.append(Firing(first + int(row), self.labels[label], float(self._smoothed[row, label])))
        return firings

    def _reserve(self, n: int) -> None:
        self._smoothed = np.zeros((n, len(self.labels)), np.float64)
        self._firings = np.zeros(n, np.int64)
        self._n_rows = 0
