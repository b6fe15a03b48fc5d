"""The engine: one thread that carries samples from the source to the tasks, and events to the caller.

::

    source.wait ── ring.peek ── level meter ── frontend(s) ── tasks ── queue ── for event in engine

The audio path allocates nothing after its warm-up: views of the ring go in, views of each frontend's
frames come out, and only an event is an object.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgeaudio.errors import UsageError
from edgeaudio.events import Detection, Event, Gap
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.history import History
from edgeaudio.level import LevelMeter
from edgeaudio.profiles import Profile
from edgeaudio.stats import EngineStats
from edgeaudio.tasks.base import Task
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

if TYPE_CHECKING:
    from edgeaudio.sources import Source

__all__ = ["Engine"]

_WAIT_S = 0.1
"""How late the engine's thread notices `Engine.stop` while no audio comes."""
_JOIN_S = 5.0
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
        Instead of the profile's: how far a live source may be ahead before the engine jumps to the
        present. The jump is counted in ``skipped_samples`` and becomes a `Gap`.
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
        self._tasks = tasks
        self._history = history
        self._max_events = max_events
        self._meter = LevelMeter()
        self._lanes = _lanes(tasks)
        self._hop = profile.hop_ms * SAMPLE_RATE_HZ // 1000
        # The first frames need more than their hops. Heard at once, this surplus makes every later
        # block yield whole model steps, and none waits for the next block.
        self._surplus = max(frontend.window_samples - frontend.hop_samples for frontend, _ in self._lanes)
        lag_ms = profile.max_lag_ms if max_lag_ms is None else max_lag_ms
        self._max_lag = lag_ms * SAMPLE_RATE_HZ // 1000
        if self._max_lag < 2 * (self._hop + self._surplus):
            raise UsageError(f"max_lag_ms is {lag_ms}, less than two hops of {profile.hop_ms} ms")

        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self._fresh = True
        self._at_start = True
        self._clocked = False
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
        self._clocked = True
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
        """Hear the whole source in this thread and return its events.

        No clock is involved: every run over the same audio gives the same events, byte for byte, and
        each ``latency_s`` is 0.

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
            while not self._stopping and self._advance(events):
                pass
        finally:
            self._source.stop()
        self._events += len(events)
        return events

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
            nonfinite_samples=self._meter.nonfinite_samples,
            level_dbfs=self._meter.level_dbfs,
            busy_s=self._busy_s,
        )

    def _begin(self) -> None:
        if not self._fresh:
            raise UsageError("an engine runs once", hint="Make a new one, with a new source.")
        self._fresh = False
        self._warm_up()
        self._source.start()

    def _warm_up(self) -> None:
        """Hear a block of zeros and forget it, so that nothing compiles while audio waits."""
        zeros = np.zeros(self._hop + self._surplus, np.float32)
        zeros.flags.writeable = False  # compiled code is specific to read-only views, as rings lend them
        self._hear(zeros, [])
        self._meter = LevelMeter()
        self._reset(0)

    def _run(self) -> None:
        """Be the engine's thread."""
        started_s = time.thread_time()
        events: list[Event] = []
        try:
            while not self._stopping and self._advance(events):
                for event in events:
                    self._deliver(event)
                events.clear()
                self._busy_s = time.thread_time() - started_s
            for event in events:
                self._deliver(event)
        except BaseException as error:  # it goes on in the caller's thread
            self._failure = error
        finally:
            self._queue.put(None)

    def _deliver(self, event: Event) -> None:
        limit = self._max_events + (0 if isinstance(event, Detection) else _RESERVED_EVENTS)
        if self._queue.qsize() >= limit:
            self._events_dropped += 1
            return
        self._queue.put(event)
        self._events += 1

    def _advance(self, events: list[Event]) -> bool:
        """Wait for a block and hear it; False when the source has ended and all is said."""
        source, ring = self._source, self._source.ring
        wanted = self._hop + self._surplus if self._at_start else self._hop
        # Both read before the wait: whatever came since then is no reason to stop short.
        finished = source.finished
        waiting = ring.capacity - ring.free
        available = source.wait(wanted, _WAIT_S)
        events += source.take_notices()
        if source.live and available > self._max_lag:
            self._skip(available - self._hop - self._surplus, events)
            return True
        if available < wanted:
            if available == 0:
                return self._pass_gap(events) or self._finish(finished, events)
            if available >= waiting and not finished:
                return True  # no gap and no end: the rest of the block has not come yet
        n = min(available, wanted)
        view = ring.peek(n)
        if view is not None:
            if self._history is not None:
                self._history.append(view, ring.position)
            self._hear(view, events)
            ring.advance(n)
            self._processed += n
            self._at_start = False
        return True

    def _hear(self, block: Samples, events: list[Event]) -> None:
        """Give one block to everything that listens."""
        samples = self._meter.process(block)
        events += self._meter.take_events()
        for frontend, tasks in self._lanes:
            frames = frontend.process(samples)
            if len(frames):
                for task in tasks:
                    for event in task.process(frames):
                        events.append(self._complete(event))

    def _complete(self, event: Event) -> Event:
        """Add to a detection what only the engine knows: the audio and the time."""
        if not isinstance(event, Detection):
            return event
        latency_s = 0.0
        if self._clocked:
            latency_s = time.monotonic() - self._source.captured_at(event.end_sample - 1)
        span = self._meter.span(event.start_sample, event.end_sample)
        return msgspec.structs.replace(
            event,
            start_sample=span.start_sample,
            end_sample=span.end_sample,
            level_dbfs=span.level_dbfs,
            snr_db=span.snr_db,
            latency_s=latency_s,
        )

    def _finish(self, finished: bool, events: list[Event]) -> bool:
        """With no sample left: False, and the last decisions, if the source has ended."""
        if not finished:
            return True
        for frontend, tasks in self._lanes:
            frames = frontend.flush()
            for task in tasks:
                last = task.process(frames) + task.flush()
                events += [self._complete(event) for event in last]
        return False

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
        self._skipped += n
        self._lose(gap, events)

    def _lose(self, gap: Gap, events: list[Event]) -> None:
        self._reset(gap.start_sample + gap.n_samples)
        events += self._meter.take_events()
        events.append(gap)

    def _reset(self, at_sample: int) -> None:
        self._at_start = True
        self._meter.reset(at_sample)
        for frontend, tasks in self._lanes:
            frontend.reset()
            for task in tasks:
                task.reset(at_sample)


def _lanes(tasks: tuple[Task, ...]) -> list[tuple[Frontend, list[Task]]]:
    """Group tasks by what they want to hear: one frontend for each distinct spec."""
    by_spec: dict[FrontendSpec, list[Task]] = {}
    for task in tasks:
        if task.spec.sample_rate_hz != SAMPLE_RATE_HZ:
            raise UsageError(
                f"model '{task.name}' wants {task.spec.sample_rate_hz} Hz, not {SAMPLE_RATE_HZ} Hz"
            )
        by_spec.setdefault(task.spec, []).append(task)
    return [(Frontend(spec), listeners) for spec, listeners in by_spec.items()]
