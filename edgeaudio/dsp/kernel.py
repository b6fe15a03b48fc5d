"""The compiled frontend: one call turns a block of samples into feature frames.

Everything that Numba compiles lives in this file, because Numba's disk cache notices a change
of the file that holds the entry point, not of files it imports.

The entry point :func:`run` takes four arrays only, since each array argument costs about
70 ns a call: the block, one int64 array (counters and layout, :class:`Plan`), one float32 array
(tables, state, scratch and waiting samples, cut by the offsets in the plan) and the output.
Frames are computed one at a time from raw samples, always by the same instructions, so the
result cannot depend on how the stream was cut into blocks.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numba import njit, types

__all__ = ["WORK_SIZE", "WORK_TWIDDLES", "Feature", "Plan", "run"]


class Feature(IntEnum):
    """What :func:`run` writes."""

    LOG_MEL = 0
    MFCC = 1
    PCEN = 2
    WAVEFORM = 3


class Plan(IntEnum):
    """Fields of the int64 array; ``AT_*`` are offsets into the float32 array."""

    WAITING = 0  # samples carried over from earlier blocks
    STARTED = 1  # 1 once PCEN's smoother or the waveform's filter has seen input
    FEATURE = 2
    WINDOW = 3
    HOP = 4
    N_FFT = 5
    N_MELS = 6
    N_BANDS = 7
    POWER = 8  # 1: power spectrum, 0: magnitude
    REMOVE_DC = 9
    N_GROUPS = 10
    AT_WINDOW = 11
    AT_FRAME = 12
    AT_PACKED = 13
    AT_SPECTRUM = 14
    AT_SPLIT = 15
    AT_TWIDDLES = 16
    AT_POWER = 17
    AT_WEIGHTS = 18
    AT_MEL = 19
    AT_LOG = 20
    AT_DCT = 21
    AT_SETTINGS = 22
    AT_STATE = 23
    AT_SAMPLES = 24
    RUNS = 25  # first of 2 * N_GROUPS entries: first bin and bin count of each mel group


# Fields of the settings block.
_PREEMPHASIS, _SCALE, _FLOOR, _SMOOTH, _GAIN, _BIAS, _ROOT, _EPS = range(8)

# The 256-point FFT works at constant offsets, so that the compiler can see that nothing aliases:
# input, transposed, output and twiddles, each 256 real parts and then 256 imaginary ones.
_IN, _MID, _OUT, _TWIDDLE = 0, 512, 1024, 1536
WORK_TWIDDLES = _TWIDDLE
WORK_SIZE = 2048

_HUGE = np.float32(3.0e38)

_inner = njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})


@_inner
def _dft4(ar, ai, br, bi, cr, ci, dr, di):  # type: ignore[no-untyped-def]
    sr, si, tr, ti = ar + cr, ai + ci, ar - cr, ai - ci
    ur, ui, vr, vi = br + dr, bi + di, br - dr, bi - di
    return sr + ur, si + ui, tr + vi, ti - vr, sr - ur, si - ui, tr - vi, ti + vr


@_inner
def _turn(ar, ai, cosine, sine):  # type: ignore[no-untyped-def]
    """Multiply by ``cosine - i sine``."""
    return ar * cosine + ai * sine, ai * cosine - ar * sine


_C1 = np.float32(np.cos(np.pi / 8))
_S1 = np.float32(np.sin(np.pi / 8))
_H = np.float32(np.sqrt(0.5))


@_inner
def _dft16(r, i):  # type: ignore[no-untyped-def]
    """DFT of 16 points as 4 x 4; `r`, `i` are tuples of 16 scalars; so are both results."""
    a0r, a0i, a1r, a1i, a2r, a2i, a3r, a3i = _dft4(r[0], i[0], r[4], i[4], r[8], i[8], r[12], i[12])
    b0r, b0i, b1r, b1i, b2r, b2i, b3r, b3i = _dft4(r[1], i[1], r[5], i[5], r[9], i[9], r[13], i[13])
    c0r, c0i, c1r, c1i, c2r, c2i, c3r, c3i = _dft4(r[2], i[2], r[6], i[6], r[10], i[10], r[14], i[14])
    d0r, d0i, d1r, d1i, d2r, d2i, d3r, d3i = _dft4(r[3], i[3], r[7], i[7], r[11], i[11], r[15], i[15])
    # Twiddles exp(-2 pi i m / 16), m = row * column.
    b1r, b1i = _turn(b1r, b1i, _C1, _S1)
    b2r, b2i = (b2r + b2i) * _H, (b2i - b2r) * _H
    b3r, b3i = _turn(b3r, b3i, _S1, _C1)
    c1r, c1i = (c1r + c1i) * _H, (c1i - c1r) * _H
    c2r, c2i = c2i, -c2r
    c3r, c3i = (c3i - c3r) * _H, -(c3r + c3i) * _H
    d1r, d1i = _turn(d1r, d1i, _S1, _C1)
    d2r, d2i = (d2i - d2r) * _H, -(d2r + d2i) * _H
    d3r, d3i = _turn(d3r, d3i, -_C1, -_S1)
    r0, i0, r4, i4, r8, i8, rc, ic = _dft4(a0r, a0i, b0r, b0i, c0r, c0i, d0r, d0i)
    r1, i1, r5, i5, r9, i9, rd, id_ = _dft4(a1r, a1i, b1r, b1i, c1r, c1i, d1r, d1i)
    r2, i2, r6, i6, ra, ia, re, ie = _dft4(a2r, a2i, b2r, b2i, c2r, c2i, d2r, d2i)
    r3, i3, r7, i7, rb, ib, rf, if_ = _dft4(a3r, a3i, b3r, b3i, c3r, c3i, d3r, d3i)
    return (
        (r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ra, rb, rc, rd, re, rf),
        (i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, ia, ib, ic, id_, ie, if_),
    )


@_inner
def _column(w, at, stride):  # type: ignore[no-untyped-def]
    """Gather 16 values; a tuple, so that they stay in registers."""
    return (
        w[at], w[at + stride], w[at + 2 * stride], w[at + 3 * stride],
        w[at + 4 * stride], w[at + 5 * stride], w[at + 6 * stride], w[at + 7 * stride],
        w[at + 8 * stride], w[at + 9 * stride], w[at + 10 * stride], w[at + 11 * stride],
        w[at + 12 * stride], w[at + 13 * stride], w[at + 14 * stride], w[at + 15 * stride],
    )  # fmt: skip


@_inner
def _put(w, at, v):  # type: ignore[no-untyped-def]
    """Store 16 values 16 apart."""
    w[at], w[at + 16], w[at + 32], w[at + 48] = v[0], v[1], v[2], v[3]
    w[at + 64], w[at + 80], w[at + 96], w[at + 112] = v[4], v[5], v[6], v[7]
    w[at + 128], w[at + 144], w[at + 160], w[at + 176] = v[8], v[9], v[10], v[11]
    w[at + 192], w[at + 208], w[at + 224], w[at + 240] = v[12], v[13], v[14], v[15]


@_inner
def _fft256(w):  # type: ignore[no-untyped-def]
    """Complex FFT of 256 points inside the work area, from ``_IN`` to ``_OUT``."""
    for lane in range(16):
        re, im = _dft16(_column(w, _IN + lane, 16), _column(w, _IN + 256 + lane, 16))
        _put(w, _OUT + lane, re)
        _put(w, _OUT + 256 + lane, im)
    # Twiddles, and the transposition that makes rows lanes.
    for row in range(16):
        for lane in range(16):
            k = 16 * row + lane
            re, im = w[_OUT + k], w[_OUT + 256 + k]
            wr, wi = w[_TWIDDLE + k], w[_TWIDDLE + 256 + k]
            w[_MID + 16 * lane + row] = re * wr - im * wi
            w[_MID + 256 + 16 * lane + row] = re * wi + im * wr
    for lane in range(16):
        re, im = _dft16(_column(w, _MID + lane, 16), _column(w, _MID + 256 + lane, 16))
        _put(w, _OUT + lane, re)
        _put(w, _OUT + 256 + lane, im)


@_inner
def _split_fft(w, packed, split, spectrum, n):  # type: ignore[no-untyped-def]
    """Complex FFT of ``n = 256 * ways`` points: ``ways`` FFTs of 256 that yield every ways-th bin."""
    ways = n // 256
    for way in range(ways):
        cosine, sine = split[2 * way * n : (2 * way + 1) * n], split[(2 * way + 1) * n : (2 * way + 2) * n]
        for k in range(256):
            w[_IN + k] = 0.0
            w[_IN + 256 + k] = 0.0
        for part in range(ways):
            re, im = packed[256 * part : 256 * part + 256], packed[n + 256 * part : n + 256 * part + 256]
            c, s = cosine[256 * part : 256 * part + 256], sine[256 * part : 256 * part + 256]
            for k in range(256):
                w[_IN + k] += re[k] * c[k] - im[k] * s[k]
                w[_IN + 256 + k] += re[k] * s[k] + im[k] * c[k]
        _fft256(w)
        for k in range(256):
            spectrum[ways * k + way] = w[_OUT + k]
            spectrum[n + ways * k + way] = w[_OUT + 256 + k]


@_inner
def _condition(x, window, remove_dc, preemphasis, out):  # type: ignore[no-untyped-def]
    """Subtract the window's mean, pre-emphasise, apply the window; Kaldi's order."""
    n = window.size
    mean = np.float32(0.0)
    if remove_dc:
        # Summed in float64: a constant has exactly itself as its mean, however large it is.
        total = 0.0
        for k in range(n):
            total += np.float64(x[k])
        mean = np.float32(total / n)
    first = x[0] - mean
    out[0] = (first - preemphasis * first) * window[0]
    for k in range(1, n):
        out[k] = ((x[k] - mean) - preemphasis * (x[k - 1] - mean)) * window[k]


@_inner
def _packed_power(re, im, cosine, sine, power):  # type: ignore[no-untyped-def]
    """Power of the real signal whose even and odd samples were real and imaginary part.

    With ``A = Z[k]``, ``B = conj(Z[n-k])``: ``X[k] = (A + B)/2 + exp(-2 pi i k/2n) (A - B)/2i``.
    The factor 1/2 is in the window. Bin 0 has no weight in any band and is left at 0.
    """
    n = re.size
    for k in range(1, n):
        j = np.uint64(n) - np.uint64(k)
        even_r, even_i = re[k] + re[j], im[k] - im[j]
        odd_r, odd_i = im[k] + im[j], re[j] - re[k]
        xr = even_r + cosine[k] * odd_r - sine[k] * odd_i
        xi = even_i + cosine[k] * odd_i + sine[k] * odd_r
        power[k] = xr * xr + xi * xi


@_inner
def _mel_bands(power, weights, runs, mel):  # type: ignore[no-untyped-def]
    """Sum weighted bins, eight bands side by side; see ``mel.pack_groups``."""
    at = 0
    for group in range(runs.size // 2):
        first, count = runs[2 * group], runs[2 * group + 1]
        p = power[first : first + count]
        w = weights[at : at + 8 * count]
        at += 8 * count
        out = mel[8 * group : 8 * group + 8]
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = np.float32(0.0)
        for k in range(count):
            v = p[k]
            a0 += v * w[8 * k]
            a1 += v * w[8 * k + 1]
            a2 += v * w[8 * k + 2]
            a3 += v * w[8 * k + 3]
            a4 += v * w[8 * k + 4]
            a5 += v * w[8 * k + 5]
            a6 += v * w[8 * k + 6]
            a7 += v * w[8 * k + 7]
        out[0], out[1], out[2], out[3] = a0, a1, a2, a3
        out[4], out[5], out[6], out[7] = a4, a5, a6, a7


@_inner
def _log(value):  # type: ignore[no-untyped-def]
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
def _exp(value):  # type: ignore[no-untyped-def]
    """Exponential of a float32 (Cephes expf), clamped to normal results, free of branches."""
    x = min(max(value, np.float32(-87.0)), np.float32(88.0))
    n = np.floor(x * np.float32(1.44269504089) + np.float32(0.5))
    x = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * x + np.float32(1.3981999507e-3)
    p = p * x + np.float32(8.3334519073e-3)
    p = p * x + np.float32(4.1665795894e-2)
    p = p * x + np.float32(1.6666665459e-1)
    p = p * x + np.float32(5.0000001201e-1)
    scale = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (p * x * x + x + np.float32(1.0)) * scale


@_inner
def _log_bands(mel, floor, out):  # type: ignore[no-untyped-def]
    """Logarithm of bands, at least that of `floor`; NaN counts as silence."""
    for k in range(out.size):
        v = mel[k]
        out[k] = _log(v if v > floor else floor)


@_inner
def _pcen_bands(mel, smoother, started, settings, out):  # type: ignore[no-untyped-def]
    """Per-channel energy normalisation, Wang et al. 2017, equations 1 and 2.

    ``M += s (E - M)``; ``out = (E / (eps + M)**gain + bias)**root - bias**root``. M starts as
    the first E. An E that is not finite counts as silence, else it would stay in M for ever.
    """
    rate = settings[_SMOOTH] if started else np.float32(1.0)
    gain, bias, root, eps = settings[_GAIN], settings[_BIAS], settings[_ROOT], settings[_EPS]
    rest = _exp(root * _log(bias))
    for k in range(out.size):
        v = mel[k]
        energy = v if v < _HUGE else np.float32(0.0)
        level = smoother[k] + rate * (energy - smoother[k])
        smoother[k] = level
        ratio = energy * _exp(-gain * _log(eps + level))
        out[k] = _exp(root * _log(ratio + bias)) - rest


@_inner
def _project(log_mel, matrix, out):  # type: ignore[no-untyped-def]
    """``out = log_mel @ matrix``."""
    n = out.size
    out[:] = 0.0
    for band in range(log_mel.size):
        row = matrix[band * n : band * n + n]
        for k in range(n):
            out[k] += log_mel[band] * row[k]


@_inner
def _waveform(x, settings, remove_dc, state, started, out):  # type: ignore[no-untyped-def]
    """Next samples after a DC blocker and pre-emphasis.

    ``d[n] = x[n] - x[n-1] + 0.995 d[n-1]`` (-3 dB at 13 Hz of 16 kHz), ``y[n] = d[n] - c d[n-1]``.
    `state` holds x[n-1] and d[n-1]; a value that is not finite restarts the filter.
    """
    last, d = state[0], state[1]
    if not started:
        last, d = x[0], np.float32(0.0)
        if not remove_dc:
            d = last
    c, scale = settings[_PREEMPHASIS], settings[_SCALE]
    for k in range(out.size):
        v = x[k]
        now = v - last + np.float32(0.995) * d if remove_dc else v
        if not abs(now) < _HUGE:
            now = np.float32(0.0)
        if not abs(v) < _HUGE:
            v = np.float32(0.0)
        out[k] = (now - c * d) * scale
        last, d = v, now
    state[0], state[1] = last, d


@_inner
def _spectrum(plan, floats):  # type: ignore[no-untyped-def]
    """From the windowed frame to its power or magnitude spectrum."""
    n_fft = plan[Plan.N_FFT]
    half = n_fft // 2
    frame = floats[plan[Plan.AT_FRAME] : plan[Plan.AT_FRAME] + n_fft]
    power = floats[plan[Plan.AT_POWER] : plan[Plan.AT_POWER] + half]
    packed = floats[plan[Plan.AT_PACKED] : plan[Plan.AT_PACKED] + 2 * half]
    spectrum = floats[plan[Plan.AT_SPECTRUM] : plan[Plan.AT_SPECTRUM] + 2 * half]
    if n_fft == 256:
        floats[_IN : _IN + 256] = frame
        floats[_IN + 256 : _IN + 512] = 0.0
        _fft256(floats)
        for k in range(128):
            re, im = floats[_OUT + k], floats[_OUT + 256 + k]
            power[k] = re * re + im * im
    else:
        for k in range(half):
            packed[k] = frame[2 * k]
            packed[half + k] = frame[2 * k + 1]
        if n_fft == 512:
            _fft256(floats)
        else:
            split = floats[plan[Plan.AT_SPLIT] : plan[Plan.AT_SPLIT] + half // 128 * half]
            _split_fft(floats, packed, split, spectrum, half)
        twiddles = floats[plan[Plan.AT_TWIDDLES] : plan[Plan.AT_TWIDDLES] + 2 * half]
        _packed_power(spectrum[:half], spectrum[half:], twiddles[:half], twiddles[half:], power)
    if not plan[Plan.POWER]:
        for k in range(half):
            power[k] = np.sqrt(power[k])
    return power


@_inner
def _features(x, plan, floats, out):  # type: ignore[no-untyped-def]
    """Compute one frame from its samples."""
    settings = floats[plan[Plan.AT_SETTINGS] : plan[Plan.AT_SETTINGS] + 8]
    state = floats[plan[Plan.AT_STATE] :]
    started = plan[Plan.STARTED]
    plan[Plan.STARTED] = 1
    if plan[Plan.FEATURE] == Feature.WAVEFORM:
        _waveform(x, settings, plan[Plan.REMOVE_DC], state, started, out)
        return
    window = floats[plan[Plan.AT_WINDOW] : plan[Plan.AT_WINDOW] + plan[Plan.WINDOW]]
    frame = floats[plan[Plan.AT_FRAME] : plan[Plan.AT_FRAME] + plan[Plan.N_FFT]]
    _condition(x, window, plan[Plan.REMOVE_DC], settings[_PREEMPHASIS], frame)
    power = _spectrum(plan, floats)
    mel = floats[plan[Plan.AT_MEL] :]
    runs = plan[Plan.RUNS : Plan.RUNS + 2 * plan[Plan.N_GROUPS]]
    _mel_bands(power, floats[plan[Plan.AT_WEIGHTS] :], runs, mel)
    if plan[Plan.FEATURE] == Feature.LOG_MEL:
        _log_bands(mel, settings[_FLOOR], out)
    elif plan[Plan.FEATURE] == Feature.PCEN:
        _pcen_bands(mel, state, started, settings, out)
    else:
        logs = floats[plan[Plan.AT_LOG] : plan[Plan.AT_LOG] + plan[Plan.N_MELS]]
        _log_bands(mel, settings[_FLOOR], logs)
        _project(logs, floats[plan[Plan.AT_DCT] :], out)


_float32 = types.float32


@njit(
    types.int64(
        types.Array(_float32, 1, "C", readonly=True), types.int64[::1], _float32[::1], _float32[:, ::1]
    ),
    nogil=True,
    cache=True,
    error_model="numpy",
    fastmath={"contract", "nsz", "reassoc"},
)
def run(x, plan, floats, frames):  # type: ignore[no-untyped-def]
    """Append block `x` to the waiting samples and write every frame that is now complete.

    Returns the number of frames written. `floats` must have room for the waiting samples and the
    block behind ``AT_SAMPLES``, `frames` for all frames.
    """
    samples = floats[plan[Plan.AT_SAMPLES] :]
    waiting = plan[Plan.WAITING]
    samples[waiting : waiting + x.size] = x
    total = waiting + x.size
    window, hop = plan[Plan.WINDOW], plan[Plan.HOP]
    start = 0
    n = 0
    while start + window <= total:
        _features(samples[start : start + window], plan, floats, frames[n])
        start += hop
        n += 1
    for k in range(total - start):
        samples[k] = samples[start + k]
    plan[Plan.WAITING] = total - start
    return n
