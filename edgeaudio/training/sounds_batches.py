"""Examples for a network of sounds: one sound or two, somewhere, at some level, in some noise.

Everything is drawn in the domain of log powers, where level is a sum, a microphone's colour another, and
sounds together are the sum of their powers (exact on average, as phases are independent). An example
says for every output frame which sounds are on, and for the whole which it is mainly of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeaudio.training.sounds_corpus import BACKGROUND, SILENCE, SPEECH
from edgeaudio.training.sounds_frames import Ear, Take, Takes, level_db
from edgeaudio.types import Frames

__all__ = ["Example", "Mixer", "Mixture", "SoundBatch", "batches"]

_NEPER_PER_DB = np.float32(np.log(10.0) / 10.0)
_BLANK_DB = -5.0
"""About -53 dBFS: where no sound is on and it is no louder than that, it is silent."""
_STEADY = 0.9
"""Of a recording: what sounds for longer than that may begin anywhere, and goes on."""
_MARGIN = 20


@dataclass(frozen=True)
class Mixture:
    """What examples are made of: shares of the first sound, and how much happens to it.

    ``second`` is the share of examples with a second sound, ``second_db`` its level against the first.
    The rest of the shares is nothing but noise.
    """

    sound: float = 0.72
    speech: float = 0.12
    background: float = 0.1
    second: float = 0.5
    second_db: tuple[float, float] = (-12.0, 6.0)
    noise: float = 0.35
    snr_db: tuple[float, float] = (6.0, 40.0)
    gain_db: tuple[float, float] = (-25.0, 5.0)
    colour_db: float = 2.5
    masked: float = 0.9
    measured: float = 0.75
    """Least share of those that accuracy is measured on among a sound's recordings, if it has others."""


@dataclass(frozen=True)
class Example:
    """``frames [n, n_bands]``, ``on [n_out, n_labels]``, and ``share [n_labels]`` of the whole."""

    frames: Frames
    on: NDArray[np.float32]
    share: NDArray[np.float32]


@dataclass(frozen=True)
class SoundBatch:
    """Examples, as tensors with one more axis in front."""

    frames: Tensor
    on: Tensor
    share: Tensor

    def to(self, device: torch.device) -> SoundBatch:
        """The same batch on another device."""
        return SoundBatch(self.frames.to(device), self.on.to(device), self.share.to(device))


