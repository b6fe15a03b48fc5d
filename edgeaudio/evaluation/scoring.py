"""A model's posteriors for recordings, through the very frontend, task and graph that run live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np

from edgeaudio.events import Event
from edgeaudio.frontend import Frontend
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.tasks.base import Task
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

__all__ = ["Progress", "Scored", "Scorer"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) after each recording."""


class Scored(Task, Protocol):
    """A task that shows what it decides on: a spotter, a classifier of sounds, a detector of speech."""

    @property
    def manifest(self) -> ModelManifest:
        """All facts of the model."""

    @property
    def runtime(self) -> str:
        """The runtime really used."""

    @property
    def posteriors(self) -> Frames:
        """``[n_out, n_labels]`` posteriors of the latest step, not smoothed; a view valid until the next."""


class Scorer:
    """Streams audio through a task and returns the posteriors it decides on.

    Parameters
    ----------
    task : Scored
        The model; it belongs to the scorer from now on.

    Attributes
    ----------
    events : list of Event
        What the task decided since the last reset.
    """

    def __init__(self, task: Scored) -> None:
        self.manifest = task.manifest
        self.events: list[Event] = []
        self._task = task
        self._frontend = Frontend(task.spec)
        self._n_waiting = 0  # frames that the task holds until they make a step

    @property
    def runtime(self) -> str:
        """What computes the posteriors."""
        return self._task.runtime

    @property
    def output_period_s(self) -> float:
        """Seconds from one posterior to the next."""
        return self.manifest.stride * self._frontend.hop_samples / SAMPLE_RATE_HZ

    @property
    def receptive_field_s(self) -> float:
        """Seconds of audio that one posterior depends on."""
        return self.manifest.receptive_field_frames * self._frontend.hop_samples / SAMPLE_RATE_HZ

    def reset(self) -> None:
        """Begin a new stream."""
        self._frontend.reset()
        self._task.reset()
        self.events = []
        self._n_waiting = 0

    def process(self, samples: Samples) -> Frames:
        """Posteriors that ``samples`` complete: ``[n, n_labels] float32``, not smoothed."""
        frames = self._frontend.process(samples)
        step = self.manifest.step_frames
        posteriors = [np.zeros((0, len(self.manifest.labels)), dtype=np.float32)]
        while len(frames):
            # At most one step a call, since the task shows the posteriors of its latest one.
            n = min(step - self._n_waiting, len(frames))
            self.events += self._task.process(frames[:n])
            frames = frames[n:]
            self._n_waiting = (self._n_waiting + n) % step
            if self._n_waiting == 0:
                posteriors.append(self._task.posteriors.copy())
        return np.concatenate(posteriors)

    def finish(self) -> None:
        """Let the task decide about the end of the stream; afterwards only `reset` makes sense."""
        self.events += self._task.flush()
