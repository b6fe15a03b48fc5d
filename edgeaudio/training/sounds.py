"""A classifier of sounds: cross-validated, trained on everything, and written as a bundle.

Each fold is held out once; what the networks that never learned from it say about its recordings is the
accuracy in the card, and what thresholds are chosen on. The shipped network then learns from all folds
with the same settings. What it would get right on a further fold is what the others got right on theirs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.backends import Runtime, open_graph, stream
from edgeaudio.errors import UsageError
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.models.bundle import load_bundle
from edgeaudio.tasks.classifier import Classifier
from edgeaudio.training.build import Job, Reporter
from edgeaudio.training.costs import costs, origin
from edgeaudio.training.export import Agreement, update_manifest, write_bundle
from edgeaudio.training.graph import Conv
from edgeaudio.training.loop import LoopSettings
from edgeaudio.training.nets import SpotterNet, to_graph
from edgeaudio.training.place import check_place, place
from edgeaudio.training.sounds_card import write_sounds_card
from edgeaudio.training.sounds_corpus import SoundSet, read_sounds
from edgeaudio.training.sounds_fit import (
    SoundNet,
    SoundPlan,
    calibration_frames,
    features,
    fit,
    heard,
    mixer_of,
    sounds_net_spec,
)
from edgeaudio.training.sounds_frames import Ear, Takes, frontend_ear, make_takes
from edgeaudio.training.sounds_scores import BASE, Judged, accuracy, choose_activity, event_facts
from edgeaudio.types import Frames, Samples

__all__ = ["SHARED_SPEC", "STEP_FRAMES", "SoundsJob", "cross_validate", "listener", "train_sounds"]

SHARED_SPEC = FrontendSpec(n_mels=80, fmin_hz=40.0, fmax_hz=7600.0, log_floor=1e-6)
"""The frontend of ``captions-en-small``: tasks that hear the same frames share them."""

STEP_FRAMES = 8
BATCHES_PER_EPOCH = 50
_CALIBRATION_EXAMPLES = 40


@dataclass(frozen=True)
class SoundsJob(Job):
    """What the user may choose for a model of sounds.

    Parameters
    ----------
    folders : tuple of Path
        Recordings, see :mod:`edgeaudio.training.sounds_corpus`.
    minutes, epochs
        Of one network; there is one for each fold, and the last one.
    only_cross_validate : bool
        Measure, and write no model.
    overwrite : bool
        Replace a model that stands where the new one goes.
    """

    epochs: int = 20
    folders: tuple[Path, ...] = ()
    only_cross_validate: bool = False
    overwrite: bool = False

    def checkpoint_of(self, fold: str | None) -> Path:
        """Where the training without a fold, or the last one, is kept."""
        return self.checkpoint_dir / self.output.name / f"{'all' if fold is None else f'without-{fold}'}.pt"


@dataclass(frozen=True)
class Material:
    """Everything that a training of sounds needs."""

    sounds: SoundSet
    ear: Ear
    takes: list[Takes]

    def without(self, fold: str | None) -> list[Takes]:
        """What is learned from where a fold is held out."""
        return [one for one in self.takes if one.clip.split != fold]

    def of(self, fold: str) -> list[Takes]:
        """What is measured on."""
        return [one for one in self.takes if one.clip.split == fold]


def train_sounds(job: SoundsJob, reporter: Reporter) -> dict[str, Any]:
    """Cross-validate, train on all folds, and write the bundle.

    Returns
    -------
    dict
        What was measured, as in the bundle's ``results``.

    Raises
    ------
    UsageError
        Something stands where the model goes, or the recordings do not make a training.
    InputError
        A recording cannot be read.
    """
    if not job.folders:
        raise UsageError("nothing to learn from", hint="Give --data DIR, more than once if you like.")
    if not job.only_cross_validate:
        check_place(job.output, overwrite=job.overwrite)
    material = gather(job, SHARED_SPEC, reporter)
    plan = plan_of(job, material)
    float_judged, judged = cross_validate(job, plan, material, reporter)
    results = _results(plan, material, float_judged, judged)
    if job.only_cross_validate:
        return {name: value for name, value in results.items() if name != "activity"}
    activity = results.pop("activity")
    net = _trained(job, plan, material, None, reporter)
    with place(job.output) as folder:
        agreement = _write(folder, net, plan, material, activity)
        results["int8"] = _int8(agreement)
        load = partial(listener, folder, net.frontend(SHARED_SPEC))
        results |= {"costs": costs(folder, _parameters(net), load), "training": _origin(job)}
        update_manifest(folder, results=results)
        parts = material.sounds.ingredients(one.clip for one in material.takes)
        write_sounds_card(folder, parts, material.sounds.folds)
    return results


def gather(job: SoundsJob, spec: FrontendSpec, reporter: Reporter) -> Material:
    """Read the recordings and hear them in all their takes."""
    sounds = read_sounds(
        job.folders,
        job.cache,
        tell=reporter.tell,
        progress=lambda corpus, done, total: reporter.progress(f"decoding {corpus}", done / total),
    )
    ear = frontend_ear(spec)
    takes = make_takes(
        sounds, ear, job.cache, job.seed, progress=lambda done: reporter.progress("listening", done)
    )
    return Material(sounds, ear, takes)


def plan_of(job: SoundsJob, material: Material) -> SoundPlan:
    """The network and how long it learns."""
    labels = material.sounds.labels
    loop = LoopSettings(
        job.minutes,
        job.epochs,
        batches_per_epoch=BATCHES_PER_EPOCH,
        weight_decay=0.05,
        average_from=0.8,
        threads=job.threads,
        device=job.device,
    )
    return SoundPlan(sounds_net_spec(SHARED_SPEC.n_bands, len(labels)), labels, loop, seed=job.seed)


def cross_validate(
    job: SoundsJob, plan: SoundPlan, material: Material, reporter: Reporter
) -> tuple[list[Judged], list[Judged]]:
    """What networks say about the folds that they did not learn from: as trained, and in int8."""
    float_judged: list[Judged] = []
    judged: list[Judged] = []
    sounds = material.sounds
    for fold in sounds.folds:
        net = _trained(job, plan, material, fold, reporter)
        apart = material.of(fold)
        frames = [one.takes[0].frames.astype(np.float32) for one in apart]
        of_fold = [
            Judged(one.clip, said, sounds.is_measured(one.clip))
            for one, said in zip(apart, heard(net, frames), strict=True)
        ]
        float_judged += of_fold
        with tempfile.TemporaryDirectory(prefix="edgeaudio-") as scratch:
            folder = Path(scratch) / "fold"
            _write(folder, net, plan, replace(material, takes=material.without(fold)), BASE)
            quantized = _heard_by_bundle(folder, [features(net, one) for one in frames])
        judged += [replace(one, posteriors=said) for one, said in zip(of_fold, quantized, strict=True)]
        score = accuracy(of_fold, plan.labels, sounds.sounds)
        reporter.tell(f"fold {fold}, held out: {score}")
    return float_judged, judged


def _trained(
    job: SoundsJob, plan: SoundPlan, material: Material, fold: str | None, reporter: Reporter
) -> SoundNet:
    what = "training on all folds" if fold is None else f"training without fold {fold}"
    checkpoint = job.checkpoint_of(fold)
    started = time.monotonic()

    def epoch(number: int, loss: float) -> None:
        reporter.tell(f"{what}: epoch {number}, loss {loss:.3f}, {time.monotonic() - started:.0f} s")

    return fit(
        plan,
        material.without(fold),
        material.ear,
        checkpoint,
        measured=material.sounds.measured,
        # A fold that an interrupted run had not reached has no checkpoint yet.
        resume=job.resume and checkpoint.is_file(),
        on_progress=lambda done: reporter.progress(what, done),
        on_epoch=epoch,
    )


def _write(folder: Path, net: SoundNet, plan: SoundPlan, material: Material, activity: Any) -> Agreement:
    mixer = mixer_of(plan, material.takes, material.ear, material.sounds.measured)
    return write_bundle(
        to_graph(net),
        calibration_frames(net, mixer, _CALIBRATION_EXAMPLES, plan.seed + 1),
        out_dir=folder,
        name=folder.name,
        kind="sounds",
        version="1.0.0",
        description=f"Tells sounds apart: {', '.join(material.sounds.sounds)}; and speech.",
        licence="Apache-2.0",
        data=sorted({one.clip.corpus for one in material.takes}),
        frontend=net.frontend(SHARED_SPEC),
        labels=plan.labels,
        activation="sigmoid",
        step_frames=STEP_FRAMES,
        activity=activity,
    )


def _heard_by_bundle(folder: Path, frames: Sequence[Frames]) -> list[Frames]:
    """Posteriors of the quantized network, each recording from a fresh state."""
    graph = open_graph(load_bundle(folder))
    found = []
    for one in frames:
        graph.reset()
        logits = stream(graph, one)
        found.append((1.0 / (1.0 + np.exp(-logits))).astype(np.float32))
    return found


def _results(
    plan: SoundPlan, material: Material, float_judged: Sequence[Judged], judged: Sequence[Judged]
) -> dict[str, Any]:
    frame_ms = plan.net.stride * SHARED_SPEC.hop_ms
    sounds = material.sounds.sounds
    before, after = (accuracy(found, plan.labels, sounds) for found in (float_judged, judged))
    activity = choose_activity(judged, plan.labels, frame_ms)
    return {
        "accuracy, cross-validated": {"float": before.facts(), "int8": after.facts()},
        "recall, cross-validated": after.recalls(),
        "confused, cross-validated": after.confused(),
        **event_facts(judged, plan.labels, activity, frame_ms),
        "activity": activity,
    }


def _int8(agreement: Agreement) -> dict[str, Any]:
    return {
        "frames with the same best label": round(agreement.same_best, 4),
        "signal to rounding noise in dB": round(agreement.snr_db, 1),
    }


def listener(folder: Path, spec: FrontendSpec, runtime: Runtime) -> Callable[[Samples], object]:
    """What a running classifier does with samples, for the measure of its costs."""
    classifier = Classifier.load(folder, backend=runtime)
    frontend = Frontend(spec)

    def hear(samples: Samples) -> None:
        frontend.reset()
        classifier.reset()
        classifier.process(frontend.process(samples))

    return hear


def _parameters(net: SpotterNet) -> int:
    convs = [node for node in to_graph(net).nodes if isinstance(node, Conv)]
    return sum(conv.weight.size + conv.bias.size for conv in convs)


def _origin(job: SoundsJob) -> dict[str, Any]:
    facts = origin(job.device, job.threads, job.minutes, job.epochs, job.seed)
    return {**facts, "length": f"{facts['length']} for each fold, and as long on all"}
