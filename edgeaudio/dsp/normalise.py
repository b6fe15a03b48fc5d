"""Mean and deviation of log-mel frames, for networks trained on normalised recordings of speech."""

from __future__ import annotations

import numpy as np

from edgeaudio.types import Frames

__all__ = ["running_norm"]

_LOUD_FRAMES = 20
_DEPTH = 7.0
"""In natural logarithms of power: 30 dB."""
_LEAST_DEVIATION = 2.0
"""What bands of clear speech have, likewise."""


def running_norm(frames: Frames) -> tuple[Frames, Frames]:
    """Return mean and standard deviation of each band, both ``[n_bands] float32``, of what is loud.

    A network that was trained on normalised recordings of speech expects neither minutes of silence in
    the mean, nor silence blown up to the size of speech. So frames far below the loudest do not count,
    and the deviation has a floor.

    Parameters
    ----------
    frames : array [n, n_bands] float32
        Log-mel frames of the last seconds, n at least 1.
    """
    loudness = frames.mean(axis=1)
    # Not the very loudest: a click is no speech.
    loud = np.partition(loudness, -min(_LOUD_FRAMES, len(frames)))[-min(_LOUD_FRAMES, len(frames))]
    counted = frames[loudness >= loud - _DEPTH]
    return counted.mean(axis=0), np.maximum(counted.std(axis=0), _LEAST_DEVIATION)
