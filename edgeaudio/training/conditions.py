"""Recordings as other rooms and microphones would bring them: at other levels, and in noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgeaudio.training.augment import mix_noise
from edgeaudio.types import Samples

__all__ = ["PEAKS_DBFS", "SNRS_DB", "conditions"]

PEAKS_DBFS = (0, -20, -30, -40, -50)
SNRS_DB = (10, 0)
_NOISY_PEAK_DBFS = -15
_SEED = 5
"""The same noise for every model, so that they can be compared."""


def conditions(
    recordings: Sequence[Samples], noises: Sequence[Samples]
) -> Iterator[tuple[str, list[Samples]]]:
    """The recordings at peaks of 0 to -50 dBFS, and in noise, each with the name of its condition.

    Parameters
    ----------
    recordings : sequence of Samples
        Clean ones, with silence around them.
    noises : sequence of Samples
        Longer than the recordings; a random one and a random piece of it for each recording.
    """
    for peak_dbfs in PEAKS_DBFS:
        yield f"peaks at {peak_dbfs} dBFS", [_at_peak(samples, peak_dbfs) for samples in recordings]
    for snr_db in SNRS_DB if noises else ():
        rng = np.random.default_rng(_SEED)
        mixed = [mix_noise(samples, _piece(noises, samples.size, rng), snr_db) for samples in recordings]
        yield f"noise at {snr_db} dB", [_at_peak(samples, _NOISY_PEAK_DBFS) for samples in mixed]


def _at_peak(samples: Samples, peak_dbfs: float) -> Samples:
    """The samples at a peak level, with the 16 bits of a microphone."""
    factor = 10 ** (peak_dbfs / 20) / max(float(np.abs(samples).max()), 1e-6)
    return (np.round(samples * factor * 32767) / 32768).astype(np.float32)


def _piece(noises: Sequence[Samples], n_samples: int, rng: np.random.Generator) -> Samples:
    noise = noises[int(rng.integers(len(noises)))]
    start = int(rng.integers(noise.size - n_samples + 1))
    piece: Samples = noise[start : start + n_samples]
    return piece
