"""Batches of utterances, made in worker processes: drawn by corpus, distorted, padded to one length."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from edgeaudio.training.ctc import CtcBatch
from edgeaudio.training.distortion import Distorter, mask
from edgeaudio.training.utterances import FrameStore, Utterance
from edgeaudio.types import Frames

__all__ = ["CtcBatches", "Pool"]

_JOINED = 0.2
"""Share of short utterances followed by another one after a pause."""
_JOINED_FRAMES = 500
_NOISE_ONLY = 0.05
"""Share of items in which nobody speaks."""
_NOISE_FRAMES = (100, 600)
_SORTED_BATCHES = 6
"""So many batches are drawn at once and sorted by length: little of them is padding then."""
_PREFETCHED = 4


@dataclass(frozen=True)
class Pool:
    """Utterances with their frames; ``weights`` says how often each is drawn in comparison."""

    utterances: Sequence[Utterance]
    store: FrameStore
    """Their frames, in the same order."""
    weights: NDArray[np.float64]

    def chances(self) -> NDArray[np.float64]:
        """Cumulated probabilities of the utterances; what is shorter than a frame is never drawn."""
        weights = np.where(self.store.lengths > 0, self.weights, 0.0)
        return np.asarray(np.cumsum(weights / weights.sum()))


class CtcBatches:
    """Endless batches; ``strength`` (0 to 1) of the distortions can be set while workers run.

    Parameters
    ----------
    pool, distorter
        What is said, and what happens to it on its way.
    batch_frames : int
        Frames in a batch, padding included.
    stride : int
        Input frames per output frame.
    fill : float
        Feature value of hidden bands and times: the mean.
    seed, workers : int
        Equal ones, and an equal course of ``strength``, give equal batches.
    """

    def __init__(
        self,
        pool: Pool,
        distorter: Distorter,
        *,
        batch_frames: int,
        stride: int,
        fill: float,
        seed: int,
        workers: int = 1,
    ) -> None:
        self._strength = multiprocessing.Value("d", 0.0)
        self._items = _Items(pool, distorter, batch_frames, stride, fill, (seed,), self._strength)
        self._workers = workers

    @property
    def strength(self) -> float:
        """Strength of the distortions."""
        return float(self._strength.value)

    @strength.setter
    def strength(self, value: float) -> None:
        self._strength.value = value

    def __iter__(self) -> Iterator[CtcBatch]:
        return self.begin(0)

    def begin(self, place: int) -> Iterator[CtcBatch]:
        """Begin with other draws for every ``place``, so that a resumed training hears new ones."""
        items = replace(self._items, seed=(*self._items.seed, place))
        workers = self._workers
        loader = DataLoader(
            items, batch_size=None, num_workers=workers, prefetch_factor=_PREFETCHED if workers else None
        )
        for tensors in loader:
            yield CtcBatch(*tensors)


_Item = tuple[Frames, NDArray[np.int32]]


@dataclass(frozen=True)
class _Items(IterableDataset[list[torch.Tensor]]):
    pool: Pool
    distorter: Distorter
    batch_frames: int
    stride: int
    fill: float
    seed: tuple[int, ...]
    strength: Any

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([*self.seed, info.id if info else 0])
        if info:
            torch.set_num_threads(1)
        chances = self.pool.chances()
        while True:
            items: list[_Item] = []
            total = 0
            while total < _SORTED_BATCHES * self.batch_frames:
                items.append(self._item(chances, rng))
                total += len(items[-1][0])
            items.sort(key=lambda item: len(item[0]))
            batches = list(self._cut(items))
            for i in rng.permutation(len(batches)):
                yield _padded(batches[i], self.stride)

    def _cut(self, items: list[_Item]) -> Iterator[list[_Item]]:
        """Split items, sorted by length, into batches of at most ``batch_frames``."""
        batch: list[_Item] = []
        for item in items:
            if batch and (len(batch) + 1) * len(item[0]) > self.batch_frames:
                yield batch
                batch = []
            batch.append(item)
        yield batch

    def _item(self, chances: NDArray[np.float64], rng: np.random.Generator) -> _Item:
        strength = float(self.strength.value)
        noises = self.distorter.noises
        if rng.random() < _NOISE_ONLY * strength and noises:
            noise = noises[int(rng.integers(len(noises)))]
            length = int(rng.integers(*_NOISE_FRAMES))
            first = int(rng.integers(max(1, len(noise) - length)))
            return self.distorter(noise[first : first + length], rng, strength), np.zeros(0, np.int32)
        frames, tokens = self._said(chances, rng)
        if rng.random() < _JOINED and len(frames) < _JOINED_FRAMES:
            more, further = self._said(chances, rng)
            # Both at one level, as if one person had said them.
            level = float(np.log(np.exp(frames).mean() / np.exp(more).mean()))
            frames = np.concatenate([frames, _pause(frames, rng, 10, 60), more + level])
            tokens = np.concatenate([tokens, further])
        frames = np.concatenate([_pause(frames, rng, 0, 50), frames, _pause(frames, rng, 30, 70)])
        babble, _ = self._said(chances, rng) if rng.random() < 0.3 * strength else (frames[:0], None)
        frames = self.distorter(frames, rng, strength, babble)
        if strength > 0.0:
            mask(frames, rng, strength, self.fill)
        return frames, tokens

    def _said(self, chances: NDArray[np.float64], rng: np.random.Generator) -> _Item:
        i = min(int(np.searchsorted(chances, rng.random())), len(chances) - 1)
        return self.pool.store[i], self.pool.utterances[i].tokens(rng)


def _pause(frames: Frames, rng: np.random.Generator, least: int, most: int) -> Frames:
    """Between ``least`` and ``most`` frames like the quietest of an utterance."""
    n = int(rng.integers(least, most + 1))
    quiet = np.percentile(frames[:: max(1, len(frames) // 64)], 5, axis=0)
    spread = rng.normal(0.0, 0.7, (n, frames.shape[1]))
    return np.asarray(quiet + spread, np.float32)


def _padded(items: list[_Item], stride: int) -> list[torch.Tensor]:
    """The fields of a :class:`CtcBatch`; each item is followed by its own silence."""
    longest = -(-max(len(frames) for frames, _ in items) // stride) * stride
    frames = np.empty((len(items), longest, items[0][0].shape[1]), np.float32)
    for i, (own, _) in enumerate(items):
        frames[i, : len(own)] = own
        frames[i, len(own) :] = own.min(axis=0)
    return [
        torch.from_numpy(frames),
        torch.tensor([len(own) for own, _ in items]),
        torch.from_numpy(np.concatenate([tokens for _, tokens in items]).astype(np.int64)),
        torch.tensor([len(tokens) for _, tokens in items]),
    ]
