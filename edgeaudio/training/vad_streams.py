"""Training streams for a VAD: utterances, pauses and other sounds, and when somebody speaks in them."""

from __future__ import annotations

import math
import signal
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from edgeaudio.evaluation.speech import FRAME_SAMPLES, OTHER_FRAME, SPEECH_FRAME, UNJUDGED
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.training.augment import Augmenter
from edgeaudio.training.batches import mask_features, offline_frames, warp_tract
from edgeaudio.training.corpus import Clip
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

REUSED = 0.8
"""Share of streams taken once more from the latest ones, at another level, of another vocal tract."""
KEPT_STREAMS = 2048
_NEPER_PER_DB = math.log(10.0) / 10.0
_LOUDER_DB = (-20.0, 20.0)

__all__ = ["ActivityBatch", "ActivityLayout", "ActivityStreams", "Recipe", "Talk", "activity_batches"]

Labels: TypeAlias = NDArray[np.int8]
_Row: TypeAlias = tuple[NDArray[np.float32], ...]

_FADE_SAMPLES = SAMPLE_RATE_HZ // 100
_SPEECH_RMS = 0.05


@dataclass(frozen=True)
class Talk:
    """A recording of speech and its labels, one for every 10 ms."""

    clip: Clip
    labels: Labels


@dataclass(frozen=True)
class Recipe:
    """How streams are put together.

    ``empty`` is the share of streams in which nobody speaks; ``sounds`` the mean number of other sounds
    laid into a stream, ``sounds_db`` their level against the speech; ``pause_s`` the range of pauses,
    short ones being likelier; ``hiss_db`` the level of the hiss below the speech that every stream has.
    """

    empty: float = 0.14
    sounds: float = 0.8
    sounds_db: tuple[float, float] = (-20.0, 8.0)
    pause_s: tuple[float, float] = (0.15, 3.0)
    piece_s: tuple[float, float] = (0.6, 5.0)
    hiss_db: tuple[float, float] = (35.0, 75.0)


