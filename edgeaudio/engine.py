"""The engine: one thread that carries samples from the source to the tasks, and events to the caller.

::

    source.wait ── ring.peek ── level meter ── frontend(s) ── tasks ── queue ── for event in engine
                                └───────── listener.py ──────────┘
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING

from edgeaudio.errors import UsageError
from edgeaudio.events import Detection, Event, Gap
from edgeaudio.history import History
from edgeaudio.listener import Listener
from edgeaudio.profiles import Profile
from edgeaudio.stats import EngineStats
from edgeaudio.tasks.base import Task
from edgeaudio.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from edgeaudio.sources import Source

__all__ = ["Engine"]

_LOG = logging.getLogger(__name__)
_WAIT_S = 0.1
"""How late the engine's thread notices `Engine.stop` while no audio comes."""
_JOIN_S = 5.0
_CATCH_UP_S = 0.5
"""After a stall, of a sound server or of this process, seconds of audio come at once. Nothing of them needs
to be lost: the engine works them off a hundred times faster than they were spoken."""
_RESERVED_EVENTS = 64
"""Places in the queue that detections cannot take from the news of losses and devices."""


class Engine:
    """Runs tasks on a source; a context manager, and an iterator over events.

    Each distinct frontend runs once, however many tasks listen to it.

    Parameters
    ----------
    source : Source
        Where the audio comes from. The engine starts and stops it.
    *tasks : Task
        What listens, at least one.
    profile : Profile, optional
        What the hardware needs; default `Profile()`.
    max_lag_ms : int, optional
        Instead of the profile's: how far a live source may be ahead for half a second before the
        engine jumps to the present. The jump is counted in ``skipped_samples`` and becomes a `Gap`.
    max_events : int
        Events that wait for a slow caller; further ones are dropped and counted. 64 further
        places are kept for events that are no detections.
    history : History, optional
        Also gets all audio, for whoever saves clips.

    Raises
    ------
    UsageError
        No task, or a `max_lag_ms` shorter than two hops.

    Examples
    --------
    >>> from edgeaudio import ArraySource, Engine
    >>> from edgeaudio.testing import scripted_spotter
    >>> import numpy as np
    >>> noise = np.random.default_rng(1).normal(0, 0.1, 32000).astype(np.float32)
    >>> engine = Engine(ArraySource(noise), scripted_spotter([(0.5, "go"), (1.5, "stop")]))
    >>> [event.name for event in engine.run_until_finished()]
    ['go', 'stop']
    """

    def __init__(
        self,
        source: Source,
        *tasks: Task,
        profile: Profile | None = None,
        max_lag_ms: int | None = None,
        max_events: int = 256,
        history: History | None = None,
    ) -> None:
        if not tasks:
            raise UsageError("the engine has nothing to listen with", hint="Give it a task: Spotter.load(…).")
        profile = profile or Profile()
        self._source = source
        self._history = history
        self._max_events = max_events
        self._listener = Listener(tasks, profile.hop_ms * SAMPLE_RATE_HZ // 1000)
        lag_ms = profile.max_lag_ms if max_lag_ms is None else max_lag_ms
        self._max_lag = lag_ms * SAMPLE_RATE_HZ // 1000
        if self._max_lag < 2 * self._listener.first_samples:
            raise UsageError(f"max_lag_ms is {lag_ms}, less than two hops of {profile.hop_ms} ms")

        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self._fresh = True
        self._at_start = True
        self._late_since_s: float | None = None
        self._processed = 0
        self._skipped = 0
        self._events = 0
        self._events_dropped = 0
        self._busy_s = 0.0

    def __enter__(self) -> Engine:  # noqa: PYI034 - Self is in typing since 3.11 only
        """Start the source and the engine's thread.

        Raises
        ------
        EdgeAudioError
            The source cannot be started, or the engine ran before.
        """
        self._begin()
        self._listener.captured_at = self._source.captured_at
        self._thread = threading.Thread(target=self._run, name="edgeaudio-engine", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, wait for the thread and release the source."""
        self.close()

    def __iter__(self) -> Iterator[Event]:
        """Iterate over events until the source ends or `stop` is called.

        Raises
        ------
        EdgeAudioError
            What went wrong in the engine's thread.
        """
        if self._thread is None:
            raise UsageError(
                "the engine does not run", hint="Write: with Engine(…) as engine: for event in engine: …"
            )
        while (event := self._queue.get()) is not None:
            yield event
        self._queue.put(None)  # for whoever iterates once more
        if self._failure is not None:
            raise self._failure

    def run_until_finished(self) -> list[Event]:
        """Hear the whole source in this thread and return its events; see `replay`."""
        return list(self.replay())

    def replay(self, *, clocked: bool = False) -> Generator[Event, None, None]:
        """Hear the source in this thread, yielding each event before more is heard.

        There is no queue, so that a slow caller loses nothing. No clock is involved: every run over the
        same audio gives the same events, byte for byte, and each ``latency_s`` is 0.

        Parameters
        ----------
        clocked : bool
            Measure ``latency_s`` after all: for a pipe, which may have a recorder at its other end.

        Raises
        ------
        UsageError
            The source is live: it goes by the clock and may never end.
        EdgeAudioError
            What went wrong in the source or a task.
        """
        if self._source.live:
            raise UsageError(
                f"{self._source.name} goes by the clock and has no replay",
                hint="Iterate over the engine instead, or open the file with paced=False.",
            )
        events: list[Event] = []
        try:
            self._begin()
            if clocked:
                self._listener.captured_at = self._source.captured_at
            going_on = True
            while going_on and not self._stopping:
                started_s = time.thread_time()
                going_on = self._advance(events)
                self._busy_s += time.thread_time() - started_s
                self._events += len(events)
                yield from events
                events.clear()
        finally:
            self._source.stop()

    def stop(self) -> None:
        """End soon: what was decided is still delivered, then the iteration ends.

        Returns at once. May be called from any thread and from a signal handler, any number of times.
        """
        # An assignment, no lock: a signal handler may have interrupted the holder of any lock.
        self._stopping = True

    def close(self) -> None:
        """Stop, wait for the engine's thread and release the source. Idempotent."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)
        self._source.stop()

    def stats(self) -> EngineStats:
        """Return the counters as they are now; from any thread."""
        return EngineStats(
            capture=self._source.stats(),
            processed_samples=self._processed,
            skipped_samples=self._skipped,
            events=self._events,
            events_dropped=self._events_dropped,
            nonfinite_samples=self._listener.meter.nonfinite_samples,
            level_dbfs=self._listener.meter.level_dbfs,
            busy_s=self._busy_s,
        )

    def _begin(self) -> None:
        if not self._fresh:
            raise UsageError("an engine runs once", hint="Make a new one, with a new source.")
        self._fresh = False
        self._listener.warm_up()
        self._source.start()

    def _run(self) -> None:
        """Be the engine's thread."""
        started_s = time.thread_time()
        events: list[Event] = []
        try:
            going_on = True
            while going_on and not self._stopping:
                going_on = self._advance(events)
                self._deliver(events)
                self._busy_s = time.thread_time() - started_s
        except BaseException as error:  # it goes on in the caller's thread
            self._failure = error
        finally:
            self._deliver(events)
            self._queue.put(None)

    def _deliver(self, events: list[Event]) -> None:
        """Empty `events` into the caller's queue, as far as there is room."""
        for event in events:
            limit = self._max_events + (0 if isinstance(event, Detection) else _RESERVED_EVENTS)
            if self._queue.qsize() < limit:
                self._queue.put(event)
                self._events += 1
            else:
                self._events_dropped += 1
        events.clear()

    def _advance(self, events: list[Event]) -> bool:
        """Wait for a block and hear it; False when the source has ended and all is said."""
        source, ring, listener = self._source, self._source.ring, self._listener
        wanted = listener.first_samples if self._at_start else listener.hop_samples
        finished = source.finished  # read before the wait: so no sample can come after it
        available = source.wait(wanted, _WAIT_S)
        events += source.take_notices()
        if source.live and self._is_hopeless(available):
            self._skip(available - listener.first_samples, events)
            return True
        if available < wanted:
            if available == 0:
                return self._pass_gap(events) or self._finish(finished, events)
            if not (finished or ring.cut_short):
                return True  # the rest of the block has not come yet
        n = min(available, wanted)
        view = ring.peek(n)
        if view is not None:
            if self._history is not None:
                self._history.append(view, ring.position)
            listener.hear(view, events)
            if not self._processed:
                _LOG.debug("first frame")
            ring.advance(n)
            self._processed += n
            self._at_start = False
        return True

    def _is_hopeless(self, available: int) -> bool:
        """Whether the lag was too long for `_CATCH_UP_S`: more than a burst that is worked off quickly."""
        if available <= self._max_lag:
            self._late_since_s = None
            return False
        now_s = time.monotonic()
        if self._late_since_s is None:
            self._late_since_s = now_s
        return now_s - self._late_since_s >= _CATCH_UP_S

    def _finish(self, finished: bool, events: list[Event]) -> bool:
        """With no sample left: False, and the last decisions, if the source has ended."""
        if finished:
            self._listener.finish(events)
        return not finished

    def _pass_gap(self, events: list[Event]) -> bool:
        """Go on behind the gap at the read position, if there is one."""
        gap = self._source.ring.take_gap()
        if gap is None:
            return False
        self._lose(gap, events)
        return True

    def _skip(self, n: int, events: list[Event]) -> None:
        """Jump forward: a live source cannot wait."""
        ring = self._source.ring
        gap = Gap(start_sample=ring.position, n_samples=n, cause="consumer_lag")
        ring.advance(n)
        self._late_since_s = None
        self._skipped += n
        self._lose(gap, events)

    def _lose(self, gap: Gap, events: list[Event]) -> None:
        self._at_start = True
        self._listener.restart(gap.start_sample + gap.n_samples, events)
        events.append(gap)
