"""Sources and tasks that follow a script, for the tests of the engine and of what it is made of."""

from __future__ import annotations

import threading
import time

import numpy as np

from edgeaudio import Engine
from edgeaudio.events import Caption, CaptionWord, Detection
from edgeaudio.frontend import FrontendSpec
from edgeaudio.ring import RingBuffer
from edgeaudio.stats import CaptureStats
from edgeaudio.types import Samples

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def names(events):
    return [event.name for event in events if isinstance(event, Detection)]


class StagedSource:
    """A live source whose story is told step by step: each `wait` that finds too little plays one scene.

    A scene is a block of samples, an event, a callable that gets the source, or an error to raise.
    """

    name = "staged"
    live = True

    def __init__(self, *scenes, capacity=8 * RATE):
        self.ring = RingBuffer(capacity)
        self.scenes = list(scenes)
        self.finished = False
        self.started = self.stopped = 0
        self.notices = []

    def start(self):
        self.started += 1

    def stop(self):
        self.stopped += 1

    def wait(self, n_samples, timeout_s):
        if self.ring.available < n_samples and self.scenes:
            scene = self.scenes.pop(0)
            if isinstance(scene, np.ndarray):
                assert self.ring.write(scene) == len(scene)
            elif isinstance(scene, Exception):
                raise scene
            elif callable(scene):
                scene(self)
            else:
                self.notices.append(scene)
        self.finished = not self.scenes
        return self.ring.available

    def captured_at(self, sample):
        return time.monotonic() - 0.125

    def take_notices(self):
        notices, self.notices = self.notices, []
        return notices

    def stats(self):
        return CaptureStats(written_samples=self.ring.written, dropped_samples=self.ring.dropped)


def captions(events):
    return [event for event in events if isinstance(event, Caption)]


def live(source, *tasks, **options):
    with Engine(source, *tasks, **options) as engine:
        events = list(engine)
    return events, engine.stats()


class Scribe:
    """A background task that writes down a word every `period` frames it hears, whatever they are.

    A caption ends after four words, and where it is flushed. `heard` is called before each block, with the
    scribe, in the thread that calls.
    """

    name = "scribe"
    background = True

    def __init__(self, period=20, heard=None, spec=None):
        self.spec = spec or FrontendSpec(n_mels=80)
        self.period = period
        self.heard = heard
        self.blocks, self.resets, self.shed_levels, self.threads = [], [], [], set()
        self.level = self.caption_id = 0

    def process(self, frames):
        if not self.resets:  # the engine's warm-up
            return []
        if self.heard is not None:
            self.heard(self)
        self.threads.add(threading.current_thread().name)
        events = []
        for frame in frames:
            self.blocks.append(frame.copy())
            self.n_frames += 1
            if self.n_frames % self.period == 0:
                end = self.first_sample + self.n_frames * 160
                self.words += (CaptionWord(text=f"{end}", start_sample=end, end_sample=end, confidence=1.0),)
                events.append(self._caption(final=len(self.words) == 4))
        return events

    def flush(self):
        return [self._caption(final=True)] if self.resets and self.words else []

    def reset(self, at_sample=0):
        self.resets.append(at_sample)
        self.first_sample = at_sample
        self.n_frames = 0
        self.words = ()

    def shed(self, level):
        self.shed_levels.append(level)
        self.level = level

    def _caption(self, final):
        words, end = self.words, self.first_sample + self.n_frames * 160
        caption = Caption(
            model=self.name,
            caption_id=self.caption_id,
            words=words,
            tentative="" if final or self.level else "perhaps",
            final=final,
            start_sample=words[0].start_sample,
            end_sample=end,
            latency_s=0.0,
        )
        if final:
            self.words = ()
            self.caption_id += 1
        return caption


class Recorder:
    """A task that keeps a copy of all it is given."""

    def __init__(self, spec=None):
        self.name = "recorder"
        self.spec = spec or FrontendSpec()
        self.reset()
        self.resets = []

    def process(self, frames):
        self.blocks.append(frames.copy())
        return []

    def flush(self):
        return []

    def reset(self, at_sample=0):
        self.blocks = []
        self.resets = [*getattr(self, "resets", []), at_sample]