class ActivityStreams:
    """Draws streams: ``streams(rng) -> samples [n], labels [n // 160]``, no noise yet but single sounds.

    Parameters
    ----------
    talks : sequence of Talk
        Corpora are drawn by the square root of their length, so that a large one is not all there is.
    sounds : sequence of arrays
        What is laid in besides; any length and level.
    """

    def __init__(
        self, talks: Sequence[Talk], sounds: Sequence[Samples], recipe: Recipe, n_samples: int
    ) -> None:
        self.recipe, self.n_samples = recipe, n_samples
        self._sounds = sounds
        groups: dict[str, list[Talk]] = defaultdict(list)
        for talk in talks:
            groups[talk.clip.corpus].append(talk)
        self._groups = list(groups.values())
        roots = np.array([np.sqrt(sum(talk.clip.seconds for talk in group)) for group in self._groups])
        self._shares = roots / roots.sum()

    def __call__(self, rng: np.random.Generator) -> tuple[Samples, Labels]:
        """One stream with speech around -26 dBFS."""
        stream = np.zeros(self.n_samples, np.float32)
        labels = np.full(self.n_samples // FRAME_SAMPLES, OTHER_FRAME, np.int8)
        if rng.random() >= self.recipe.empty:
            self._speak(stream, labels, rng)
        for _ in range(int(rng.poisson(self.recipe.sounds)) if len(self._sounds) else 0):
            self._sound(stream, rng)
        hiss_db = rng.uniform(*self.recipe.hiss_db)
        stream += rng.standard_normal(self.n_samples, np.float32) * np.float32(
            _SPEECH_RMS * 10 ** (-hiss_db / 20)
        )
        return stream, labels

    def _speak(self, stream: Samples, labels: Labels, rng: np.random.Generator) -> None:
        # A stream may begin in a pause, or while somebody speaks.
        at = 0 if rng.random() < 0.3 else self._pause(rng)
        level = 10.0 ** rng.uniform(-0.2, 0.2)
        while at < self.n_samples:
            group = self._groups[int(rng.choice(len(self._groups), p=self._shares))]
            talk = group[int(rng.integers(len(group)))]
            samples, spoken = self._piece(talk, rng)
            n = min(len(samples), self.n_samples - at)
            stream[at : at + n] += samples[:n] * np.float32(level * 10.0 ** rng.uniform(-0.5, 0.2))
            first = at // FRAME_SAMPLES
            labels[first : first + len(spoken)] = spoken[: len(labels) - first]
            at += len(samples) + self._pause(rng)

    def _piece(self, talk: Talk, rng: np.random.Generator) -> tuple[Samples, Labels]:
        """Some seconds of a recording, its speech at -26 dBFS, with faded ends."""
        wanted = int(rng.uniform(*self.recipe.piece_s) * SAMPLE_RATE_HZ) // FRAME_SAMPLES
        n = min(len(talk.labels), wanted)
        first = int(rng.integers(len(talk.labels) - n + 1))
        labels = talk.labels[first : first + n]
        samples = talk.clip.pcm[first * FRAME_SAMPLES : (first + n) * FRAME_SAMPLES].astype(np.float32)
        spoken = np.repeat(labels == SPEECH_FRAME, FRAME_SAMPLES)
        loud = samples[spoken] if spoken.any() else samples
        samples *= np.float32(_SPEECH_RMS / (float(np.sqrt(np.mean(np.square(loud)))) + 1.0))
        return _faded(samples), labels

    def _sound(self, stream: Samples, rng: np.random.Generator) -> None:
        sound = self._sounds[int(rng.integers(len(self._sounds)))]
        n = min(len(sound), int(rng.uniform(0.3, 5.0) * SAMPLE_RATE_HZ))
        first = int(rng.integers(len(sound) - n + 1))
        piece = _faded(sound[first : first + n])
        rms = float(np.sqrt(np.mean(np.square(piece)))) + 1e-6
        at = int(rng.integers(self.n_samples))
        n = min(n, self.n_samples - at)
        level = _SPEECH_RMS * 10 ** (rng.uniform(*self.recipe.sounds_db) / 20)
        stream[at : at + n] += piece[:n] * np.float32(level / rms)

    def _pause(self, rng: np.random.Generator) -> int:
        """Samples to the next utterance, in whole labels."""
        shortest, longest = self.recipe.pause_s
        seconds = float(np.exp(rng.uniform(np.log(shortest), np.log(longest))))
        return int(seconds * SAMPLE_RATE_HZ) // FRAME_SAMPLES * FRAME_SAMPLES


def _faded(samples: Samples) -> Samples:
    n = min(_FADE_SAMPLES, len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, n, dtype=np.float32)
    samples = samples.copy()
    samples[:n] *= ramp
    samples[len(samples) - n :] *= ramp[::-1]
    return samples


@dataclass(frozen=True)
class ActivityLayout:
    """How a stream becomes frames, and which moment each output frame is asked about.

    An output frame is asked about the moment ``delay_ms`` before its newest sample: so much of what comes
    after it the network hears.
    """

    spec: FrontendSpec
    n_frames: int
    stride: int
    delay_ms: float

    @property
    def n_samples(self) -> int:
        """Samples that make exactly ``n_frames`` frames."""
        return (self.n_frames - 1) * self.spec.hop_samples + self.spec.window_samples

    def asked(self) -> NDArray[np.int64]:
        """``[n_frames / stride]``: the sample each output frame is asked about; some lie before the first."""
        last = np.arange(self.stride - 1, self.n_frames, self.stride, dtype=np.int64)
        newest = last * self.spec.hop_samples + self.spec.window_samples - 1
        return np.asarray(newest - round(self.delay_ms * SAMPLE_RATE_HZ / 1000), np.int64)

    def targets(self, labels: Labels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Speech (1) or not (0), and weight (0: not asked), of each output frame."""
        asked = self.asked() // FRAME_SAMPLES
        answer = np.where(asked >= 0, labels[np.clip(asked, 0, len(labels) - 1)], UNJUDGED)
        return (answer == SPEECH_FRAME).astype(np.float32), (answer != UNJUDGED).astype(np.float32)


@dataclass(frozen=True)
class ActivityBatch:
    """``frames`` ``[b, n, n_bands]``; ``speech`` and ``weight`` ``[b, n / stride]``."""

    frames: Tensor
    speech: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> ActivityBatch:
        """The same batch on another device."""
        return ActivityBatch(*(getattr(self, part.name).to(device) for part in fields(self)))


def activity_batches(
    streams: ActivityStreams,
    augmenter: Augmenter,
    layout: ActivityLayout,
    *,
    batch_size: int,
    seed: int,
    workers: int,
    fill: float,
) -> Iterator[ActivityBatch]:
    """Endless batches, made in ``workers`` processes or, with 0, in this one.

    ``fill`` is the feature value of hidden bands and times.
    """
    dataset = _Batches(streams, augmenter, layout, batch_size, seed, fill)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_interruptions,
    )
    for tensors in loader:
        yield ActivityBatch(*tensors)


def _leave_interruptions(worker: int) -> None:
    """Ctrl-C is for the process that asked for batches: it ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True)
class _Batches(IterableDataset[list[Tensor]]):
    streams: ActivityStreams
    augmenter: Augmenter
    layout: ActivityLayout
    batch_size: int
    seed: int
    fill: float

    def __iter__(self) -> Iterator[list[Tensor]]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        frontend = Frontend(self.layout.spec)
        torch.set_num_threads(1)
        kept: list[_Row] = []
        while True:
            rows = []
            for _ in range(self.batch_size):
                if len(kept) == KEPT_STREAMS and rng.random() < REUSED:
                    row = kept[int(rng.integers(KEPT_STREAMS))]
                else:
                    row = self._row(frontend, rng)
                    kept.append(row)
                    if len(kept) > KEPT_STREAMS:
                        kept.pop(int(rng.integers(KEPT_STREAMS)))
                rows.append((self._varied(row[0], rng), *row[1:]))
            yield [torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)]

    def _row(self, frontend: Frontend, rng: np.random.Generator) -> _Row:
        samples, labels = self.streams(rng)
        frames = offline_frames(frontend, self.augmenter(samples, rng))
        return frames, *self.layout.targets(labels)

    def _varied(self, frames: Frames, rng: np.random.Generator) -> Frames:
        """Of another vocal tract and at another level, with bands and moments hidden."""
        spec = self.layout.spec
        varied: Frames = warp_tract(frames, spec, rng, 1.0) + np.float32(
            rng.uniform(*_LOUDER_DB) * _NEPER_PER_DB
        )
        np.clip(varied, math.log(spec.log_floor), None, out=varied)
        mask_features(varied, rng, 0.5, self.fill)
        return varied
