"""The compiled steps around the FFT: windowing, mel bands, and what is made of them."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["condition", "exp32", "log32", "log_bands", "mel_bands", "pcen_bands", "project", "waveform"]

# Fields of the settings block.
PREEMPHASIS, SCALE, FLOOR, SMOOTHING, GAIN, BIAS, ROOT, EPS, OFFSET = range(9)

# Band energies and samples from here on count as silence: they would overflow further on.
_HUGE = 3.0e38
_LOUD = 1.0e20
# Filter states below this are zero: left to decay in digital silence they become subnormal numbers,
# with which many processors calculate a hundred times slower.
_TINY = 1.0e-30

_inner = njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})


@_inner
def condition(x, window, remove_dc, preemphasis, out):  # type: ignore[no-untyped-def]
    """Subtract the window's mean, pre-emphasise, apply the window; Kaldi's order."""
    n = window.size
    mean = 0.0
    if remove_dc:
        for k in range(n):
            mean += x[k]
        mean /= n
    first = x[0] - mean
    out[0] = (first - preemphasis * first) * window[0]
    for k in range(1, n):
        out[k] = ((x[k] - mean) - preemphasis * (x[k - 1] - mean)) * window[k]


@_inner
def mel_bands(power, weights, starts, owners, sums):  # type: ignore[no-untyped-def]
    """Sum weighted bins piece by piece; see ``mel.pack_pieces``.

    Eight pieces at a time, so that the loop over 16 bins is one vector instruction each.
    """
    for piece in range(0, starts.size, 8):
        b = starts[piece : piece + 8]
        w = weights[16 * piece : 16 * piece + 128]
        p0, p1 = power[b[0] : b[0] + 16], power[b[1] : b[1] + 16]
        p2, p3 = power[b[2] : b[2] + 16], power[b[3] : b[3] + 16]
        p4, p5 = power[b[4] : b[4] + 16], power[b[5] : b[5] + 16]
        p6, p7 = power[b[6] : b[6] + 16], power[b[7] : b[7] + 16]
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for t in range(16):
            s0 += p0[t] * w[t]
            s1 += p1[t] * w[16 + t]
            s2 += p2[t] * w[32 + t]
            s3 += p3[t] * w[48 + t]
            s4 += p4[t] * w[64 + t]
            s5 += p5[t] * w[80 + t]
            s6 += p6[t] * w[96 + t]
            s7 += p7[t] * w[112 + t]
        out = sums[piece : piece + 8]
        out[0], out[1], out[2], out[3] = s0, s1, s2, s3
        out[4], out[5], out[6], out[7] = s4, s5, s6, s7
    further = starts.size - owners.size
    for k in range(owners.size):
        sums[owners[k]] += sums[further + k]


@_inner
def log32(value):  # type: ignore[no-untyped-def]
    """Natural logarithm of a normal positive float32 (Cephes logf), free of branches."""
    bits = np.float32(value).view(np.int32)
    # Exponent such that the mantissa m lies in [sqrt(1/2), sqrt(2)).
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    m = np.int32(bits - (exponent << np.int32(23))).view(np.float32)
    f = m - np.float32(1.0)
    p = np.float32(7.0376836292e-2)
    p = p * f - np.float32(1.1514610310e-1)
    p = p * f + np.float32(1.1676998740e-1)
    p = p * f - np.float32(1.2420140846e-1)
    p = p * f + np.float32(1.4249322787e-1)
    p = p * f - np.float32(1.6668057665e-1)
    p = p * f + np.float32(2.0000714765e-1)
    p = p * f - np.float32(2.4999993993e-1)
    p = p * f + np.float32(3.3333331174e-1)
    z = f * f
    e = np.float32(exponent)
    return f + (f * z * p - np.float32(0.5) * z) + np.float32(0.69314718056) * e


@_inner
def exp32(value):  # type: ignore[no-untyped-def]
    """Exponential of a float32 (Cephes expf), clamped to normal results, free of branches."""
    x = min(max(value, np.float32(-87.0)), np.float32(88.0))
    n = np.floor(x * np.float32(1.44269504089) + np.float32(0.5))
    x -= n * np.float32(0.69314718056)
    p = np.float32(1.9875691500e-4)
    p = p * x + np.float32(1.3981999507e-3)
    p = p * x + np.float32(8.3334519073e-3)
    p = p * x + np.float32(4.1665795894e-2)
    p = p * x + np.float32(1.6666665459e-1)
    p = p * x + np.float32(5.0000001201e-1)
    scale = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (p * x * x + x + np.float32(1.0)) * scale


@_inner
def log_bands(mel, offset, floor, out):  # type: ignore[no-untyped-def]
    """Logarithm of bands plus `offset`, at least that of `floor`; NaN counts as silence."""
    for k in range(out.size):
        v = mel[k] + offset
        out[k] = log32(np.float32(min(v, _HUGE) if v > floor else floor))


@_inner
def pcen_bands(mel, smoother, started, settings, out):  # type: ignore[no-untyped-def]
    """Per-channel energy normalisation, Wang et al. 2017, equations 1 and 2.

    ``M += s (E - M)``; ``out = (E / (eps + M)**gain + bias)**root - bias**root``. M starts as
    the first E. An E that is not finite counts as silence, else it would stay in M for ever.
    """
    rate = np.float32(settings[SMOOTHING] if started else 1.0)
    gain, bias = np.float32(settings[GAIN]), np.float32(settings[BIAS])
    root, eps = np.float32(settings[ROOT]), np.float32(settings[EPS])
    rest = exp32(root * log32(bias))
    for k in range(out.size):
        v = mel[k]
        energy = np.float32(v if v < _HUGE else 0.0)
        level = np.float32(smoother[k])
        level += rate * (energy - level)
        smoother[k] = level if level > _TINY else 0.0
        ratio = energy * exp32(-gain * log32(eps + level))
        out[k] = exp32(root * log32(ratio + bias)) - rest


@_inner
def project(log_mel, matrix, out):  # type: ignore[no-untyped-def]
    """``out = matrix @ log_mel``."""
    n = log_mel.size
    for k in range(out.size):
        row = matrix[k * n : k * n + n]
        total = 0.0
        for band in range(n):
            total += row[band] * log_mel[band]
        out[k] = total


@_inner
def waveform(x, settings, remove_dc, state, started, out):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Next samples after a DC blocker and pre-emphasis.

    ``d[n] = x[n] - x[n-1] + 0.995 d[n-1]`` (-3 dB at 13 Hz of 16 kHz), ``y[n] = d[n] - c d[n-1]``.
    `state` holds x[n-1] and d[n-1]; what is not finite counts as silence, else it would stay.
    """
    c, scale = settings[PREEMPHASIS], settings[SCALE]
    last, d = state[0], state[1]
    for k in range(out.size):
        v = x[k] if abs(x[k]) < _LOUD else 0.0
        if not started:
            started = 1
            last, d = v, 0.0 if remove_dc else v
        now = v - last + 0.995 * d if remove_dc else v
        now = now if abs(now) > _TINY else 0.0
        out[k] = (now - c * d) * scale
        last, d = v, now
    state[0], state[1] = last, d
