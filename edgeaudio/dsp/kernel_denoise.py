"""The compiled noise reduction: one call turns a block of samples into samples with less noise.

Like :mod:`edgeaudio.dsp.kernel`: four arrays, one int64 (:class:`Plan`), one float64, and each frame by the
same instructions, so that the result cannot depend on how the stream was cut into blocks.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit, types

from edgeaudio.compiled import cached_njit
from edgeaudio.dsp import kernel_bands, kernel_fft, kernel_spectrum
from edgeaudio.dsp.kernel_bands import exp32, log32
from edgeaudio.dsp.kernel_spectrum import half_fft, pack_spectrum, unpack_spectrum

__all__ = ["Plan", "denoise"]


class Plan(IntEnum):
    """Fields of the int64 array; ``AT_*`` are offsets into the float64 array."""

    WAITING = 0  # samples of the last window that are heard again in the next one
    FRAMES = 1  # how many were heard
    OWED = 2  # samples that were zeros before the stream began, and are not handed out
    WINDOW = 3
    HOP = 4
    N_FFT = 5
    AT_SETTINGS = 6
    AT_ANALYSIS = 7
    AT_SYNTHESIS = 8
    AT_PACKED = 9
    AT_SPECTRUM = 10
    AT_SPLIT = 11
    AT_TWIDDLES = 12
    AT_REAL = 13
    AT_IMAG = 14
    AT_LOG_GAIN = 15
    AT_PRIOR = 16
    AT_WEIGHT = 17
    AT_NOISE = 18
    AT_PRESENCE = 19
    AT_CLEAN = 20
    AT_LEVEL = 21
    AT_MINIMUM = 22
    AT_NEXT_MINIMUM = 23
    AT_OVERLAP = 24
    AT_SAMPLES = 25
    SIZE = 26


# Fields of the settings block.
LOG_FLOOR, LEAST_NOISE, NOISE_KEPT, PRESENCE_KEPT, PRIOR_KEPT, LEARNING, LEVEL_KEPT, PERIOD = range(8)

# Samples from here on are no sound, and their squares would overflow.
_LOUD = 1.0e20
_TINY = 1.0e-30

_SPEECH_SNR = 10.0**1.5
"""What a bin of speech is taken to have where it is asked whether it is one: Gerkmann & Hendriks, III.A."""
_STAGNANT = 0.99
_LEAST_SNR = np.float32(10.0**-2.5)
_LEAST_WEIGHT = np.float32(1.0e-6)
_MOST_RATIO = 1.0e6
_MOST_OF_LEAST = 25.0
"""14 dB. The least of a steady noise in a second is 9 dB below its mean."""

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "reassoc"}}
_inner = njit(**_OPTIONS)


@_inner
def _part(memory, at, size):  # type: ignore[no-untyped-def]
    return memory[at : at + size]


@_inner
def _track(power, settings, frames, noise, presence):  # type: ignore[no-untyped-def]
    """Bring the noise floor up to date: Gerkmann & Hendriks 2012, equations 18, 22, 23 and 8.

    The first frames are taken for noise.
    """
    least = settings[LEAST_NOISE]
    if frames < settings[LEARNING]:
        for k in range(noise.size):
            noise[k] = max(noise[k] + (power[k] - noise[k]) / (frames + 1.0), least)
        return
    kept, presence_kept = settings[NOISE_KEPT], settings[PRESENCE_KEPT]
    exponent = -_SPEECH_SNR / (1.0 + _SPEECH_SNR)
    for k in range(noise.size):
        ratio = min(power[k] / noise[k], _MOST_RATIO)
        probable = 1.0 / (1.0 + (1.0 + _SPEECH_SNR) * exp32(np.float32(exponent * ratio)))
        presence[k] = presence_kept * presence[k] + (1.0 - presence_kept) * probable
        # Sure of speech for so long: a noise that has become louder must not pass for speech for ever.
        probable = min(probable, _STAGNANT) if presence[k] > _STAGNANT else probable
        ratio = probable + (1.0 - probable) * ratio
        noise[k] = max(noise[k] * (kept + (1.0 - kept) * ratio), least)


@_inner
def _hold(power, settings, frames, level, minimum, following, noise):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Keep the noise floor near the least that a bin has had for a while: Cohen & Berdugo 2002.

    Where noise has become much louder, all of it passes for speech for long; where the stream began with
    speech, that passes for noise. But speech has gaps.
    """
    least = settings[LEAST_NOISE]
    if frames == 0:
        for k in range(power.size):
            level[k] = minimum[k] = following[k] = power[k]
    kept = settings[LEVEL_KEPT]
    turn = frames % np.int64(settings[PERIOD]) == 0
    for k in range(power.size):
        now = kept * level[k] + (1.0 - kept) * power[k]
        level[k] = now
        minimum[k] = min(following[k] if turn else minimum[k], now)
        following[k] = now if turn else min(following[k], now)
        noise[k] = max(min(max(noise[k], minimum[k]), _MOST_OF_LEAST * minimum[k]), least)


