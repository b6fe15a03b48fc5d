"""Array types shared by the whole package."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLE_RATE_HZ", "Frames", "Samples"]

SAMPLE_RATE_HZ = 16_000
"""The one rate at which models hear; sources resample to it."""

Samples: TypeAlias = NDArray[np.float32]
"""Mono audio, shape ``[n_samples]``, float32, full scale at ±1."""

Frames: TypeAlias = NDArray[np.float32]
"""Feature frames, shape ``[n_frames, n_bands]``, float32."""
