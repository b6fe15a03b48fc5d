"""What happens to speech on its way, applied to log-mel frames instead of samples.

A recogniser learns from hundreds of hours of ever-new variants. Filtering samples and computing their
frames anew takes longer than the learning; in the mel domain the same effects cost a few milliseconds
for ten seconds: speed is interpolation over time, the length of the vocal tract a shift along the bands,
a microphone's colour a sum, and noise and reverberation add as powers (exact on average, as phases are
independent).

Frames are natural logarithms of band powers, every 10 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.types import Frames

__all__ = ["Distorter", "mask", "speech_level"]

Vector = NDArray[np.float32]

_NEPER_PER_DB = float(np.log(10.0) / 10.0)
_TELEPHONE_HZ = (300.0, 3400.0)
_HOP_S = 0.01
_NO_FRAMES = np.zeros((0, 0), np.float32)


@cached_njit(fastmath=True)
def _distort(  # type: ignore[no-untyped-def]  # noqa: PLR0917 - Numba knows no keyword-only arguments
    frames, out, rate, bands, colour, room_decay, room_gain, noise, noise_gain, floor
):
    """Fill ``out``: resampled in time and over bands, coloured, reverberated, with noise added.

    ``rate`` input frames make one of ``out``; ``bands`` says where each of its bands is read. A tail
    takes up each frame's power and decays by ``room_decay`` a frame. Noise passes the same microphone.
    """
    n, m, b = frames.shape[0], out.shape[0], frames.shape[1]
    tail = np.zeros(b, np.float32)
    for t in range(m):
        at = min(t * rate, n - 1.0)
        i = int(at)
        j = min(i + 1, n - 1)
        part = np.float32(at - i)
        for k in range(b):
            low = min(max(int(bands[k]), 0), b - 1)
            high = min(low + 1, b - 1)
            side = np.float32(min(max(bands[k] - low, 0.0), 1.0))
            first = frames[i, low] * (1 - side) + frames[i, high] * side
            second = frames[j, low] * (1 - side) + frames[j, high] * side
            power = np.exp(first * (1 - part) + second * part + colour[k])
            wet = power + tail[k] * room_gain
            tail[k] = (tail[k] + power) * room_decay[k]
            if len(noise):
                wet += np.exp(noise[t, k] + colour[k]) * noise_gain
            out[t, k] = np.log(wet + floor)


def speech_level(frames: Frames) -> float:
    """Mean power, summed over bands, of the frames at most 30 dB below the loudest one."""
    if not len(frames):
        return 0.0
    power = np.exp(frames).sum(axis=1)
    return float(power[power >= power.max() * 1e-3].mean())


def mask(frames: Frames, rng: np.random.Generator, strength: float, fill: float) -> None:
    """Hide two stretches of bands and some of time, in place (SpecAugment, Park et al. 2019)."""
    n, b = frames.shape
    for _ in range(2):
        width = int(rng.integers(0, 1 + int(strength * b / 4)))
        first = int(rng.integers(0, b - width + 1))
        frames[:, first : first + width] = fill
    for _ in range(1 + n // 120):
        width = min(int(rng.integers(0, 1 + int(strength * 30))), n // 10)
        first = int(rng.integers(0, n - width + 1))
        frames[first : first + width] = fill


@dataclass(frozen=True)
class Distorter:
    """Draws and applies distortions.

    Parameters
    ----------
    noises : list of arrays [n, n_bands] float32
        Log-mel frames of noises, at any level; none of them empty. Without any, nothing but
        babble is added.
    band_hz : array [n_bands]
        Middle of each band.
    floor : float
        The frontend's ``log_floor``.
    """

    noises: list[Frames]
    band_hz: NDArray[np.float64]
    floor: float

    def __call__(
        self,
        frames: Frames,
        rng: np.random.Generator,
        strength: float,
        babble: Frames = _NO_FRAMES,
        *,
        stretch: float | None = None,
    ) -> Frames:
        """Return a distorted copy, longer or shorter by up to 14 %.

        ``strength`` (0 to 1) scales how often and how much: at 0 speed, vocal tract and level still
        vary a little. ``babble`` is somebody else's speech. ``stretch``, where given, is the logarithm of
        how much shorter the vocal tract becomes: where voices are learned, chance must not decide it.
        """
        if not len(frames):
            return np.array(frames)
        likely = strength * 0.6
        rate = float(np.exp(rng.uniform(-0.13, 0.13))) if rng.random() < 0.3 + likely else 1.0
        m = max(1, int(len(frames) / rate))
        out: Frames = np.empty((m, frames.shape[1]), np.float32)
        decay, gain = self._room(rng, likely)
        noise, noise_gain = self._noise(frames, m, rng, strength, babble)
        # What is recorded is never wholly silent: a floor 45 to 75 dB below the speech.
        hiss = speech_level(frames) / len(self.band_hz) * 10 ** -rng.uniform(4.5, 7.5)
        _distort(
            frames, out, rate, self._tract(rng, 0.3 + likely, stretch), self._colour(rng, strength),
            decay, np.float32(gain), noise, np.float32(noise_gain), np.float32(hiss + self.floor),
        )  # fmt: skip
        loudness = rng.uniform(-30.0, 12.0) * min(1.0, 0.3 + strength) * _NEPER_PER_DB
        louder: Frames = np.maximum(out + np.float32(loudness), np.float32(np.log(self.floor)))
        return louder

    def _tract(self, rng: np.random.Generator, likely: float, stretch: float | None) -> Vector:
        """Where along the bands each band is read: a vocal tract shorter or longer by up to 12 %."""
        index = np.arange(len(self.band_hz), dtype=np.float32)
        if stretch is None:
            if rng.random() >= likely:
                return index
            stretch = rng.uniform(-0.12, 0.12)
        # Beyond the last band there is nothing to read: the last one stands for it.
        hz = self.band_hz * np.exp(stretch)
        return np.asarray(np.interp(hz, self.band_hz, index), np.float32)

    def _colour(self, rng: np.random.Generator, strength: float) -> Vector:
        """A smooth curve of up to about 8 dB, or a telephone's band."""
        x = np.linspace(0.0, np.pi, len(self.band_hz))
        orders = np.arange(1.0, 6.0)[:, None]
        waves = np.cos(orders * x + rng.uniform(0.0, 2 * np.pi, (5, 1))) / orders
        curve = rng.normal(0.0, 3.0 * strength * _NEPER_PER_DB, 5) @ waves
        if rng.random() < 0.15 * strength:
            low, high = _TELEPHONE_HZ
            low, high = low * rng.uniform(0.7, 1.2), high * rng.uniform(0.9, 1.2)
            beyond = (self.band_hz < low) | (self.band_hz > high)
            curve = curve - beyond * rng.uniform(15.0, 60.0) * _NEPER_PER_DB
        return np.asarray(curve, np.float32)

    def _room(self, rng: np.random.Generator, likely: float) -> tuple[Vector, float]:
        """How the reverberant tail decays from frame to frame in each band, and its share."""
        if rng.random() >= likely:
            return np.zeros(len(self.band_hz), np.float32), 0.0
        seconds = rng.uniform(0.1, 0.7) * np.linspace(1.2, 0.6, len(self.band_hz))
        decay = 10.0 ** (-6.0 * _HOP_S / seconds)  # 60 dB in that time
        # The tail of a steady sound of power 1 sums up to gain * decay / (1 - decay).
        direct_to_tail = 10.0 ** (rng.uniform(0.0, 15.0) / 10.0)
        return decay.astype(np.float32), float(np.mean((1.0 - decay) / decay) / direct_to_tail)

    def _noise(
        self, frames: Frames, m: int, rng: np.random.Generator, strength: float, babble: Frames
    ) -> tuple[Frames, float]:
        """``[m, n_bands]`` frames of noise and their gain, a power; no frames for no noise."""
        if rng.random() >= 0.7 * strength or not (self.noises or len(babble)):
            return frames[:0], 0.0
        is_babble = len(babble) > 0 and (not self.noises or rng.random() < 0.2)
        source = babble if is_babble else self.noises[int(rng.integers(len(self.noises)))]
        first = int(rng.integers(len(source)))
        noise = np.take(source, np.arange(first, first + m), axis=0, mode="wrap")
        snr_db = rng.uniform(8.0 if is_babble else 2.0, 30.0)
        level = float(np.exp(noise).sum(axis=1).mean())
        return noise, speech_level(frames) / max(level, 1e-9) * 10.0 ** (-snr_db / 10.0)
