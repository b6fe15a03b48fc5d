"""Sounds that nobody says, made from random numbers: what a VAD must not take for speech.

Recordings of noise are few, and many real sounds share one trait with speech: harmonics (music, engines,
alarms), its rhythm (typing, a swelling noise), its spectrum (many voices at once). Each of these is made
here in endless variety, so that a small network cannot get along with one trait alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeaudio.training.augment import coloured_noise
from edgeaudio.training.surroundings import NOISE_S, made_noises
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["babble", "made_sounds"]

_N = NOISE_S * SAMPLE_RATE_HZ
_RMS = 0.05
_VOICES = (8, 24)
_NYQUIST_HZ = SAMPLE_RATE_HZ / 2

Wave = NDArray[np.float64]


def made_sounds(count: int, *, seed: int) -> list[Samples]:
    """Ten seconds each of music, engines, alarms, sweeps, typing, swelling noise, hum and fans, in turns."""
    rng = np.random.default_rng([seed, 3])
    kinds: tuple[Callable[[np.random.Generator], Wave], ...]
    kinds = (_music, _engine, _typing, _alarm, _swelling, _sweeps)
    sounds = [_levelled(kinds[i % len(kinds)](rng)) for i in range(count)]
    return sounds + made_noises((), max(2, count // 6), seed=seed)


def babble(speech: Sequence[Samples], count: int, *, seed: int) -> list[Samples]:
    """Ten seconds each of eight to 24 people who speak at once, none of them to be followed."""
    rng = np.random.default_rng([seed, 4])
    sounds = []
    for _ in range(count if speech else 0):
        mixed = np.zeros(_N)
        for _ in range(int(rng.integers(*_VOICES))):
            voice = np.concatenate([speech[int(i)] for i in rng.integers(len(speech), size=3)])
            voice = np.roll(np.resize(voice, _N), int(rng.integers(_N)))
            mixed += voice / max(float(np.sqrt(np.mean(np.square(voice)))), 1e-4)
        sounds.append(_levelled(mixed))
    return sounds


def _levelled(x: Wave) -> Samples:
    return np.asarray(_RMS * x / max(float(np.sqrt(np.mean(np.square(x)))), 1e-9), np.float32)


def _tone(base_hz: Wave | float, n: int, rng: np.random.Generator, *, falling_db: float) -> Wave:
    """Harmonics of ``base_hz``, each further one softer by up to ``falling_db``."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(base_hz, n)) / SAMPLE_RATE_HZ
    highest = float(np.max(base_hz))
    total = np.zeros(n)
    for k in range(1, 1 + min(30, int(_NYQUIST_HZ / highest))):
        total += 10 ** (-falling_db * (k - 1) * rng.uniform(0.3, 1.0) / 20) * np.sin(
            k * phase + rng.uniform(0, 6.3)
        )
    return total


def _music(rng: np.random.Generator) -> Wave:
    """Chords of a scale with decaying or held notes, and maybe a drum of noise bursts."""
    out = np.zeros(_N)
    beat = int(rng.uniform(0.12, 0.6) * SAMPLE_RATE_HZ)
    key_hz = 110.0 * 2 ** rng.uniform(0, 1)
    falling_db, decay = rng.uniform(1.5, 8.0), rng.uniform(0.3, 6.0)
    for start in range(0, _N - beat, beat):
        if rng.random() < 0.15:
            continue
        n = min(_N - start, int(beat * rng.uniform(0.6, 3.0)))
        envelope = np.exp(-decay * np.arange(n) / SAMPLE_RATE_HZ) * np.minimum(1.0, np.arange(n) / 160)
        for step in rng.choice((0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 19), size=int(rng.integers(1, 4))):
            vibrato = 1 + rng.uniform(0, 0.006) * np.sin(
                2 * np.pi * rng.uniform(4, 7) * np.arange(n) / SAMPLE_RATE_HZ
            )
            note = _tone(key_hz * 2 ** (step / 12) * vibrato, n, rng, falling_db=falling_db)
            out[start : start + n] += rng.uniform(0.3, 1.0) * envelope * note
    if rng.random() < 0.5:
        loudness = rng.uniform(0.2, 2.0) * np.sqrt(np.mean(np.square(out)) + 1e-9)
        out += loudness * _bursts(rng, beat, jitter=0.02, decay_s=(0.02, 0.15), missing=0.2)
    return out


