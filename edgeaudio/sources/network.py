"""Audio that somebody sends: a browser's microphone, another machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edgeaudio.errors import UsageError
from edgeaudio.events import Event
from edgeaudio.ring import RingBuffer
from edgeaudio.sources.base import SLICE_S
from edgeaudio.sources.resample import Resampler
from edgeaudio.stats import CaptureStats
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["NetworkSource"]

_RING_S = 10
"""What a network that stood still may deliver at once."""
_DRIFT = 1e-3
"""How much slower the sender's clock may be than ours; sound hardware keeps within a tenth of it."""


class NetworkSource:
    """Mono samples that one thread pushes and the engine's thread reads.

    Pushing never blocks: what finds no room is lost, counted, and leaves a gap at its place. What the
    sender itself had to leave out is told with `lose`, so that positions keep telling the sender's time.

    A sample counts as captured when it arrived, or as long after another as the sender's clock says,
    whichever is earlier: a block that was late on its way does not look as if it had just been spoken. The
    shortest time that the network ever took is part of no latency, because nothing here can know it.

    Parameters
    ----------
    name : str
        What people call it.
    sample_rate_hz : float
        Rate of the samples; other rates than 16 kHz are resampled.
    on_stop : callable, optional
        Called once, from whichever thread stops it: nobody listens any more.

    Raises
    ------
    UsageError
        No audio has such a rate.
    MissingDependencyError
        The rate is not 16 kHz and soxr is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> source = NetworkSource("a browser")
    >>> source.push(np.zeros(1280, np.float32))
    >>> source.wait(1280, timeout_s=1.0)
    1280
    """

    live = True

    def __init__(
        self,
        name: str,
        *,
        sample_rate_hz: float = SAMPLE_RATE_HZ,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.ring = RingBuffer(_RING_S * SAMPLE_RATE_HZ)
        self._rate_hz = sample_rate_hz
        self._resampler = Resampler(sample_rate_hz)
        self._on_stop = on_stop
        self._news = threading.Event()
        self._sent = 0
        self._ended = False
        self._stopped = False
        self._origin_s = time.monotonic()
        self._heard_at = self._origin_s

    # The sender's side.

    def push(self, samples: Samples) -> None:
        """Add the next samples ``[n] float32`` at the sender's rate, at most a second of them at once."""
        self._sent += samples.size
        at_16k = self._resampler.process(samples)
        if at_16k.size:
            self.ring.write(at_16k)
            self._note_time()
            self._news.set()

    def lose(self, n_samples: int) -> None:
        """Record that the sender left out `n_samples` at its rate."""
        self._sent += n_samples
        self._write_rest()
        missing = round(self._sent * SAMPLE_RATE_HZ / self._rate_hz) - self.ring.end
        self.ring.lose(max(0, missing), "device_overflow")
        self._news.set()

    def end(self) -> None:
        """Say that no more will come; what was pushed can still be read. Idempotent."""
        if not self._ended:
            self._write_rest()
            self._ended = True
            self._news.set()

    # The engine's side.

    @property
    def finished(self) -> bool:
        """No more samples will come; those in the ring can still be read."""
        return self._ended or self._stopped

    def start(self) -> None:
        """Begin: sample 0 is captured now."""
        self._origin_s = self._heard_at = time.monotonic()

    def stop(self) -> None:
        """End, and tell the sender. Idempotent, from any thread."""
        if not self._stopped:
            self._stopped = True
            self._news.set()
            if self._on_stop is not None:
                self._on_stop()

    def wait(self, n_samples: int, timeout_s: float) -> int:
        """Block until ``n_samples`` can be read, a gap or the end is at hand, or time is over."""
        if n_samples > self.ring.capacity:
            raise UsageError(f"cannot wait for {n_samples} samples: the ring holds {self.ring.capacity}")
        deadline = time.monotonic() + timeout_s
        while True:
            self._news.clear()  # before looking, so that what is pushed after it wakes us
            finished = self.finished
            available = self.ring.available
            left_s = deadline - time.monotonic()
            if available >= n_samples or self.ring.cut_short or finished or left_s <= 0:
                return available
            self._news.wait(min(left_s, SLICE_S))

    def captured_at(self, sample: int) -> float:
        """When the sample was captured, as the class explains."""
        return self._origin_s + sample / SAMPLE_RATE_HZ

    def take_notices(self) -> list[Event]:
        """Nothing: the device is the sender's."""
        return []

    def stats(self) -> CaptureStats:
        """Counters since the start."""
        return CaptureStats(
            written_samples=self.ring.written,
            dropped_samples=self.ring.dropped,
            high_water_samples=self.ring.high_water,
        )

    def _write_rest(self) -> None:
        rest = self._resampler.flush()
        if rest.size:
            self.ring.write(rest)

    def _note_time(self) -> None:
        now = time.monotonic()
        latest_s = self._origin_s + _DRIFT * (now - self._heard_at)
        self._origin_s = min(now - self.ring.end / SAMPLE_RATE_HZ, latest_s)
        self._heard_at = now
