"""Any rate and channel count to 16 kHz mono, streaming."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import MissingDependencyError, UsageError
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["RATES_HZ", "Resampler", "check_channel", "mix"]

RATES_HZ = (1000, 768_000)
"""Lowest and highest rate of any audio; from 2 Hz one block would become gigabytes."""


def check_channel(channel: int | None, n_channels: int, where: str) -> None:
    """Raise `UsageError` naming the channel count unless ``channel`` is None or one of them."""
    if channel is not None and not 0 <= channel < n_channels:
        plural = "channel" if n_channels == 1 else "channels"
        raise UsageError(
            f"{where} has {n_channels} {plural}, there is no channel {channel}",
            hint=f"Channels count from 0 to {n_channels - 1}; without a choice their mean is used.",
        )


def mix(block: NDArray[np.float32], channel: int | None) -> Samples:
    """One channel of ``[n, n_channels] float32``, or the mean of all of them."""
    if block.shape[1] == 1:
        return block[:, 0]
    if channel is not None:
        return np.ascontiguousarray(block[:, channel])
    mean: Samples = block.mean(axis=1)
    return mean


class Resampler:
    """Streaming conversion of mono audio to 16 kHz; at 16 kHz it hands blocks through.

    Parameters
    ----------
    rate_hz : float
        Rate of the input.

    Raises
    ------
    UsageError
        No audio has such a rate.
    MissingDependencyError
        The rate is not 16 kHz and soxr is not installed.
    """

    def __init__(self, rate_hz: float) -> None:
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise UsageError(f"a sample rate of {rate_hz:g} Hz: audio has {RATES_HZ[0]} to {RATES_HZ[1]} Hz")
        self.rate_hz = rate_hz
        self.passes_through = rate_hz == SAMPLE_RATE_HZ
        if not self.passes_through:
            try:
                import soxr
            except ImportError as error:
                raise MissingDependencyError(
                    f"audio at {rate_hz:g} Hz has to be resampled to {SAMPLE_RATE_HZ} Hz, which needs soxr",
                    hint="pip install 'edgeaudio[files]'",
                ) from error
            self._stream = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")

    def process(self, x: Samples) -> Samples:
        """Resample the next block ``[n]``; the result lags behind by the length of the filter."""
        if self.passes_through:
            return x
        resampled: Samples = self._stream.resample_chunk(x)
        return resampled

    def flush(self) -> Samples:
        """The samples that the filter still holds; it is then ready for new audio."""
        nothing = np.zeros(0, np.float32)
        if self.passes_through:
            return nothing
        rest: Samples = self._stream.resample_chunk(nothing, last=True)
        self._stream.clear()
        return rest
