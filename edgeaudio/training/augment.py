"""What happens to speech between the mouth and the converter, for training.

Every step is a function of float32 samples ``[n] float32`` at 16 kHz that returns an array of the
same length and leaves its input alone; :class:`Augmenter` draws their parameters and applies them
in the order of the physical way: talker, room, noise, microphone, line, converter. No step moves
speech in time, except :func:`warp` around an anchor and :func:`shift`, so frame labels stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaudio.errors import InputError, UsageError
from edgeaudio.training.microphone import CODECS, band_limit, colour, random_colour, through_codec
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = [
    "Augmenter",
    "Settings",
    "add_room",
    "clip",
    "coloured_noise",
    "gain",
    "mix_noise",
    "prepare_room",
    "quantise",
    "shift",
    "speech_power",
    "warp",
]

FRAME = SAMPLE_RATE_HZ // 50
ROOM_S = 0.4
DIGITAL_SILENCE = 1e-8
"""Mean power (-80 dBFS) below which a clip counts as empty."""
NOISE_ALONE = 1e-4
"""Mean power (-40 dBFS) that stands for the speech in an empty clip."""


def speech_power(x: Samples) -> float:
    """Mean power of the 20 ms frames that are at most 30 dB below the loudest one.

    Pauses before and after a word do not count, so a signal-to-noise ratio does not depend on how
    much of them a clip has. An empty clip counts as −40 dBFS.
    """
    whole = x[: x.size // FRAME * FRAME].reshape(-1, FRAME) if x.size >= FRAME else x.reshape(1, -1)
    powers = np.einsum("ij,ij->i", whole, whole) / whole.shape[1]
    loudest = float(powers.max()) if powers.size else 0.0
    if loudest < DIGITAL_SILENCE:
        return NOISE_ALONE
    return float(powers[powers > loudest * 1e-3].mean())


def mix_noise(x: Samples, noise: Samples, snr_db: float) -> Samples:
    """Add noise of the same length at a signal-to-noise ratio over the speech (−5 … 25 dB)."""
    power = float(np.dot(noise, noise)) / max(noise.size, 1)
    audible = power > DIGITAL_SILENCE * 1e-2
    factor = np.sqrt(speech_power(x) / power) * 10 ** (-snr_db / 20) if audible else 0.0
    mixed: Samples = x + noise * np.float32(factor)
    return mixed


def prepare_room(rir: Samples) -> Samples:
    """An impulse response from its direct path on, at most 0.4 s, with the direct path's gain 1.

    The longest response decays over seconds; what comes after 0.4 s is beyond what a network of
    about a second's view can learn from, and is faded out over the last quarter.
    """
    if not np.any(rir):
        raise InputError("A room impulse response is empty or silent.")
    direct = int(np.argmax(np.abs(rir)))
    room = rir[direct : direct + int(ROOM_S * SAMPLE_RATE_HZ)] / rir[direct]
    fade = room.size // 4
    room[room.size - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return np.asarray(room, np.float32)


def add_room(x: Samples, room: Samples, wet: float = 1.0) -> Samples:
    """Speak in a room; ``wet`` (0 … 1) scales the reflections, as a nearer talker would.

    ``room`` comes from :func:`prepare_room`. Its direct path lies at index 0 with gain 1, so speech
    keeps its time. The power stays that of ``x``.
    """
    from scipy import fft

    size = fft.next_fast_len(x.size + room.size - 1, real=True)
    # The direct path is an impulse at 0: removing it leaves the reflections.
    reflections = room.copy()
    reflections[0] = 0.0
    spectrum = fft.rfft(x, size) * fft.rfft(reflections, size)
    y = x + np.float32(wet) * fft.irfft(spectrum, size)[: x.size]
    power = float(np.dot(y, y))
    return np.asarray(y * np.float32(np.sqrt(float(np.dot(x, x)) / power)) if power > 0 else y, np.float32)


def gain(x: Samples, gain_db: float) -> Samples:
    """Change the level (−40 … +20 dB)."""
    changed: Samples = x * np.float32(10 ** (gain_db / 20))
    return changed


def clip(x: Samples, excess_db: float) -> Samples:
    """Overdrive a converter: peaks ``excess_db`` (0 … 15 dB) above full scale are cut off."""
    ceiling = np.float32(np.max(np.abs(x), initial=0.0) * 10 ** (-excess_db / 20))
    return np.clip(x, -ceiling, ceiling)


def warp(x: Samples, factor: float, anchor: int | None = None) -> Samples:
    """Play faster or slower (0.85 … 1.2): tempo, pitch and formants change together.

    The sample ``anchor`` (the last one by default) stays where it is, so a word that ends there still
    does; what is missing on either side is silence.
    """
    import soxr

    anchor = x.size if anchor is None else anchor
    played = soxr.resample(x, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="LQ")
    return _place(played, anchor - round(anchor / factor), x.size)


def shift(x: Samples, n_samples: int) -> Samples:
    """Move later (or, if negative, earlier) in time; the space is silent."""
    return _place(x, n_samples, x.size)


def quantise(x: Samples) -> Samples:
    """Round to 16 bits and cut at full scale, as a converter does."""
    steps: Samples = np.clip(np.rint(x * np.float32(32768)), -32768, 32767) * np.float32(1 / 32768)
    return steps


def coloured_noise(rng: np.random.Generator, n_samples: int, exponent: float) -> Samples:
    """Gaussian noise whose power falls as frequency to ``-exponent`` (0 white, 1 pink, 2 brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    # Below 20 Hz nothing may dominate: microphones do not pass it.
    frequency_hz = np.maximum(np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ), 20.0)
    noise = np.fft.irfft(spectrum * frequency_hz ** (-exponent / 2), n_samples)
    return np.asarray(0.1 * noise / np.std(noise), np.float32)


