"""Samples that are already in memory, or made on the fly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import InputError, UsageError
from edgeaudio.sources.base import PulledSource
from edgeaudio.sources.resample import check_channel, mix
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["ArraySource"]


class ArraySource(PulledSource):
    """Audio from an array, or from an iterable of arrays.

    Parameters
    ----------
    samples : array or iterable of arrays
        ``[n]`` or ``[n, n_channels]``, floating point with full scale at ±1. An iterable is
        consumed block by block, so a generator can deliver audio without end.
    sample_rate_hz : float
        Its rate; other rates than 16 kHz are resampled.
    channel : int, optional
        The channel to hear, counted from 0. Default: the mean of all.
    paced : bool
        Hand out samples only as the clock passes, as a microphone would.
    block : int
        Most samples converted at a time.

    Raises
    ------
    UsageError
        No such channel.
    InputError
        An array is not floating point or has more than two dimensions.

    Examples
    --------
    >>> source = ArraySource(np.zeros(400, np.float32))
    >>> source.wait(320, timeout_s=1.0), source.wait(640, timeout_s=1.0), source.finished
    (400, 400, True)
    """

    def __init__(
        self,
        samples: NDArray[Any] | Iterable[NDArray[Any]],
        sample_rate_hz: float = SAMPLE_RATE_HZ,
        *,
        channel: int | None = None,
        paced: bool = False,
        block: int = 4096,
    ) -> None:
        if block < 1:
            raise UsageError(f"a block needs at least one sample, got {block}")
        super().__init__("array", sample_rate_hz, paced=paced)
        self._channel = channel
        if isinstance(samples, np.ndarray):
            samples = [self._two_dimensional(samples)]  # complain here, not at the first wait
        self._blocks = self._cut(samples, block)

    def _cut(self, arrays: Iterable[NDArray[Any]], block: int) -> Iterator[Samples]:
        return (
            mix(np.array(array[i : i + block], np.float32), self._channel)
            for array in map(self._two_dimensional, arrays)
            for i in range(0, len(array), block)
        )

    def _two_dimensional(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.ndim not in (1, 2) or not np.issubdtype(array.dtype, np.floating):
            raise InputError(
                f"audio is floating point [n] or [n, n_channels], got {array.dtype} with shape {array.shape}",
                hint="Scale integers to ±1 first: int16 samples / 32768.",
            )
        array = array[:, None] if array.ndim == 1 else array
        check_channel(self._channel, array.shape[1], "the array")
        return array

    def _next_block(self, wanted_s: float, timeout_s: float) -> Samples | None:
        return next(self._blocks, None)
