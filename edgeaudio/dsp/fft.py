"""Twiddle factors and the work area of the real FFT.

The real FFT of ``n_fft = 512 * 2**k`` samples is a complex FFT of half the length over
``x[2n] + i x[2n+1]``, split by ``k`` radix-2 steps into complex FFTs of 256 points; these are
two passes of 16-point DFTs over 16 lanes, with real and imaginary parts apart so that the
compiler turns a lane loop into vector instructions. ``n_fft = 256`` needs one FFT of 256 points
with the imaginary part zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIZES", "core_twiddles", "half_twiddles", "split_twiddles"]

SIZES = (256, 512, 1024, 2048)
"""Supported FFT lengths."""


def core_twiddles() -> NDArray[np.float64]:
    """Return ``exp(-2 pi i * row * column / 256)``, shape ``[2, 4, 64]``: real, imaginary.

    The element of index ``k = 16 * row + column`` is at ``[k % 4, k // 4]``, as the kernel
    meets it.
    """
    index = np.arange(16)
    factors = np.exp(-2j * np.pi * np.outer(index, index) / 256).reshape(64, 4).T
    return np.stack([factors.real, factors.imag])


def half_twiddles(n: int) -> NDArray[np.float64]:
    """Return ``exp(-2 pi i k / n)`` for ``k < n // 2``, shape ``[2, n // 2]``."""
    factors = np.exp(-2j * np.pi * np.arange(n // 2) / n)
    return np.stack([factors.real, factors.imag])


def split_twiddles(n: int) -> NDArray[np.float64]:
    """Return ``exp(-2 pi i way * m / n)``, shape ``[n // 256, 2, n]``: by way, real and imaginary.

    The FFT of ``n = 256 * ways`` points needs, for its bins ``ways * k + way``, the 256-point FFT
    of ``sum over part of z[j + 256 part] * exp(-2 pi i way (j + 256 part) / n)``.
    """
    index = np.outer(np.arange(n // 256), np.arange(n)) % n
    factors = np.exp(-2j * np.pi * index / n)
    return np.stack([factors.real, factors.imag], axis=1)
