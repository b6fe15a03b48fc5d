"""The threshold for a room: how often the trigger would have fired while nobody said the word.

While the model listens, the stretches in which a posterior rises are kept, as numbers; no audio is. They are
all that the trigger needs: between them, at any threshold that counts, it is armed and remembers nothing. So
`Replay` counts afterwards what a device would have reported at each threshold, with the trigger that runs
live.

A rate is *counted* where the room was heard for so long that five false alarms were allowed. A shorter time
says little: no alarm in two hours still allows 44 a day. Then the rate is *fitted*. The heights of the
highest peaks, in log odds, are taken for exponential above a level that at least ten of them passed: the tail
of extreme-value statistics with shape 0. It assumes that what will be heard is like what was heard: no
statistics foresee a new television series. With fewer peaks than that the rate is only *bounded*, by
Poisson's law, and the model's own threshold is not lowered.

References
----------
S. Coles, "An Introduction to Statistical Modeling of Extreme Values" (2001), chapter 4.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeaudio.evaluation.intervals import poisson_interval
from edgeaudio.evaluation.replay import GRID, Replay
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.tasks.trigger import Trigger
from edgeaudio.types import Frames

__all__ = ["Excursions", "Method", "RoomPoint", "RoomResult", "calibrate_room", "joined"]

Method: TypeAlias = Literal["counted", "fitted", "bounded"]

FLOOR = 0.02
"""Posteriors below it are not kept."""
_ENOUGH = 5
"""False alarms that must be allowed in the time that was heard, for a rate to be counted."""
_LEAST_PEAKS, _TAIL_PEAKS = 10, 30
_HIGHEST = 1.0 - 1e-6
_HIGHEST_USABLE = 0.995
"""At a higher threshold hardly anybody is heard who says the word."""
_Z95 = 1.96
_LEAST_SCALE = 0.05
"""Peaks that are all of one height, as of a network that is always as sure as can be, have no slope."""
_FAR = 50.0
"""In natural logarithms; what is expected so rarely is as good as never."""


class Excursions:
    """Keeps the stretches of a stream of posteriors in which a word's rises above `FLOOR`.

    Parameters
    ----------
    manifest : ModelManifest
        Labels and decision of the model.
    frame_ms : float
        Time from one row of posteriors to the next.
    """

    def __init__(self, manifest: ModelManifest, frame_ms: float) -> None:
        self._columns = [manifest.labels.index(word) for word in manifest.spotted]
        self._lead_rows, self._tail_rows = _around(manifest, frame_ms)
        self._before: deque[bytes] = deque(maxlen=self._lead_rows)
        # Bytes rather than arrays: a word that a room keeps saying is a stretch of hours.
        self._open = bytearray()
        self._quiet = 0
        self._done: list[Frames] = []

    def add(self, posteriors: Frames) -> None:
        """Hear ``[n, n_labels]`` posteriors."""
        for row in np.nan_to_num(posteriors[:, self._columns].astype("<f4"), nan=0.0):
            rises = row.max() >= FLOOR
            if rises and not self._open:
                self._open += b"".join(self._before)
                self._before.clear()
            if not (rises or self._open):
                self._before.append(row.tobytes())
                continue
            self._open += row.tobytes()
            self._quiet = 0 if rises else self._quiet + 1
            if self._quiet > self._tail_rows:
                self._close()

    def interrupt(self) -> None:
        """Audio was lost, or a recording has ended: what comes next is another stream."""
        self._close()
        self._before.clear()

    def discard(self) -> None:
        """Forget what has not ended yet."""
        self._open, self._quiet = bytearray(), 0
        self._before.clear()

    def take(self) -> list[Frames]:
        """Hand over what has ended: ``[n, n_words]`` posteriors of the words that can be detected."""
        done, self._done = self._done, []
        return done

    def _close(self) -> None:
        if self._open:
            rows = np.frombuffer(self._open, "<f4").reshape(-1, len(self._columns))
            n = len(rows) - max(0, self._quiet - self._lead_rows)
            self._done.append(rows[:n].copy())
            self._before.extend(row.tobytes() for row in rows[n:])
        self._open, self._quiet = bytearray(), 0


def joined(stretches: Sequence[Frames], manifest: ModelManifest, frame_ms: float) -> Frames:
    """Return ``[n, n_labels]`` posteriors with which a trigger decides as in the whole stream.

    Between two stretches lies as much quiet as any trigger needs to be armed and to forget.
    """
    _, tail_rows = _around(manifest, frame_ms)
    columns = [manifest.labels.index(word) for word in manifest.spotted]
    total = sum(len(stretch) + tail_rows for stretch in stretches)
    table = np.zeros((total, len(manifest.labels)), np.float32)
    at = 0
    for stretch in stretches:
        table[at : at + len(stretch), columns] = stretch
        at += len(stretch) + tail_rows
    return table


def _around(manifest: ModelManifest, frame_ms: float) -> tuple[int, int]:
    """Return the rows that the smoothing sees, and the quiet ones after which nothing is remembered."""
    decision = manifest.spotting
    smoothing = max(1, round(decision.smoothing_ms / frame_ms))
    longest = max(decision.refractory_ms, decision.guard_ms)
    return smoothing, smoothing + math.ceil(longest / frame_ms) + 1


@dataclass(frozen=True)
class RoomPoint:
    """What is expected at one threshold.

    ``per_hour`` with its 95 % interval, ``counted`` the false alarms that there were, ``missed`` the positive
    recordings that are missed, where there are any.
    """

    threshold: float
    per_hour: float
    interval: tuple[float, float]
    counted: int
    method: Method
    missed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it with rates a day."""
        return {
            "threshold": self.threshold,
            "per_day": 24 * self.per_hour,
            "per_day_interval": [24 * limit for limit in self.interval],
            "counted": self.counted,
            "method": self.method,
            **({} if self.missed is None else {"missed": self.missed}),
        }