def _engine(rng: np.random.Generator) -> Wave:
    """A low harmonic sound that wanders in pitch, over noise."""
    slow = np.interp(np.arange(_N), np.linspace(0, _N, 12), rng.uniform(0.8, 1.25, 12))
    tone = _tone(np.exp(rng.uniform(np.log(25), np.log(160))) * slow, _N, rng, falling_db=rng.uniform(0.5, 4))
    tone /= np.sqrt(np.mean(np.square(tone)))
    return np.asarray(tone * slow + rng.uniform(1, 12) * coloured_noise(rng, _N, rng.uniform(0, 2)), float)


def _typing(rng: np.random.Generator) -> Wave:
    """Clicks: keys, steps, dishes, a clock."""
    between = int(np.exp(rng.uniform(np.log(0.06), np.log(0.9))) * SAMPLE_RATE_HZ)
    jitter = float(rng.choice((0.01, 0.4, 0.8)))
    return _bursts(rng, between, jitter=jitter, decay_s=(0.002, 0.05), missing=0.25)


def _bursts(
    rng: np.random.Generator, between: int, *, jitter: float, decay_s: tuple[float, float], missing: float
) -> Wave:
    """Decaying bursts of noise and of a resonance, about ``between`` samples apart."""
    out = np.zeros(_N)
    n = int(5 * decay_s[1] * SAMPLE_RATE_HZ)
    times_s = np.arange(n) / SAMPLE_RATE_HZ
    resonance_hz, share = np.exp(rng.uniform(np.log(150), np.log(6000))), rng.uniform(0, 1)
    for at in range(0, _N - n, between):
        start = int(np.clip(at + rng.uniform(-jitter, jitter) * between, 0, _N - n))
        if rng.random() < missing:
            continue
        burst = (1 - share) * rng.standard_normal(n)
        burst += 1.4 * share * np.sin(2 * np.pi * resonance_hz * rng.uniform(0.9, 1.1) * times_s)
        out[start : start + n] += rng.uniform(0.2, 1) * burst * np.exp(-times_s / rng.uniform(*decay_s))
    return out


def _alarm(rng: np.random.Generator) -> Wave:
    """Beeps of one to three tones, on and off."""
    out = np.zeros(_N)
    tones_hz = np.exp(rng.uniform(np.log(300), np.log(3500), int(rng.integers(1, 4))))
    length = int(rng.uniform(0.05, 0.6) * SAMPLE_RATE_HZ)
    pause = int(rng.uniform(0.0, 0.8) * SAMPLE_RATE_HZ)
    ramp = np.minimum(1.0, np.minimum(np.arange(length), np.arange(length)[::-1]) / 80)
    for i, start in enumerate(range(0, _N - length, length + pause)):
        tone = _tone(float(tones_hz[i % len(tones_hz)]), length, rng, falling_db=rng.uniform(4, 30))
        out[start : start + length] += ramp * tone
    return out


def _swelling(rng: np.random.Generator) -> Wave:
    """Noise of some band in the rhythm of speech: 2 to 8 syllables a second, or slower."""
    rate = float(np.exp(rng.uniform(np.log(0.3), np.log(8.0))))
    knots = rng.uniform(0, 1, 2 + int(rate * 2 * NOISE_S)) ** rng.uniform(0.5, 3)
    envelope = np.interp(np.arange(_N), np.linspace(0, _N, len(knots)), knots)
    spectrum = np.fft.rfft(coloured_noise(rng, _N, rng.uniform(0, 1.5)).astype(float))
    hz = np.fft.rfftfreq(_N, 1 / SAMPLE_RATE_HZ)
    middle_hz = np.exp(rng.uniform(np.log(200), np.log(5000)))
    shape = np.exp(-0.5 * (np.log(np.maximum(hz, 1.0) / middle_hz) / rng.uniform(0.2, 2.0)) ** 2)
    return np.asarray(np.fft.irfft(spectrum * shape, _N) * envelope, float)


def _sweeps(rng: np.random.Generator) -> Wave:
    """Chirps and sirens: a tone, nearly pure, whose pitch goes up and down."""
    rate = float(np.exp(rng.uniform(np.log(0.2), np.log(12.0))))
    low_hz = np.exp(rng.uniform(np.log(250), np.log(3000)))
    times_s = np.arange(_N) / SAMPLE_RATE_HZ
    swing = 0.5 + 0.5 * np.sin(2 * np.pi * (rate * times_s + rng.random()))
    hz = np.minimum(low_hz * rng.uniform(1.05, 2.5) ** swing, 0.9 * _NYQUIST_HZ)
    gate = (
        np.sin(2 * np.pi * rng.uniform(0.1, 3) * times_s + rng.uniform(0, 6)) > rng.uniform(-1, 0.6)
    ) * 1.0
    gate = np.convolve(gate, np.ones(160) / 160, mode="same")
    return np.asarray(gate * _tone(hz, _N, rng, falling_db=rng.uniform(6, 30)), float)
