"""From streams to batches of feature frames, in worker processes; features are the runtime's own."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from edgeaudio.dsp.mel import hz_to_mel, mel_to_hz
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.training.augment import Augmenter
from edgeaudio.training.loop import Batch
from edgeaudio.training.streams import StreamMaker, frame_targets, hint_targets
from edgeaudio.types import Frames, Samples

__all__ = ["BatchSource", "Layout", "mask_features", "offline_frames"]

REUSED = 0.5
"""Share of streams taken once more from the latest ones: making one costs twice what learning does."""
KEPT_STREAMS = 1024

WARP_SHARE, WARP_PERCENT = 0.4, 10

_Stream: TypeAlias = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Layout:
    """How a stream of samples becomes frames and output frames.

    ``n_frames`` is a multiple of ``stride``.
    """

    spec: FrontendSpec
    n_frames: int
    stride: int
    n_hints: int = 0
    hint_samples: int = 0
    """From one hint to the next, if there are any: a multiple of an output frame."""

    @property
    def n_samples(self) -> int:
        """Samples that make exactly ``n_frames`` frames."""
        return int(self.frame_ends()[-1])

    def frame_ends(self) -> NDArray[np.int64]:
        """``[n_frames]``: the sample after the newest one of each frame."""
        starts: NDArray[np.int64] = np.arange(self.n_frames, dtype=np.int64) * self.spec.hop_samples
        return np.asarray(starts + self.spec.window_samples, np.int64)

    def newest(self) -> NDArray[np.int64]:
        """``[n_frames / stride]``: the newest sample behind each output frame."""
        return self.frame_ends()[self.stride - 1 :: self.stride] - 1

    def hinted(self) -> NDArray[np.int64]:
        """The same of those output frames that are compared with hints."""
        if not self.n_hints:
            return self.newest()[:0]
        every = self.hint_samples // (self.spec.hop_samples * self.stride)
        return self.newest()[every - 1 :: every]


def offline_frames(frontend: Frontend, samples: Samples) -> Frames:
    """All frames of a recording, as a fresh frontend makes them; an array of the caller's own."""
    frontend.reset()
    frames: Frames = frontend.process(samples).copy()
    return frames


def mask_features(frames: Frames, rng: np.random.Generator, strength: float, fill: float) -> None:
    """Hide a stretch of bands and a stretch of time, in place (SpecAugment, Park et al. 2019)."""
    n_frames, n_bands = frames.shape
    if rng.random() < 0.5 * strength:
        width = int(rng.integers(1, n_bands // 6 + 1))
        first = int(rng.integers(n_bands - width))
        frames[:, first : first + width] = fill
    if rng.random() < 0.3 * strength:
        width = int(rng.integers(1, 10))
        first = int(rng.integers(n_frames - width))
        frames[first : first + width] = fill


@lru_cache(maxsize=64)
def _warping(spec: FrontendSpec, steps: int) -> NDArray[np.float32]:
    """``[n_bands, n_bands]``: frames times this are those of a vocal tract ``steps`` percent shorter."""
    low_mel, high_mel = hz_to_mel(np.array([spec.fmin_hz, spec.fmax_hz]), spec.mel_scale)
    centres_hz = mel_to_hz(np.linspace(low_mel, high_mel, spec.n_mels + 2)[1:-1], spec.mel_scale)
    source = np.interp(centres_hz / (1.0 + steps / 100), centres_hz, np.arange(spec.n_mels))
    low = np.minimum(source.astype(int), spec.n_mels - 2)
    matrix = np.zeros((spec.n_mels, spec.n_mels), np.float32)
    columns = np.arange(spec.n_mels)
    matrix[low, columns] = 1.0 - (source - low)
    matrix[low + 1, columns] = source - low
    return matrix


def warp_tract(frames: Frames, spec: FrontendSpec, rng: np.random.Generator, strength: float) -> Frames:
    """Speak with another vocal tract: formants move, tempo and pitch stay (Jaitly and Hinton 2013).

    Log-mel ``[n_frames, n_bands]``; a new array, or ``frames`` themselves if the draw says so.
    """
    if rng.random() >= WARP_SHARE * strength or spec.features != "log_mel":
        return frames
    steps = round(float(rng.uniform(-WARP_PERCENT, WARP_PERCENT)))
    warped: Frames = np.matmul(frames, _warping(spec, steps))
    return warped


class BatchSource:
    """Endless batches; ``strength`` (0 to 1, settable while workers run) grows with the training.

    Parameters
    ----------
    maker, augmenter, layout
        What is said, how it sounds, and how it is cut into frames.
    batch_size : int
    seed : int
        Together with the worker's number determines every stream.
    workers : int
        Processes; 0 makes batches in the calling one.
    fill : float
        Feature value for hidden bands and times: the mean.
    """

    def __init__(
        self,
        maker: StreamMaker,
        augmenter: Augmenter,
        layout: Layout,
        *,
        batch_size: int,
        seed: int,
        workers: int = 1,
        fill: float = 0.0,
    ) -> None:
        self._strength = multiprocessing.Value("d", 0.0)
        streams = _Streams(maker, augmenter, layout, batch_size, seed, fill, self._strength)
        self._loader = DataLoader(
            streams,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_leave_interruptions,
        )

    @property
    def strength(self) -> float:
        """Strength of the augmentation."""
        return float(self._strength.value)

    @strength.setter
    def strength(self, value: float) -> None:
        self._strength.value = value

    def __iter__(self) -> Iterator[Batch]:
        for tensors in self._loader:
            yield Batch(*tensors)


def _leave_interruptions(worker: int) -> None:
    """Ctrl-C is for the process that asked for batches: it ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True)
class _Streams(IterableDataset[list[torch.Tensor]]):
    maker: StreamMaker
    augmenter: Augmenter
    layout: Layout
    batch_size: int
    seed: int
    fill: float
    strength: Any

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        frontend = Frontend(self.layout.spec)
        torch.set_num_threads(1)
        kept: list[_Stream] = []
        while True:
            streams = []
            for _ in range(self.batch_size):
                if len(kept) == KEPT_STREAMS and rng.random() < REUSED:
                    stream = kept[int(rng.integers(KEPT_STREAMS))]
                else:
                    stream = self._stream(frontend, rng)
                    kept.append(stream)
                    if len(kept) > KEPT_STREAMS:
                        kept.pop(int(rng.integers(KEPT_STREAMS)))
                streams.append((self._masked(stream[0], rng), *stream[1:]))
            yield [torch.from_numpy(np.stack(column)) for column in zip(*streams, strict=True)]

    def _masked(self, frames: Frames, rng: np.random.Generator) -> Frames:
        if self.layout.spec.features == "waveform":
            return frames
        strength, settings = float(self.strength.value), self.augmenter.settings
        warped = warp_tract(frames, self.layout.spec, rng, strength * settings.tract_share)
        masked: Frames = warped.copy()
        mask_features(masked, rng, strength * settings.mask_share, self.fill)
        return masked

    def _stream(self, frontend: Frontend, rng: np.random.Generator) -> _Stream:
        layout, strength = self.layout, float(self.strength.value)
        samples, spoken = self.maker(rng)
        self.augmenter.strength = strength
        frames = offline_frames(frontend, self.augmenter(samples, rng))
        targets = frame_targets(spoken, layout.newest(), len(self.maker.pools.real), layout.n_samples)
        hints, hinted = hint_targets(spoken, layout.hinted(), layout.n_hints)
        return frames, targets.label, targets.weight, targets.said, targets.judged, hints, hinted
