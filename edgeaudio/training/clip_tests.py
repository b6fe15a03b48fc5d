"""What command models are measured on: whole recordings, and what they are taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.evaluation.intervals import wilson_interval
from edgeaudio.models.manifest import ClipDecision
from edgeaudio.tasks.clip import clip_decision, pad_clip
from edgeaudio.training.corpus import Clip, in_first_half, is_background
from edgeaudio.training.spotter import SHORT_S, said_word
from edgeaudio.training.wake_tests import SYNTHETIC
from edgeaudio.types import Samples

__all__ = [
    "ClipScore",
    "HeldOutSet",
    "clip_score",
    "crosswise_decisions",
    "crosswise_score",
    "held_out_sets",
    "padded",
    "true_label",
    "tune_clip_decision",
]

SMOOTHING_FRAMES = 5
"""100 ms in output frames of 20 ms."""
WORTH_NAMING, MOST_PAIRS = 2, 8
"""Of confusions: how often one must happen to be named, and how many are."""

Posteriors = NDArray[np.float32]


@dataclass(frozen=True)
class ClipScore:
    """How many recordings were labelled right; ``confusion[true, answered]`` counts."""

    labels: tuple[str, ...]
    confusion: NDArray[np.int64] = field(repr=False)

    @property
    def clips(self) -> int:
        """Recordings measured."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """Recordings labelled right."""
        return int(np.trace(self.confusion))

    @property
    def mean_recall(self) -> float:
        """Mean over the labels that occur of the share labelled right: each label counts the same."""
        occurred = self.confusion.sum(axis=1)
        return float(np.mean(np.diagonal(self.confusion)[occurred > 0] / occurred[occurred > 0]))

    def facts(self) -> dict[str, Any]:
        """Accuracy with its 95 % interval (Wilson), as the manifest and the card state it."""
        low, high = wilson_interval(self.right, self.clips)
        accuracy = round(self.right / self.clips, 4)
        return {"accuracy": accuracy, "interval": [round(low, 4), round(high, 4)], "clips": self.clips}

    def recalls(self) -> dict[str, Any]:
        """Of each label that occurred the part labelled right, with its interval (Wilson)."""
        found = {}
        for label, row, right in zip(self.labels, self.confusion, np.diagonal(self.confusion), strict=True):
            if row.sum():
                low, high = wilson_interval(int(right), int(row.sum()))
                interval = [round(low, 4), round(high, 4)]
                found[label] = {"right": int(right), "of": int(row.sum()), "interval": interval}
        return found

    def confused(self) -> dict[str, int]:
        """What was taken for what, most often first; only what makes 2 % of a label or more."""
        wrong = self.confusion - np.diag(np.diagonal(self.confusion))
        least = np.maximum(WORTH_NAMING, 0.02 * self.confusion.sum(axis=1, keepdims=True))
        pairs = sorted(zip(*np.nonzero(wrong >= least), strict=True), key=lambda at: (-wrong[at], at))
        return {f"{self.labels[t]} for {self.labels[a]}": int(wrong[t, a]) for t, a in pairs[:MOST_PAIRS]}

    def __str__(self) -> str:
        return f"{self.right} of {self.clips} right ({self.right / max(self.clips, 1):.2%})"


def true_label(clip: Clip, words: Sequence[str]) -> str:
    """The label that a recording should get."""
    word = said_word(clip, words)
    if word is not None:
        return words[word]
    return "silence" if is_background(clip) else "unknown"


@dataclass(frozen=True)
class HeldOutSet:
    """Held-out recordings of one kind, ready to be measured on."""

    name: str
    audio: list[Samples] = field(repr=False)
    truth: list[str] = field(repr=False)
    in_first_half: list[bool] = field(repr=False)
    """Of the speakers, for choosing thresholds on one half and measuring on the other."""


def held_out_sets(clips: Sequence[Clip], words: Sequence[str]) -> list[HeldOutSet]:
    """The short recordings of every corpus in which one of the words is said, synthetic ones together."""
    short = [clip for clip in clips if clip.seconds <= SHORT_S]
    real = [clip for clip in short if clip.split != "held_out"]
    corpora = sorted({clip.corpus for clip in real if said_word(clip, words) is not None})
    groups = {
        f"{corpus}, held-out speakers": [clip for clip in real if clip.corpus == corpus] for corpus in corpora
    }
    made = [clip for clip in short if clip.split == "held_out"]
    if any(said_word(clip, words) is not None for clip in made):
        groups[SYNTHETIC] = made
    return [
        HeldOutSet(
            name,
            [padded(clip) for clip in own],
            [true_label(clip, words) for clip in own],
            [in_first_half(clip) for clip in own],
        )
        for name, own in groups.items()
    ]


def padded(clip: Clip) -> Samples:
    """Samples of a recording with silence around them, see :func:`~edgeaudio.tasks.clip.pad_clip`."""
    return pad_clip(clip.pcm / np.float32(32768.0))


def clip_score(
    found: Sequence[Posteriors], truth: Sequence[str], labels: Sequence[str], decision: ClipDecision
) -> ClipScore:
    """Compare decisions about whole recordings with the truth."""
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for p, true in zip(found, truth, strict=True):
        answer = clip_decision(
            p,
            labels,
            word_threshold=decision.word_threshold,
            silence_threshold=decision.silence_threshold,
            smoothing_frames=SMOOTHING_FRAMES,
        )
        confusion[labels.index(true), labels.index(answer)] += 1
    return ClipScore(tuple(labels), confusion)


def tune_clip_decision(
    found: Sequence[Posteriors], truth: Sequence[str], labels: Sequence[str]
) -> ClipDecision:
    """The two thresholds with the highest mean recall over the labels, from a coarse grid."""
    grid = [
        ClipDecision(word_threshold=round(float(word), 2), silence_threshold=round(float(silence), 3))
        for word in np.arange(0.1, 0.9, 0.05)
        for silence in (0.002, 0.005, 0.01, 0.02, 0.05, *np.arange(0.1, 1.0, 0.1))
    ]
    return max(grid, key=lambda decision: clip_score(found, truth, labels, decision).mean_recall)


def crosswise_decisions(
    tests: Sequence[HeldOutSet], heard: Sequence[Sequence[Posteriors]], labels: Sequence[str]
) -> dict[bool, ClipDecision]:
    """For each half of the speakers the thresholds tuned on the other half."""
    decisions = {}
    for half in (True, False):
        others = [
            (p, truth)
            for test, found in zip(tests, heard, strict=True)
            for p, truth, first in zip(found, test.truth, test.in_first_half, strict=True)
            if first != half
        ]
        decisions[half] = tune_clip_decision([p for p, _ in others], [truth for _, truth in others], labels)
    return decisions


def crosswise_score(
    test: HeldOutSet,
    found: Sequence[Posteriors],
    labels: Sequence[str],
    decisions: dict[bool, ClipDecision],
) -> ClipScore:
    """Score of both halves together, each with thresholds that its speakers had no part in."""
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for half, decision in decisions.items():
        own = [i for i, first in enumerate(test.in_first_half) if first == half]
        part = clip_score([found[i] for i in own], [test.truth[i] for i in own], labels, decision)
        confusion += part.confusion
    return ClipScore(tuple(labels), confusion)
