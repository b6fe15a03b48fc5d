"""Rooms and noises for who has no recordings of any, made from random numbers and other speech.

A room is the simplest that fools a mel spectrogram: noise that decays as fast as its reverberation
time says, behind a direct path (Habets, "Room impulse response generator", 2006, on why the fine
structure of early reflections matters less than their energy and decay). Noises are hum and its
harmonics, fans, and babble: several people at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeaudio.training.augment import ROOM_S, coloured_noise
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["made_noises", "made_rooms"]

NOISE_S = 10
_LEVEL = 0.05
_DECAY_60_DB = 6.91  # natural logarithm of 1000


def made_rooms(count: int, *, seed: int) -> list[Samples]:
    """Impulse responses: reverberation of 0.1 to 0.8 s, direct path 3 dB below to 12 dB above the rest."""
    rng = np.random.default_rng([seed, 1])
    n = round(ROOM_S * SAMPLE_RATE_HZ)
    times_s = np.arange(n) / SAMPLE_RATE_HZ
    rooms = []
    for _ in range(count):
        decay_s = np.exp(rng.uniform(np.log(0.1), np.log(0.8)))
        tail = rng.standard_normal(n) * np.exp(-_DECAY_60_DB * times_s / decay_s)
        # Nothing comes back before sound has gone to the nearest wall and back: 0.3 to 2 m.
        tail[: round(rng.uniform(0.002, 0.012) * SAMPLE_RATE_HZ)] = 0.0
        tail *= 10 ** (rng.uniform(-12.0, 3.0) / 20) / np.sqrt(np.sum(tail**2))
        tail[0] = 1.0
        rooms.append(tail.astype(np.float32))
    return rooms


def made_noises(speech: Sequence[Samples], count: int, *, seed: int) -> list[Samples]:
    """Ten seconds each of hum, fans and, if there is speech to make it of, babble, in turns."""
    rng = np.random.default_rng([seed, 2])
    kinds = [_hum, _fan]
    noises = [kinds[i % 2](rng) for i in range(count)]
    if speech:
        noises[::2] = [_babble(speech, rng) for _ in noises[::2]]
    return noises


def _hum(rng: np.random.Generator) -> Samples:
    """Mains hum: 50 or 60 Hz with harmonics that fall at random, over faint noise."""
    n = NOISE_S * SAMPLE_RATE_HZ
    times_s = np.arange(n) / SAMPLE_RATE_HZ
    base_hz = rng.choice([50.0, 60.0]) * rng.uniform(0.995, 1.005)
    parts = (
        rng.uniform(0.1, 1.0) / k * np.sin(2 * np.pi * (k * base_hz * times_s + rng.random()))
        for k in range(1, 30)
    )
    return _levelled(sum(parts) + 3.0 * coloured_noise(rng, n, 1.0))


def _fan(rng: np.random.Generator) -> Samples:
    """Coloured noise that swells and falls slowly."""
    n = NOISE_S * SAMPLE_RATE_HZ
    noise = coloured_noise(rng, n, rng.uniform(0.5, 2.0))
    swell = np.sin(2 * np.pi * (rng.uniform(0.1, 6.0) * np.arange(n) / SAMPLE_RATE_HZ + rng.random()))
    return _levelled(noise * (1.0 + rng.uniform(0.0, 0.8) * swell))


def _babble(speech: Sequence[Samples], rng: np.random.Generator) -> Samples:
    """Three to eight people who speak at once, none of them first."""
    n = NOISE_S * SAMPLE_RATE_HZ
    mixed = np.zeros(n)
    for _ in range(int(rng.integers(3, 9))):
        chosen = [speech[int(i)] for i in rng.integers(len(speech), size=2 * NOISE_S)]
        voice = np.resize(np.concatenate(chosen), n)
        mixed += np.roll(voice, int(rng.integers(n))) / max(float(np.sqrt(np.mean(voice**2))), 1e-4)
    return _levelled(mixed)


def _levelled(x: NDArray[np.float64]) -> Samples:
    return np.asarray(_LEVEL * x / max(float(np.sqrt(np.mean(x**2))), 1e-9), np.float32)
