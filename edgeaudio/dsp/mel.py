"""Mel filterbanks and the layout in which the kernel applies them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUP", "MelNorm", "MelScale", "hz_to_mel", "mel_matrix", "mel_to_hz", "pack_groups"]

MelScale = Literal["htk", "slaney"]
MelNorm = Literal["none", "slaney"]

GROUP = 8
"""Bands that the kernel sums side by side, one a vector lane."""

# Slaney's Auditory Toolbox scale: linear below 1 kHz (200/3 Hz a mel), logarithmic above.
_BREAK_HZ = 1000.0
_HZ_PER_MEL = 200.0 / 3
_LOG_STEP = np.log(6.4) / 27


def hz_to_mel(hz: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    """Map Hz to mel: ``htk`` is 1127 ln(1 + f/700), ``slaney`` that of the Auditory Toolbox."""
    if scale == "htk":
        return np.asarray(1127.0 * np.log1p(hz / 700.0))
    log_part = _BREAK_HZ / _HZ_PER_MEL + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _HZ_PER_MEL, log_part)


def mel_to_hz(mel: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    """Undo :func:`hz_to_mel`."""
    if scale == "htk":
        return np.asarray(700.0 * np.expm1(mel / 1127.0))
    log_part = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_HZ / _HZ_PER_MEL))
    return np.where(mel < _BREAK_HZ / _HZ_PER_MEL, mel * _HZ_PER_MEL, log_part)


def mel_matrix(
    n_mels: int,
    n_fft: int,
    sample_rate_hz: int,
    fmin_hz: float,
    fmax_hz: float,
    scale: MelScale,
    norm: MelNorm,
) -> NDArray[np.float64]:
    """Return triangular mel weights, shape ``[n_mels, n_fft // 2]`` float64.

    ``htk`` follows Kaldi: triangles are straight lines over mel. ``slaney`` follows librosa:
    the corners lie on Slaney's scale and the lines are straight over Hz. Bin ``n_fft // 2``
    (Nyquist) is left out because no triangle that ends at or below it gives it any weight.
    With ``norm="slaney"`` each band has unit area over Hz.
    """
    bins_hz = np.arange(n_fft // 2) * (sample_rate_hz / n_fft)
    ends = hz_to_mel(np.array([fmin_hz, fmax_hz]), scale)
    corners_mel = np.linspace(ends[0], ends[1], n_mels + 2)
    corners_hz = mel_to_hz(corners_mel, scale)
    if scale == "htk":
        position, corners = hz_to_mel(bins_hz, scale), corners_mel
    else:
        position, corners = bins_hz, corners_hz
    left, centre, right = (corners[i : i + n_mels, None] for i in range(3))
    rising = (position - left) / (centre - left)
    falling = (right - position) / (right - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        weights *= (2.0 / (corners_hz[2:] - corners_hz[:-2]))[:, None]
    return np.asarray(weights)


def pack_groups(weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Lay a filterbank out for the kernel.

    Neighbouring bands overlap, so :data:`GROUP` of them span a short run of bins. For each
    group the kernel walks that run once and adds ``weight[bin, lane] * power[bin]`` to
    :data:`GROUP` sums at a time, which needs no gather and no horizontal sum.

    Parameters
    ----------
    weights : array, shape [n_mels, n_bins]

    Returns
    -------
    runs : int64 array, shape [n_groups, 2]
        First bin and number of bins of each group; the number is a multiple of 4.
    packed : float32 array
        ``[n_bins of the group, GROUP]`` weights of all groups, one after the other.
    """
    n_mels, n_bins = weights.shape
    n_groups = -(-n_mels // GROUP)
    padded = np.zeros((n_groups * GROUP, n_bins))
    padded[:n_mels] = weights
    runs = np.zeros((n_groups, 2), np.int64)
    blocks = []
    for group in range(n_groups):
        rows = padded[group * GROUP : (group + 1) * GROUP]
        used = np.flatnonzero(rows.any(axis=0))
        first, last = (int(used[0]), int(used[-1])) if used.size else (0, -1)
        count = -(-(last + 1 - first) // 4) * 4
        first = min(first, n_bins - count)
        runs[group] = first, count
        blocks.append(rows[:, first : first + count].T.ravel())
    return runs, np.concatenate(blocks).astype(np.float32)
