"""Spoken commands: the networks of the shipped models, and their measure on held-out speakers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import UsageError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import ClipDecision, Decision
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
from edgeaudio.training.clip_tests import (
    ClipScore,
    HeldOutSet,
    clip_score,
    crosswise_decisions,
    crosswise_score,
    held_out_sets,
    tune_clip_decision,
)
from edgeaudio.training.collecting import collect, surround
from edgeaudio.training.conditions import conditions
from edgeaudio.training.corpus import is_background
from edgeaudio.training.hearing import posteriors
from edgeaudio.training.loop import LoopSettings
from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.nets2d import BandStage
from edgeaudio.training.phrases import COMMANDS
from edgeaudio.training.place import check_place, place
from edgeaudio.training.refit import bundles_by_half, by_half, refitted
from edgeaudio.training.spotter import Material, SpotterPlan, gather
from edgeaudio.training.surroundings import made_noises
from edgeaudio.types import Samples

__all__ = [
    "SILENT_LABELS",
    "ClipScore",
    "HeldOutSet",
    "bands_plan",
    "clip_score",
    "crosswise_decisions",
    "crosswise_score",
    "held_out_sets",
    "train_commands",
    "tune_clip_decision",
    "waveform_plan",
]

SILENT_LABELS = ("unknown", "silence")
SMOOTHING_MS = 100.0
_MADE_NOISE_SEED = 1_000_003
FULL_STRENGTH = 0.7
STREAM_THRESHOLD = 0.8
"""commands-12 on held-out speakers: at 0.5 it notices 95 % of the words and errs 90 times in an hour of
dense speech and lists of words, at 0.8 90 % and 25, at 0.9 87 % and 14."""

Posteriors = NDArray[np.float32]
HearByHalf: TypeAlias = Callable[[Sequence[Samples], Sequence[bool]], Sequence[Posteriors]]
"""Posteriors of recordings of which it is told whether they are of the first half of the held-out people."""


Network: TypeAlias = Literal["bands", "frames", "waveform"]
"""What a network of command words moves over first: time and bands, mel frames, or samples."""

FRONT = (
    BandStage(16, 5, 7, stride=2, band_stride=3),
    BandStage(32, 3, 4, band_stride=2, blocks=((3, 3, 1),)),
)
"""Over time and bands, 40 of them to 12 to 5."""
BLOCKS = ((5, 2), (5, 4), (3, 6))
"""Of the residual network over time alone: with all before it they see 1.6 s."""


def bands_plan(n_labels: int, width: int = 64) -> tuple[FrontendSpec, NetSpec]:
    """Frontend and network of ``commands-12``: 40 log-mel bands, 20 ms outputs."""
    # Mean and scale of a band over speech at all levels: only their order of magnitude matters,
    # the first batch norm learns the rest.
    spec = FrontendSpec(fmin_hz=60.0, fmax_hz=7600.0, log_floor=1e-6)
    net = NetSpec(spec.n_bands, n_labels, ((width, 3, 1),), BLOCKS, -4.0, 4.0, front=FRONT)
    return spec, net


def frames_plan(n_labels: int) -> tuple[FrontendSpec, NetSpec]:
    """Frontend and network of ``words-small``: bands are channels, and it moves over time alone.

    Larger, and worse at the words that it was trained on; but its embedding tells more other words apart.
    """
    spec, shipped = bands_plan(n_labels)
    return spec, replace(shipped, stem=((96, 5, 2),), blocks=((5, 1), (5, 2), (5, 4), (3, 6)), front=())


def waveform_plan(n_labels: int) -> tuple[FrontendSpec, NetSpec]:
    """Frontend and network of ``commands-12-raw``: 480-sample kernels every 160 samples, then the same."""
    spec = FrontendSpec(features="waveform")
    net = NetSpec(spec.n_bands, n_labels, ((96, 3, 1), (64, 3, 2)), ((5, 1), (5, 2), (3, 4)), 0.0, 0.05)
    return spec, net


PLANS: dict[Network, Callable[[int], tuple[FrontendSpec, NetSpec]]] = {
    "bands": bands_plan,
    "frames": frames_plan,
    "waveform": waveform_plan,
}


def train_commands(
    job: SpotterJob,
    reporter: Reporter,
    *,
    words: Sequence[str] = COMMANDS,
    network: Network = "bands",
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
    spec, net_spec = PLANS[network](len(labels))

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
        learned = refitted(paced, plan, material, net, reporter)
        ears = [partial(posteriors, net, spec=spec) for net in learned.for_half]
        heard = [by_half(ears, test.audio, test.in_first_half) for test in tests]
        everything = [p for found in heard for p in found], [label for t in tests for label in t.truth]
        decision = Decision(
            threshold=STREAM_THRESHOLD,
            smoothing_ms=SMOOTHING_MS,
            refractory_ms=700.0,
            guard_ms=400.0,  # one utterance fired two words in 8 % of clips without, in 1 % with 250 ms
            silent_labels=SILENT_LABELS,
            clip=tune_clip_decision(*everything, labels),
        )
        sources = recordings.ingredients(learned.material.used)
        trained = Trained(learned.net, plan, learned.material, labels, decision, sources)
        says = f"Spots {', '.join(words)} in a stream of speech."

        def write(path: Path, net: SpotterNet) -> None:
            write_model(path, replace(trained, net=net), kind="commands", description=says)

        with place(job.output) as folder:
            reporter.progress("measuring", 0.0)
            write(folder, learned.net)
            with bundles_by_half(folder, learned, write) as bundles:
                hear = partial(by_half, [partial(bundle_posteriors, bundle) for bundle in bundles])
                results = measured(hear, tests, heard, labels)
                reporter.progress("measuring", 0.5)
                decisions = crosswise_decisions(tests, heard, labels)
                results |= in_other_conditions(hear, material, tests, labels, decisions)
            if facts := learned.facts(paced.refit):
                results["measured with"] = facts
            results = finish(folder, paced, trained, results)
    return results


def measured(
    hear: HearByHalf,
    tests: Sequence[HeldOutSet],
    heard: Sequence[Sequence[Posteriors]],
    labels: Sequence[str],
) -> dict[str, Any]:
    """Accuracy before and after quantization, recall of each label, and what is confused most."""
    decisions = crosswise_decisions(tests, heard, labels)
    results: dict[str, Any] = {}
    for test, found in zip(tests, heard, strict=True):
        int8 = crosswise_score(test, hear(test.audio, test.in_first_half), labels, decisions)
        results[test.name] = {
            "float": crosswise_score(test, found, labels, decisions).facts(),
            "int8": int8.facts(),
        }
        results[f"recall, {test.name}"] = int8.recalls()
        if confused := int8.confused():
            results[f"confused, {test.name}"] = confused
    return results


def in_other_conditions(
    hear: HearByHalf,
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
        found = hear(audio, test.in_first_half)
        score = crosswise_score(test, found, labels, decisions)
        results[f"{test.name}, {name}"] = {"int8": score.facts()}
    return results
