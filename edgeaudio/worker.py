"""The second thread, for tasks that take their time: captions.

::

    engine's thread:   frontend ── Relay.process ── ring of frames
    worker's thread:                                      └── Relay.work ── task ── outbox

A task with ``background = True`` runs here where the source is live. A recogniser's chunk, of milliseconds,
then never delays a wake word. In a replay there is no worker, and the task runs between the others.

When the worker is late, work is shed: measure by measure of the profile's ``shed``, which are the task's
business, and then by a jump to the present.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable

from edgeaudio.events import Event, Gap
from edgeaudio.framering import FrameRing
from edgeaudio.frontend import FrontendSpec
from edgeaudio.profiles import Profile, pin
from edgeaudio.shedding import Shedding
from edgeaudio.stats import WorkerStats
from edgeaudio.tasks.base import Task
from edgeaudio.types import Frames

__all__ = ["Relay", "Worker"]

_BURST_S = 8.0
"""Beyond the allowed lag: what a source may deliver at once after a stall."""
_READ_S = 0.16
"""Most audio a task hears at a time, so that lag and stop are seen soon."""
_STARVED_S = 2.0
"""After so long without audio a caption ends: its speaker's microphone has gone, or a server stalled."""
_JOIN_S = 5.0
_LOOK_S = 0.1


