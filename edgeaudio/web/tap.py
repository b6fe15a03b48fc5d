"""Watching the engine's frames: a task that listens and says nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.events import Event
from edgeaudio.frontend import FrontendSpec
from edgeaudio.types import Frames

__all__ = ["Columns", "FrameTap"]

_COLUMN_FRAMES = 2
_CAPACITY = 256
"""Columns that are kept: 5 s. A viewer that is further behind goes on with the newest."""
_MIN_DB, _MAX_DB = -100.0, -20.0
_NEPER_DB = 10 / math.log(10)


class Columns(NamedTuple):
    """Consecutive columns of the spectrogram: the index of the first, and ``[n, n_bands] uint8``."""

    first: int
    values: NDArray[np.uint8]


class FrameTap:
    """Keeps the newest frames of a recogniser's frontend as columns to draw.

    A column is the louder of two frames, each band as a byte: 0 is -100 dB or less below a full-scale
    sine, 255 is -20 dB or more. What hears the same frontend as the recogniser costs no frontend of its own.

    One thread processes, another may read: at most, a column that is being overwritten is drawn wrong.

    Parameters
    ----------
    spec : FrontendSpec
        The recogniser's. If its features are no log-mel bands, bands of the same rate are computed instead.

    Examples
    --------
    >>> tap = FrameTap(FrontendSpec(n_mels=80))
    >>> tap.process(np.full((5, 80), -30.0, np.float32))
    []
    >>> first, values = tap.read(0)
    >>> first, values.shape
    (0, (2, 80))
    """

    name = "spectrogram"

    def __init__(self, spec: FrontendSpec) -> None:
        self.spec = spec if spec.features == "log_mel" else FrontendSpec(n_mels=80)
        self.column_ms = _COLUMN_FRAMES * self.spec.hop_ms
        self.min_db, self.max_db = _MIN_DB, _MAX_DB
        self.n_bands = self.spec.n_bands
        scale, offset = _to_bytes(self.spec)
        self._scale, self._offset = np.float32(scale), np.float32(offset)
        self._ring = np.zeros((_CAPACITY, self.n_bands), np.uint8)
        self._column = np.empty(self.n_bands, np.float32)
        self._n_frames = 0
        self.written = 0
        """Columns since the start."""

    def process(self, frames: Frames) -> list[Event]:
        """Take ``[n, n_bands]`` frames; they are valid during the call only."""
        for frame in frames:
            if self._n_frames % _COLUMN_FRAMES == 0:
                self._column[:] = frame
            else:
                np.maximum(self._column, frame, out=self._column)
            self._n_frames += 1
            if self._n_frames % _COLUMN_FRAMES == 0:
                bytes_ = np.clip(self._column * self._scale + self._offset, 0.0, 255.0)
                self._ring[self.written % _CAPACITY] = bytes_
                self.written += 1
        return []

    def flush(self) -> list[Event]:
        """Nothing is undecided."""
        return []

    def reset(self, at_sample: int = 0) -> None:
        """Begin a new column."""
        self._n_frames = 0

    def read(self, first: int) -> Columns:
        """Return a copy of the columns from `first` on, or as many of them as are kept."""
        end = self.written
        first = max(first, end - _CAPACITY // 2)  # the other half may be overwritten while it is read
        places = np.arange(first, end) % _CAPACITY
        return Columns(first, self._ring[places])


def _to_bytes(spec: FrontendSpec) -> tuple[float, float]:
    """Factor and offset from log-mel values to bytes.

    A full-scale sine has the magnitude ``window / 4`` in its FFT bin (half for the two sidebands, half for
    the window's mean of about 0.5); band norms and pre-emphasis, a few dB, are left out of the reckoning.
    """
    exponent = 2 if spec.power else 1
    full_scale = exponent * math.log(spec.input_scale * spec.window_samples / 4)
    db_a_unit = _NEPER_DB * 2 / exponent
    scale = db_a_unit * 255 / (_MAX_DB - _MIN_DB)
    return scale, -scale * full_scale - 255 * _MIN_DB / (_MAX_DB - _MIN_DB)