@dataclass(frozen=True)
class Settings:
    """Ranges and shares at full strength.

    A share is the probability that a step is applied; both shares and depths shrink with the
    strength.
    """

    warp: tuple[float, float] = (0.9, 1.12)
    warp_share: float = 0.4
    room_share: float = 0.5
    snr_db: tuple[float, float] = (-5.0, 25.0)
    noise_share: float = 0.8
    colour_db: float = 8.0
    colour_share: float = 0.5
    band_share: float = 0.1
    clip_db: float = 12.0
    clip_share: float = 0.1
    codec_share: float = 0.1
    peak_db: tuple[float, float] = (-40.0, 0.0)
    tract_share: float = 1.0
    mask_share: float = 1.0
    """What part is used of the shares that features have: of other vocal tracts, and of what is hidden."""


class Augmenter:
    """Make one clip sound as if heard elsewhere: ``augmenter(x, rng) -> y`` of equal length.

    Equal generators give equal results. Costs about a millisecond for 2 s.

    Parameters
    ----------
    noises : sequence of arrays
        ``[n] float32`` at 16 kHz, any length; a random stretch is used, repeated if too short. White,
        pink and brown noise are added to them.
    rooms : sequence of arrays
        Impulse responses at 16 kHz; see :func:`prepare_room`.
    settings : Settings
    strength : float
        0 changes nothing, 1 is all of ``settings``. May be set anew at any time, to grow with training.
    """

    def __init__(
        self,
        noises: Sequence[Samples] = (),
        rooms: Sequence[Samples] = (),
        settings: Settings | None = None,
        strength: float = 1.0,
    ) -> None:
        self.settings = settings or Settings()
        self.strength = strength
        rng = np.random.default_rng(0)
        made = [coloured_noise(rng, 20 * SAMPLE_RATE_HZ, exponent) for exponent in (0.0, 1.0, 2.0)]
        self.noises = [np.asarray(noise, np.float32) for noise in noises if len(noise)] + made
        self.rooms = [prepare_room(np.asarray(rir, np.float32)) for rir in rooms]

    @classmethod
    def from_manifests(
        cls, noise: Path | None = None, rooms: Path | None = None, settings: Settings | None = None
    ) -> Augmenter:
        """Read noises and impulse responses of any rate, resampled to 16 kHz once."""
        from edgeaudio.evaluation.manifest import read_clip, read_manifest

        noises = [read_clip(row) for row in read_manifest(noise)] if noise else []
        responses = [read_clip(row) for row in read_manifest(rooms)] if rooms else []
        return cls(noises, responses, settings)

    @property
    def strength(self) -> float:
        """How much of the settings is used, 0 … 1."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        if not 0.0 <= value <= 1.0:
            raise UsageError(f"An augmentation strength of {value} is not between 0 and 1.")
        self._strength = value

    def __call__(self, x: Samples, rng: np.random.Generator, *, anchor: int | None = None) -> Samples:
        """Augment ``x`` (``[n] float32``); the sample ``anchor`` keeps its time, see :func:`warp`."""
        s, strength = self.settings, self.strength
        y: Samples = np.array(x, np.float32)
        if strength == 0.0 or y.size == 0:
            return y
        # Every decision is drawn, used or not: clips stay comparable when one setting changes.
        shares = (s.warp_share, s.room_share, s.noise_share, s.colour_share, s.band_share, s.clip_share)
        use = rng.random(7) < strength * np.array([*shares, s.codec_share])
        if use[0]:
            low, high = np.log(s.warp)
            y = warp(y, float(np.exp(strength * rng.uniform(low, high))), anchor)
        if use[1] and self.rooms:
            y = add_room(y, self.rooms[int(rng.integers(len(self.rooms)))], wet=rng.uniform(0.2, 1.0))
        if use[2]:
            low, high = s.snr_db
            y = mix_noise(y, self._noise(y.size, rng), rng.uniform(high - strength * (high - low), high))
        if use[3]:
            y = colour(y, random_colour(rng, strength * s.colour_db))
        if use[4]:
            y = band_limit(y)
        if use[5]:
            y = clip(y, rng.uniform(0.0, strength * s.clip_db))
        peak = float(np.max(np.abs(y)))
        if peak > 0:
            y = gain(y, strength * (rng.uniform(*s.peak_db) - 20 * np.log10(peak)))
        if use[6]:
            y = through_codec(y, CODECS[int(rng.integers(len(CODECS)))])
        return quantise(y)

    def _noise(self, n: int, rng: np.random.Generator) -> Samples:
        """A random stretch of a random noise."""
        noise = self.noises[int(rng.integers(len(self.noises)))]
        start = int(rng.integers(noise.size))
        if start + n <= noise.size:
            return noise[start : start + n]
        return np.take(noise, np.arange(start, start + n), mode="wrap")


def _place(x: Samples, at: int, n: int) -> Samples:
    """``n`` samples of silence with ``x`` laid into them from sample ``at`` on."""
    y = np.zeros(n, np.float32)
    first, last = max(at, 0), min(at + x.size, n)
    if first < last:
        y[first:last] = x[first - at : last - at]
    return y