class Relay:
    """Stands among the engine's tasks for one that runs in the worker.

    ``process``, ``flush`` and ``reset`` belong to the engine's thread, ``work``, ``rest`` and ``finish``
    to the worker's.

    Parameters
    ----------
    task : Task
        What hears the frames in the end. It must be fresh, at sample 0.
    max_lag_s : float
        How far it may stay behind.
    wake : callable
        Called whenever there is work.
    n_measures : int
        How many measures the task may take against lateness.
    clock : callable, optional
        Gives the time in seconds.
    """

    background = False

    def __init__(
        self,
        task: Task,
        max_lag_s: float,
        wake: Callable[[], None],
        *,
        n_measures: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.task = task
        self._wake = wake
        self._clock = clock
        self._shed: Callable[[int], None] | None = getattr(task, "shed", None)
        self._shedding = Shedding(max_lag_s, n_measures)
        self._hop = task.spec.hop_samples
        self._rate_hz = task.spec.sample_rate_hz
        frames_per_s = self._rate_hz / self._hop
        self._ring = FrameRing(round((max_lag_s + _BURST_S) * frames_per_s), task.spec.n_bands, self._hop)
        self._read_frames = round(_READ_S * frames_per_s)
        self._undecided = False
        self._skipped = 0
        self.ended = False
        """Nothing will follow what is in the ring, as far as is known."""

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def spec(self) -> FrontendSpec:
        """The frontend that the task wants."""
        return self.task.spec

    # The engine's side.

    def process(self, frames: Frames) -> list[Event]:
        """Pass frames on; what they mean is told by the worker."""
        self._ring.write(frames)
        self._wake()
        return []

    def flush(self) -> list[Event]:
        """Say that the stream has ended."""
        self._ring.close()
        self.ended = True
        self._wake()
        return []

    def reset(self, at_sample: int = 0) -> None:
        """Say that audio was lost, and that the next frame begins at `at_sample`."""
        self._ring.restart(at_sample)
        self._wake()

    # The worker's side.

    def work(self, events: list[Event]) -> bool:
        """Let the task hear what comes next, not much at a time; False if there is nothing."""
        passed = self._ring.take_break()
        if passed is not None:
            self.rest(events)
            if passed.lost_samples:
                self._lose(passed.lost_from, passed.lost_samples, events)
            self.task.reset(passed.at_sample)
            return True
        if not self._ring.waiting:
            return False
        before = self._shedding.level
        level = self._shedding.review(self._ring.late * self._hop / self._rate_hz, self._clock())
        if self._shedding.level != before and self._shed is not None:
            self._shed(self._shedding.level)
        if level == self._shedding.jump:
            self._jump(events)
            return True
        frames = self._ring.peek(self._read_frames)
        events += self.task.process(frames)
        self._undecided = True
        self._ring.advance(len(frames))
        return True

    def rest(self, events: list[Event]) -> None:
        """Have the task decide about what it heard, and begin anew: nothing follows for a while."""
        if self._undecided:
            events += self.task.flush()
            self.task.reset(self._ring.position)
            self._undecided = False

    def stats(self) -> WorkerStats:
        """Return the counters as they are now; from any thread."""
        return WorkerStats(
            lag_samples=self._ring.late * self._hop,
            high_water_samples=self._ring.high_water * self._hop,
            skipped_samples=self._skipped,
            shed_level=self._shedding.level,
        )

    def _jump(self, events: list[Event]) -> None:
        """Leave out everything up to the newest frame."""
        self.rest(events)
        start, lost = self._ring.position, 0
        while True:
            n = len(self._ring.peek(self._ring.waiting))
            self._ring.advance(n)
            lost += n * self._hop
            if n == 0:
                passed = self._ring.take_break()
                if passed is None:
                    break
                lost += passed.lost_samples
        self._lose(start, lost, events)
        self.task.reset(self._ring.position)

    def _lose(self, start_sample: int, n: int, events: list[Event]) -> None:
        self._skipped += n
        events.append(Gap(start_sample=start_sample, n_samples=n, cause="consumer_lag"))


class Worker:
    """The thread in which background tasks hear their frames.

    Parameters
    ----------
    deliver : callable
        Called in this thread: empties the list of what one piece of work brought.
    profile : Profile
        How late it may be, what is shed before, and on which cores it runs.
    """

    def __init__(self, deliver: Callable[[list[Event]], None], profile: Profile) -> None:
        self._work = threading.Event()
        self._lock = threading.Lock()
        self._relays: list[Relay] = []
        """Never changed, but replaced, with the lock held."""
        self._past = WorkerStats()
        self._deliver = deliver
        self._profile = profile
        self._closing = False
        self._stopping = False
        self._busy_s = 0.0
        self.failure: BaseException | None = None
        """What ended the thread, if something went wrong."""
        self._thread = threading.Thread(target=self._run, name="edgeaudio-captions", daemon=True)

    @property
    def tasks(self) -> list[Task]:
        """What runs here, or has not ended yet."""
        return [relay.task for relay in self._relays]

    def take_on(self, task: Task) -> Relay:
        """Have `task` run here; return what stands for it in the engine's thread.

        Once its relay was flushed and everything is heard, the task leaves.
        """
        max_lag_s, n_measures = self._profile.max_caption_lag_ms / 1000, len(self._profile.shed)
        with self._lock:
            for relay in self._relays:
                if relay.task is task:  # flushed a moment ago, and called back
                    relay.ended = False
                    return relay
            relay = Relay(task, max_lag_s, self._work.set, n_measures=n_measures)
            self._relays = [*self._relays, relay]
        return relay

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self, in_a_hurry: Callable[[], bool]) -> None:
        """Wait until everything is heard, or, once `in_a_hurry` says so, what was heard is decided."""
        for relay in self._relays:
            relay.flush()  # where the source failed, nobody else did
        self._closing = True
        self._work.set()
        while self._thread.is_alive() and not in_a_hurry():
            self._thread.join(_LOOK_S)
        self._stopping = True
        self._work.set()
        self._thread.join(_JOIN_S)

    def stats(self) -> WorkerStats:
        """Return the counters of all tasks as they are now; from any thread."""
        total = WorkerStats(
            busy_s=self._busy_s,
            high_water_samples=self._past.high_water_samples,
            skipped_samples=self._past.skipped_samples,
        )
        for one in (relay.stats() for relay in self._relays):
            total.skipped_samples += one.skipped_samples
            for most in ("lag_samples", "high_water_samples", "shed_level"):
                setattr(total, most, max(getattr(total, most), getattr(one, most)))
        return total

    def _run(self) -> None:
        """Be the worker's thread."""
        started_s = time.thread_time()
        events: list[Event] = []
        try:
            pin(self._profile.affinity)
            _make_way()
            while not self._stopping:
                self._work.clear()
                if not self._turn(events) and not self._stopping and not self._work.wait(_STARVED_S):
                    self._rest(events)
                self._deliver(events)
                self._busy_s = time.thread_time() - started_s
            self._rest(events)
        except BaseException as error:  # it goes on in the caller's thread
            self.failure = error
        finally:
            self._deliver(events)
            self._busy_s = time.thread_time() - started_s

    def _turn(self, events: list[Event]) -> bool:
        """Let each task hear what comes next; False if there is nothing to do."""
        closing, relays = self._closing, self._relays
        ended = [relay.ended for relay in relays]  # read first: so nothing can come after it
        worked = [relay.work(events) for relay in relays]
        if closing:
            self._stopping |= all(ended) and not any(worked)
            return any(worked)
        leaving = [relay for relay, end, busy in zip(relays, ended, worked, strict=True) if end and not busy]
        for relay in leaving:
            self._dismiss(relay, events)
        return any(worked) or bool(leaving)

    def _rest(self, events: list[Event]) -> None:
        for relay in self._relays:
            relay.rest(events)

    def _dismiss(self, relay: Relay, events: list[Event]) -> None:
        """Let go of a task whose stream has ended, unless it was called back meanwhile."""
        relay.rest(events)
        with self._lock:
            if relay.ended:
                self._past = self.stats()
                self._relays = [other for other in self._relays if other is not relay]


def _make_way() -> None:
    """Let the engine's thread go first where both want the same core: a wake word does not wait.

    Not niceness: on a busy machine this thread would keep the interpreter's lock for longer.
    """
    if sys.platform == "linux":  # where this concerns the calling thread, not the process
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
