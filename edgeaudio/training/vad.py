"""A VAD: from folders of recordings to a bundle that tells when somebody speaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor

from edgeaudio.errors import UsageError
from edgeaudio.training.augment import Augmenter, Settings
from edgeaudio.training.build import Job, Reporter
from edgeaudio.training.captions import FRONTEND
from edgeaudio.training.corpus import find_manifests, load_clips
from edgeaudio.training.loop import LoopSettings, train
from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.nets2d import BandStage
from edgeaudio.training.place import check_place, place
from edgeaudio.training.precision import mixed
from edgeaudio.training.vad_bundle import finish, score_net, write_model
from edgeaudio.training.vad_material import HeldOut, VadMaterial, gather, held_out
from edgeaudio.training.vad_streams import (
    ActivityBatch,
    ActivityLayout,
    ActivityStreams,
    Recipe,
    activity_batches,
)

__all__ = ["LAYOUT", "NET", "VadJob", "activity_loss", "fit", "train_vad"]

# Mean and scale of a band over streams at all levels: only their order of magnitude matters, the first
# batch norm learns the rest.
_FRONT = (BandStage(8, 5, 5, stride=2, band_stride=2), BandStage(16, 3, 3, band_stride=3))
_BLOCKS = ((5, 1), (5, 2), (5, 4), (5, 8))
NET = NetSpec(FRONTEND.n_bands, 1, ((32, 3, 1),), _BLOCKS, -9.0, 4.0, front=_FRONT)
"""Two small convolutions over time and bands first: they see harmonics wherever they lie."""
DELAY_MS = 60.0
"""So much of what follows a moment is heard before it is judged."""
LAYOUT = ActivityLayout(FRONTEND, n_frames=500, stride=NET.stride, delay_ms=DELAY_MS)
SOUNDING = Settings(
    warp_share=0.0,  # it would move speech away from its labels
    room_share=0.35,
    noise_share=0.8,
    snr_db=(-5.0, 40.0),
    codec_share=0.08,
    peak_db=(-50.0, 0.0),
)
_BATCH_SIZE = 32
_BATCHES_PER_EPOCH = 100
_LEARNING_RATE = 4e-3
_HEARD_WHILE_TRAINING, _SNRS_DB = 20, (10.0, 0.0)


@dataclass(frozen=True)
class VadJob(Job):
    """What the user may choose for a VAD; ``overwrite`` replaces a model that stands where it goes."""

    epochs: int = 40
    overwrite: bool = False


def train_vad(job: VadJob, reporter: Reporter) -> dict[str, Any]:
    """Train a VAD, choose its threshold on development speakers, measure it, and write its bundle.

    Returns
    -------
    dict
        What was measured, as in the bundle's ``results``.

    Raises
    ------
    UsageError
        No data are named, or something stands where the model goes.
    InputError
        A recording cannot be read, there is no speech, or nobody is left to measure on.
    """
    if job.data is None:
        raise UsageError("nothing to learn from", hint="Give --data DIR.")
    check_place(job.output, overwrite=job.overwrite)
    manifests = find_manifests(job.data)
    clips = load_clips(
        manifests,
        job.cache,
        progress=lambda corpus, done, total: reporter.progress(f"decoding {corpus}", done / total),
    )
    material = gather(clips, seed=job.seed, progress=lambda done: reporter.progress("labelling", done))
    hours = sum(talk.clip.seconds for talk in material.talks) / 3600
    reporter.tell(f"{hours:.1f} hours of speech, {len(material.sounds)} sounds to learn from")
    net = fit(job, material, held_out(manifests, "development", count=_HEARD_WHILE_TRAINING), reporter)
    with place(job.output) as folder:
        reporter.progress("measuring", 0.0)
        calibration = next(batches(job, material, workers=0)).frames.numpy()
        agreement = write_model(folder, net.cpu(), list(calibration), material)
        return finish(folder, job, net, material, manifests=manifests, agreement=agreement, reporter=reporter)


def activity_loss(net: SpotterNet, batch: ActivityBatch) -> Tensor:
    """Mean binary cross entropy of the output frames that are asked."""
    with mixed(batch.frames.device):
        logits = net(batch.frames)[..., 0].float()
    losses = F.binary_cross_entropy_with_logits(logits, batch.speech, reduction="none")
    return (losses * batch.weight).sum() / (batch.weight.sum() + 1.0)


def batches(job: Job, material: VadMaterial, *, workers: int) -> Iterator[ActivityBatch]:
    """Endless batches of training streams."""
    streams = ActivityStreams(material.talks, material.sounds, Recipe(), LAYOUT.n_samples)
    augmenter = Augmenter([*material.sounds, *material.babble], material.rooms, SOUNDING)
    return activity_batches(
        streams,
        augmenter,
        LAYOUT,
        batch_size=_BATCH_SIZE,
        seed=job.seed,
        workers=workers,
        fill=NET.input_mean,
    )


def fit(job: Job, material: VadMaterial, development: HeldOut, reporter: Reporter) -> SpotterNet:
    """Train the network, telling now and then how good it is."""
    torch.manual_seed(job.seed)
    net = SpotterNet(NET)
    excerpts = [excerpt for snr_db in _SNRS_DB for excerpt in development.excerpts(snr_db)]

    def epoch(number: int, loss: float) -> None:
        auc = score_net(net, excerpts, DELAY_MS / 2000).auc
        reporter.tell(f"epoch {number}: loss {loss:.3f}, area under the curve at 10 and 0 dB {auc:.3f}")

    settings = LoopSettings(
        job.minutes,
        job.epochs,
        batches_per_epoch=_BATCHES_PER_EPOCH,
        learning_rate=_LEARNING_RATE,
        threads=job.threads,
        device=job.device,
    )
    return train(
        net,
        batches(job, material, workers=job.workers),
        settings,
        job.checkpoint,
        loss_of=activity_loss,
        resume=job.resume,
        on_progress=lambda done: reporter.progress("training", done),
        on_epoch=epoch,
    )
