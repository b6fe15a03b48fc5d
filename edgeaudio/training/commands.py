"""Spoken commands: the plan of the shipped models and their measure on held-out speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeaudio.frontend import FrontendSpec
from edgeaudio.tasks.clip import clip_decision, pad_clip
from edgeaudio.training.corpus import Clip, is_background
from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.spotter import SHORT_S, posteriors, said_word

__all__ = [
    "SILENT_LABELS",
    "WORDS",
    "ClipScore",
    "clip_posteriors",
    "clip_score",
    "development_clips",
    "log_mel_plan",
    "true_label",
    "tune_clip_thresholds",
    "waveform_plan",
]

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
SILENT_LABELS = ("unknown", "silence")
SMOOTHING_FRAMES = 5


@dataclass(frozen=True)
class ClipScore:
    """How many recordings were labelled right; ``confusion[true][answered]`` counts."""

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
    def accuracy(self) -> float:
        """Their share."""
        return self.right / max(self.clips, 1)


def log_mel_plan(n_labels: int) -> tuple[FrontendSpec, NetSpec]:
    """Frontend and network of ``commands-12``: 40 log-mel bands, 20 ms outputs, a second of view."""
    # Mean and scale of a band over speech at all levels: only their order of magnitude matters,
    # the first batch norm learns the rest.
    spec = FrontendSpec(fmin_hz=60.0, fmax_hz=7600.0, log_floor=1e-6)
    net = NetSpec(spec.n_bands, n_labels, ((64, 5, 2),), ((5, 1), (5, 2), (5, 4)), -4.0, 4.0)
    return spec, net


def waveform_plan(n_labels: int) -> tuple[FrontendSpec, NetSpec]:
    """Frontend and network of ``commands-12-raw``: 480-sample kernels every 160 samples, then the same."""
    spec = FrontendSpec(features="waveform")
    net = NetSpec(spec.n_bands, n_labels, ((96, 3, 1), (64, 3, 2)), ((5, 1), (5, 2), (3, 4)), 0.0, 0.05)
    return spec, net


def development_clips(clips: Sequence[Clip]) -> list[Clip]:
    """Those recordings that a test set of single words could hold."""
    return [clip for clip in clips if clip.seconds <= SHORT_S]


def clip_posteriors(net: SpotterNet, clips: Sequence[Clip], spec: FrontendSpec) -> list[NDArray[np.float32]]:
    """Posteriors of whole recordings after :func:`~edgeaudio.tasks.clip.pad_clip`."""
    return posteriors(net, [pad_clip(clip.pcm / np.float32(32768.0)) for clip in clips], spec)


def true_label(clip: Clip, words: Sequence[str]) -> str:
    """The label that a recording should get."""
    word = said_word(clip, words)
    if word is not None:
        return words[word]
    return "silence" if is_background(clip) else "unknown"


def clip_score(
    found: Sequence[NDArray[np.float32]],
    truth: Sequence[str],
    labels: Sequence[str],
    thresholds: dict[str, float],
) -> ClipScore:
    """Compare clip decisions with the truth."""
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for p, true in zip(found, truth, strict=True):
        answer = clip_decision(p, labels, smoothing_frames=SMOOTHING_FRAMES, **thresholds)
        confusion[labels.index(true), labels.index(answer)] += 1
    return ClipScore(tuple(labels), confusion)


def tune_clip_thresholds(
    found: Sequence[NDArray[np.float32]], truth: Sequence[str], labels: Sequence[str]
) -> dict[str, float]:
    """The two thresholds of :func:`clip_decision` with the highest accuracy, from a coarse grid."""
    grid = [
        {"word_threshold": float(w), "silence_threshold": float(s)}
        for w in np.arange(0.2, 0.9, 0.05)
        for s in np.arange(0.1, 1.0, 0.1)
    ]
    return max(grid, key=lambda thresholds: clip_score(found, truth, labels, thresholds).accuracy)
