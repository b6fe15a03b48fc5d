"""Train one variant and measure it on the held-out speakers, clean and in noise, in float and in int8."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.errors import ModelError
from edgeaudio.models.manifest import Decision
from edgeaudio.training.build import Trained, bundle_posteriors, write_model
from edgeaudio.training.clip_tests import (
    HeldOutSet,
    Posteriors,
    crosswise_decisions,
    crosswise_score,
    tune_clip_decision,
)
from edgeaudio.training.commands import SILENT_LABELS, SMOOTHING_MS, STREAM_THRESHOLD
from edgeaudio.training.conditions import conditions
from edgeaudio.training.corpus import is_background
from edgeaudio.training.costs import costs
from edgeaudio.training.hearing import posteriors
from edgeaudio.training.spotter import Material, SpotterPlan, fit
from edgeaudio.training.surroundings import made_noises
from edgeaudio.types import Samples

_MADE_NOISES, _MADE_NOISE_SEED = 12, 1_000_003
CLEAN, NOISY = "clean", "noise at 10 dB"
"""The conditions in the tables; the second is one of :mod:`edgeaudio.training.conditions`."""


def in_noise(tests: Sequence[HeldOutSet], material: Material) -> list[list[Samples]]:
    """The recordings of each set in noises that no training hears."""
    longest = max(samples.size for test in tests for samples in test.audio)
    background = [clip.pcm for clip in material.development if is_background(clip)]
    noises = [pcm / np.float32(32768.0) for pcm in background if pcm.size > longest]
    noises = noises or made_noises([], _MADE_NOISES, seed=_MADE_NOISE_SEED)
    return [next(audio for name, audio in conditions(test.audio, noises) if name == NOISY) for test in tests]


def measure(
    plan: SpotterPlan,
    material: Material,
    tests: Sequence[HeldOutSet],
    noisy: Sequence[Sequence[Samples]],
    folder: Path,
) -> dict[str, Any]:
    """Train, quantize and measure one variant; what is interrupted goes on from its checkpoint.

    Parameters
    ----------
    tests, noisy
        The same for every variant, see `in_noise`.
    folder : Path
        For the checkpoint and the bundle; its name is the variant's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "training.pt"
    progress = _Progress(folder.name)
    net = fit(plan, material, checkpoint, resume=checkpoint.is_file(), on_progress=progress)
    labels = (*material.words, *SILENT_LABELS)
    heard = [posteriors(net, test.audio, plan.spec) for test in tests]
    everything = [p for found in heard for p in found], [label for test in tests for label in test.truth]
    decision = Decision(
        threshold=STREAM_THRESHOLD,
        smoothing_ms=SMOOTHING_MS,
        refractory_ms=700.0,
        silent_labels=SILENT_LABELS,
        clip=tune_clip_decision(*everything, labels),
    )
    trained = Trained(net, plan, material, labels, decision, [])
    results: dict[str, Any] = {test.name: {CLEAN: {}, NOISY: {}} for test in tests}
    decisions = crosswise_decisions(tests, heard, labels)

    def put(form: str, condition: str, found: Sequence[Sequence[Posteriors]]) -> None:
        for test, answers in zip(tests, found, strict=True):
            score = crosswise_score(test, answers, labels, decisions)
            results[test.name][condition][form] = score.facts()

    put("float", CLEAN, heard)
    put("float", NOISY, [posteriors(net, audio, plan.spec) for audio in noisy])
    found: dict[str, Any] = {"results": results, "parameters": trained.parameters, "steps": progress.steps}
    bundle = folder / "bundle"
    try:
        agreement = write_model(bundle, trained, kind="commands", description="A variant.")
    except ModelError as error:
        # A part of the recipe may be what keeps a network fit for eight bits.
        return {**found, "refused": str(error)}
    put("int8", CLEAN, [bundle_posteriors(bundle, test.audio) for test in tests])
    put("int8", NOISY, [bundle_posteriors(bundle, audio) for audio in noisy])
    return {**found, "costs": costs(bundle, trained.parameters), "snr_db": round(agreement.snr_db, 1)}


class _Progress:
    """Counts steps, and tells on standard error once a minute how far the training is."""

    def __init__(self, name: str) -> None:
        self.name, self.steps, self._told = name, 0, time.monotonic()

    def __call__(self, done: float) -> None:
        self.steps += 1
        if time.monotonic() - self._told >= 60.0:
            self._told = time.monotonic()
            print(f"{self.name}: {done:.0%}, {self.steps} steps", file=sys.stderr, flush=True)
