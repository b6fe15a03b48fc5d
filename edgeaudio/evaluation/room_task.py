"""Listens to a room with a spotter that never fires: all that it hears is a peak of some height."""

from __future__ import annotations

import threading

import msgspec

from edgeaudio.evaluation.room import Excursions
from edgeaudio.events import Detection, Event, NearMiss
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.types import Frames

__all__ = ["RoomTask"]

_NEVER = 1.0 - 1e-9


class RoomTask:
    """A task for the engine that keeps what rises, and tells each peak as a `NearMiss`, however high.

    Parameters
    ----------
    spotter : Spotter
        The model; it belongs to the task from now on.
    near_ratio : float
        Peaks are told from this part of the model's lowest threshold on.
    """

    def __init__(self, spotter: Spotter, near_ratio: float) -> None:
        self._thresholds = spotter.threshold_of
        spotter.decide_at(_NEVER, near_ratio=near_ratio * min(self._thresholds.values()))
        self._spotter = spotter
        self.frame_ms = spotter.manifest.stride * spotter.manifest.frontend.hop_ms
        self._excursions = Excursions(spotter.manifest, self.frame_ms)
        self._lock = threading.Lock()
        self._n_waiting = 0

    @property
    def name(self) -> str:
        """The model's name."""
        return self._spotter.name

    @property
    def spec(self) -> FrontendSpec:
        """The model's frontend."""
        return self._spotter.spec

    @property
    def manifest(self) -> ModelManifest:
        """All facts of the model."""
        return self._spotter.manifest

    @property
    def threshold_of(self) -> dict[str, float]:
        """The model's own threshold of each word."""
        return self._thresholds

    def process(self, frames: Frames) -> list[Event]:
        """Hear frames; see `Task.process`."""
        events: list[Event] = []
        step = self.manifest.step_frames
        while len(frames):
            # At most one step a call, since the spotter shows the posteriors of its latest one.
            n = min(step - self._n_waiting, len(frames))
            events += self._spotter.process(frames[:n])
            frames = frames[n:]
            self._n_waiting = (self._n_waiting + n) % step
            if self._n_waiting == 0:
                with self._lock:
                    self._excursions.add(self._spotter.posteriors)
        return [self._peak(event) for event in events]

    def flush(self) -> list[Event]:
        """Tell the last peak: the stream has ended."""
        with self._lock:
            self._excursions.interrupt()
        return [self._peak(event) for event in self._spotter.flush()]

    def reset(self, at_sample: int = 0) -> None:
        """Begin another stream. At sample 0, what was heard and not flushed was the engine's warm-up."""
        with self._lock:
            if at_sample == 0:
                self._excursions.discard()
            else:
                self._excursions.interrupt()
        self._n_waiting = 0
        self._spotter.reset(at_sample)

    def take(self, *, ended: bool = False) -> list[Frames]:
        """Hand over what rose and fell again since the last time; from any thread."""
        with self._lock:
            if ended:
                self._excursions.interrupt()
            return self._excursions.take()

    def _peak(self, event: Event) -> Event:
        if not isinstance(event, (Detection, NearMiss)):
            return event
        facts = {name: getattr(event, name) for name in NearMiss.__struct_fields__ if name != "threshold"}
        return msgspec.convert({**facts, "threshold": self._thresholds[event.name]}, NearMiss)
