"""From posteriors to decisions: a word was spoken, and only once.

Pure logic on numbers, without audio, models or clocks; time is counted in output frames.

A word fires when its smoothed posterior reaches its threshold while it is armed. Then it is deaf
for its refractory time, and is armed again in the first frame after that in which the smoothed
posterior lies below the release level. So one utterance, however long, fires once. For a short
time after any word has fired, no other may: a word that crosses in this guard time is taken
for a part of the same utterance, and must be released as well before it can fire.

A near miss is a peak that stayed between a lower bound and the threshold. It follows the same rules with
the lower bound as its threshold, and is told when the peak is over: when the word is released, or its
refractory time has passed. A peak in which the word fires after all is none, and neither is one that
begins in the refractory or guard time of a firing. Near misses never change what fires.
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
_ARMED, _OPEN, _OVER = range(3)  # a peak is awaited, lasts, or was told and is not released yet


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


@cached_njit(nogil=True)
def _watch(  # noqa: PLR0917 - compiled code takes no keywords
    smoothed: NDArray[np.float64],
    firings: NDArray[np.int64],
    n: int,
    first: int,
    limits: NDArray[np.float64],
    refractory: int,
    guard: int,
    state: NDArray[np.int64],
    peaks: NDArray[np.float64],
    near: NDArray[np.int64],
    near_scores: NDArray[np.float64],
) -> int:
    """Follow the peaks in `n` decided rows, the first of them frame `first`; return how many rows tell one.

    `limits` is that of the lower bound. `state` ``[3, n_labels + 1]`` holds what a label waits for, when its
    peak began and where it is highest, `peaks` how high; the last column the latest firing of any word.
    `near` ``[n, 2]`` gets the label and the frame of the highest peak that is over, or -1, `near_scores` its
    height.
    """
    n_near = 0
    n_labels = smoothed.shape[1]
    for row in range(n):
        now = first + row
        fired = firings[row]
        near[row, 0] = -1
        if fired >= 0:
            state[1, n_labels] = now
            # All of them are the same utterance.
            for label in range(n_labels):
                if state[0, label] == _OPEN or smoothed[row, label] >= limits[0, label]:
                    state[0, label], state[1, label] = _OVER, now
        for label in range(n_labels):
            mean = smoothed[row, label]
            released = mean < limits[1, label]
            if state[0, label] == _OPEN:
                if mean > peaks[label]:
                    peaks[label], state[2, label] = mean, now
                if not released and now - state[1, label] < refractory:
                    continue
                if near[row, 0] < 0 or peaks[label] > near_scores[row]:
                    n_near += near[row, 0] < 0
                    near[row, 0], near[row, 1] = label, state[2, label]
                    near_scores[row] = peaks[label]
                state[0, label] = _OVER
            if state[0, label] == _OVER and released and now - state[1, label] >= refractory:
                state[0, label] = _ARMED
            if state[0, label] == _ARMED and mean >= limits[0, label]:
                state[0, label] = _OVER if now - state[1, n_labels] < guard else _OPEN
                state[1, label] = state[2, label] = now
                peaks[label] = mean
    return n_near


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
    near_ratio : float, optional
        Also find near misses, from this part of each word's threshold on; above 0 and below 1.

    Raises
    ------
    UsageError
        If a threshold or `near_ratio` is not between 0 and 1.
    """

    def __init__(
        self,
        labels: Sequence[str],
        decision: Decision,
        *,
        frame_ms: float,
        near_ratio: float | None = None,
    ) -> None:
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
        self._near_limits: NDArray[np.float64] | None = None
        if near_ratio is not None:
            check_threshold(near_ratio, "what near misses begin at, as a part of the threshold,")
            self._near_limits = self._limits * near_ratio
        self._peak_state = np.zeros((3, n_labels + 1), np.int64)
        self._peaks = np.zeros(n_labels, np.float64)
        self._near_misses: Sequence[Firing] = ()
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

    @property
    def near_misses(self) -> Sequence[Firing]:
        """Near misses that were over within the latest `process` or `flush`, by their highest frame."""
        return self._near_misses

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
        if self._near_limits is not None:
            self._near_misses = self._find_near_misses(first, n, self._near_limits)
        return self._named(first, n) if n_fired else []

    def flush(self) -> list[Firing]:
        """Return nothing: every frame was decided when it came. What is near so far becomes a near miss."""
        lasting = np.flatnonzero(self._peak_state[0, :-1] == _OPEN)
        self._peak_state[0, lasting] = _OVER
        highest = lasting[np.argsort(-self._peaks[lasting], kind="stable")[:1]]
        self._near_misses = [
            Firing(int(self._peak_state[2, label]), self.labels[label], float(self._peaks[label]))
            for label in highest
        ]
        return []

    def reset(self) -> None:
        """Begin anew: every word armed, nothing remembered, the next frame is number 0."""
        self._recent[:] = 0.0
        self._fired_at[:] = _LONG_AGO
        self._armed[:] = True
        self._clock[:] = 0, _LONG_AGO
        self._peak_state[0] = _ARMED
        self._peak_state[1:] = _LONG_AGO
        self._near_misses = ()
        self._n_rows = 0

    def _named(self, first: int, n: int) -> list[Firing]:
        firings = []
        for row in np.flatnonzero(self._firings[:n] >= 0):
            label = self._firings[row]
            firings.append(Firing(first + int(row), self.labels[label], float(self._smoothed[row, label])))
        return firings

    def _find_near_misses(self, first: int, n: int, limits: NDArray[np.float64]) -> Sequence[Firing]:
        n_near = _watch(
            self._smoothed,
            self._firings,
            n,
            first,
            limits,
            self._refractory,
            self._guard,
            self._peak_state,
            self._peaks,
            self._near,
            self._near_scores,
        )
        if not n_near:
            return ()
        return [
            Firing(int(self._near[row, 1]), self.labels[self._near[row, 0]], float(self._near_scores[row]))
            for row in np.flatnonzero(self._near[:n, 0] >= 0)
        ]

    def _reserve(self, n: int) -> None:
        self._smoothed = np.zeros((n, len(self.labels)), np.float64)
        self._firings = np.zeros(n, np.int64)
        self._near = np.zeros((n, 2), np.int64)
        self._near_scores = np.zeros(n, np.float64)
        self._n_rows = 0
