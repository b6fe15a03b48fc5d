"""The speaker model: recordings of many people in, a network that tells voices apart out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from edgeaudio.tasks.speaker import spectrum
from edgeaudio.training.build import Reporter
from edgeaudio.training.captions import FRONTEND, band_middles_hz
from edgeaudio.training.distortion import Distorter
from edgeaudio.training.loop import LoopSettings, train
from edgeaudio.training.nets import NetSpec
from edgeaudio.training.speaker_batches import SpeakerBatches, Voice
from edgeaudio.training.speaker_data import Family, People, SpeakerJob
from edgeaudio.training.speaker_net import EMBEDDING, SpeakerBatch, SpeakerNet, pair_loss
from edgeaudio.training.speaker_space import directions
from edgeaudio.training.utterances import FrameStore
from edgeaudio.types import Frames

__all__ = ["FRONTEND", "LABELS", "fit", "material", "network"]

LABELS = ("voice",)
"""How much a frame tells about who speaks."""
LEARNING_RATE = 3e-3
BATCH = 48
"""People in a batch, each of whom is heard twice."""
_LEAST_NOISE_FRAMES = 50
_LEAST_NOISE_POWER = 1e-5
_FIRST_PEOPLE, _FIRST_STRETCHES, _FIRST_FRAMES = 1000, 5, 288


def network(width: int) -> NetSpec:
    """Two strided layers to 40 ms, then six that see 1.1 s: at width 112 a third of a million parameters."""
    blocks = ((3, 1), (3, 2), (3, 3))
    return NetSpec(FRONTEND.n_bands, len(LABELS), ((width, 5, 2), (width, 5, 2)), blocks, -4.0, 4.0)


def material(
    job: SpeakerJob, people: People, reporter: Reporter, *, workers: int | None = None
) -> SpeakerBatches:
    """Batches of a job; frames are computed first, or mapped from an earlier run."""

    def computed(done: float) -> None:
        reporter.progress("frames", done)

    rows = [row for family in people.training for own in family.people.values() for row in own]
    store = FrameStore(rows, FRONTEND, job.cache, computed)
    quiet = FrameStore(people.noises, FRONTEND, job.cache, computed)
    noises = [frames for frames in map(quiet.__getitem__, range(len(quiet))) if _is_audible(frames)]
    voices = _voices(people.training, store)
    spec = network(job.width)
    return SpeakerBatches(
        voices,
        store,
        Distorter(noises, band_middles_hz(FRONTEND), FRONTEND.log_floor),
        batch_size=BATCH,
        stride=spec.stride,
        fill=spec.input_mean,
        seed=job.seed,
        workers=job.workers if workers is None else workers,
    )


def _is_audible(frames: Frames) -> bool:
    return (
        len(frames) >= _LEAST_NOISE_FRAMES and float(np.exp(frames).sum(axis=1).mean()) > _LEAST_NOISE_POWER
    )


def _voices(families: Sequence[Family], store: FrameStore) -> list[Voice]:
    """Everybody of whom something can be heard, in the order of the store."""
    voices, first = [], 0
    for number, family in enumerate(families):
        for own in family.people.values():
            at = np.arange(first, first + len(own))
            first += len(own)
            at = at[store.lengths[at] > 0]
            if len(at):
                voices.append(Voice(number, at))
    return voices


class _Feed:
    """Batches whose distortions and margin grow with the training."""

    FULL_AT, FULL, MARGIN_FROM, MARGIN_AT = 0.4, 0.5, 0.3, 0.6

    def __init__(self, source: SpeakerBatches) -> None:
        self._source = source
        self._batches: Iterator[SpeakerBatch] | None = None
        self._done = 0.0
        self.progress(0.0)

    def __iter__(self) -> Iterator[SpeakerBatch]:
        return self

    def __next__(self) -> SpeakerBatch:
        if self._batches is None:
            self._batches = self._source.begin(round(self._done * 1e6))
        return next(self._batches)

    def progress(self, done: float) -> None:
        self._done = done
        margin = (done - self.MARGIN_FROM) / (self.MARGIN_AT - self.MARGIN_FROM)
        self._source.set_course(self.FULL * min(1.0, 0.2 + done / self.FULL_AT), min(1.0, max(0.0, margin)))


def fit(job: SpeakerJob, people: People, reporter: Reporter) -> SpeakerNet:
    """Train the network, telling after every epoch how well it knows those it learns from."""
    torch.manual_seed(job.seed)
    source = material(job, people, reporter)
    feed = _Feed(source)
    net = SpeakerNet(network(job.width))
    if not job.resume:
        _begin(net, source, reporter)

    def progressed(done: float) -> None:
        feed.progress(done)
        reporter.progress("training", done)

    def epoch(number: int, loss: float) -> None:
        reporter.tell(f"epoch {number}: loss {loss:.3f}")

    settings = LoopSettings(
        minutes=job.minutes,
        epochs=job.epochs,
        learning_rate=LEARNING_RATE,
        weight_decay=0.02,
        threads=job.threads,
        device=job.device,
    )
    return train(
        net, feed, settings, job.checkpoint,
        loss_of=pair_loss, resume=job.resume, on_progress=progressed, on_epoch=epoch,
    )  # fmt: skip


def _begin(net: SpeakerNet, source: SpeakerBatches, reporter: Reporter) -> None:
    """Start from what the frames' own statistics tell of people, by linear discriminant analysis."""
    rng = np.random.default_rng(0)
    source.set_course(_Feed.FULL, 0.0)
    chosen = rng.permutation(len(source.families))[:_FIRST_PEOPLE].tolist()
    stretches = []
    for done, person in enumerate(chosen):
        crops = source.stretches(person, _FIRST_FRAMES, _FIRST_STRETCHES, rng)
        stretches.append([spectrum(crop) for crop in crops])
        reporter.progress("first directions", done / len(chosen))
    turned, between = directions(stretches, [source.families[person] for person in chosen])
    # The norm before the projection divides by what varies.
    deviation = np.concatenate([np.stack(own) for own in stretches]).std(axis=0)
    # What tells little between people counts little in a cosine.
    strength = np.sqrt(between / (1.0 + between))[:, None]
    net.begin_with(torch.from_numpy(np.float32(strength * turned * deviation)[:EMBEDDING]))
