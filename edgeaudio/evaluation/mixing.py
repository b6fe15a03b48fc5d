"""Recordings placed in silence or in noise of a wanted signal-to-noise ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import Row, read_excerpt
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["NoiseBank", "active_rms", "add_noise", "in_quiet"]

_FRAME_SAMPLES = SAMPLE_RATE_HZ // 50
_ACTIVE_RANGE_DB = 25.0
"""Speech between its loudest and its softest sounds; what lies lower is taken for a pause."""
_ROOM_DB = 30.0
_FLOOR_RMS = 10 ** (-90 / 20)
"""The rounding noise of 16 bits, about."""
_ATTEMPTS = 20


def active_rms(samples: Samples) -> float:
    """RMS of the active part of a recording of speech.

    Pauses must not count, or the same word in a longer recording would be mixed with less noise.
    Active are the frames of 20 ms that lie at most 25 dB below the loudest one.
    """
    power = _frame_power(samples)
    active = power[power >= power.max() * 10 ** (-_ACTIVE_RANGE_DB / 10)]
    return math.sqrt(active.mean())


def _frame_power(samples: Samples) -> NDArray[np.float64]:
    padded = np.pad(samples, (0, -len(samples) % _FRAME_SAMPLES))
    power: NDArray[np.float64] = np.square(padded.reshape(-1, _FRAME_SAMPLES), dtype=np.float64).mean(axis=1)
    return power


def in_quiet(samples: Samples, n_before: int, n_after: int) -> Samples:
    """The recording with white noise before and after it, as in the pauses of its own room.

    A microphone never delivers digital silence, and the step from it into a recording would be
    an event of its own. The noise has the level of the recording's softest tenth, but lies 30 dB
    below the speech at least. It is the same for recordings of the same length.
    """
    softest_rms = math.sqrt(np.quantile(_frame_power(samples), 0.1))
    # A recording cut so closely that it has no pause tells nothing about its room.
    softest_rms = min(softest_rms, active_rms(samples) * 10 ** (-_ROOM_DB / 20))
    rng = np.random.default_rng(len(samples))
    around = rng.normal(0.0, max(softest_rms, _FLOOR_RMS), n_before + len(samples) + n_after)
    around[n_before : n_before + len(samples)] = samples
    return around.astype(np.float32)


def add_noise(samples: Samples, noise: Samples, *, speech_rms: float, snr_db: float) -> Samples:
    """Mix ``noise`` in, ``snr_db`` below ``speech_rms``.

    Both are ``[n] float32``. The sum is scaled down as a whole where it would clip.
    """
    noise_rms = math.sqrt(np.square(noise, dtype=np.float64).mean())
    gain = speech_rms / noise_rms * 10 ** (-snr_db / 20)
    mixed: Samples = samples + np.float32(gain) * noise
    peak = float(np.abs(mixed).max())
    return mixed / np.float32(peak) if peak > 1.0 else mixed


class NoiseBank:
    """Reproducible excerpts of the recordings of a manifest."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def excerpt(self, rng: np.random.Generator, n_samples: int) -> Samples:
        """``[n_samples] float32`` from a random place of a random recording; never pure silence.

        Raises
        ------
        InputError
            The recordings cannot be read or seem to hold nothing but digital silence.
        """
        for _ in range(_ATTEMPTS):
            row = self._rows[int(rng.integers(len(self._rows)))]
            noise = read_excerpt(row, start=float(rng.random()), n_samples=n_samples)
            if np.any(noise):
                return noise
        raise InputError(
            f"{row.origin}: {_ATTEMPTS} excerpts in a row were digital silence", hint="Give other noise."
        )
