"""How well sounds are told apart, on recordings of folds that were not learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.evaluation.intervals import wilson_interval
from edgeaudio.models.manifest import Activity
from edgeaudio.tasks.hysteresis import Hysteresis
from edgeaudio.tasks.whole import main_sound
from edgeaudio.training.clip_tests import ClipScore
from edgeaudio.training.corpus import Clip
from edgeaudio.training.sounds_corpus import SILENCE, SPEECH
from edgeaudio.training.wake_tests import rate

__all__ = ["Judged", "accuracy", "choose_activity", "event_facts"]

THRESHOLDS = tuple(round(0.2 + 0.05 * i, 2) for i in range(16))
BASE = Activity(
    threshold=0.5,
    release_ratio=0.5,
    smoothing_ms=240.0,
    least_on_ms=240.0,
    least_off_ms=1200.0,
    silent_labels=(SILENCE,),
)
"""Pauses of 1.2 s belong to the sound: those between the ticks of a clock, and between two cries."""
_FALSE_ALARM_WEIGHT = 10.0
"""A device hears other sounds all day: to be heard in one of a hundred of them is as bad as to miss one in
ten of its own."""


@dataclass(frozen=True)
class Judged:
    """A recording, and what a network says that never learned from its fold: ``[n, n_labels]``."""

    clip: Clip
    posteriors: NDArray[np.float32]
    measured: bool


def accuracy(judged: Sequence[Judged], labels: Sequence[str], sounds: Sequence[str]) -> ClipScore:
    """Of the measured recordings, how many get their own label among the sounds'."""
    confusion = np.zeros((len(sounds), len(sounds)), np.int64)
    for one in judged:
        if one.measured and one.clip.label in sounds:
            answer = main_sound(one.posteriors, labels, sounds)
            confusion[sounds.index(one.clip.label), sounds.index(answer)] += 1
    return ClipScore(tuple(sounds), confusion)


def choose_activity(
    judged: Sequence[Judged], labels: Sequence[str], frame_ms: float, base: Activity = BASE
) -> Activity:
    """Each sound's threshold: the one that misses least and is heard least in recordings of others.

    Misses are a part of the sound's own recordings, alarms of all others, and ten times as bad.
    """
    told = {t: _told(judged, labels, _at(base, t), frame_ms) for t in THRESHOLDS}
    thresholds = {}
    for label in labels:
        if label in base.silent_labels:
            continue
        cost = {t: _cost(label, judged, told[t]) for t in THRESHOLDS}
        least = min(cost.values())
        best = [t for t in THRESHOLDS if cost[t] == least]
        thresholds[label] = best[len(best) // 2]
    common = float(np.median([*thresholds.values()])) if thresholds else base.threshold
    own = {label: t for label, t in thresholds.items() if t != common}
    return _at(base, common, own)


def event_facts(
    judged: Sequence[Judged], labels: Sequence[str], activity: Activity, frame_ms: float
) -> dict[str, Any]:
    """What the live decision makes of the same recordings: sounds found, and sounds heard for nothing."""
    told = _told(judged, labels, activity, frame_ms)
    sounds = [label for label in labels if label not in activity.silent_labels]
    found = {}
    for label in sounds:
        of = [names for one, names in zip(judged, told, strict=True) if one.clip.label == label]
        n = sum(label in names for names in of)
        if of:
            low, high = wilson_interval(n, len(of))
            found[label] = {"right": n, "of": len(of), "interval": [round(low, 4), round(high, 4)]}
    hours = sum(len(one.posteriors) for one in judged) * frame_ms / 3_600_000
    alarms = sum(len(names - {one.clip.label}) for one, names in zip(judged, told, strict=True))
    return {
        "recall, live events": found,
        "sounds heard that were not there, per hour": rate(alarms, hours),
        **{
            f"of them in {what}": sum(
                len(names - {one.clip.label}) for one, names in zip(judged, told, strict=True) if test(one)
            )
            for what, test in _GROUPS.items()
        },
    }


_GROUPS: Mapping[str, Any] = {
    "recordings of other sounds": lambda one: one.clip.label not in {"", SPEECH},
    "speech": lambda one: one.clip.label == SPEECH,
    "background": lambda one: not one.clip.label,
}


def _at(base: Activity, threshold: float, own: Mapping[str, float] | None = None) -> Activity:
    import msgspec

    return msgspec.structs.replace(base, threshold=threshold, thresholds=dict(own or {}))


def _told(
    judged: Sequence[Judged], labels: Sequence[str], activity: Activity, frame_ms: float
) -> list[set[str]]:
    """The sounds that are told of in each recording."""
    hysteresis = Hysteresis(labels, activity, frame_ms=frame_ms)
    told = []
    for one in judged:
        hysteresis.reset()
        edges = [*hysteresis.process(one.posteriors), *hysteresis.flush()]
        told.append({edge.label for edge in edges})
    return told


def _cost(label: str, judged: Sequence[Judged], told: Sequence[set[str]]) -> float:
    own = [label in names for one, names in zip(judged, told, strict=True) if one.clip.label == label]
    others = [label in names for one, names in zip(judged, told, strict=True) if one.clip.label != label]
    missed, alarms = own.count(False) / max(1, len(own)), others.count(True) / max(1, len(others))
    return missed + _FALSE_ALARM_WEIGHT * alarms
