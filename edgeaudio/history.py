"""The last seconds of raw audio, for whoever wants to keep what was heard.

One thread writes, any thread reads. The ring is allocated once; a write copies one block, a read
copies one range. The lock is held for exactly these copies: a reader asking for five seconds
(320 kB) delays the engine by some 50 µs, and never the audio callback, which is not involved.
"""

from __future__ import annotations

import threading

import numpy as np

from edgeaudio.types import Samples

__all__ = ["History"]


class History:
    """A ring of the newest ``capacity_samples`` samples, addressed by absolute index.

    Lost audio reads as zeros, so that what is read has the length that was asked for.

    Parameters
    ----------
    capacity_samples : int
        How many samples are kept, at least 1.
    """

    def __init__(self, capacity_samples: int) -> None:
        if capacity_samples < 1:
            raise ValueError(f"a history of {capacity_samples} samples keeps nothing; give at least 1")
        self._ring = np.zeros(capacity_samples, np.float32)
        self._end = 0
        self._first = 0
        self._lock = threading.Lock()

    @property
    def end_sample(self) -> int:
        """Absolute index after the newest sample."""
        return self._end

    def append(self, block: Samples, start_sample: int) -> None:
        """Keep `block`, whose first sample has the absolute index `start_sample`.

        What lies between the newest sample and `start_sample` was lost and is filled with zeros.

        Raises
        ------
        ValueError
            If `start_sample` lies before the end of what was already kept.
        """
        if start_sample < self._end:
            raise ValueError(f"block at {start_sample} overlaps audio already kept up to {self._end}")
        with self._lock:
            if start_sample > self._end:
                self._zero(start_sample)
            self._copy_in(block)

    def read(self, start_sample: int, end_sample: int) -> Samples:
        """Copy ``[start_sample, end_sample)`` out, cut to what is still (or already) here.

        Returns
        -------
        Samples
            ``[n]`` float32, owned by the caller; empty where nothing of the range is left.
        """
        with self._lock:
            capacity = len(self._ring)
            start = max(start_sample, self._first, self._end - capacity)
            n = min(end_sample, self._end) - start
            if n <= 0:
                return np.zeros(0, np.float32)
            at = start % capacity
            head = self._ring[at : at + n]
            return np.concatenate((head, self._ring[: n - len(head)]))

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything; the next block is expected at `at_sample` or later."""
        with self._lock:
            self._end = self._first = at_sample

    def _copy_in(self, block: Samples) -> None:
        capacity = len(self._ring)
        self._end += len(block)
        kept = block[-capacity:]
        at = (self._end - len(kept)) % capacity
        n = min(len(kept), capacity - at)
        self._ring[at : at + n] = kept[:n]
        self._ring[: len(kept) - n] = kept[n:]

    def _zero(self, until: int) -> None:
        capacity = len(self._ring)
        n = min(until - self._end, capacity)
        at = (until - n) % capacity
        head = min(n, capacity - at)
        self._ring[at : at + head] = 0.0
        self._ring[: n - head] = 0.0
        self._end = until
