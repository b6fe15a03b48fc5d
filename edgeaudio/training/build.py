"""From folders of recordings to a model bundle: what ``edgeaudio train`` runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from edgeaudio.errors import UsageError
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.models.manifest import Decision
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.training.card import RECIPE, Ingredient, ingredients, write_card
from edgeaudio.training.corpus import Clip, default_cache_dir
from edgeaudio.training.costs import costs, origin
from edgeaudio.training.export import MIN_SNR_DB, Agreement, update_manifest, write_bundle
from edgeaudio.training.graph import Conv
from edgeaudio.training.nets import SpotterNet, to_graph
from edgeaudio.training.spotter import Material, SpotterPlan, calibration_frames, fit
from edgeaudio.types import Samples

__all__ = [
    "GENERATE",
    "STEP_FRAMES",
    "Job",
    "Recordings",
    "Reporter",
    "SpotterJob",
    "Trained",
    "bundle_posteriors",
    "choose_device",
    "choose_workers",
    "finish",
    "train_network",
    "write_model",
]

STEP_FRAMES = 8
"""80 ms at once: runtimes spend more on dispatch than on arithmetic, and 80 ms are soon enough."""

LOUD_SAMPLE = 0.2
"""Peak after pre-emphasis from which a stream is too loud to calibrate a network on samples."""

GENERATE = "generate"

MEASURING_SHARE = 0.1
"""Of the time of a training, at most."""


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
class SpotterJob(Job):
    """What the user may choose for a model of words.

    Parameters
    ----------
    positives, negatives : tuple of Path
        Folders of the user's own recordings, see :mod:`edgeaudio.training.own`.
    ledgers : tuple of Path
        Folders of near misses, of which those with a verdict are learned from.
    mined : tuple of Path
        Folders of recordings in which the words are looked for.
    budget_minutes : float or None
        For everything, speech synthesis included, where neither minutes nor epochs were chosen.
    overwrite : bool
        Replace a model that stands where the new one goes.
    refit : float or None
        Minutes of learning from held-out people at last, see :mod:`edgeaudio.training.refit`.
    """

    positives: tuple[Path, ...] = ()
    negatives: tuple[Path, ...] = ()
    ledgers: tuple[Path, ...] = ()
    mined: tuple[Path, ...] = ()
    budget_minutes: float | None = None
    overwrite: bool = False
    refit: float | None = None

    @property
    def own(self) -> tuple[Path, ...]:
        """All folders of the user's own."""
        return (*self.positives, *self.negatives, *self.ledgers, *self.mined)


@dataclass(frozen=True)
class Recordings:
    """Decoded recordings of a job, the manifests they come from, and corpora that have none."""

    real: list[Clip]
    synthetic: list[Clip]
    manifests: list[Path]
    others: list[Ingredient] = field(default_factory=list)

    def ingredients(self, used: Mapping[str, int]) -> list[Ingredient]:
        """What was used of each corpus, ``used[corpus]`` recordings."""
        known = ingredients(self.manifests, used)
        return known + [replace(part, clips=used[part.corpus]) for part in self.others if part.corpus in used]


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
        raise UsageError(
            f"--device {device} cannot be used: {str(error).splitlines()[0]}",
            hint="cuda needs a GPU that nvidia-smi lists, and a torch that was built for CUDA; "
            "--device cpu always works.",
        ) from error
    return device


def choose_workers(wanted: int | None, threads: int) -> int:
    """Processes that prepare data: the wanted number, else the cores that the network leaves, up to 8."""
    return wanted if wanted is not None else min(8, max(1, (os.cpu_count() or 1) - threads))


def train_network(
    job: Job,
    plan: SpotterPlan,
    material: Material,
    reporter: Reporter,
    measure: Callable[[SpotterNet], str],
) -> SpotterNet:
    """Fit the network, reporting loss and, now and then, how good it is so far.

    Measuring hears hours of recordings: it may take a tenth of the training, no more.
    """
    real, made = (
        {word: len(clips) for word, clips in zip(material.words, pool, strict=True)}
        for pool in (material.pools.real, material.pools.synthetic)
    )
    reporter.tell(f"real recordings: {real}; synthetic: {made}; held out: {len(material.development)}")

    due_s = 0.0

    def epoch(number: int, loss: float, net: SpotterNet) -> None:
        nonlocal due_s
        started_s = time.monotonic()
        if started_s < due_s:
            return
        net.eval()
        reporter.tell(f"epoch {number}: loss {loss:.3f}, {measure(net)}")
        due_s = time.monotonic() + (1 / MEASURING_SHARE - 1) * (time.monotonic() - started_s)

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
    ingredients: list[Ingredient]

    @property
    def parameters(self) -> int:
        """Weights and biases of the exported network, batch norm folded."""
        convs = [node for node in to_graph(self.net).nodes if isinstance(node, Conv)]
        return sum(conv.weight.size + conv.bias.size for conv in convs)


def write_model(
    folder: Path, trained: Trained, *, kind: Literal["commands", "wake"], description: str
) -> Agreement:
    """Export the bundle to a folder, whose name is the model's."""
    frames, min_snr_db = calibration_frames(trained.plan, trained.material), MIN_SNR_DB
    if trained.plan.spec.features == "waveform":
        # Eight bits cannot hold samples of all levels. Loud ones may saturate: speech survives that
        # (558 of 617 recordings right before and after, 522 where the scale spared them), but the
        # ratio of logits to errors counts it in full.
        frames, min_snr_db = frames[np.abs(frames).max(axis=(1, 2)) < LOUD_SAMPLE], 10.0
    return write_bundle(
        to_graph(trained.net),
        list(frames),
        out_dir=folder,
        name=folder.name,
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


def finish(
    folder: Path, job: Job, trained: Trained, results: Mapping[str, Any], **changes: Any
) -> dict[str, Any]:
    """Put what was measured and what it cost into the manifest, write the card, and return the results."""
    everything = {
        **results,
        "costs": costs(folder, trained.parameters),
        "training": origin(job.device, job.threads, job.minutes, job.epochs, job.seed),
    }
    update_manifest(folder, results=everything, **changes)
    recipe = f"{RECIPE} The effects reach {trained.plan.full_strength:.0%} of their full strength."
    write_card(folder, trained.ingredients, recipe)
    return everything


def bundle_posteriors(folder: Path, recordings: Sequence[Samples]) -> list[NDArray[np.float32]]:
    """Posteriors of the quantized model as it runs live, each recording from a fresh state."""
    scorer = Scorer(Spotter.load(folder))
    found = []
    for samples in recordings:
        scorer.reset()
        found.append(scorer.process(samples))
    return found
