"""What a source is, and what all sources that are pulled have in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

from edgeaudio.errors import UsageError
from edgeaudio.events import Event
from edgeaudio.ring import RingBuffer
from edgeaudio.sources.resample import Resampler
from edgeaudio.stats import CaptureStats
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["PulledSource", "Source"]

RING_SAMPLES = 4 * SAMPLE_RATE_HZ
"""What a pulled source holds; it only has to exceed the largest block that is asked for."""

SLICE_S = 0.1
"""Longest sleep inside `wait`: how late a stop from a signal handler or thread is seen."""


@runtime_checkable
class Source(Protocol):
    """Audio at 16 kHz, mono, in a ring.

    One thread calls everything here but ``stop``, which may come from a signal handler or from
    another thread.
    """

    @property
    def name(self) -> str:
        """What people call it: a path, a device."""

    @property
    def ring(self) -> RingBuffer:
        """Where the samples are read."""

    @property
    def finished(self) -> bool:
        """No more samples will come; those in the ring can still be read."""

    @property
    def live(self) -> bool:
        """Samples arrive by the clock, so that a reader can be late."""

    def start(self) -> None:
        """Begin: sample 0 is captured now."""

    def stop(self) -> None:
        """End and release what is held. Idempotent; a waiting `wait` returns soon."""

    def wait(self, n_samples: int, timeout_s: float) -> int:
        """Block until ``n_samples`` can be read, a gap or the end is at hand, or time is over.

        Returns ``ring.available``.
        """

    def captured_at(self, sample: int) -> float:
        """`time.monotonic` when the sample with this absolute index was captured, in seconds."""

    def take_notices(self) -> list[Event]:
        """What happened to the device since the last call."""

    def stats(self) -> CaptureStats:
        """Counters since the start."""


class PulledSource(ABC):
    """A source whose samples are fetched when they are wanted, so that none is ever lost.

    Subclasses deliver mono blocks at their own rate through `_next_block`.

    Parameters
    ----------
    name : str
        What people call it.
    rate_hz : float
        Rate of the blocks.
    paced : bool
        Hand out samples only as the clock passes, as a microphone would.
    """

    def __init__(self, name: str, rate_hz: float, *, paced: bool = False) -> None:
        self.name = name
        self.live = paced
        self.ring = RingBuffer(RING_SAMPLES)
        self._paced = paced
        self._resampler = Resampler(rate_hz)
        self._started_at: float | None = None
        self._fetched_at = 0.0
        self._pending: Samples | None = None
        self._ended = False
        self._stopped = False

    @abstractmethod
    def _next_block(self, wanted_s: float, timeout_s: float) -> Samples | None:
        """The next block ``[n]`` at the source's rate, or None at its end.

        ``wanted_s`` of audio is being waited for. An empty block says that none came within the time.
        """

    @property
    def finished(self) -> bool:
        """No more samples will come; those in the ring can still be read."""
        return self._stopped or (self._ended and self._pending is None)

    def start(self) -> None:
        """Begin: sample 0 of a paced source is captured now."""
        self._started_at = time.monotonic()

    def stop(self) -> None:
        """End; a waiting `wait` returns within some milliseconds."""
        self._stopped = True

    def wait(self, n_samples: int, timeout_s: float) -> int:
        """Fetch samples until ``n_samples`` can be read, the source ends or time is over."""
        if n_samples > self.ring.capacity:
            raise UsageError(f"cannot wait for {n_samples} samples: the ring holds {self.ring.capacity}")
        if self._started_at is None:
            self.start()
        deadline = time.monotonic() + timeout_s
        while True:
            self._fill(n_samples, deadline)
            available = self.ring.available
            now = time.monotonic()
            if available >= n_samples or self.finished or now >= deadline:
                return available
            due_in = self.captured_at(self.ring.position + n_samples) - now
            time.sleep(max(0.0, min(due_in, deadline - now, SLICE_S)))

    def captured_at(self, sample: int) -> float:
        """When the sample was captured: by the clock if paced, else when it was fetched."""
        if self._paced and self._started_at is not None:
            return self._started_at + sample / SAMPLE_RATE_HZ
        return self._fetched_at

    def take_notices(self) -> list[Event]:
        """Nothing: there is no device."""
        return []

    def stats(self) -> CaptureStats:
        """Counters since the start."""
        return CaptureStats(written_samples=self.ring.written, high_water_samples=self.ring.high_water)

    def _fill(self, n_samples: int, deadline: float) -> None:
        """Write what is due, or until ``n_samples`` can be read."""
        wanted = self._due() if self._paced else self.ring.position + n_samples
        while self.ring.end < wanted and self.ring.free:
            if self._pending is None:
                self._pending = self._fetch((wanted - self.ring.end) / SAMPLE_RATE_HZ, deadline)
                if self._pending is None:
                    return
            n = min(self._pending.size, self.ring.free)
            if self._paced:
                n = min(n, wanted - self.ring.end)
            self.ring.write(self._pending[:n])
            self._pending = self._pending[n:] if n < self._pending.size else None

    def _due(self) -> int:
        """Absolute index behind the last sample that the clock has passed."""
        return int((time.monotonic() - self.captured_at(0)) * SAMPLE_RATE_HZ)

    def _fetch(self, wanted_s: float, deadline: float) -> Samples | None:
        """The next samples at 16 kHz, or None if none came."""
        while not self.finished:
            patience_s = min(SLICE_S, max(0.0, deadline - time.monotonic()))
            block = self._next_block(wanted_s, patience_s)
            self._ended = block is None
            samples = self._resampler.flush() if block is None else self._resampler.process(block)
            self._fetched_at = time.monotonic()
            if samples.size:
                return samples
            if block is not None and block.size == 0 and self._fetched_at >= deadline:
                return None
        return None
