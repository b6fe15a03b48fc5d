"""The compiled FFT by itself, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from edgeaudio.dsp import fft, kernel_fft


@njit  # type: ignore[untyped-decorator]
def fft256(work):  # type: ignore[no-untyped-def]
    kernel_fft.fft256(work)


@njit  # type: ignore[untyped-decorator]
def split_fft(work, z, split, spectrum):  # type: ignore[no-untyped-def]
    n = z.size // 2
    kernel_fft.split_fft(work, z[:n], z[n:], split, spectrum)


def work_area() -> np.ndarray:
    work = np.zeros(kernel_fft.WORK_SIZE)
    work[kernel_fft.AT_TWIDDLES :] = fft.core_twiddles().ravel()
    return work


def noise(n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    return rng.standard_normal(n) + 1j * rng.standard_normal(n)


def test_256_points() -> None:
    work, z = work_area(), noise(256)
    work[:512] = np.concatenate([z.real, z.imag])
    fft256(work)
    got = work[kernel_fft.AT_OUTPUT :][:256] + 1j * work[kernel_fft.AT_OUTPUT + 256 :][:256]
    # Values of about 20, eight stages of float64 rounding.
    np.testing.assert_allclose(got, np.fft.fft(z), rtol=0, atol=1e-13)


@pytest.mark.parametrize("n", [512, 1024])
def test_longer_ones_by_splitting(n: int) -> None:
    z, spectrum = noise(n), np.zeros(2 * n)
    split_fft(work_area(), np.concatenate([z.real, z.imag]), fft.split_twiddles(n).ravel(), spectrum)
    np.testing.assert_allclose(spectrum[:n] + 1j * spectrum[n:], np.fft.fft(z), rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [0, 1, 15, 16, 100, 255])
def test_a_wave_is_one_bin(k: int) -> None:
    work = work_area()
    # Whole turns taken off first: NumPy's sine of large angles is only good to 1e-13.
    z = np.exp(2j * np.pi * (k * np.arange(256) % 256) / 256)
    work[:512] = np.concatenate([z.real, z.imag])
    fft256(work)
    re, im = work[kernel_fft.AT_OUTPUT :][:256], work[kernel_fft.AT_OUTPUT + 256 :][:256]
    want = np.zeros(256)
    want[k] = 256
    np.testing.assert_allclose(re, want, atol=1e-12)
    np.testing.assert_allclose(im, 0, atol=1e-12)
