"""One stream from changing inputs, with pauses: what a page with a start button listens to."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec
import numpy as np

from edgeaudio.errors import EdgeAudioError, UsageError
from edgeaudio.events import Event
from edgeaudio.ring import RingBuffer
from edgeaudio.sources.base import RING_SAMPLES, SLICE_S, Source
from edgeaudio.stats import CaptureStats
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["Opener", "SwitchSource"]

Opener = Callable[[], Source]
"""Makes a source that was not started yet."""

_LOG = logging.getLogger(__name__)
_SILENCE = np.zeros(3 * SAMPLE_RATE_HZ // 2, np.float32)
"""Follows an input when it is left, so that what was being said ends as it does after any silence. It is
shorter than what is reported as a muted microphone."""
_AHEAD_S = 0.5
"""How far an input without a clock may be ahead: a recorder behind a pipe is never quite even."""
_NAP_S = 0.02


class SwitchSource:
    """Hands on one input at a time, or none; from the first one's start on its clock runs on in between.

    An input that goes by no clock, such as a pipe, is read no faster than it would have been spoken.

    It never ends by itself: an input that ends or breaks leaves it waiting for the next. The time without
    an input becomes a `Gap` with the cause ``paused``, so that positions keep telling the time. Inputs are
    opened, read and stopped by the thread that calls `wait`.

    Parameters
    ----------
    on_begin : callable, optional
        Called with a source that was started, from the reading thread.
    on_end : callable, optional
        Called with a source that was left and the error that ended it, if one did; where none could be
        opened, with None and the error. From the reading thread.

    Examples
    --------
    >>> from edgeaudio.sources.array import ArraySource
    >>> switch = SwitchSource()
    >>> switch.select(lambda: ArraySource(np.zeros(16000, np.float32)))
    >>> switch.start()
    >>> switch.wait(1280, timeout_s=1.0)
    1280
    """

    live = True
    name = "the chosen input"

    def __init__(
        self,
        on_begin: Callable[[Source], None] = lambda _: None,
        on_end: Callable[[Source | None, EdgeAudioError | None], None] = lambda *_: None,
    ) -> None:
        self.ring = RingBuffer(RING_SAMPLES)
        self._on_begin = on_begin
        self._on_end = on_end
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._wish: tuple[Opener | None] | None = None
        self._input: Source | None = None
        self._stopped = False
        self._left_at = time.monotonic()
        self._left_end = 0
        self._offset = 0
        self._begun_at = 0.0
        self._clocks: deque[tuple[int, Callable[[int], float]]] = deque(maxlen=4)
        self._earlier = CaptureStats()

    def select(self, opener: Opener | None) -> None:
        """Change to another input, soon, in the reading thread; None for a pause. From any thread."""
        with self._lock:
            self._wish = (opener,)
        self._news.set()

    @property
    def finished(self) -> bool:
        """Only after `stop`."""
        return self._stopped

    def start(self) -> None:
        """Begin: sample 0 is captured now."""
        self._left_at = time.monotonic()
        self._clocks.append((0, partial(_by_the_clock, self._left_at)))

    def stop(self) -> None:
        """End, and stop the input. Idempotent; from any thread and from a signal handler."""
        self._stopped = True
        source = self._input
        if source is not None:
            source.stop()

    def wait(self, n_samples: int, timeout_s: float) -> int:
        """Hand on what the input has, until ``n_samples`` can be read, a gap is at hand or time is over."""
        if n_samples > self.ring.capacity:
            raise UsageError(f"cannot wait for {n_samples} samples: the ring holds {self.ring.capacity}")
        deadline = time.monotonic() + timeout_s
        while True:
            self._news.clear()  # before looking, so that a wish after it wakes us
            self._grant()
            left_s = min(deadline - time.monotonic(), SLICE_S)
            if self._input is None:
                if not self._ready(n_samples) and left_s > 0:
                    self._news.wait(left_s)
            else:
                self._hand_on(self._input, n_samples, max(0.0, left_s))
            if self._ready(n_samples) or time.monotonic() >= deadline:
                return self.ring.available

    def captured_at(self, sample: int) -> float:
        """When the sample was captured, as the input that it came from tells."""
        clocks = list(self._clocks)
        for begin, clock in reversed(clocks):
            if sample >= begin:
                return clock(sample)
        return clocks[0][1](sample) if clocks else self._left_at

    def take_notices(self) -> list[Event]:
        """What happened to the input's device since the last call."""
        if self._input is None:
            return []
        return [
            msgspec.structs.replace(notice, start_sample=notice.start_sample + self._offset)
            for notice in self._input.take_notices()
        ]

    def stats(self) -> CaptureStats:
        """Counters of all inputs together."""
        source = self._input
        return self._earlier if source is None else _sum(self._earlier, source.stats())

    def _ready(self, n_samples: int) -> bool:
        return self.ring.available >= n_samples or self.ring.cut_short or self._stopped

    def _grant(self) -> None:
        """Do what `select` asked for."""
        with self._lock:
            wish, self._wish = self._wish, None
        if wish is None or self._stopped:
            return
        if self._input is not None:
            self._leave(self._input, None)
        if wish[0] is None:
            return
        try:
            source = wish[0]()
            source.start()
        except EdgeAudioError as error:
            _LOG.warning("%s", error)
            self._on_end(None, error)
            return
        paused_s = time.monotonic() - self._left_at
        missing = self._left_end + int(paused_s * SAMPLE_RATE_HZ) - self.ring.end
        if self.ring.end:  # else the stream begins here, and nothing was missed
            self.ring.lose(max(0, missing), "paused")
        offset = self._offset = self.ring.end
        self._begun_at = time.monotonic()
        self._clocks.append((offset, lambda sample: source.captured_at(sample - offset)))
        self._input = source
        self._on_begin(source)

    def _hand_on(self, source: Source, n_samples: int, timeout_s: float) -> None:
        """Move what the input has into the ring; leave an input that has ended or broken."""
        ring = self.ring
        finished = source.finished  # read before the wait: so no sample can come after it
        wanted = max(1, min(n_samples - ring.available, source.ring.capacity))
        if not source.live and not self._is_due(ring.end + wanted):
            time.sleep(min(timeout_s, _NAP_S))
            return
        try:
            available = source.wait(wanted, timeout_s)
        except EdgeAudioError as error:
            _LOG.warning("%s", error)
            self._leave(source, error)
            return
        n = min(available, ring.free) if source.live else min(available, ring.free, wanted)
        view = source.ring.peek(n)
        if n and view is not None:
            ring.write(view)
            source.ring.advance(n)
        elif available == 0:
            gap = source.ring.take_gap()
            if gap is not None:
                ring.lose(gap.n_samples, gap.cause)
            elif finished:
                self._leave(source, None)

    def _is_due(self, end: int) -> bool:
        """Whether the clock has come near this place in the ring."""
        heard_s = (end - self._offset) / SAMPLE_RATE_HZ
        return heard_s <= time.monotonic() - self._begun_at + _AHEAD_S

    def _leave(self, source: Source, error: EdgeAudioError | None) -> None:
        self._input = None
        source.stop()
        self._earlier = _sum(self._earlier, source.stats())
        self._left_at, self._left_end = time.monotonic(), self.ring.end
        silence: Samples = _SILENCE[: self.ring.free]
        if silence.size and not self._stopped:
            self.ring.write(silence)
        self._on_end(source, error)


def _by_the_clock(origin_s: float, sample: int) -> float:
    return origin_s + sample / SAMPLE_RATE_HZ


def _sum(a: CaptureStats, b: CaptureStats) -> CaptureStats:
    return CaptureStats(
        written_samples=a.written_samples + b.written_samples,
        dropped_samples=a.dropped_samples + b.dropped_samples,
        device_overflows=a.device_overflows + b.device_overflows,
        reopens=a.reopens + b.reopens,
        high_water_samples=max(a.high_water_samples, b.high_water_samples),
    )
