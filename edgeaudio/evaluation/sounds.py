"""How well a classifier tells sounds apart, on recordings that each hold one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeaudio.errors import InputError, UsageError
from edgeaudio.evaluation.intervals import poisson_interval, wilson_interval
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.evaluation.scoring import Progress, Scorer
from edgeaudio.events import SoundEvent
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.tasks.whole import main_sound
from edgeaudio.types import SAMPLE_RATE_HZ, Frames

__all__ = ["OTHER_NAMES", "SoundsResult", "evaluate_sounds", "sound_of"]

OTHER_NAMES = {
    "dog": "dog_bark",
    "crying_baby": "baby_cry",
    "sneezing": "person_sneeze",
    "crackling_fire": "fire_crackling",
}
"""ESC-50 gave new names to four classes of ESC-10."""


@dataclass(frozen=True, kw_only=True)
class SoundsResult:
    """What was decided about whole recordings, and which sounds were told of in them.

    ``confusion[true][decided]`` counts recordings of a sound, each decided to be one of ``among``.
    ``told`` counts those of them in which the right sound was told of at all; ``wrong`` counts the
    other sounds that were told of, in all ``seconds`` of audio. ``background`` are recordings of nothing that
    the model tells of; recordings of sounds that it does not know were ``skipped``, with their labels.
    """

    confusion: dict[str, dict[str, int]]
    among: tuple[str, ...]
    told: dict[str, int]
    wrong: dict[str, int]
    seconds: float
    background: int
    skipped: dict[str, int]
    model: str
    runtime: str

    @property
    def clips(self) -> int:
        """Recordings decided."""
        return sum(self._clips_of(label) for label in self.confusion)

    @property
    def correct(self) -> int:
        """Recordings decided right."""
        return sum(row.get(label, 0) for label, row in self.confusion.items())

    @property
    def accuracy(self) -> float:
        """Part of the recordings decided right."""
        return self.correct / self.clips

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval (Wilson) of the accuracy."""
        return wilson_interval(self.correct, self.clips)

    @property
    def per_class(self) -> dict[str, float]:
        """Recall of each sound that occurred."""
        return {label: row.get(label, 0) / self._clips_of(label) for label, row in self.confusion.items()}

    @property
    def per_class_interval(self) -> dict[str, tuple[float, float]]:
        """95 % interval (Wilson) of each recall."""
        return {
            label: wilson_interval(row.get(label, 0), self._clips_of(label))
            for label, row in self.confusion.items()
        }

    @property
    def told_right(self) -> int:
        """Recordings of a sound in which the right one was told of."""
        return sum(self.told.values())

    @property
    def told_right_interval(self) -> tuple[float, float]:
        """95 % interval (Wilson) of their part."""
        return wilson_interval(self.told_right, self.clips)

    @property
    def hours(self) -> float:
        """How much was listened to."""
        return self.seconds / 3600

    @property
    def wrong_per_hour(self) -> float:
        """How often a sound was told of that the recording is not of."""
        return sum(self.wrong.values()) / self.hours

    @property
    def wrong_per_hour_interval(self) -> tuple[float, float]:
        """95 % interval (Poisson) of that."""
        return poisson_interval(sum(self.wrong.values()), self.hours)

    def to_json(self) -> dict[str, Any]:
        """The result as ``edgeaudio evaluate sounds --json`` prints it."""
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "per_class": self.per_class,
            "per_class_interval": self.per_class_interval,
            "confusion": self.confusion,
            "clips": self.clips,
            "among": self.among,
            "events": {
                "right": self.told_right / self.clips,
                "right_interval": list(self.told_right_interval),
                "right_per_class": {
                    label: self.told.get(label, 0) / self._clips_of(label) for label in self.confusion
                },
                "wrong": self.wrong,
                "wrong_per_hour": self.wrong_per_hour,
                "wrong_per_hour_interval": list(self.wrong_per_hour_interval),
                "hours": self.hours,
            },
            "background": self.background,
            "skipped": self.skipped,
            "model": self.model,
            "runtime": self.runtime,
        }

    def _clips_of(self, label: str) -> int:
        return sum(self.confusion[label].values())


