"""The classifier of sounds: a streaming network, its posteriors, and from when to when each sound lasted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from edgeaudio.backends import open_graph
from edgeaudio.backends.base import Runtime, StreamingGraph
from edgeaudio.config import nearest
from edgeaudio.errors import UsageError
from edgeaudio.events import Event, SoundEvent, SoundStart
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.manifest import Activity, ModelManifest
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.hysteresis import Edge, Hysteresis
from edgeaudio.tasks.stepping import SteppedTask
from edgeaudio.tasks.trigger import check_threshold
from edgeaudio.types import Frames

__all__ = ["Classifier", "check_sound"]

_FLUSH_S = 0.3
"""What is played after the end of a stream: a network is sure of a sound when it has heard what follows."""


class Classifier(SteppedTask):
    """Tells the sounds of one model apart in a stream of frames: any number of them at once.

    Parameters
    ----------
    graph : StreamingGraph
        The network, for one stream and one thread.
    manifest : ModelManifest
        Its labels, frontend and activity.
    threshold : float or mapping of str to float, optional
        Instead of the model's own: for all sounds, or for those named; above 0 and below 1.
    names : collection of str, optional
        The sounds to tell of; by default all that the model does not call silent.
    onsets : bool, optional
        Also tell a `SoundStart` as soon as a sound is sure.

    Raises
    ------
    ModelError
        If the model is no classifier of sounds.
    UsageError
        If a threshold is not between 0 and 1, or a sound is named that the model does not know.
    """

    lasting = True

    def __init__(
        self,
        graph: StreamingGraph,
        manifest: ModelManifest,
        *,
        threshold: float | Mapping[str, float] | None = None,
        names: Collection[str] | None = None,
        onsets: bool = False,
    ) -> None:
        _check_kind(manifest)
        super().__init__(graph, manifest)
        self._onsets = onsets
        activity = _settled(manifest, threshold, names)
        self._hysteresis = Hysteresis(manifest.labels, activity, frame_ms=self._stepper.frame_ms)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        backend: Runtime | None = None,
        threshold: float | Mapping[str, float] | None = None,
        names: Collection[str] | None = None,
        onsets: bool = False,
        profile: Profile | None = None,
    ) -> Classifier:
        """Load a model by its name, or from its folder.

        Parameters
        ----------
        name_or_path : str or Path
            A name that ``edgeaudio models list`` shows, or the path of a bundle's folder.
        backend : {"onnx", "litert"}, optional
            The runtime, instead of the profile's; without both LiteRT where it is installed, else
            onnxruntime.
        threshold, names, onsets
            As above.
        profile : Profile, optional
            With what the network runs; default `Profile()`.

        Raises
        ------
        UsageError
            As above.
        ModelError
            If there is no such model, something is wrong with it, or it tells no sounds apart.
        BackendError
            If the runtime, or a provider that the profile names, is not installed.
        """
        bundle = load_bundle(find_model(name_or_path))
        _check_kind(bundle.manifest)  # refuse another model before its graph is opened
        _settled(bundle.manifest, threshold, names)
        graph = open_graph(bundle, backend, profile)
        return cls(graph, bundle.manifest, threshold=threshold, names=names, onsets=onsets)

    @property
    def threshold_of(self) -> dict[str, float]:
        """Threshold of each sound that is told of."""
        return self._hysteresis.threshold_of

    @property
    def posteriors(self) -> Frames:
        """``[n_out, n_labels]`` posteriors of the latest step, not smoothed; a view valid until the next."""
        return self._stepper.posteriors

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; see `Task.process`.

        A sound's bounds are where its smoothed posterior rose and fell, less half the smoothing.
        """
        events: list[Event] = []
        for _ in self._stepper.steps(frames):
            self._tell(self._hysteresis.process(self._stepper.posteriors), events)
        return events

    def flush(self) -> list[Event]:
        """End what is going on: the stream is over.

        The quietest frame of the last second is played on for 0.3 s first, as if the room went on; positions
        stay inside what was really heard, and what began behind it is nothing. Afterwards only `reset` makes
        sense.
        """
        heard_end = self._stepper.heard_end
        events: list[Event] = []
        for _ in self._stepper.play_on(_FLUSH_S):
            self._tell(self._hysteresis.process(self._stepper.posteriors), events)
        self._tell(self._hysteresis.flush(), events)
        return [
            msgspec.structs.replace(event, end_sample=min(event.end_sample, heard_end))
            for event in events
            if isinstance(event, (SoundStart, SoundEvent)) and event.start_sample < heard_end
        ]

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""
        self._stepper.reset(at_sample)
        self._hysteresis.reset()

    def _tell(self, edges: Iterable[Edge], events: list[Event]) -> None:
        """Append the sounds that are over, and those that have begun if that was asked for."""
        for edge in edges:
            if not edge.began:
                events.append(self._sound(edge))
            elif self._onsets:
                events.append(
                    SoundStart(
                        model=self.name,
                        name=edge.label,
                        score=edge.score,
                        start_sample=self._start(edge),
                        end_sample=self._stepper.frame_end(edge.frame),
                        latency_s=0.0,
                        sample_rate_hz=self.spec.sample_rate_hz,
                    )
                )

    def _sound(self, edge: Edge) -> SoundEvent:
        start = self._start(edge)
        end = self._stepper.frame_end(edge.frame_end - 1 - self._hysteresis.lag_frames)
        return SoundEvent(
            model=self.name,
            name=edge.label,
            score=edge.score,
            start_sample=start,
            # A short sound at the stream's very start: both ends would be moved before it.
            end_sample=max(end, self._stepper.frame_end(0)),
            snr_db=None,
            level_dbfs=-120.0,
            latency_s=0.0,
            sample_rate_hz=self.spec.sample_rate_hz,
        )

    def _start(self, edge: Edge) -> int:
        return self._stepper.frame_start(edge.start - self._hysteresis.lag_frames)


def _check_kind(manifest: ModelManifest) -> None:
    if manifest.kind != "sounds":
        raise manifest.misused("it tells no sounds apart")


def _settled(
    manifest: ModelManifest, threshold: float | Mapping[str, float] | None, names: Collection[str] | None
) -> Activity:
    """Return how stretches are told, with what was asked for instead of the model's own."""
    activity = manifest.stretches
    if isinstance(threshold, Mapping):
        for label, value in threshold.items():
            check_threshold(value, f"the threshold of {check_sound(label, manifest)!r}")
        activity = msgspec.structs.replace(activity, thresholds={**activity.thresholds, **threshold})
    elif threshold is not None:
        activity = msgspec.structs.replace(activity, threshold=check_threshold(threshold), thresholds={})
    if names is not None:
        wanted = {check_sound(name, manifest) for name in names}
        silent = tuple(label for label in manifest.labels if label not in wanted)
        activity = msgspec.structs.replace(activity, silent_labels=silent)
    return activity


def check_sound(name: str, manifest: ModelManifest) -> str:
    """Return `name` if the model tells of that sound.

    Raises
    ------
    UsageError
        If it does not, with the nearest one of which it does.
    """
    sounds = manifest.spotted
    if name not in sounds:
        near = nearest(name, list(sounds))
        raise UsageError(
            f"model '{manifest.name}' tells of no sound '{name}'",
            hint=f"Did you mean '{near}'?" if near else f"It tells of: {', '.join(sounds)}.",
        )
    return name
