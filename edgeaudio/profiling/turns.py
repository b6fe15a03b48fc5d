"""One turn of a tuning: a few seconds of the real engine, what they cost and how late it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from edgeaudio.engine import Engine
from edgeaudio.events import Event
from edgeaudio.profiles import Profile
from edgeaudio.profiling.statistics import quantile
from edgeaudio.ring import RingBuffer
from edgeaudio.sources.base import SLICE_S, Source
from edgeaudio.stats import CaptureStats
from edgeaudio.tasks.base import Task, in_background
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

__all__ = ["BlockSource", "Turn", "take_turn"]

_RING_S = 8


class Turn(NamedTuple):
    """What a few seconds were like."""

    cpu_share: float
    """CPU time of this process / time: 1.0 is one core."""
    p95_ms: float
    """From the capture of a model step's last sample until it was heard by all tasks."""
    lost_samples: int


class BlockSource:
    """Recordings that arrive as a device's blocks do: a thread wakes up for each and stores it whole.

    So a block's length costs wake-ups and waiting, as it does with a microphone; that the thread is
    Python's and not native makes each a little dearer.

    Parameters
    ----------
    samples : array [n] float32
        At 16 kHz; heard again and again.
    block_ms : int
        Length of a block.
    """

    live = True
    name = "recordings in blocks"

    def __init__(self, samples: Samples, block_ms: int) -> None:
        self.ring = RingBuffer(_RING_S * SAMPLE_RATE_HZ)
        self._samples = samples
        self._block = block_ms * SAMPLE_RATE_HZ // 1000
        self._begun_s = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="edgeaudio-feed", daemon=True)

    @property
    def finished(self) -> bool:
        """Only after `stop`."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Begin: sample 0 is captured now."""
        self._begun_s = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End. Idempotent."""
        self._stopped.set()

    def wait(self, n_samples: int, timeout_s: float) -> int:
        """Block until ``n_samples`` can be read, or time is over; as `Microphone.wait` does."""
        deadline = time.monotonic() + timeout_s
        while True:
            available = self.ring.available
            now = time.monotonic()
            if available >= n_samples or self.ring.cut_short or self.finished or now >= deadline:
                return available
            missing_s = (n_samples - available) / SAMPLE_RATE_HZ
            time.sleep(max(0.0, min(max(missing_s, 0.001), deadline - now, SLICE_S)))

    def captured_at(self, sample: int) -> float:
        """When the sample was spoken, not when its block arrived."""
        return self._begun_s + sample / SAMPLE_RATE_HZ

    def take_notices(self) -> list[Event]:
        """Nothing: there is no device."""
        return []

    def stats(self) -> CaptureStats:
        """Counters since the start."""
        return CaptureStats(
            written_samples=self.ring.written,
            dropped_samples=self.ring.dropped,
            high_water_samples=self.ring.high_water,
        )

    def _feed(self) -> None:
        endless = np.concatenate((self._samples, self._samples[: self._block]))
        at = 0
        n_blocks = 0
        while True:
            n_blocks += 1
            due_s = self.captured_at(n_blocks * self._block)
            if self._stopped.wait(max(0.0, due_s - time.monotonic())):
                return
            self.ring.write(endless[at : at + self._block])
            at = (at + self._block) % len(self._samples)


class _Clock:
    """Listens beside the tasks of one frontend, behind all of them, and notes how late it is."""

    def __init__(self, task: Task, step_frames: int, captured_at: Callable[[int], float]) -> None:
        self.name = f"clock of {task.name}"
        self.spec = task.spec
        self.background = in_background(task)
        self.late_ms: list[float] = []
        self._captured_at = captured_at
        self._step = step_frames
        self.reset()

    def process(self, frames: Frames) -> list[Event]:
        """Note for each step that is whole now how long ago its last sample was captured."""
        n_steps = self._n_frames // self._step
        self._n_frames += len(frames)
        now = time.monotonic()
        for step in range(n_steps + 1, self._n_frames // self._step + 1):
            end = (step * self._step - 1) * self.spec.hop_samples + self.spec.window_samples
            self.late_ms.append(1000 * (now - self._captured_at(self._first_sample + end)))
        return []

    def flush(self) -> list[Event]:
        """Nothing is left to say."""
        return []

    def reset(self, at_sample: int = 0) -> None:
        """Begin anew at this sample."""
        self._first_sample = at_sample
        self._n_frames = 0


def take_turn(
    source: Source,
    tasks: Sequence[Task],
    step_frames: Sequence[int],
    profile: Profile,
    *,
    warm_up_s: float,
    seconds: float,
    stopping: Callable[[], bool] = lambda: False,
) -> Turn | None:
    """Run an engine for a few seconds; None if it was ended early.

    Parameters
    ----------
    source : Source
        A live one, not started.
    tasks : sequence of Task
        What listens. They are reset first, so that they can take many turns.
    step_frames : sequence of int
        How many frames each one's model wants at a time.
    profile : Profile
        What the engine runs with.
    warm_up_s, seconds : float
        How long to listen before anything counts, and how long it then counts.
    stopping : callable
        Whether somebody wants an early end.
    """
    for task in tasks:
        task.reset()
    clocks = [_Clock(task, step, source.captured_at) for task, step in zip(tasks, step_frames, strict=True)]
    engine = Engine(source, *tasks, *clocks, profile=profile)
    with _draining(engine):
        if not _wait(warm_up_s, stopping):
            return None
        heard = [len(clock.late_ms) for clock in clocks]
        begun_s, begun_cpu_s = time.monotonic(), time.process_time()
        if not _wait(seconds, stopping):
            return None
        cpu_s, wall_s = time.process_time() - begun_cpu_s, time.monotonic() - begun_s
        stats = engine.stats()
        late_ms = [late for clock, n in zip(clocks, heard, strict=True) for late in clock.late_ms[n:]]
    lost = stats.skipped_samples + stats.capture.dropped_samples
    if stats.captions is not None:
        lost += stats.captions.skipped_samples
    # An engine that heard nothing in all this time was later than can be told.
    p95_ms = quantile(np.array(late_ms), 0.95) if late_ms else 1000 * seconds
    return Turn(cpu_s / wall_s, p95_ms, lost)


@contextmanager
def _draining(engine: Engine) -> Iterator[None]:
    """Run the engine; its events go nowhere."""
    failures: list[BaseException] = []

    def drain() -> None:
        try:
            for _ in engine:
                pass
        except BaseException as error:  # it goes on in the caller's thread
            failures.append(error)

    with engine:
        thread = threading.Thread(target=drain, name="edgeaudio-drain", daemon=True)
        thread.start()
        try:
            yield
        finally:
            engine.close()
            thread.join()
    if failures:
        raise failures[0]


def _wait(seconds: float, stopping: Callable[[], bool]) -> bool:
    """Let time pass; False if somebody wants an end."""
    deadline = time.monotonic() + seconds
    while (left_s := deadline - time.monotonic()) > 0:
        if stopping():
            return False
        time.sleep(min(left_s, 0.25))
    return True
