"""The compiled FFT; its tables and the idea behind it are in :mod:`edgeaudio.dsp.fft`."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["AT_INPUT", "AT_OUTPUT", "AT_TWIDDLES", "WORK_SIZE", "fft256", "packed_power", "split_fft"]

# The 256-point FFT works at constant offsets of one array, so that the compiler can see that
# nothing aliases: input, a middle stage, output and twiddles, each 256 real and then 256
# imaginary parts. The input is overwritten.
AT_INPUT, _MIDDLE, AT_OUTPUT, AT_TWIDDLES = 0, 512, 1024, 1536
WORK_SIZE = 2048

_inner = njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
# Inlined by Numba: LLVM leaves functions of this size alone and then cannot vectorise the lanes.
_fused = njit(inline="always", error_model="numpy")

# exp(-2 pi i / 16) and exp(-2 pi i / 8)
_C1 = float(np.cos(np.pi / 8))
_S1 = float(np.sin(np.pi / 8))
_H = float(np.sqrt(0.5))


@_fused
def _dft4(ar, ai, br, bi, cr, ci, dr, di):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    sr, si, tr, ti = ar + cr, ai + ci, ar - cr, ai - ci
    ur, ui, vr, vi = br + dr, bi + di, br - dr, bi - di
    return sr + ur, si + ui, tr + vi, ti - vr, sr - ur, si - ui, tr - vi, ti + vr


@_fused
def _turn(ar, ai, cosine, sine):  # type: ignore[no-untyped-def]
    """Multiply by ``cosine - i sine``."""
    return ar * cosine + ai * sine, ai * cosine - ar * sine


@_fused
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


@_fused
def _column(w, at, stride):  # type: ignore[no-untyped-def]
    """Gather 16 values; a tuple, so that they stay in registers."""
    return (
        w[at], w[at + stride], w[at + 2 * stride], w[at + 3 * stride],
        w[at + 4 * stride], w[at + 5 * stride], w[at + 6 * stride], w[at + 7 * stride],
        w[at + 8 * stride], w[at + 9 * stride], w[at + 10 * stride], w[at + 11 * stride],
        w[at + 12 * stride], w[at + 13 * stride], w[at + 14 * stride], w[at + 15 * stride],
    )  # fmt: skip


@_fused
def _put(w, at, v):  # type: ignore[no-untyped-def]
    """Store 16 values 16 apart."""
    w[at], w[at + 16], w[at + 32], w[at + 48] = v[0], v[1], v[2], v[3]
    w[at + 64], w[at + 80], w[at + 96], w[at + 112] = v[4], v[5], v[6], v[7]
    w[at + 128], w[at + 144], w[at + 160], w[at + 176] = v[8], v[9], v[10], v[11]
    w[at + 192], w[at + 208], w[at + 224], w[at + 240] = v[12], v[13], v[14], v[15]


@_inner
def _columns(w):  # type: ignore[no-untyped-def]
    """16-point DFTs down the 16 columns of the input: one lane a column."""
    for lane in range(16):
        re, im = _dft16(_column(w, AT_INPUT + lane, 16), _column(w, AT_INPUT + 256 + lane, 16))
        _put(w, AT_OUTPUT + lane, re)
        _put(w, AT_OUTPUT + 256 + lane, im)


@_inner
def fft256(w):  # type: ignore[no-untyped-def]
    """Complex FFT of 256 points inside the work area, from ``AT_INPUT`` to ``AT_OUTPUT``."""
    _columns(w)
    # Between the passes rows become columns. With an index written as four base-4 digits, abcd
    # becomes cdab; each of two rounds moves the last digit to the front, which compilers turn
    # into register shuffles, where a plain transposition is done number by number.
    for i in range(64):
        k = AT_OUTPUT + 4 * i
        r0, r1, r2, r3 = w[k], w[k + 1], w[k + 2], w[k + 3]
        k += 256
        i0, i1, i2, i3 = w[k], w[k + 1], w[k + 2], w[k + 3]
        t = AT_TWIDDLES + i
        c0, c1, c2, c3 = w[t], w[t + 64], w[t + 128], w[t + 192]
        t += 256
        s0, s1, s2, s3 = w[t], w[t + 64], w[t + 128], w[t + 192]
        m = _MIDDLE + i
        w[m], w[m + 64] = r0 * c0 - i0 * s0, r1 * c1 - i1 * s1
        w[m + 128], w[m + 192] = r2 * c2 - i2 * s2, r3 * c3 - i3 * s3
        m += 256
        w[m], w[m + 64] = r0 * s0 + i0 * c0, r1 * s1 + i1 * c1
        w[m + 128], w[m + 192] = r2 * s2 + i2 * c2, r3 * s3 + i3 * c3
    for i in range(64):
        k = _MIDDLE + 4 * i
        r0, r1, r2, r3 = w[k], w[k + 1], w[k + 2], w[k + 3]
        k += 256
        i0, i1, i2, i3 = w[k], w[k + 1], w[k + 2], w[k + 3]
        m = AT_INPUT + i
        w[m], w[m + 64], w[m + 128], w[m + 192] = r0, r1, r2, r3
        m += 256
        w[m], w[m + 64], w[m + 128], w[m + 192] = i0, i1, i2, i3
    _columns(w)


@_inner
def split_fft(w, re, im, split, spectrum):  # type: ignore[no-untyped-def]
    """Complex FFT of ``256 * ways`` points: FFTs of 256 that yield every ways-th bin each."""
    n = re.size
    ways = n // 256
    for way in range(ways):
        cosine, sine = split[2 * way * n : (2 * way + 1) * n], split[(2 * way + 1) * n : (2 * way + 2) * n]
        for k in range(256):
            w[AT_INPUT + k] = 0.0
            w[AT_INPUT + 256 + k] = 0.0
        for at in range(0, n, 256):
            a, b = re[at : at + 256], im[at : at + 256]
            c, s = cosine[at : at + 256], sine[at : at + 256]
            for k in range(256):
                w[AT_INPUT + k] += a[k] * c[k] - b[k] * s[k]
                w[AT_INPUT + 256 + k] += a[k] * s[k] + b[k] * c[k]
        fft256(w)
        for k in range(256):
            spectrum[ways * k + way] = w[AT_OUTPUT + k]
            spectrum[n + ways * k + way] = w[AT_OUTPUT + 256 + k]


@_inner
def packed_power(re, im, cosine, sine, power):  # type: ignore[no-untyped-def]
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