@_inner
def _half_e1(v):  # type: ignore[no-untyped-def]
    """Half the exponential integral E1, to 1e-4: Abramowitz & Stegun 5.1.53 and 5.1.54."""
    p = np.float32(0.00107857)
    p = p * v - np.float32(0.00976004)
    p = p * v + np.float32(0.05519968)
    p = p * v - np.float32(0.24991055)
    p = p * v + np.float32(0.99999193)
    p = p * v - np.float32(0.57721566)
    small = p - log32(v)
    large = exp32(-v) * (v * v + np.float32(2.334733) * v + np.float32(0.250621))
    large /= v * (v * v + np.float32(3.330657) * v + np.float32(1.681534))
    return np.float32(0.5) * (small if v < np.float32(1.0) else large)


@_inner
def _weigh(power, settings, noise, clean, prior, weight, log_gain):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Logarithm of the gain of each bin, which lies between the floor and 0.

    The log-spectral amplitude estimator (Ephraim & Malah 1985, equation 20) with a decision-directed
    a-priori SNR (the same, 1984, equation 51), weighted by the probability that there is speech: Cohen &
    Berdugo 2001, equation 16, with even chances beforehand. `prior` and `weight` are scratch.
    """
    one = np.float32(1.0)
    floor, kept = np.float32(settings[LOG_FLOOR]), np.float32(settings[PRIOR_KEPT])
    # Three loops, because compilers leave a single one of this length alone: three times as slow.
    for k in range(power.size):
        ratio = np.float32(min(power[k] / noise[k], _MOST_RATIO))
        before = np.float32(clean[k] / noise[k])
        snr = kept * before + (one - kept) * max(ratio - one, np.float32(0.0))
        snr = min(max(snr, _LEAST_SNR), np.float32(_MOST_RATIO))
        wiener = snr / (one + snr)
        prior[k] = snr
        weight[k] = max(ratio * wiener, _LEAST_WEIGHT)
        log_gain[k] = log32(wiener)
    for k in range(power.size):
        log_gain[k] += _half_e1(np.float32(weight[k]))
    for k in range(power.size):
        speech = min(np.float32(log_gain[k]), np.float32(0.0))
        gain = exp32(speech)
        clean[k] = gain * gain * power[k] + _TINY
        probable = one / (one + (one + np.float32(prior[k])) * exp32(-np.float32(weight[k])))
        log_gain[k] = max(probable * speech + (one - probable) * floor, floor)


@_inner
def _apply(log_gain, re, im):  # type: ignore[no-untyped-def]
    """Multiply the spectrum by its gains.

    A bin between others that are louder is no quieter than their mean with it: that fills holes, which
    are heard as warbling, and takes nothing from speech.
    """
    last = log_gain.size - 1
    left = log_gain[0]
    for k in range(log_gain.size):
        here = log_gain[k]
        right = log_gain[min(k + 1, last)]
        gain = exp32(np.float32(max(here, 0.25 * left + 0.5 * here + 0.25 * right)))
        re[k] *= gain
        im[k] *= gain
        left = here


@_inner
def _frame(x, plan, memory):  # type: ignore[no-untyped-def]
    """Add a frame with less noise to what overlaps."""
    window, n_fft = plan[Plan.WINDOW], plan[Plan.N_FFT]
    half = n_fft // 2
    bins = half + 1
    settings = _part(memory, plan[Plan.AT_SETTINGS], 8)
    packed, spectrum = (
        _part(memory, plan[Plan.AT_PACKED], n_fft),
        _part(memory, plan[Plan.AT_SPECTRUM], n_fft),
    )
    split = _part(memory, plan[Plan.AT_SPLIT], half // 128 * half)
    twiddles = _part(memory, plan[Plan.AT_TWIDDLES], n_fft)
    re, im = _part(memory, plan[Plan.AT_REAL], bins), _part(memory, plan[Plan.AT_IMAG], bins)
    noise, clean = _part(memory, plan[Plan.AT_NOISE], bins), _part(memory, plan[Plan.AT_CLEAN], bins)
    presence = _part(memory, plan[Plan.AT_PRESENCE], bins)
    log_gain, prior = _part(memory, plan[Plan.AT_LOG_GAIN], bins), _part(memory, plan[Plan.AT_PRIOR], bins)
    weight, level = _part(memory, plan[Plan.AT_WEIGHT], bins), _part(memory, plan[Plan.AT_LEVEL], bins)
    minimum = _part(memory, plan[Plan.AT_MINIMUM], bins)
    following = _part(memory, plan[Plan.AT_NEXT_MINIMUM], bins)

    analysis = _part(memory, plan[Plan.AT_ANALYSIS], n_fft)
    for k in range(half):
        packed[k] = x[2 * k] * analysis[2 * k]
        packed[half + k] = x[2 * k + 1] * analysis[2 * k + 1]
    half_fft(memory, packed, split, spectrum)
    unpack_spectrum(spectrum, twiddles, re, im)

    power = _part(memory, plan[Plan.AT_PACKED], bins)
    for k in range(bins):
        power[k] = re[k] * re[k] + im[k] * im[k]
    # A window that reaches back to before the stream's start tells little about its noise.
    frames = plan[Plan.FRAMES]
    if plan[Plan.OWED] == 0:
        _track(power, settings, frames, noise, presence)
        _hold(power, settings, frames, level, minimum, following, noise)
        plan[Plan.FRAMES] = frames + 1
    else:
        for k in range(bins):
            noise[k] = max(power[k], settings[LEAST_NOISE])
    _weigh(power, settings, noise, clean, prior, weight, log_gain)
    _apply(log_gain, re, im)

    pack_spectrum(re, im, twiddles, packed)
    half_fft(memory, packed, split, spectrum)
    overlap = _part(memory, plan[Plan.AT_OVERLAP], n_fft)
    synthesis = _part(memory, plan[Plan.AT_SYNTHESIS], n_fft)
    for k in range((window + 1) // 2):
        overlap[2 * k] += spectrum[half + k] * synthesis[2 * k]
        overlap[2 * k + 1] += spectrum[k] * synthesis[2 * k + 1]


_BLOCK = types.Array(types.float32, 1, "C", readonly=True)


@cached_njit(
    types.int64(_BLOCK, types.int64[::1], types.float64[::1], types.float32[::1]),
    calls=(kernel_fft, kernel_spectrum, kernel_bands),
    **_OPTIONS,
)
def denoise(x, plan, memory, out):  # type: ignore[no-untyped-def]
    """Append block `x` to the waiting samples, write those that no later window reaches, return their number.

    `memory` must have room behind ``AT_SAMPLES`` for the waiting samples, the block and `N_FFT` more, `out`
    for all samples. Releases the GIL.
    """
    samples = memory[plan[Plan.AT_SAMPLES] :]
    waiting = plan[Plan.WAITING]
    for k in range(x.size):
        samples[waiting + k] = x[k] if abs(x[k]) < _LOUD else 0.0
    total = waiting + x.size
    window, hop = plan[Plan.WINDOW], plan[Plan.HOP]
    overlap = memory[plan[Plan.AT_OVERLAP] : plan[Plan.AT_OVERLAP] + plan[Plan.N_FFT]]
    start = 0
    n = 0
    while start + window <= total:
        _frame(samples[start:], plan, memory)
        if plan[Plan.OWED] > 0:
            plan[Plan.OWED] -= hop
        else:
            for k in range(hop):
                out[n + k] = overlap[k]
            n += hop
        for k in range(window - hop):
            overlap[k] = overlap[k + hop]
        for k in range(window - hop, overlap.size):
            overlap[k] = 0.0
        start += hop
    for k in range(total - start):
        samples[k] = samples[start + k]
    plan[Plan.WAITING] = total - start
    return n
