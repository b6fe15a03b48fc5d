"""Spoken commands: the networks of the shipped models, and their measure on held-out speakers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import UsageError
from edgeaudio.evaluation.intervals import wilson_interval
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import ClipDecision, Decision
from edgeaudio.tasks.clip import clip_decision, pad_clip
from edgeaudio.training.attempt import attempt
from edgeaudio.training.build import (
    Reporter,
    SpotterJob,
    Trained,
    bundle_posteriors,
    finish,
    train_network,
    write_model,
)
from edgeaudio.training.collecting import collect, surround
from edgeaudio.training.conditions import conditions
from edgeaudio.training.corpus import Clip, held_out, is_background
from edgeaudio.training.hearing import posteriors
from edgeaudio.training.loop import LoopSettings
from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.phrases import COMMANDS
from edgeaudio.training.place import check_place, place
from edgeaudio.training.spotter import SHORT_S, Material, SpotterPlan, gather, said_word
from edgeaudio.training.surroundings import made_noises
from edgeaudio.training.wake_tests import SYNTHETIC
from edgeaudio.types import Samples

__all__ = [
    "SILENT_LABELS",
    "ClipScore",
    "HeldOutSet",
    "clip_score",
    "crosswise_decisions",
    "crosswise_score",
    "held_out_sets",
    "log_mel_plan",
    "train_commands",
    "true_label",
    "tune_clip_decision",
    "waveform_plan",
]

SILENT_LABELS = ("unknown", "silence")
SMOOTHING_MS = 100.0
SMOOTHING_FRAMES = 5
"""The same in output frames of 20 ms."""
WORTH_NAMING, MOST_PAIRS = 2, 8
"""Of confusions: how often one must happen to be named, and how many are."""
_MADE_NOISE_SEED = 1_000_003
FULL_STRENGTH = 0.7
STREAM_THRESHOLD = 0.8
"""commands-12 on held-out speakers: at 0.5 it notices 95 % of the words and errs 121 times in an hour of
dense speech and lists of words, at 0.8 89 % and 27, at 0.9 84 % and 13."""

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


BLOCKS = ((5, 1), (5, 2), (5, 4), (3, 6))
"""Of the residual network: with its stem they see 1.65 s."""


def log_mel_plan(n_labels: int, width: int = 96) -> tuple[FrontendSpec, NetSpec]:
    """Frontend and network of ``commands-12``: 40 log-mel bands, 20 ms outputs."""
    # Mean and scale of a band over speech at all levels: only their order of magnitude matters,
    # the first batch norm learns the rest.
    spec = FrontendSpec(fmin_hz=60.0, fmax_hz=7600.0, log_floor=1e-6)
    net = NetSpec(spec.n_bands, n_labels, ((width, 5, 2),), BLOCKS, -4.0, 4.0)
    return spec, net


def waveform_plan(n_labels: int) -> tuple[FrontendSpec, NetSpec]:
    """Frontend and network of ``commands-12-raw``: 480-sample kernels every 160 samples, then the same."""
    spec = FrontendSpec(features="waveform")
    net = NetSpec(spec.n_bands, n_labels, ((96, 3, 1), (64, 3, 2)), ((5, 1), (5, 2), (3, 4)), 0.0, 0.05)
    return spec, net


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
            [held_out(clip, 0.5, salt="half ") for clip in own],
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


def train_commands(
    job: SpotterJob,
    reporter: Reporter,
    *,
    words: Sequence[str] = COMMANDS,
    features: Literal["log_mel", "waveform"] = "log_mel",
) -> dict[str, Any]:
    """Train a model that tells words apart, measure it on held-out speakers, and write its bundle.

    Returns
    -------
    dict
        What was measured, as in the bundle's ``results``.

    Raises
    ------
    UsageError
        Fewer than two words, something stands where the model goes, or nobody is left to measure on.
    """
    started = time.monotonic()
    if len(words) < 2:
        raise UsageError("a command model has two words or more", hint="For one: edgeaudio train wake")
    check_place(job.output, overwrite=job.overwrite)
    labels = (*words, *SILENT_LABELS)
    recordings = collect(job, words, reporter)
    material = surround(gather(recordings.real, recordings.synthetic, words), job.seed)
    tests = held_out_sets(material.development, words)
    if not tests:
        raise UsageError(
            "nobody who says the words is left to measure on",
            hint="Install a further speech engine, or give more speakers with --data.",
        )
    spec, net_spec = (waveform_plan if features == "waveform" else log_mel_plan)(len(labels))

    def measure(net: SpotterNet) -> str:
        rough = ClipDecision(word_threshold=0.4, silence_threshold=0.4)
        scores = [clip_score(posteriors(net, t.audio, spec), t.truth, labels, rough) for t in tests]
        return ", ".join(f"{t.name} {score}" for t, score in zip(tests, scores, strict=True))

    with attempt(job, material, (spec, net_spec, FULL_STRENGTH), reporter, started=started) as paced:
        loop = LoopSettings(paced.minutes, job.epochs, threads=job.threads, device=job.device)
        # Ten words are many for so small a network: at full strength it fits not even its own speakers
        # (93 % after 30 minutes). The price of less: about 2 points at peaks of -40 dBFS, 1 in noise.
        plan = SpotterPlan(
            spec, net_spec, loop=loop, seed=job.seed, workers=job.workers, full_strength=FULL_STRENGTH
        )
        net = train_network(paced, plan, material, reporter, measure)
        heard = [posteriors(net, test.audio, spec) for test in tests]
        everything = [p for found in heard for p in found], [label for t in tests for label in t.truth]
        decision = Decision(
            threshold=STREAM_THRESHOLD,
            smoothing_ms=SMOOTHING_MS,
            refractory_ms=700.0,
            guard_ms=400.0,  # one utterance fired two words in 8 % of clips without, in 1 % with 250 ms
            silent_labels=SILENT_LABELS,
            clip=tune_clip_decision(*everything, labels),
        )
        trained = Trained(net, plan, material, labels, decision, recordings.ingredients(material.used))
        with place(job.output) as folder:
            reporter.progress("measuring", 0.0)
            write_model(
                folder,
                trained,
                kind="commands",
                description=f"Spots {', '.join(words)} in a stream of speech.",
            )
            results = measured(folder, tests, heard, labels)
            reporter.progress("measuring", 0.5)
            decisions = crosswise_decisions(tests, heard, labels)
            results |= in_other_conditions(folder, material, tests, labels, decisions)
            results = finish(folder, paced, trained, results)
    return results


def measured(
    folder: Path,
    tests: Sequence[HeldOutSet],
    heard: Sequence[Sequence[Posteriors]],
    labels: Sequence[str],
) -> dict[str, Any]:
    """Accuracy before and after quantization, recall of each label, and what is confused most."""
    decisions = crosswise_decisions(tests, heard, labels)
    results: dict[str, Any] = {}
    for test, found in zip(tests, heard, strict=True):
        int8 = crosswise_score(test, bundle_posteriors(folder, test.audio), labels, decisions)
        results[test.name] = {
            "float": crosswise_score(test, found, labels, decisions).facts(),
            "int8": int8.facts(),
        }
        results[f"recall, {test.name}"] = int8.recalls()
        if confused := int8.confused():
            results[f"confused, {test.name}"] = confused
    return results


def in_other_conditions(
    folder: Path,
    material: Material,
    tests: Sequence[HeldOutSet],
    labels: Sequence[str],
    decisions: dict[bool, ClipDecision],
) -> dict[str, Any]:
    """How the quantized model does at other levels and in noise it never heard, on one set."""
    test = max(tests, key=lambda t: (len(set(t.truth)), len(t.truth)))
    longest = max(samples.size for samples in test.audio)
    background = [clip.pcm for clip in material.development if is_background(clip)]
    noises = [pcm / np.float32(32768.0) for pcm in background if pcm.size > longest]
    noises = noises or made_noises([], 12, seed=_MADE_NOISE_SEED)
    results = {}
    for name, audio in conditions(test.audio, noises):
        found = bundle_posteriors(folder, audio)
        score = crosswise_score(test, found, labels, decisions)
        results[f"{test.name}, {name}"] = {"int8": score.facts()}
    return results


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
