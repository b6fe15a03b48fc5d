"""How microphones and lines colour speech: random equalisers and the telephone band."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["CODECS", "Sections", "band_limit", "colour", "random_colour", "through_codec"]

Sections: TypeAlias = NDArray[np.float32]
"""Second-order filter sections as scipy has them, ``[n_sections, 6] float32``."""

CODECS = ("ULAW", "GSM610", "IMA_ADPCM", "VORBIS")
"""Telephones fixed and mobile, old recorders, and files as the net has them."""
_TELEPHONE = ("ULAW", "GSM610")

_COLOUR_HZ = ((80.0, 400.0), (500.0, 4000.0), (3000.0, 6000.0))


def band_limit(x: Samples, low_hz: float = 300.0, high_hz: float = 3400.0) -> Samples:
    """Pass a telephone's band (300 … 3400 Hz), 12 dB an octave below, 24 dB above it."""
    return _filter(x, _band(round(low_hz), round(high_hz)))


def random_colour(rng: np.random.Generator, depth_db: float) -> Sections:
    """Sections of a random microphone response for :func:`colour`: ``[3, 6] float32``.

    A low shelf (80 … 400 Hz), a broad bell (500 … 4000 Hz) and a high shelf (3 … 6 kHz), each up to
    ``depth_db`` (0 … 10 dB) up or down. Formulas: R. Bristow-Johnson, Audio EQ Cookbook.
    """
    low, bell, high = (float(np.exp(rng.uniform(np.log(a), np.log(b)))) for a, b in _COLOUR_HZ)
    depths = rng.uniform(-depth_db, depth_db, 3)
    sections = (_shelf(low, depths[0], 1), _bell(bell, depths[1]), _shelf(high, depths[2], -1))
    return np.array(sections, np.float32)


def colour(x: Samples, sections: Sections) -> Samples:
    """Apply a microphone's response from :func:`random_colour`."""
    return _filter(x, sections)


def through_codec(x: Samples, codec: str) -> Samples:
    """What one of :data:`CODECS` leaves of speech; telephones run at 8 kHz and cut off at 3.4 kHz."""
    import soundfile

    step = 2 if codec in _TELEPHONE else 1
    rate_hz = SAMPLE_RATE_HZ // step
    line = (band_limit(x) if step == 2 else x)[::step]
    file = io.BytesIO()
    container = "OGG" if codec == "VORBIS" else "WAV"
    soundfile.write(file, np.clip(line, -1.0, 1.0), rate_hz, format=container, subtype=codec)
    file.seek(0)
    heard, _ = soundfile.read(file, dtype="float32")
    if step == 1:
        return np.asarray(heard[: x.size], np.float32)
    at = np.arange(x.size, dtype=np.float32) / step
    return np.asarray(np.interp(at, np.arange(line.size), heard[: line.size]), np.float32)


def _filter(x: Samples, sections: Sections) -> Samples:
    from scipy import signal

    return np.asarray(signal.sosfilt(sections, x), np.float32)


@lru_cache(maxsize=16)
def _band(low_hz: int, high_hz: int) -> Sections:
    from scipy import signal

    low = signal.butter(2, low_hz, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    high = signal.butter(4, high_hz, "lowpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.concatenate([low, high]).astype(np.float32)


def _shelf(corner_hz: float, depth_db: float, side: int) -> list[float]:
    """A shelf of slope 1 below (``side`` 1) or above (−1) its corner, normalised to ``a0`` = 1."""
    a = 10 ** (depth_db / 40)
    w = 2 * np.pi * corner_hz / SAMPLE_RATE_HZ
    c, root = side * np.cos(w), np.sqrt(2 * a) * np.sin(w)
    b0, b1, b2 = (
        a * (a + 1 - (a - 1) * c + root),
        2 * a * (a - 1 - (a + 1) * c),
        a * (a + 1 - (a - 1) * c - root),
    )
    a0, a1, a2 = a + 1 + (a - 1) * c + root, -2 * (a - 1 + (a + 1) * c), a + 1 + (a - 1) * c - root
    return [b0 / a0, side * b1 / a0, b2 / a0, 1.0, side * a1 / a0, a2 / a0]


def _bell(centre_hz: float, depth_db: float) -> list[float]:
    """A peak or notch about two octaves wide (Q = 0.7), normalised to ``a0`` = 1."""
    a = 10 ** (depth_db / 40)
    w = 2 * np.pi * centre_hz / SAMPLE_RATE_HZ
    alpha, c = np.sin(w) / 1.4, np.cos(w)
    a0 = 1 + alpha / a
    return [(1 + alpha * a) / a0, -2 * c / a0, (1 - alpha * a) / a0, 1.0, -2 * c / a0, (1 - alpha / a) / a0]