class Mixer:
    """Draws examples of ``n_frames`` frames: ``mixer(rng) -> Example``.

    Parameters
    ----------
    recordings : sequence of Takes
        To learn from: those of the folds that are not held out.
    labels : sequence of str
        Of the network; silence is among them.
    ear : Ear
        What the frames were heard with.
    n_frames, stride : int
        Length of an example, and input frames an output frame.
    fill : float
        Value of hidden bands and moments.
    """

    def __init__(
        self,
        recordings: Sequence[Takes],
        labels: Sequence[str],
        ear: Ear,
        *,
        n_frames: int,
        stride: int,
        fill: float,
        measured: frozenset[tuple[str, str]],
        mixture: Mixture | None = None,
    ) -> None:
        self._labels, self._ear = {label: i for i, label in enumerate(labels)}, ear
        self._n, self._stride, self._fill = n_frames, stride, fill
        self.mixture = mixture or Mixture()
        self._pools: dict[str, tuple[list[Takes], list[Takes]]] = {}
        for heard in recordings:
            first = (heard.clip.corpus, heard.clip.key) in measured
            self._pools.setdefault(heard.clip.label, ([], []))[0 if first else 1].append(heard)
        self._sounds = [label for label in labels if label not in {SPEECH, SILENCE} and label in self._pools]

    def __call__(self, rng: np.random.Generator) -> Example:
        """Draw one."""
        mixture = self.mixture
        power = np.zeros((self._n, len(self._ear.positions)), np.float32)
        on = np.zeros((self._n, len(self._labels)), np.float32)
        share = np.zeros(len(self._labels), np.float32)
        level = rng.uniform(-10.0, 10.0)
        names = self._names(rng)
        for place, name in enumerate(names):
            frames, active = self._laid(name, rng)
            frames += self._colour(rng)
            loudest = _loudest(frames, active)
            apart_db = 0.0
            if place == 0:
                level = loudest
            else:
                apart_db = rng.uniform(*mixture.second_db)
                frames += np.float32(level + apart_db - loudest) * _NEPER_PER_DB
            power += np.exp(frames)
            if name != BACKGROUND:
                i = self._labels[name]
                np.maximum(on[:, i], active, out=on[:, i])
                share[i] = max(share[i], 10.0 ** (min(apart_db, 0.0) / 20.0))
        if not names or rng.random() < mixture.noise:
            power += self._noise(level, rng, alone=not names)
        low, high = mixture.gain_db
        gain_db = rng.uniform(low, high) if names else rng.uniform(2.0 * low, 0.0)
        frames = np.log(power * np.float32(10.0 ** (gain_db / 10.0)) + np.float32(self._ear.floor))
        on[:, self._labels[SILENCE]] = (on.max(1) == 0.0) & (level_db(frames) < _BLANK_DB)
        if rng.random() < mixture.masked:
            self._hide(frames, rng)
        return Example(frames, on[self._stride - 1 :: self._stride], share)

    def _names(self, rng: np.random.Generator) -> list[str]:
        """Labels of what sounds; none for noise alone."""
        mixture, draw = self.mixture, rng.random()
        first = self._either(rng, mixture.sound, mixture.speech, mixture.background, draw)
        if first is None:
            return []
        if rng.random() >= mixture.second:
            return [first]
        second = self._either(rng, 0.75, 0.13, 0.12, rng.random())
        return [first] if second is None else [first, second]

    def _either(
        self, rng: np.random.Generator, sound: float, speech: float, background: float, draw: float
    ) -> str | None:
        name: str | None = None
        if draw < sound:
            name = self._sounds[int(rng.integers(len(self._sounds)))]
        elif draw < sound + speech:
            name = SPEECH
        elif draw < sound + speech + background:
            name = BACKGROUND
        # Without recordings of speech or background it is a sound instead.
        if name is not None and name not in self._pools:
            name = self._sounds[int(rng.integers(len(self._sounds)))]
        return name

    def _take(self, name: str, rng: np.random.Generator) -> Take:
        first, others = self._pools[name]
        # Two recordings from elsewhere are not heard as often as thirty.
        share = max(self.mixture.measured, len(first) / (len(first) + len(others))) if first else 0.0
        pool = first if rng.random() < share else others
        takes = pool[int(rng.integers(len(pool)))].takes
        return takes[int(rng.integers(len(takes)))]

    def _laid(self, name: str, rng: np.random.Generator) -> tuple[Frames, NDArray[np.bool_]]:
        """A take of the sound at a random place, some of it at least within the example."""
        take, n = self._take(name, rng), self._n
        length = len(take.frames)
        if take.active.mean() > _STEADY and rng.random() < 0.8:
            at = np.arange(n) + int(rng.integers(length))
            return take.frames[at % length].astype(np.float32), take.active[at % length]
        audible = np.flatnonzero(take.active)
        moment = int(audible[rng.integers(len(audible))]) if len(audible) else 0
        start = int(rng.integers(_MARGIN, n - _MARGIN)) - moment
        frames = np.full((n, take.frames.shape[1]), np.log(self._ear.floor), np.float32)
        active = np.zeros(n, np.bool_)
        low, high = max(start, 0), min(start + length, n)
        frames[low:high] = take.frames[low - start : high - start]
        active[low:high] = take.active[low - start : high - start]
        return frames, active

    def _colour(self, rng: np.random.Generator) -> Frames:
        """A smooth curve over the bands, as of another microphone."""
        orders = np.arange(1.0, 6.0)[:, None]
        waves = np.cos(orders * np.pi * self._ear.positions + rng.uniform(0.0, 2 * np.pi, (5, 1))) / orders
        curve: Frames = rng.normal(0.0, self.mixture.colour_db * _NEPER_PER_DB, 5) @ waves
        return curve.astype(np.float32)

    def _noise(self, loudest: float, rng: np.random.Generator, *, alone: bool) -> Frames:
        """Powers of noise: recorded, or made, steady and of some colour."""
        if BACKGROUND in self._pools and not alone and rng.random() < 0.6:
            take = self._take(BACKGROUND, rng)
            at = np.arange(self._n) + int(rng.integers(len(take.frames)))
            frames = take.frames[at % len(take.frames)].astype(np.float32)
        else:
            slope = np.float32(rng.uniform(-5.0, 1.6)) * self._ear.positions
            frames = np.log(rng.gamma(3.0, 1 / 3.0, (self._n, len(slope)))).astype(np.float32) + slope
        apart_db = 0.0 if alone else rng.uniform(*self.mixture.snr_db)
        scale = np.float32(loudest - apart_db - _loudest(frames, None)) * _NEPER_PER_DB
        power: Frames = np.exp(frames + scale)
        return power

    def _hide(self, frames: Frames, rng: np.random.Generator) -> None:
        """Hide two stretches of bands and two of time, in place (SpecAugment, Park et al. 2019)."""
        positions = self._ear.positions
        for _ in range(2):
            low, width = rng.uniform(0.0, 1.0), rng.uniform(0.0, 0.17)
            frames[:, (positions >= low) & (positions < low + width)] = self._fill
        for _ in range(2):
            width = int(rng.integers(0, max(1, self._n // 13)))
            first = int(rng.integers(0, self._n - width + 1))
            frames[first : first + width] = self._fill


def batches(mixer: Mixer, *, size: int, seed: int) -> Iterator[SoundBatch]:
    """Endless batches."""
    rng = np.random.default_rng(seed)
    while True:
        examples = [mixer(rng) for _ in range(size)]
        yield SoundBatch(
            torch.from_numpy(np.stack([example.frames for example in examples])),
            torch.from_numpy(np.stack([example.on for example in examples])),
            torch.from_numpy(np.stack([example.share for example in examples])),
        )


def _loudest(frames: Frames, active: NDArray[np.bool_] | None) -> float:
    level = level_db(frames)
    if active is not None and active.any():
        level = level[active]
    return float(level.max())
