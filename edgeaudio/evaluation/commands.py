"""Accuracy of a command model on recordings that each hold one word, an unknown one, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeaudio.errors import InputError, ModelError, UsageError
from edgeaudio.evaluation.intervals import wilson_interval
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.evaluation.scoring import Progress, Scorer
from edgeaudio.tasks.clip import clip_decision, pad_clip

__all__ = ["CommandsResult", "evaluate_commands", "select_rows", "true_label"]

_ALIASES = {"_unknown_": "unknown", "_silence_": "silence", "_background_noise_": "silence"}
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class CommandsResult:
    """What was decided for each true label: ``confusion[true][predicted]`` recordings."""

    labels: tuple[str, ...]
    confusion: dict[str, dict[str, int]]
    model: str
    runtime: str

    @property
    def clips(self) -> int:
        """Recordings decided."""
        return sum(sum(row.values()) for row in self.confusion.values())

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
        """Recall of each true label that occurred."""
        return {label: row.get(label, 0) / sum(row.values()) for label, row in self.confusion.items()}

    @property
    def per_class_interval(self) -> dict[str, tuple[float, float]]:
        """95 % interval (Wilson) of each recall."""
        return {
            label: wilson_interval(row.get(label, 0), sum(row.values()))
            for label, row in self.confusion.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The result as ``edgeaudio evaluate commands --json`` prints it."""
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "per_class": self.per_class,
            "per_class_interval": self.per_class_interval,
            "confusion": self.confusion,
            "clips": self.clips,
            "model": self.model,
            "runtime": self.runtime,
        }


def true_label(row: Row, labels: Sequence[str]) -> str:
    """The label of a recording in the model's terms; a word the model does not know is ``unknown``.

    Raises
    ------
    InputError
        The manifest does not say what is spoken.
    """
    if not row.label:
        raise InputError(f"{row.origin}: the label is empty", hint="Name the word, or unknown, or silence.")
    label = _ALIASES.get(row.label, row.label)
    return label if label in labels else _UNKNOWN


def select_rows(rows: list[Row], *, split: str | None = None, limit: int | None = None) -> list[Row]:
    """Rows of one split, and at most ``limit`` of them, spread evenly over the manifest.

    Raises
    ------
    UsageError
        No row has that split; the message names those there are.
    """
    chosen = rows if split is None else [row for row in rows if row.split == split]
    if not chosen:
        splits = ", ".join(sorted({row.split or "(none)" for row in rows}))
        raise UsageError(f"no recording has the split {split!r}", hint=f"The manifest has: {splits}")
    if limit is None or limit >= len(chosen):
        return chosen
    # Manifests are sorted by label: the first hundred rows would be one word.
    return [chosen[i * len(chosen) // limit] for i in range(limit)]


def evaluate_commands(
    rows: Sequence[Row], scorer: Scorer, *, progress: Progress | None = None
) -> CommandsResult:
    """Decide every recording, each streamed from a fresh state.

    Raises
    ------
    InputError
        A recording cannot be read or has no label.
    ModelError
        The model does not say how a whole recording is decided.
    """
    manifest = scorer.manifest
    decision = manifest.spotting
    if decision.clip is None:
        raise ModelError(
            f"model '{manifest.name}' does not decide about whole recordings: decision.clip is missing",
            hint="Wake words are measured with: edgeaudio evaluate wake",
        )
    smoothing_frames = max(1, round(decision.smoothing_ms / 1000 / scorer.output_period_s))
    # All labels are checked before the work begins, not after half an hour of it.
    truths = [true_label(row, manifest.labels) for row in rows]
    confusion: dict[str, Counter[str]] = {}
    for done, (row, truth) in enumerate(zip(rows, truths, strict=True), start=1):
        scorer.reset()
        predicted = clip_decision(
            scorer.process(pad_clip(read_clip(row))),
            manifest.labels,
            word_threshold=decision.clip.word_threshold,
            silence_threshold=decision.clip.silence_threshold,
            smoothing_frames=smoothing_frames,
        )
        confusion.setdefault(truth, Counter())[predicted] += 1
        if progress is not None:
            progress(done, len(rows))
    order = [*manifest.labels, _UNKNOWN]
    counts = {label: dict(confusion[label]) for label in dict.fromkeys(order) if label in confusion}
    return CommandsResult(manifest.labels, counts, manifest.name, scorer.runtime)
