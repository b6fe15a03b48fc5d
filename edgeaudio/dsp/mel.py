"""Mel filterbanks and the layout in which the kernel applies them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["PIECE", "MelNorm", "MelScale", "hz_to_mel", "mel_matrix", "mel_to_hz", "pack_pieces"]

MelScale = Literal["htk", "slaney"]
MelNorm = Literal["none", "slaney"]

PIECE = 16
"""Bins that the kernel weights and sums at a time."""

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
    *,
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
    bins_hz = np.arange(n_fft // 2, dtype=np.float64) * np.float64(sample_rate_hz / n_fft)
    low, high = hz_to_mel(np.array([fmin_hz, fmax_hz]), scale)
    corners_mel: NDArray[np.float64] = low + (high - low) / (n_mels + 1) * np.arange(n_mels + 2)
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


def pack_pieces(
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Cut a sparse filterbank into pieces of :data:`PIECE` neighbouring bins each.

    Pieces of one length need no loop of varying length in the kernel. Most bands are one piece;
    what wide ones have beyond their first comes at the end.

    Parameters
    ----------
    weights : array, shape [n_mels, n_bins]

    Returns
    -------
    starts : int64 array, shape [n_pieces]
        First bin of each piece; the number of pieces is a multiple of 8. Piece ``i`` belongs to
        band ``i`` while there are bands, the last ``len(owners)`` pieces belong to `owners`.
    owners : int64 array
    packed : float64 array, shape [n_pieces, PIECE]
        The weights.
    """
    n_bins = weights.shape[1]
    first: list[tuple[int, NDArray[np.float64]]] = []
    further: list[tuple[int, NDArray[np.float64]]] = []
    owners: list[int] = []
    for band, row in enumerate(weights):
        used = np.flatnonzero(row)
        begin, end = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
        for at in range(begin, end, PIECE):
            start = min(at, n_bins - PIECE)
            piece = row[start : start + PIECE].copy()
            # Bins that an earlier piece of this band has counted already.
            piece[: at - start] = 0.0
            (first if at == begin else further).append((start, piece))
            if at > begin:
                owners.append(band)
    padding = [(0, np.zeros(PIECE))] * (-(len(first) + len(further)) % 8)
    pieces = first + padding + further
    starts = np.array([start for start, _ in pieces], np.int64)
    return starts, np.array(owners, np.int64), np.array([piece for _, piece in pieces])
