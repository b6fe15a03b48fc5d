"""From folders of recordings to a model bundle: what ``edgeaudio train`` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from edgeaudio.errors import UsageError
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.models.manifest import Decision
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.training.card import RECIPE, ingredients, write_card
from edgeaudio.training.corpus import Clip, default_cache_dir, find_manifests, load_clips
from edgeaudio.training.export import MIN_SNR_DB, Agreement, update_manifest, write_bundle
from edgeaudio.training.nets import SpotterNet, to_graph
from edgeaudio.training.phrases import confusables
from edgeaudio.training.spotter import Material, SpotterPlan, calibration_frames, fit
from edgeaudio.training.synth import synthesise
from edgeaudio.types import Samples

__all__ = [
    "STEP_FRAMES",
    "Job",
    "Recordings",
    "Reporter",
    "Trained",
    "bundle_posteriors",
    "choose_device",
    "finish",
    "load_recordings",
    "train_network",
    "write_model",
]

STEP_FRAMES = 8
"""80 ms at once: runtimes spend more on dispatch than on arithmetic, and 80 ms are soon enough."""

LOUD_SAMPLE = 0.2
"""Peak after pre-emphasis from which a stream is too loud to calibrate a network on samples."""

GENERATE = "generate"


class Reporter:
    """Hears how the training goes; does nothing unless a method is overridden."""

    def progress(self, what: str, done: float) -> None:
        """A part (0 to 1) of some long work is done."""

    def tell(self, line: str) -> None:
        """Something worth a line in a log."""


@dataclass(frozen=True)
class Job:
    """Everything the user may choose.

    Parameters
    ----------
    data : Path or None
        Folder of manifests with real recordings.
    synthetic : str or None
        Folder of manifests with synthetic speech, or ``"generate"``.
    output : Path
        Folder of the new bundle; its name is the model's.
    minutes, epochs
        How long to train; ``minutes`` goes first.
    checkpoint_dir, cache : Path
        Outside of any repository by default: both are large.
    """

    data: Path | None
    synthetic: str | None
    output: Path
    minutes: float | None = None
    epochs: int = 60
    seed: int = 1
    resume: bool = False
    checkpoint_dir: Path = field(default_factory=lambda: default_cache_dir() / "checkpoints")
    cache: Path = field(default_factory=default_cache_dir)
    threads: int = 1
    workers: int = 1
    device: str = "cpu"
    per_phrase: int = 600

    @property
    def checkpoint(self) -> Path:
        """Where this model's training is kept."""
        return self.checkpoint_dir / f"{self.output.name}.pt"


@dataclass(frozen=True)
class Recordings:
    """Decoded recordings of a job, and the manifests they come from."""

    real: list[Clip]
    synthetic: list[Clip]
    manifests: list[Path]


def choose_device(wanted: str | None) -> str:
    """The torch device to train on: the wanted one, else a GPU if there is one.

    Raises
    ------
    UsageError
        The wanted device cannot be used.
    """
    device = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts when it was built without CUDA
        raise UsageError(f"--device {device} cannot be used: {str(error).splitlines()[0]}") from error
    return device


def load_recordings(job: Job, words: Sequence[str], reporter: Reporter) -> Recordings:
    """Decode the recordings of a job; synthetic ones are made first if the job says so.

    Raises
    ------
    UsageError
        The job names neither.
    """
    if job.data is None and job.synthetic is None:
        raise UsageError("nothing to learn from", hint="Give --data DIR, --synthetic DIR|generate, or both.")

    def decoded(corpus: str, done: int, total: int) -> None:
        reporter.progress(f"decoding {corpus}", done / total)

    folder = None if job.synthetic is None else Path(job.synthetic)
    if job.synthetic == GENERATE:
        folder = _generate(job, words, reporter)
    places = [[] if place is None else find_manifests(place) for place in (job.data, folder)]
    real, synthetic = (load_clips(manifests, job.cache, progress=decoded) for manifests in places)
    return Recordings(real, synthetic, [manifest for manifests in places for manifest in manifests])


