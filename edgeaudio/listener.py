"""What the engine does with a block of samples, without threads or waiting.

The audio path allocates nothing after its warm-up: views of the ring go in, views of each frontend's
frames come out, and only an event is an object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgeaudio.errors import UsageError
from edgeaudio.events import (
    Caption,
    Detection,
    Event,
    NearMiss,
    SoundEvent,
    SoundStart,
    SpeakerTurn,
    SpeechEnd,
    SpeechStart,
)
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.level import LevelMeter
from edgeaudio.ring import RingBuffer
from edgeaudio.tasks.base import Task, flushed_before_reset, in_background
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

if TYPE_CHECKING:
    from edgeaudio.dsp.denoise import Denoiser

__all__ = ["Listener", "check_tasks", "surplus_samples"]

_TIMED = (Detection, Caption, SoundStart, SoundEvent, SpeechStart, SpeechEnd, SpeakerTurn)
"""What has a latency."""
_MEASURED = (Detection, NearMiss, SoundEvent)
"""What has a level."""
_TAIL_SAMPLES = 1024
"""What is kept of the newest sound, for frontends that begin in the midst of a stream."""


def check_tasks(tasks: tuple[Task, ...]) -> None:
    """Refuse what cannot listen together.

    Raises
    ------
    UsageError
        A task wants another sample rate than 16 kHz, or is given twice.
    """
    for n, task in enumerate(tasks):
        rate_hz = task.spec.sample_rate_hz
        if rate_hz != SAMPLE_RATE_HZ:
            raise UsageError(f"model '{task.name}' wants {rate_hz} Hz, not {SAMPLE_RATE_HZ} Hz")
        if any(task is other for other in tasks[:n]):
            raise UsageError(f"'{task.name}' was given twice: it would hear every frame twice")


def surplus_samples(tasks: Iterable[Task]) -> int:
    """How much more than a hop the first frame needs, of the widest window that `tasks` want."""
    return max(task.spec.window_samples - task.spec.hop_samples for task in tasks)


class _Lane:
    """A frontend, and what hears its frames."""

    def __init__(self, frontend: Frontend, tasks: list[Task]) -> None:
        self.frontend = frontend
        self.tasks = tasks
        self.next_sample = 0
        """Where the next frame begins, in absolute samples."""

    def process(self, samples: Samples) -> Frames:
        """Return the frames that a block completes."""
        frames = self.frontend.process(samples)
        self.next_sample += len(frames) * self.frontend.hop_samples
        return frames

    def begin(self, at_sample: int, before: Samples) -> None:
        """Begin anew at `at_sample`, or as far before it as makes every later block whole steps."""
        n = min(self.frontend.window_samples - self.frontend.hop_samples, len(before))
        self.frontend.reset()
        if n:
            self.frontend.process(before[len(before) - n :])
        self.next_sample = at_sample - n


class Listener:
    """A level meter, one frontend for each distinct spec, and the tasks that share them.

    Parameters
    ----------
    tasks : tuple of Task
        What listens.
    hop_samples : int
        How many samples come at a time.
    denoiser : Denoiser, optional
        What the frontends hear goes through it; the level meter measures what was recorded.

    Raises
    ------
    UsageError
        A task wants another sample rate than 16 kHz, or is given twice.
    """

    def __init__(self, tasks: tuple[Task, ...], hop_samples: int, denoiser: Denoiser | None = None) -> None:
        self.meter = LevelMeter()
        self.captured_at: Callable[[int], float] | None = None
        """Capture time of a sample, in `time.monotonic` seconds; None for no clock and no latencies."""
        self.tasks: tuple[Task, ...] = ()
        """What listens now."""
        self._denoiser = denoiser
        self._stand_ins: dict[int, Task] = {}
        self._lanes: list[_Lane] = []
        self._next_sample = 0
        self._tail = np.zeros(_TAIL_SAMPLES, np.float32)
        self._n_tail = 0
        self.hop_samples = hop_samples
        self.first_samples = hop_samples
        check_tasks(tasks)
        self._arrange(tasks, {})

    @property
    def frontends(self) -> list[Frontend]:
        """One for each distinct spec, in the order in which they hear a block."""
        return [lane.frontend for lane in self._lanes]

    def warm_up(self) -> None:
        """Hear a block of zeros and forget it, so that nothing compiles while audio waits."""
        ring = RingBuffer(self.first_samples)
        ring.write(np.zeros(self.first_samples, np.float32))
        block = ring.peek(self.first_samples)
        if block is not None:
            self.hear(block, [])
            ring.advance(len(block))
        ring.take_gap()
        self.meter = LevelMeter()
        self._reset(0)

    def hand_over(self, take_on: Callable[[Task], Task]) -> None:
        """Let what `take_on` returns stand for each task of the background."""
        for task in filter(in_background, self.tasks):
            self._stand_ins[id(task)] = take_on(task)
        for lane in self._lanes:
            lane.tasks = [self._hearer(task) for task in lane.tasks]

    def replace(
        self,
        tasks: tuple[Task, ...],
        fresh: Listener | None,
        take_on: Callable[[Task], Task] | None,
        events: list[Event],
    ) -> None:
        """Let `tasks` listen from the next block on, and append how those end that go.

        Parameters
        ----------
        tasks : tuple of Task
            Those that listen already go on, and so do their frontends; the others begin with the next
            sample.
        fresh : Listener, optional
            Warmed up with the new ones; its frontends are taken over.
        take_on : callable, optional
            As for `hand_over`, for new tasks of the background.
        events : list of Event
            Where the last events go.
        """
        for task in self.tasks:
            if not any(task is other for other in tasks):
                events += [self.complete(event) for event in self._hearer(task).flush()]
                self._stand_ins.pop(id(task), None)
        lanes = {lane.frontend.spec: lane for lane in self._lanes}
        warm = {lane.frontend.spec: lane for lane in fresh._lanes} if fresh is not None else {}
        for task in tasks:
            if any(task is other for other in self.tasks):
                continue
            if task.spec not in lanes:
                lane = warm.get(task.spec) or _Lane(Frontend(task.spec), [])
                lane.begin(self._next_sample, self._tail[_TAIL_SAMPLES - self._n_tail :])
                lanes[task.spec] = lane
            if take_on is not None and in_background(task):
                self._stand_ins[id(task)] = take_on(task)
            self._hearer(task).reset(lanes[task.spec].next_sample)
        self._arrange(tasks, lanes)

    def hear(self, block: Samples, events: list[Event]) -> None:
        """Give a block ``[n]`` to everything that listens, and append what it noticed to `events`."""
        samples = self.meter.process(block)
        events += self.meter.take_events()
        self._listen(samples if self._denoiser is None else self._denoiser.process(samples), events)

    def finish(self, events: list[Event]) -> None:
        """Append what the tasks decide now that the stream has ended."""
        self._hear_out(events)
        for lane in self._lanes:
            frames = lane.frontend.flush()
            for task in lane.tasks:
                last = task.process(frames) + task.flush()
                events += [self.complete(event) for event in last]

    def break_off(self, events: list[Event]) -> None:
        """Append how captions and sounds end that were under way; afterwards only `restart` makes sense.

        Half a word is no word, but half a sentence is text that was said.
        """
        self._hear_out(events)
        for lane in self._lanes:
            for task in filter(flushed_before_reset, lane.tasks):
                events += [self.complete(event) for event in task.flush()]

    def restart(self, at_sample: int, events: list[Event]) -> None:
        """End what lasts and forget what was heard: audio was lost, and the next sample is `at_sample`."""
        self.break_off(events)
        self.meter.reset(at_sample)
        events += self.meter.take_events()
        self._reset(at_sample)

    def complete(self, event: Event) -> Event:
        """Add to a detection, caption, sound or speech what no task knows: the audio and the time."""
        facts: dict[str, float | None] = {}
        if isinstance(event, _TIMED) and self.captured_at is not None:
            facts["latency_s"] = time.monotonic() - self.captured_at(event.end_sample - 1)
        if isinstance(event, _MEASURED):
            span = self.meter.span(event.start_sample, event.end_sample)
            facts |= {"level_dbfs": span.level_dbfs, "snr_db": span.snr_db}
            if isinstance(event, Detection):
                facts |= {"start_sample": span.start_sample, "end_sample": span.end_sample}
        return msgspec.structs.replace(event, **facts) if facts else event

    def _listen(self, samples: Samples, events: list[Event]) -> None:
        """Let the frontends and the tasks hear the next samples."""
        for lane in self._lanes:
            frames = lane.process(samples)
            if len(frames):
                for task in lane.tasks:
                    for event in task.process(frames):
                        events.append(self.complete(event))
        self._remember(samples)

    def _hear_out(self, events: list[Event]) -> None:
        """Let the tasks hear what noise reduction holds back: nothing follows that it could wait for."""
        if self._denoiser is not None:
            self._listen(self._denoiser.flush(), events)

    def _reset(self, at_sample: int) -> None:
        if self._denoiser is not None:
            self._denoiser.reset(at_sample)
        self._next_sample = at_sample
        self._n_tail = 0
        for lane in self._lanes:
            lane.begin(at_sample, self._tail[:0])
            for task in lane.tasks:
                task.reset(at_sample)

    def _hearer(self, task: Task) -> Task:
        """What hears the frames for a task: itself, or what stands for it."""
        return self._stand_ins.get(id(task), task)

    def _arrange(self, tasks: tuple[Task, ...], lanes: dict[FrontendSpec, _Lane]) -> None:
        """Let `tasks` listen, each on the lane of its spec, as far as there is one."""
        by_spec: dict[FrontendSpec, list[Task]] = {}
        # Wake words first: nothing that the worker is woken for gets in their way.
        for task in sorted(tasks, key=in_background):
            by_spec.setdefault(task.spec, []).append(self._hearer(task))
        self._lanes = []
        for spec, hearers in by_spec.items():
            lane = lanes.get(spec) or _Lane(Frontend(spec), [])
            lane.tasks = hearers
            self._lanes.append(lane)
        # The first frame needs more than its hop. Heard at once, this surplus makes every later
        # block yield whole model steps, and no frame waits for the next block.
        self.first_samples = self.hop_samples + surplus_samples(tasks)
        if self._denoiser is not None:
            self.first_samples = self._denoiser.needed(self.first_samples)
        self.tasks = tasks

    def _remember(self, samples: Samples) -> None:
        """Keep the newest of what the frontends heard."""
        n = min(len(samples), _TAIL_SAMPLES)
        if n < _TAIL_SAMPLES:
            self._tail[: -n or None] = self._tail[n:]  # NumPy sees that they overlap
        self._tail[_TAIL_SAMPLES - n :] = samples[len(samples) - n :]
        self._n_tail = min(self._n_tail + n, _TAIL_SAMPLES)
        self._next_sample += len(samples)
