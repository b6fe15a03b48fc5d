"""One word in a recording: where it lies, and what is wrong with the recording."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["Spoken", "find_word"]

_STEP = SAMPLE_RATE_HZ // 100
_PAUSE_STEPS = 15
"""A word may hold a closure (the p of "computer"); 150 ms of quiet end it, as in `edgeaudio.level`."""
_QUIETEST_DBFS = -45.0
_LEAST_SNR_DB = 10.0
_LEAST_S, _MOST_S = 0.25, 1.4
_FULL_SCALE = 0.999
_CLIPPED_SAMPLES = 8


@dataclass(frozen=True)
class Spoken:
    """A recording and the word in it.

    ``start`` and ``end`` bound the word in samples; ``level_dbfs`` is its RMS level, ``snr_db`` how far it
    stands above the recording's quietest fifth. ``problems`` are for people to read; with ``unusable`` there
    is nothing in it to learn from.
    """

    samples: Samples
    start: int
    end: int
    level_dbfs: float
    snr_db: float
    problems: tuple[str, ...]
    unusable: bool
    digest: str

    @property
    def seconds(self) -> float:
        """Length of the word."""
        return (self.end - self.start) / SAMPLE_RATE_HZ


def find_word(samples: Samples) -> Spoken:
    """Find the loudest stretch of speech in ``[n] float32`` samples.

    The level in steps of 10 ms, smoothed over 30 ms, is compared with one between the recording's
    quietest fifth and its peak: a fifth of the way up in dB, and at most 30 dB below the peak. The
    stretch grows from the peak across pauses of at most 150 ms.
    """
    digest = hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()
    n = len(samples) // _STEP
    if n < 3:
        return Spoken(samples, 0, len(samples), -120.0, 0.0, ("too short to hold a word",), True, digest)
    blocks = samples[: n * _STEP].reshape(n, _STEP).astype(np.float64)
    power = np.convolve(np.var(blocks, axis=1), np.ones(3) / 3.0, mode="same") + 1e-12
    levels = 10.0 * np.log10(power)
    peak, floor = float(levels.max()), float(np.percentile(levels, 20))
    loud = np.flatnonzero(levels >= max(floor + 0.2 * (peak - floor), peak - 30.0))
    # Loud steps in groups, pauses bridged; the one that holds the peak is the word.
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > _PAUSE_STEPS) + 1)
    top = int(levels.argmax())
    word = next(group for group in groups if group[0] <= top <= group[-1])
    first, last = int(word[0]), int(word[-1]) + 1
    level = 10.0 * float(np.log10(power[first:last].mean()))
    problems: list[str] = []
    unusable = level < -80.0
    if unusable:
        problems.append("nothing but silence")
    else:
        _judge(problems, samples[first * _STEP : last * _STEP], level, level - floor)
    return Spoken(
        samples, first * _STEP, last * _STEP, level, level - floor, tuple(problems), unusable, digest
    )


def _judge(problems: list[str], word: Samples, level: float, snr_db: float) -> None:
    seconds = len(word) / SAMPLE_RATE_HZ
    if level < _QUIETEST_DBFS:
        problems.append(f"too quiet ({level:.0f} dBFS): speak louder, or raise the microphone's level")
    if snr_db < _LEAST_SNR_DB:
        problems.append(f"the word stands out by {snr_db:.0f} dB only: too much noise, or no pause around it")
    clipped = int(np.count_nonzero(np.abs(word) >= _FULL_SCALE))
    if clipped >= _CLIPPED_SAMPLES:
        problems.append(f"clipped ({clipped} samples at full scale): lower the microphone's level")
    if seconds < _LEAST_S:
        problems.append(f"only {seconds:.2f} s of speech: too short to be told from other words")
    if seconds > _MOST_S:
        problems.append(f"{seconds:.1f} s of speech: of a phrase only the last second counts")
