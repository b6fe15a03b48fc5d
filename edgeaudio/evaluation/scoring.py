"""A model's posteriors for recordings, through the very frontend, spotter and graph that run live."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from edgeaudio.frontend import Frontend
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

__all__ = ["Progress", "Scorer"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) after each recording."""


class Scorer:
    """Streams audio through a spotter and returns the posteriors it decides on.

    Parameters
    ----------
    spotter : Spotter
        The model; it belongs to the scorer from now on.
    """

    def __init__(self, spotter: Spotter) -> None:
        self.manifest = spotter.manifest
        self._spotter = spotter
        self._frontend = Frontend(spotter.spec)
        self._n_waiting = 0  # frames that the spotter holds until they make a step

    @property
    def runtime(self) -> str:
        """What computes the posteriors."""
        return self._spotter.runtime

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
        self._spotter.reset()
        self._n_waiting = 0

    def process(self, samples: Samples) -> Frames:
        """Posteriors that ``samples`` complete: ``[n, n_labels] float32``, not smoothed."""
        frames = self._frontend.process(samples)
        step = self.manifest.step_frames
        posteriors = [np.zeros((0, len(self.manifest.labels)), dtype=np.float32)]
        while len(frames):
            # At most one step a call, since the spotter shows the posteriors of its latest one.
            n = min(step - self._n_waiting, len(frames))
            self._spotter.process(frames[:n])
            frames = frames[n:]
            self._n_waiting = (self._n_waiting + n) % step
            if self._n_waiting == 0:
                posteriors.append(self._spotter.posteriors.copy())
        return np.concatenate(posteriors)
