"""Stretches of speech to learn voices from: whose, and how they sound elsewhere."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from edgeaudio.training.distortion import Distorter, mask
from edgeaudio.training.speaker_net import SpeakerBatch
from edgeaudio.training.utterances import FrameStore
from edgeaudio.types import Frames

__all__ = ["TRACTS", "SpeakerBatches", "Voice"]

TRACTS = (0.0, -0.11, 0.11)
"""Logarithms of how much shorter everybody's vocal tract is made: three people out of one, as by playing
recordings slower and faster (Yamamoto et al., Interspeech 2019)."""
_TRACT_WAVERS = 0.015
_FRAMES = (100, 300)
"""A crop's length: 1 to 3 s."""
_FAMILIES = 2
"""Corpora in a batch: rivals are of one's own, so that each needs many."""
_FLATTER = 0.45
"""A corpus is drawn by its number of people to the power of this."""
_BABBLE = 0.15


@dataclass(frozen=True)
class Voice:
    """One person: number of the corpus, and of the recordings in the store."""

    family: int
    recordings: NDArray[np.int64]


class SpeakerBatches:
    """Endless batches; ``strength`` (0 to 1) of the distortions and ``margin`` can be set while workers run.

    Parameters
    ----------
    voices : sequence of Voice
    store : FrameStore
    distorter : Distorter
    batch_size, stride : int
    fill : float
        Feature value of hidden bands and times: the mean.
    seed, workers : int
    """

    def __init__(
        self,
        voices: Sequence[Voice],
        store: FrameStore,
        distorter: Distorter,
        *,
        batch_size: int,
        stride: int,
        fill: float,
        seed: int,
        workers: int = 0,
    ) -> None:
        self._course = multiprocessing.Array("d", 2)
        self._items = _Items(voices, store, distorter, batch_size, stride, fill, (seed,), self._course)
        self._workers = workers

    def set_course(self, strength: float, margin: float) -> None:
        """Set how much is distorted, and what part of the margin is asked for."""
        self._course[0], self._course[1] = strength, margin

    def begin(self, place: int) -> Iterator[SpeakerBatch]:
        """Begin with other draws for every ``place``, so that a resumed training hears new ones."""
        items = replace(self._items, seed=(*self._items.seed, place))
        for tensors in DataLoader(
            items, batch_size=None, num_workers=self._workers, prefetch_factor=4 if self._workers else None
        ):
            yield SpeakerBatch(*tensors)

    @property
    def families(self) -> list[int]:
        """The corpus of each voice."""
        return [voice.family for voice in self._items.voices]

    def stretches(self, voice: int, n: int, count: int, rng: np.random.Generator) -> list[Frames]:
        """Return ``count`` crops of ``n`` frames of one of the voices, distorted as the course has it."""
        return [self._items.heard(self._items.voices[voice], 0, n, rng) for _ in range(count)]


@dataclass(frozen=True)
class _Items(IterableDataset[list[torch.Tensor]]):
    voices: Sequence[Voice]
    store: FrameStore
    distorter: Distorter
    batch_size: int
    stride: int
    fill: float
    seed: tuple[int, ...]
    course: Any

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([*self.seed, info.id if info else 0])
        if info:
            torch.set_num_threads(1)
        families = [np.array(own) for own in self._families()]
        chances = np.power([float(len(own)) for own in families], _FLATTER)
        chances /= chances.sum()
        while True:
            n = int(rng.integers(*_FRAMES)) // self.stride * self.stride
            drawn = rng.choice(len(families), min(_FAMILIES, len(families)), replace=False, p=chances)
            share = self.batch_size // len(drawn)
            # Nobody twice: they would be their own rivals.
            chosen = [
                rng.choice(own, min(share, len(own)), replace=False) for own in (families[i] for i in drawn)
            ]
            people = [self.voices[i] for i in np.concatenate(chosen)]
            tracts = rng.integers(len(TRACTS), size=len(people))
            pairs = [self._pair(voice, tract, n, rng) for voice, tract in zip(people, tracts, strict=True)]
            frames = np.stack([one[part] for part in (0, 1) for one in pairs])
            family = np.array([voice.family for voice in people])
            yield [torch.from_numpy(frames), torch.from_numpy(family), torch.tensor(float(self.course[1]))]

    def _families(self) -> list[list[int]]:
        """The numbers of the voices of each corpus."""
        own: dict[int, list[int]] = {}
        for i, voice in enumerate(self.voices):
            own.setdefault(voice.family, []).append(i)
        return list(own.values())

    def _pair(self, voice: Voice, tract: int, n: int, rng: np.random.Generator) -> tuple[Frames, Frames]:
        """Two crops of a person, of different recordings where there are several, else of its two halves."""
        order = rng.permutation(voice.recordings)
        if len(order) == 1:
            return self.heard(voice, tract, n, rng, half=0), self.heard(voice, tract, n, rng, half=1)
        half = len(order) // 2
        first, second = replace(voice, recordings=order[:half]), replace(voice, recordings=order[half:])
        return self.heard(first, tract, n, rng), self.heard(second, tract, n, rng)

    def heard(
        self, voice: Voice, tract: int, n: int, rng: np.random.Generator, half: int | None = None
    ) -> Frames:
        """A crop of ``n`` frames of a person, from some microphone in some room."""
        strength = float(self.course[0])
        # A margin of a seventh, since what is played faster becomes shorter.
        crop = self._crop(voice, -(-n * 8 // 7), rng, half)
        babble = crop[:0]
        if rng.random() < _BABBLE * strength:
            babble = self._crop(self.voices[int(rng.integers(len(self.voices)))], n, rng)
        stretch = TRACTS[tract] + rng.uniform(-_TRACT_WAVERS, _TRACT_WAVERS)
        frames = self.distorter(crop, rng, strength, babble, stretch=stretch)[:n].copy()
        if len(frames) < n:
            frames = np.resize(frames, (n, frames.shape[1]))
        if rng.random() < strength:
            mask(frames, rng, 0.5 * strength, self.fill)
        return np.asarray(frames, np.float32)

    def _crop(self, voice: Voice, n: int, rng: np.random.Generator, half: int | None = None) -> Frames:
        """``n`` frames of a person: of as many recordings as it takes; repeated if there is no more."""
        pieces: list[Frames] = []
        missing = n
        for i in rng.permutation(voice.recordings):
            own = self.store[int(i)]
            if half is not None:
                own = own[: len(own) // 2 + 1] if half == 0 else own[len(own) // 2 :]
            first = int(rng.integers(max(1, len(own) - missing + 1)))
            pieces.append(own[first : first + missing])
            missing -= len(pieces[-1])
            if missing <= 0:
                break
        crop: Frames = np.resize(np.concatenate(pieces), (n, pieces[0].shape[1]))
        return crop