def sound_of(row: Row, manifest: ModelManifest) -> str | None:
    """The label of a recording in the model's terms, or None if the model does not know it.

    Upper case, blanks and hyphens make no difference, and neither which of ESC-10 and ESC-50 named it.

    Raises
    ------
    InputError
        The manifest does not say what is heard.
    """
    if not row.label.strip():
        raise InputError(f"{row.origin}: the label is empty", hint="Name the sound.")
    known = {_plain(label): label for label in manifest.labels}
    label = _plain(row.label)
    return known.get(label) or known.get(OTHER_NAMES.get(label, ""))


def evaluate_sounds(
    rows: Sequence[Row],
    scorer: Scorer,
    *,
    among: Sequence[Row] | None = None,
    progress: Progress | None = None,
) -> SoundsResult:
    """Listen to every recording, each streamed from a fresh state.

    A whole recording is decided by the highest of the scores of `edgeaudio.tasks.whole`, as sets of
    recordings of one sound each are used elsewhere; thresholds have no part in that. Only
    the sounds that the set knows can be the answer: what else the model tells of, such as speech, may
    be in such a recording, too. The events are those of a listening device, of all its sounds.

    Parameters
    ----------
    rows : sequence of Row
        What to listen to.
    scorer : Scorer
        With the classifier.
    among : sequence of Row, optional
        The set that `rows` are a part of.
    progress : Progress, optional
        Called after each recording.

    Raises
    ------
    InputError
        A recording cannot be read, is too short to be decided, or has no label.
    UsageError
        The model knows none of the sounds.
    """
    manifest = scorer.manifest
    truths = [sound_of(row, manifest) for row in rows]
    known = {sound_of(row, manifest) for row in among or ()} | {*truths}
    choice = tuple(label for label in manifest.spotted if label in known)
    _check(rows, truths, manifest)
    confusion: dict[str, Counter[str]] = {label: Counter() for label in choice if label in truths}
    told: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    total_s, background = 0.0, 0
    for done, (row, truth) in enumerate(zip(rows, truths, strict=True), start=1):
        if truth is not None:
            posteriors, heard, seconds = _listen(row, scorer)
            wrong.update(name for name in heard if name != truth)
            total_s += seconds
            if truth in confusion:
                confusion[truth][main_sound(posteriors, manifest.labels, choice)] += 1
                told[truth] += truth in heard
            else:
                background += 1
        if progress is not None:
            progress(done, len(rows))
    return SoundsResult(
        confusion={
            label: {name: row[name] for name in choice if row[name]} for label, row in confusion.items()
        },
        among=choice,
        told=dict(told),
        wrong={label: wrong[label] for label in manifest.labels if wrong[label]},
        seconds=total_s,
        background=background,
        skipped=dict(Counter(row.label for row, truth in zip(rows, truths, strict=True) if truth is None)),
        model=manifest.name,
        runtime=scorer.runtime,
    )


def _listen(row: Row, scorer: Scorer) -> tuple[Frames, list[str], float]:
    """Return the posteriors of a recording, the sounds told of in it, and its length."""
    samples = read_clip(row)
    scorer.reset()
    posteriors = scorer.process(samples)
    scorer.finish()
    if not len(posteriors):
        raise InputError(
            f"{row.origin}: {row.path} is too short to be decided", hint="Take it out of the manifest."
        )
    heard = [event.name for event in scorer.events if isinstance(event, SoundEvent)]
    return posteriors, heard, len(samples) / SAMPLE_RATE_HZ


def _check(rows: Sequence[Row], truths: Sequence[str | None], manifest: ModelManifest) -> None:
    if not any(truth in manifest.spotted for truth in truths):
        labels = ", ".join(sorted({row.label for row in rows})[:10])
        raise UsageError(
            f"model '{manifest.name}' tells of none of these sounds: {labels}",
            hint=f"It tells of: {', '.join(manifest.spotted)}.",
        )


def _plain(label: str) -> str:
    return label.strip().lower().replace(" ", "_").replace("-", "_")
