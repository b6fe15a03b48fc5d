"""Mel scales, triangles, and their layout for the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeaudio.dsp.mel import PIECE, hz_to_mel, mel_matrix, mel_to_hz, pack_pieces


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_scales_are_undone(scale: Any) -> None:
    hz = np.array([0.0, 20.0, 999.0, 1000.0, 1001.0, 8000.0, 20_000.0])
    # Two roundings of float64.
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, rtol=1e-12, atol=1e-9)


def test_scales_meet_their_published_points() -> None:
    # Both by definition: 1000 Hz is close to 1000 mel, and 15 Slaney mel; 6.4 kHz is 27 steps on.
    assert hz_to_mel(np.array([1000.0]), "htk")[0] == pytest.approx(1000, abs=0.02)
    np.testing.assert_allclose(hz_to_mel(np.array([200.0, 1000.0, 6400.0]), "slaney"), [3.0, 15.0, 42.0])


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_inner_bins_have_weight_one_in_all(scale: Any) -> None:
    weights = mel_matrix(40, 1024, 16_000, fmin_hz=20, fmax_hz=8000, scale=scale, norm="none")
    hz = np.arange(512) * 16_000 / 1024
    corners = mel_to_hz(np.linspace(*hz_to_mel(np.array([20.0, 8000.0]), scale), 42), scale)
    inner = (hz >= corners[1]) & (hz <= corners[-2])
    # Rising and falling flank of neighbours are complements.
    np.testing.assert_allclose(weights.sum(axis=0)[inner], 1.0, atol=1e-12)
    assert not weights[:, hz < 20].any()


def test_slaney_norm_gives_equal_areas() -> None:
    weights = mel_matrix(20, 2048, 16_000, fmin_hz=0, fmax_hz=8000, scale="slaney", norm="slaney")
    # Sums over 7.8 Hz bins stand for areas of triangles at least 190 Hz wide: good to (7.8 / 95)**2.
    np.testing.assert_allclose(weights.sum(axis=1) * 16_000 / 2048, 1.0, atol=0.01)


@pytest.mark.parametrize(
    ("n_mels", "n_bins"), [(1, 128), (3, 128), (40, 256), (41, 256), (80, 1024), (128, 256)]
)
def test_pieces_hold_every_weight_once(n_mels: int, n_bins: int) -> None:
    weights = mel_matrix(n_mels, 2 * n_bins, 16_000, fmin_hz=20, fmax_hz=8000, scale="htk", norm="none")
    starts, owners, packed = pack_pieces(weights)
    assert len(starts) == len(packed)
    assert len(starts) % 8 == 0
    assert starts.min() >= 0
    assert starts.max() <= n_bins - PIECE
    rebuilt = np.zeros_like(weights)
    bands = [*range(n_mels), *[None] * (len(starts) - n_mels - len(owners)), *owners]
    for band, start, piece in zip(bands, starts, packed, strict=True):
        if band is None:
            assert not piece.any()
        else:
            rebuilt[band, start : start + PIECE] += piece
    assert np.array_equal(rebuilt, weights)