@dataclass(frozen=True)
class RoomResult:
    """The threshold that was chosen, the model's own beside it, and the curve.

    ``tail`` is the number of peaks and the level above which they were fitted, or None; ``reached`` whether
    the wanted rate is kept by what was chosen.
    """

    hours: float
    wanted_per_hour: float
    chosen: RoomPoint
    own: RoomPoint
    curve: list[RoomPoint]
    tail: tuple[int, float] | None
    positives: int = 0

    @property
    def reached(self) -> bool:
        """Whether the best estimate is no more than was wanted; what is only bounded promises nothing."""
        return self.chosen.method != "bounded" and self.chosen.per_hour <= self.wanted_per_hour * 1.001

    @property
    def usable(self) -> bool:
        """Whether the word can still be heard at what was chosen."""
        return self.chosen.threshold <= self.highest_usable

    @property
    def highest_usable(self) -> float:
        """The highest threshold at which the word can still be heard."""
        return max(_HIGHEST_USABLE, self.own.threshold)

    @property
    def hours_to_count(self) -> float:
        """How long one must listen for the wanted rate to be counted."""
        return _ENOUGH / self.wanted_per_hour

    def to_json(self) -> dict[str, Any]:
        """Return the result as ``edgeaudio calibrate --json`` prints it."""
        return {
            **self.chosen.to_json(),
            "wanted_per_day": 24 * self.wanted_per_hour,
            "reached": self.reached,
            "hours": self.hours,
            "tail": None if self.tail is None else {"peaks": self.tail[0], "above": self.tail[1]},
            "own": self.own.to_json(),
            "positives": self.positives,
            "curve": [point.to_json() for point in self.curve],
        }


def calibrate_room(
    replay: Replay, manifest: ModelManifest, frame_ms: float, hours: float, per_hour: float
) -> RoomResult:
    """Find the threshold for a rate of false alarms.

    Parameters
    ----------
    replay : Replay
        Its negatives are what `joined` returns; positives are optional.
    manifest : ModelManifest
        Labels and decision of the model.
    frame_ms : float
        Time from one row of posteriors to the next.
    hours : float
        How long was listened, above 0.
    per_hour : float
        False alarms an hour that are allowed, above 0.
    """
    room = _Room(replay, manifest, frame_ms, hours)
    allowed = per_hour * hours
    lowest = _lowest(manifest)
    least = max(replay.threshold_for(math.floor(allowed)), lowest)
    own_threshold = min(replay.trigger(None).threshold_of.values())
    if allowed >= _ENOUGH and replay.false_alarms(least) >= _ENOUGH:
        threshold = least
    elif room.tail is not None:
        threshold = max(least, room.tail.threshold_for(per_hour, hours))
    else:
        threshold = max(least, own_threshold)
    thresholds = [p for p in GRID if p >= lowest]
    return RoomResult(
        hours=hours,
        wanted_per_hour=per_hour,
        chosen=room.point(threshold),
        own=room.point(own_threshold, own=True),
        curve=_without_repeats([room.point(value) for value in thresholds]),
        tail=None if room.tail is None else (room.tail.n, room.tail.above),
        positives=replay.n_positives,
    )


