"""What the engine does with a block of samples, without threads or waiting.

The audio path allocates nothing after its warm-up: views of the ring go in, views of each frontend's
frames come out, and only an event is an object.
"""

from __future__ import annotations

import time
from collections.abc import Callable

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
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["Listener"]

_TIMED = (Detection, Caption, SoundStart, SoundEvent, SpeechStart, SpeechEnd, SpeakerTurn)
"""What has a latency."""


class Listener:
    """A level meter, one frontend for each distinct spec, and the tasks that share them.

    Parameters
    ----------
    tasks : tuple of Task
        What listens.
    hop_samples : int
        How many samples come at a time.

    Raises
    ------
    UsageError
        A task wants another sample rate than 16 kHz, or is given twice.
    """

    def __init__(self, tasks: tuple[Task, ...], hop_samples: int) -> None:
        self.meter = LevelMeter()
        self.captured_at: Callable[[int], float] | None = None
        """Capture time of a sample, in `time.monotonic` seconds; None for no clock and no latencies."""
        by_spec: dict[FrontendSpec, list[Task]] = {}
        # Wake words first: nothing that the worker is woken for gets in their way.
        for task in sorted(tasks, key=in_background):
            rate_hz = task.spec.sample_rate_hz
            if rate_hz != SAMPLE_RATE_HZ:
                raise UsageError(f"model '{task.name}' wants {rate_hz} Hz, not {SAMPLE_RATE_HZ} Hz")
            if any(task is other for other in by_spec.get(task.spec, ())):
                raise UsageError(f"'{task.name}' was given twice: it would hear every frame twice")
            by_spec.setdefault(task.spec, []).append(task)
        self._lanes = [(Frontend(spec), listeners) for spec, listeners in by_spec.items()]
        # The first frame needs more than its hop. Heard at once, this surplus makes every later
        # block yield whole model steps, and no frame waits for the next block.
        surplus = max(frontend.window_samples - frontend.hop_samples for frontend, _ in self._lanes)
        self.hop_samples = hop_samples
        self.first_samples = hop_samples + surplus

    @property
    def frontends(self) -> list[Frontend]:
        """One for each distinct spec, in the order in which they hear a block."""
        return [frontend for frontend, _ in self._lanes]

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
        for _, tasks in self._lanes:
            tasks[:] = [take_on(task) if in_background(task) else task for task in tasks]

    def hear(self, block: Samples, events: list[Event]) -> None:
        """Give a block ``[n]`` to everything that listens, and append what it noticed to `events`."""
        samples = self.meter.process(block)
        events += self.meter.take_events()
        for frontend, tasks in self._lanes:
            frames = frontend.process(samples)
            if len(frames):
                for task in tasks:
                    for event in task.process(frames):
                        events.append(self.complete(event))

    def finish(self, events: list[Event]) -> None:
        """Append what the tasks decide now that the stream has ended."""
        for frontend, tasks in self._lanes:
            frames = frontend.flush()
            for task in tasks:
                last = task.process(frames) + task.flush()
                events += [self.complete(event) for event in last]

    def break_off(self, events: list[Event]) -> None:
        """Append how captions and sounds end that were under way; afterwards only `restart` makes sense.

        Half a word is no word, but half a sentence is text that was said.
        """
        for _, tasks in self._lanes:
            for task in filter(flushed_before_reset, tasks):
                events += [self.complete(event) for event in task.flush()]

    def restart(self, at_sample: int, events: list[Event]) -> None:
        """End what lasts and forget what was heard: audio was lost, and the next sample is `at_sample`."""
        self.break_off(events)
        self.meter.reset(at_sample)
        events += self.meter.take_events()
        self._reset(at_sample)

    def complete(self, event: Event) -> Event:
        """Add to a detection, caption, sound or speech what no task knows: the audio and the time."""
        if isinstance(event, NearMiss):
            span = self.meter.span(event.start_sample, event.end_sample)
            return msgspec.structs.replace(event, level_dbfs=span.level_dbfs, snr_db=span.snr_db)
        if not isinstance(event, _TIMED):
            return event
        latency_s = 0.0
        if self.captured_at is not None:
            latency_s = time.monotonic() - self.captured_at(event.end_sample - 1)
        if not isinstance(event, (Detection, SoundEvent)):
            return msgspec.structs.replace(event, latency_s=latency_s)
        span = self.meter.span(event.start_sample, event.end_sample)
        if isinstance(event, SoundEvent):
            return msgspec.structs.replace(
                event, level_dbfs=span.level_dbfs, snr_db=span.snr_db, latency_s=latency_s
            )
        return msgspec.structs.replace(
            event,
            start_sample=span.start_sample,
            end_sample=span.end_sample,
            level_dbfs=span.level_dbfs,
            snr_db=span.snr_db,
            latency_s=latency_s,
        )

    def _reset(self, at_sample: int) -> None:
        for frontend, tasks in self._lanes:
            frontend.reset()
            for task in tasks:
                task.reset(at_sample)