def _generate(job: Job, words: Sequence[str], reporter: Reporter) -> Path:
    """Speak the words and what could be taken for them, unless an equal run did so before."""
    folder = job.cache / "synthetic" / f"{'-'.join(words)[:60].replace(' ', '_')}-{job.per_phrase}-{job.seed}"
    others = confusables(words)
    parts = (("words", words, job.per_phrase), ("others", others, max(1, job.per_phrase // 25)))
    for name, phrases, count in parts:
        if not (folder / name / "manifest.tsv").is_file():
            synthesise(
                phrases,
                folder / name,
                per_phrase=count,
                seed=job.seed,
                progress=lambda done, total: reporter.progress("speaking", done / total),
            )
    return folder


def train_network(
    job: Job,
    plan: SpotterPlan,
    material: Material,
    reporter: Reporter,
    measure: Callable[[SpotterNet], str],
) -> SpotterNet:
    """Fit the network, reporting loss and development figures after every epoch."""
    real, made = (
        {word: len(clips) for word, clips in zip(material.words, pool, strict=True)}
        for pool in (material.pools.real, material.pools.synthetic)
    )
    reporter.tell(f"real recordings: {real}; synthetic: {made}; held out: {len(material.development)}")

    def epoch(number: int, loss: float, net: SpotterNet) -> None:
        net.eval()
        reporter.tell(f"epoch {number}: loss {loss:.3f}, {measure(net)}")

    return fit(
        plan,
        material,
        job.checkpoint,
        resume=job.resume,
        on_progress=lambda done: reporter.progress("training", done),
        on_epoch=epoch,
    )


@dataclass(frozen=True)
class Trained:
    """A network and everything its bundle says about it."""

    net: SpotterNet
    plan: SpotterPlan
    material: Material
    labels: tuple[str, ...]
    decision: Decision
    manifests: list[Path]


def write_model(
    job: Job, trained: Trained, *, kind: Literal["commands", "wake"], description: str
) -> Agreement:
    """Export the bundle."""
    frames, min_snr_db = calibration_frames(trained.plan, trained.material), MIN_SNR_DB
    if trained.plan.spec.features == "waveform":
        # Eight bits cannot hold samples of all levels. Loud ones may saturate: speech survives that
        # (558 of 617 recordings right before and after, 522 where the scale spared them), but the
        # ratio of logits to errors counts it in full.
        frames, min_snr_db = frames[np.abs(frames).max(axis=(1, 2)) < LOUD_SAMPLE], 10.0
    return write_bundle(
        to_graph(trained.net),
        list(frames),
        out_dir=job.output,
        name=job.output.name,
        kind=kind,
        version="1.0.0",
        description=description,
        licence="Apache-2.0",
        data=sorted(trained.material.used),
        frontend=trained.plan.spec,
        labels=trained.labels,
        activation="softmax",
        step_frames=STEP_FRAMES,
        decision=trained.decision,
        min_snr_db=min_snr_db,
    )


def finish(job: Job, trained: Trained, **changes: Any) -> None:
    """Put what was measured into the manifest, and write the card."""
    update_manifest(job.output, **changes)
    length = f"{job.minutes:g} minutes" if job.minutes is not None else f"{job.epochs} epochs"
    recipe = (
        f"{RECIPE} The effects reach {trained.plan.full_strength:.0%} of their full strength. "
        f"Trained for {length} on {job.threads} thread{'s' * (job.threads > 1)} ({job.device})."
    )
    write_card(job.output, ingredients(trained.manifests, trained.material.used), recipe)


def bundle_posteriors(folder: Path, recordings: Sequence[Samples]) -> list[NDArray[np.float32]]:
    """Posteriors of the quantized model as it runs live, each recording from a fresh state."""
    scorer = Scorer(Spotter.load(folder))
    found = []
    for samples in recordings:
        scorer.reset()
        found.append(scorer.process(samples))
    return found