@dataclass(frozen=True)
class _Tail:
    """Peaks above a level, whose log odds exceed that level's by ``scale`` on the average."""

    n: int
    above: float
    scale: float

    def per_hour(self, threshold: float, hours: float) -> tuple[float, tuple[float, float]]:
        """Return the rate at a threshold, and its 95 % interval from the errors of count and scale."""
        steps = (_log_odds(threshold) - _log_odds(self.above)) / self.scale
        rate = self.n / hours * math.exp(-min(steps, _FAR))
        # Relative variances: 1/n of a count, and of the mean of n exponential heights, too.
        factor = math.exp(min(_Z95 * math.sqrt((1.0 + steps * steps) / self.n), _FAR))
        return rate, (rate / factor, rate * factor)

    def threshold_for(self, per_hour: float, hours: float) -> float:
        """Return where the rate is `per_hour`, as far as scores go."""
        odds = _log_odds(self.above) + self.scale * math.log(self.n / (hours * per_hour))
        return min(1.0 / (1.0 + math.exp(-odds)), _HIGHEST)


class _Room:
    """What was heard, and rates from it."""

    def __init__(self, replay: Replay, manifest: ModelManifest, frame_ms: float, hours: float) -> None:
        self._replay = replay
        self._manifest = manifest
        self._frame_ms = frame_ms
        self._hours = hours
        self.tail = self._fit()

    def point(self, threshold: float, *, own: bool = False) -> RoomPoint:
        """Return what is expected at a threshold; the model's `own` may differ from word to word."""
        chosen = None if own else threshold
        counted = self._replay.false_alarms(chosen)
        missed = self._replay.misses(chosen) if self._replay.n_positives else None
        rate, interval = counted / self._hours, poisson_interval(counted, self._hours)
        method: Method = "counted" if counted >= _ENOUGH else "bounded"
        if method == "bounded" and self.tail is not None and threshold >= self.tail.above:
            rate, interval = self.tail.per_hour(threshold, self._hours)
            method = "fitted"
        return RoomPoint(threshold, rate, interval, counted, method, missed)

    def _fit(self) -> _Tail | None:
        """Fit the highest peaks: thirty of them if there are, ten at least."""
        most = 0
        above = 0.0
        for level in reversed(GRID):
            if level < _lowest(self._manifest) or most >= _TAIL_PEAKS:
                break
            n = self._replay.false_alarms(level)
            if n > most:
                most, above = n, level
        if most < _LEAST_PEAKS:
            return None
        heights = np.minimum(self._peaks(above), _HIGHEST)
        excess = np.log(heights / (1.0 - heights)) - _log_odds(above)
        return _Tail(len(heights), above, max(float(excess.mean()), _LEAST_SCALE))

    def _peaks(self, above: float) -> NDArray[np.float64]:
        """Return the heights of all peaks that a threshold of `above` would have fired at."""
        decision = msgspec.structs.replace(self._manifest.spotting, threshold=_HIGHEST, thresholds={})
        trigger = Trigger(
            self._manifest.labels, decision, frame_ms=self._frame_ms, near_ratio=above / _HIGHEST
        )
        heights = [peak.score for peak in trigger.process(self._replay.negatives)]
        heights += [peak.score for peak in trigger.near_misses]
        trigger.flush()
        return np.array([*heights, *(peak.score for peak in trigger.near_misses)])


def _lowest(manifest: ModelManifest) -> float:
    """Return the threshold below which what was kept does not tell when the trigger is released."""
    return 2 * FLOOR / manifest.spotting.release_ratio


def _log_odds(p: float) -> float:
    return math.log(p / (1.0 - p))


def _without_repeats(points: list[RoomPoint]) -> list[RoomPoint]:
    kept: list[RoomPoint] = []
    for point in points:
        told = (point.counted, point.missed)
        if not kept or point.method == "fitted" or told != (kept[-1].counted, kept[-1].missed):
            kept.append(point)
    return kept
