"""Which frequencies the bands of a frame are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeaudio.dsp.mel import hz_to_mel, mel_to_hz
from edgeaudio.frontend import FrontendSpec

__all__ = ["band_edges_hz", "hz_said"]


def band_edges_hz(spec: FrontendSpec) -> NDArray[np.float64] | None:
    """Return where each band begins and the last one ends, ``[n_bands + 1]``; None without mel bands.

    Triangles overlap: a band is taken to begin halfway between its neighbour's peak and its own.
    """
    if spec.features not in {"log_mel", "pcen"}:
        return None
    low, high = hz_to_mel(np.array([spec.fmin_hz, spec.fmax_hz]), spec.mel_scale)
    step = (high - low) / (spec.n_mels + 1)
    return mel_to_hz(low + step * (np.arange(spec.n_mels + 1) + 0.5), spec.mel_scale)


def hz_said(hz: float) -> str:
    """Say a frequency to two figures, which is what bands are good for.

    Examples
    --------
    >>> hz_said(347.2), hz_said(1849.0)
    ('350 Hz', '1.8 kHz')
    """
    return f"{hz / 1000:.1f} kHz" if hz >= 995 else f"{float(f'{hz:.2g}'):.0f} Hz"
