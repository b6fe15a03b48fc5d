"""The engine: one thread that carries samples from the source to the tasks, and events to the caller.

::

    source.wait ── ring.peek ── level meter ── frontend(s) ── tasks ── outbox ── for event in engine
    └────── reader.py ──────┘   └───────── listener.py ──────────┘       │
                                                 frames ── worker.py ────┘
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from edgeaudio.errors import UsageError
from edgeaudio.events import Event
from edgeaudio.history import History
from edgeaudio.listener import Listener, check_tasks, surplus_samples
from edgeaudio.outbox import Outbox
from edgeaudio.profiles import Profile, pin
from edgeaudio.reader import Reader
from edgeaudio.stats import EngineStats
from edgeaudio.tasks.base import Task, in_background
from edgeaudio.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from edgeaudio.dsp.denoise import Denoiser
    from edgeaudio.sources import Source
    from edgeaudio.worker import Worker

__all__ = ["Engine"]

_JOIN_S = 5.0


class _Change(NamedTuple):
    """Other tasks, and those of them that are new, warmed up."""

    tasks: tuple[Task, ...]
    fresh: Listener | None


class Engine:
    """Runs tasks on a source; a context manager, and an iterator over events.

    Each distinct frontend runs once, however many tasks listen to it. On a live source, tasks that
    take their time, such as a `Recognizer`, run in a thread of their own.

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
        Events that wait for a slow caller; further ones are dropped and counted, see `Outbox`.
    history : History, optional
        Also gets all audio, for whoever saves clips.
    denoise : Denoiser, optional
        Reduces noise in what the tasks hear. Levels are measured in the audio as it was recorded, and
        that is what `history` gets. Positions stay what they are; decisions come up to
        ``denoise.delay_samples`` later, which their ``latency_s`` counts.

    Raises
    ------
    UsageError
        No task, a `max_lag_ms` shorter than two hops, or noise reduction for another rate.

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
        denoise: Denoiser | None = None,
    ) -> None:
        profile = profile or Profile()
        self._profile = profile
        self._source = source
        self._max_lag_ms = profile.max_lag_ms if max_lag_ms is None else max_lag_ms
        self._denoiser = denoise
        self._check(tasks)
        self._listener = Listener(tasks, self._hop_samples, denoise)
        self._reader = Reader(source, self._listener, self._max_lag_ms * SAMPLE_RATE_HZ // 1000, history)
        self._changes: deque[_Change] = deque()
        self._changing = threading.Lock()
        # Any source that is not live waits for whoever listens, so that nobody can be late.
        self._needs_worker = source.live and any(map(in_background, tasks))
        self._outbox = Outbox(max_events)
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self._fresh = True
        self._replayed = 0
        self._busy_s = 0.0

    def __enter__(self) -> Engine:  # noqa: PYI034 - Self is in typing since 3.11 only
        """Start the source and the engine's threads.

        Raises
        ------
        EdgeAudioError
            The source cannot be started, or the engine ran before.
        """
        self._begin()
        self._listener.captured_at = self._source.captured_at
        if self._needs_worker:
            self._listener.hand_over(self._hire().take_on)
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
            What went wrong in the engine's threads.
        """
        if self._thread is None:
            raise UsageError(
                "the engine does not run", hint="Write: with Engine(…) as engine: for event in engine: …"
            )
        while (event := self._outbox.get()) is not None:
            yield event
        if self._failure is not None:
            raise self._failure

    @property
    def live(self) -> bool:
        """Whether the source goes by the clock, so that it cannot be replayed."""
        return self._source.live

    @property
    def listener(self) -> Listener:
        """What hears the blocks, for whoever measures its parts."""
        return self._listener

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What listens now, or will from the next block on."""
        changes = list(self._changes)
        return changes[-1].tasks if changes else self._listener.tasks

    def replace_tasks(self, *tasks: Task) -> None:
        """Let these tasks listen from the next block on, without losing a sample.

        Tasks that listen already go on as if nothing had happened. New ones are warmed up here, in the
        caller's thread; then they begin with the present sample, sharing the frontends that are there.
        Those that are not given any more are flushed, and their last events still delivered. Returns
        without waiting for all this. May be called from any thread, and amid an iteration.

        Parameters
        ----------
        *tasks : Task
            All that shall listen, at least one. New ones must not listen to anything else.

        Raises
        ------
        UsageError
            No task, one is given twice, or wants another sample rate; the tasks stay as they are.
        """
        with self._changing:
            self._check(tasks)
            at_hand = self._at_hand()
            new = tuple(task for task in tasks if not any(task is other for other in at_hand))
            fresh = Listener(new, self._hop_samples) if new else None
            if fresh is not None:
                fresh.warm_up()
            self._changes.append(_Change(tasks, fresh))

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
            while going_on:
                started_s = time.thread_time()
                going_on = self._advance(events)
                self._busy_s += time.thread_time() - started_s
                self._replayed += len(events)
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
        captions = self._worker.stats() if self._worker is not None else None
        return EngineStats(
            capture=self._source.stats(),
            processed_samples=self._reader.processed,
            skipped_samples=self._reader.skipped,
            events=self._replayed + self._outbox.accepted,
            events_dropped=self._outbox.dropped,
            nonfinite_samples=self._listener.meter.nonfinite_samples,
            level_dbfs=self._listener.meter.level_dbfs,
            busy_s=self._busy_s + (captions.busy_s if captions is not None else 0.0),
            captions=captions,
        )

    @property
    def _hop_samples(self) -> int:
        return self._profile.hop_ms * SAMPLE_RATE_HZ // 1000

    def _check(self, tasks: tuple[Task, ...]) -> None:
        """Refuse tasks that this engine cannot run."""
        if not tasks:
            raise UsageError("the engine has nothing to listen with", hint="Give it a task: Spotter.load(…).")
        check_tasks(tasks)
        first_samples = self._hop_samples + surplus_samples(tasks)
        if self._denoiser is not None:
            first_samples = self._denoiser.needed(first_samples)
            if self._denoiser.sample_rate_hz != SAMPLE_RATE_HZ:
                raise UsageError(
                    f"noise would be reduced at {self._denoiser.sample_rate_hz} Hz, not {SAMPLE_RATE_HZ} Hz"
                )
        if self._max_lag_ms * SAMPLE_RATE_HZ // 1000 < 2 * first_samples:
            raise UsageError(
                f"max_lag_ms is {self._max_lag_ms}, less than two hops of {self._profile.hop_ms} ms"
            )

    def _at_hand(self) -> list[Task]:
        """All tasks that listen, will listen, or have not ended yet: nobody else may touch them."""
        # In this order: what is on its way from one to the next is found at least once.
        coming = [task for change in list(self._changes) for task in change.tasks]
        leaving = self._worker.tasks if self._worker is not None else []
        return [*coming, *self._listener.tasks, *leaving]

    def _begin(self) -> None:
        if not self._fresh:
            raise UsageError("an engine runs once", hint="Make a new one, with a new source.")
        self._fresh = False
        self._listener.warm_up()
        self._source.start()

    def _hire(self) -> Worker:
        """Start the worker."""
        from edgeaudio.worker import Worker  # not at the top: wake words alone do without

        self._worker = Worker(self._pass_on, self._profile)
        self._worker.start()
        return self._worker

    def _change(self, change: _Change, events: list[Event]) -> None:
        """Let other tasks listen, between two blocks."""
        worker = self._worker
        if worker is None and self.live and any(map(in_background, change.tasks)):
            worker = self._hire()
        self._listener.replace(change.tasks, change.fresh, worker.take_on if worker else None, events)

    def _run(self) -> None:
        """Be the engine's thread."""
        started_s = time.thread_time()
        events: list[Event] = []
        try:
            pin(self._profile.affinity)
            going_on = True
            while going_on:
                going_on = self._advance(events)
                self._deliver(events)
                self._busy_s = time.thread_time() - started_s
        except BaseException as error:  # it goes on in the caller's thread
            self._failure = error
        finally:
            self._deliver(events)
            if self._worker is not None:
                self._worker.finish(lambda: self._stopping)
                self._failure = self._failure or self._worker.failure
            self._outbox.close()

    def _advance(self, events: list[Event]) -> bool:
        """Hear a block; False when the source has ended, or somebody ended the engine, and all is said."""
        if self._stopping:
            self._listener.break_off(events)
            return False
        if self._worker is not None and self._worker.failure is not None:
            return False
        if self._changes:
            self._change(self._changes[0], events)
            self._changes.popleft()  # only now: see _at_hand
            return True
        return self._reader.advance(events)

    def _deliver(self, events: list[Event]) -> None:
        """Empty `events` into the outbox."""
        for event in events:
            self._outbox.put(event)
        events.clear()

    def _pass_on(self, events: list[Event]) -> None:
        """Deliver what the worker's tasks said, in the worker's thread."""
        for event in events:
            self._outbox.put(self._listener.complete(event))
        events.clear()
