"""The compiled way from a windowed frame to its complex spectrum, and back again."""

from __future__ import annotations

import numpy as np
from numba import njit

from edgeaudio.dsp.kernel_fft import AT_INPUT, AT_OUTPUT, fft256, split_fft

__all__ = ["half_fft", "pack_spectrum", "unpack_spectrum"]

_inner = njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})


@_inner
def half_fft(memory, z, split, spectrum):  # type: ignore[no-untyped-def]
    """Complex FFT of ``[2, n]`` real and imaginary parts `z` into `spectrum`, n being 256 or more.

    Both are flat. `memory` begins with the work area of `kernel_fft`.
    """
    n = z.size // 2
    if n == 256:
        for k in range(512):
            memory[AT_INPUT + k] = z[k]
        fft256(memory)
        for k in range(512):
            spectrum[k] = memory[AT_OUTPUT + k]
    else:
        split_fft(memory, z[:n], z[n:], split, spectrum)


@_inner
def unpack_spectrum(z, twiddles, re, im):  # type: ignore[no-untyped-def]
    """Twice the spectrum, bins 0 … n, of the real signal whose even and odd samples were packed into `z`.

    As in `kernel_fft.packed_power`; the factor 1/2 is in the window.
    """
    n = z.size // 2
    a, b = z[:n], z[n:]
    cosine, sine = twiddles[:n], twiddles[n:]
    re[0], im[0] = 2.0 * (a[0] + b[0]), 0.0
    re[n], im[n] = 2.0 * (a[0] - b[0]), 0.0
    for k in range(1, n):
        j = np.uint64(n) - np.uint64(k)
        odd_r, odd_i = b[k] + b[j], a[j] - a[k]
        re[k] = a[k] + a[j] + cosine[k] * odd_r - sine[k] * odd_i
        im[k] = b[k] - b[j] + cosine[k] * odd_i + sine[k] * odd_r


@_inner
def pack_spectrum(re, im, twiddles, z):  # type: ignore[no-untyped-def]
    """The inverse of `unpack_spectrum`, with real and imaginary parts changed about.

    With ``A = X[k]``, ``B = conj(X[n-k])``: ``Z[k] = (A + B) + i exp(+2 pi i k/2n) (A - B)``, and as
    ``ifft(Z) = swap(fft(swap(Z))) / n``, the FFT of what is written here is the signal, its even samples
    being the imaginary part. The factor 1/2n is in the synthesis window.
    """
    n = z.size // 2
    cosine, sine = twiddles[:n], twiddles[n:]
    for k in range(n):
        j = np.uint64(n) - np.uint64(k)
        difference_r, difference_i = re[k] - re[j], im[k] + im[j]
        odd_r = difference_r * cosine[k] + difference_i * sine[k]
        odd_i = difference_i * cosine[k] - difference_r * sine[k]
        z[k] = im[k] - im[j] + odd_r
        z[n + k] = re[k] + re[j] - odd_i
