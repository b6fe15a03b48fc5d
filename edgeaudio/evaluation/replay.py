"""Decisions about stored posteriors, again and again, with the trigger that runs live."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import msgspec
import numpy as np

from edgeaudio.models.manifest import ModelManifest
from edgeaudio.tasks.trigger import Firing, Trigger
from edgeaudio.types import Frames

__all__ = ["GRID", "Point", "Replay"]

_REPLAY_ROWS = 65_536

GRID = [1.0 / (1.0 + math.exp(-x / 8)) for x in range(-40, 81)]
"""Even steps of the log odds: 0.0067 … 0.99995, dense where posteriors of a trained model lie."""


@dataclass(frozen=True)
class Point:
    """What happens at one threshold."""

    threshold: float
    misses: int
    false_alarms: int


@dataclass(frozen=True)
class _Positive:
    posteriors: Frames
    first_frame: int
    words: frozenset[str]


class Replay:
    """Decides about stored posteriors again and again, with the trigger that runs live.

    Parameters
    ----------
    manifest : ModelManifest
        Labels and decision of the model.
    words : collection of str
        The labels whose firings count.
    output_period_s : float
        Seconds from one posterior to the next.
    """

    def __init__(self, manifest: ModelManifest, words: Collection[str], output_period_s: float) -> None:
        self._manifest = manifest
        self._words = frozenset(words)
        self._frame_ms = 1000 * output_period_s
        self._positives: list[_Positive] = []
        self.negatives = np.zeros((0, len(manifest.labels)), dtype=np.float32)

    def add_positive(self, posteriors: Frames, *, first_frame: int, words: Collection[str]) -> None:
        """Add a recording of one of ``words``, which is heard from output frame ``first_frame`` on."""
        self._positives.append(_Positive(posteriors, first_frame, frozenset(words)))

    @property
    def n_positives(self) -> int:
        """How many positive recordings there are."""
        return len(self._positives)

    def trigger(self, threshold: float | None) -> Trigger:
        """A fresh trigger; None is the model's own threshold."""
        decision = self._manifest.spotting
        if threshold is not None:
            decision = msgspec.structs.replace(decision, threshold=threshold, thresholds={})
        return Trigger(self._manifest.labels, decision, frame_ms=self._frame_ms)

    def misses(self, threshold: float | None) -> int:
        """Positive recordings during which none of their words fires."""
        trigger = self.trigger(threshold)
        return sum(not self._is_hit(trigger, positive) for positive in self._positives)

    def false_alarms(self, threshold: float | None) -> int:
        """Firings during the negatives, which are one continuous stream."""
        trigger = self.trigger(threshold)
        parts = range(0, len(self.negatives), _REPLAY_ROWS)
        return sum(
            firing.label in self._words
            for start in parts
            for firing in trigger.process(self.negatives[start : start + _REPLAY_ROWS])
        )

    def point(self, threshold: float | None) -> Point:
        """Both counts at one threshold."""
        own = min(self.trigger(None).threshold_of[word] for word in self._words)
        return Point(
            own if threshold is None else threshold, self.misses(threshold), self.false_alarms(threshold)
        )

    def curve(self) -> list[Point]:
        """From many false alarms to none; thresholds between which nothing changes are left out."""
        curve: list[Point] = []
        for threshold in GRID:
            point = self.point(threshold)
            before = curve[-1] if curve else None
            if before is None or (point.misses, point.false_alarms) != (before.misses, before.false_alarms):
                curve.append(point)
        return curve

    def threshold_for(self, false_alarms: float) -> float:
        """The lowest threshold from which on upwards there are at most that many false alarms.

        Found from above: far below useful thresholds the count falls again, since a word that is never
        released fires once and then never more. Without such a threshold, the highest one tried.
        """
        high = 1.0 - 1e-6
        for low in reversed(GRID):
            if self.false_alarms(low) > false_alarms:
                break
            high = low
        else:
            return high
        while high - low > 1e-4 * min(low, 1.0 - high):
            middle = (low + high) / 2
            if self.false_alarms(middle) > false_alarms:
                low = middle
            else:
                high = middle
        return high

    @staticmethod
    def _is_hit(trigger: Trigger, positive: _Positive) -> bool:
        def counts(firing: Firing) -> bool:
            return firing.label in positive.words and firing.frame >= positive.first_frame

        trigger.reset()
        return any(map(counts, trigger.process(positive.posteriors)))
