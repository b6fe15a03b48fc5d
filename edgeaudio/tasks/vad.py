"""Speech activity: a streaming network, its posterior, and from when to when somebody spoke."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from edgeaudio.backends import open_graph
from edgeaudio.backends.base import Runtime, StreamingGraph
from edgeaudio.errors import ModelError, UsageError
from edgeaudio.events import Event, SpeechEnd, SpeechStart
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.manifest import Activity, ModelManifest
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.hysteresis import Edge, Hysteresis
from edgeaudio.tasks.stepping import SteppedTask
from edgeaudio.tasks.trigger import check_threshold
from edgeaudio.types import Frames

__all__ = ["DEFAULT_MODEL", "Vad"]

DEFAULT_MODEL = "vad-small"

_FLUSH_S = 0.2
"""What is played after the end of a stream: a network is sure of a sound when it has heard what follows."""
_REMEMBERED_S = 4.0
"""How far back `Vad.probability_between` knows: longer than any word."""
_LONGEST_MS = 60_000.0


class Vad(SteppedTask):
    """Tells when somebody speaks.

    Parameters
    ----------
    graph : StreamingGraph
        The network, for one stream and one thread.
    manifest : ModelManifest
        Its label, frontend and activity.
    threshold : float, optional
        Posterior from which on somebody speaks, instead of the model's own; above 0 and below 1.
    pre_roll_ms : float, optional
        How much earlier than its onset a stretch of speech is told to begin, instead of the model's own.
    least_off_ms : float, optional
        How long nobody must have spoken for a stretch to be over, instead of the model's own; also called
        hangover. A shorter pause is a part of the speech.

    Raises
    ------
    ModelError
        If the model does not tell whether somebody speaks.
    UsageError
        If the threshold is not between 0 and 1, or a time is not between 0 and 60 s.
    """

    lasting = True
    """Speech under way ends where audio is lost."""

    def __init__(
        self,
        graph: StreamingGraph,
        manifest: ModelManifest,
        *,
        threshold: float | None = None,
        pre_roll_ms: float | None = None,
        least_off_ms: float | None = None,
    ) -> None:
        activity = _settled(manifest, threshold, pre_roll_ms, least_off_ms)
        super().__init__(graph, manifest)
        self._hysteresis = Hysteresis(manifest.labels, activity, frame_ms=self._stepper.frame_ms)
        self._column = manifest.labels.index(manifest.spotted[0])
        self._release_ratio = activity.release_ratio
        self._pre_roll = round(activity.pre_roll_ms * self.spec.sample_rate_hz / 1000)
        late = self._hysteresis.least_on_frames + self._hysteresis.lag_frames + self._stepper.n_out
        self.reach_samples = self._pre_roll + late * manifest.stride * self.spec.hop_samples
        """How far back the beginning of speech may lie, at most, when it is told."""
        self._flush_s = _FLUSH_S + (activity.smoothing_ms + activity.least_on_ms) / 1000
        n_out = self._stepper.n_out
        # Whole steps, so that none is cut in two where the ring begins anew.
        n_steps = round(1000 * _REMEMBERED_S / self._stepper.frame_ms) // n_out + 1
        self._remembered = np.zeros(n_steps * n_out, np.float32)
        self.reset()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        backend: Runtime | None = None,
        threshold: float | None = None,
        pre_roll_ms: float | None = None,
        least_off_ms: float | None = None,
        profile: Profile | None = None,
    ) -> Vad:
        """Load a model by its name, or from its folder.

        Parameters
        ----------
        name_or_path : str or Path
            A name that ``edgeaudio models list`` shows, or the path of a bundle's folder.
        backend : {"onnx", "litert"}, optional
            The runtime, instead of the profile's; without both LiteRT where it is installed, else
            onnxruntime.
        threshold, pre_roll_ms, least_off_ms
            As above.
        profile : Profile, optional
            With what the network runs; default `Profile()`.

        Raises
        ------
        UsageError
            As above.
        ModelError
            If there is no such model, something is wrong with it, or it does something else.
        BackendError
            If the runtime, or a provider that the profile names, is not installed.
        """
        bundle = load_bundle(find_model(name_or_path))
        # Refuse another model, and what makes no sense, before the graph is opened.
        _settled(bundle.manifest, threshold, pre_roll_ms, least_off_ms)
        graph = open_graph(bundle, backend, profile)
        return cls(
            graph,
            bundle.manifest,
            threshold=threshold,
            pre_roll_ms=pre_roll_ms,
            least_off_ms=least_off_ms,
        )

    @property
    def threshold(self) -> float:
        """Posterior from which on somebody speaks."""
        return next(iter(self._hysteresis.threshold_of.values()))

    @property
    def release(self) -> float:
        """Posterior down to which somebody still speaks."""
        return self.threshold * self._release_ratio

    @property
    def step_frames(self) -> int:
        """How many frames are decided at a time."""
        return self._manifest.step_frames

    @property
    def posteriors(self) -> Frames:
        """``[n_out]`` posteriors of speech of the latest step, not smoothed; a view valid until the next."""
        posteriors: Frames = self._stepper.posteriors[:, self._column]
        return posteriors

    @property
    def probability(self) -> float:
        """Newest posterior of speech, not smoothed; 0 before the first step."""
        return float(self.posteriors[-1]) if self._stepper.n_decided else 0.0

    @property
    def speaking(self) -> bool:
        """Whether a stretch of speech is under way."""
        return self._start_sample is not None

    @property
    def decided(self) -> int:
        """Absolute sample up to which it is known who spoke."""
        if not self._stepper.n_decided:
            return self._stepper.first_sample
        return self._stepper.frame_end(self._stepper.n_decided - 1)

    def probability_between(self, start_sample: int, end_sample: int) -> float:
        """Return the highest posterior of speech, not smoothed, in what was heard between two samples.

        The last four seconds are known; 0 where nothing is.
        """
        frame_samples = self._manifest.stride * self.spec.hop_samples
        n, first = self._stepper.n_decided, self._stepper.first_sample
        begin = max((start_sample - first) // frame_samples, n - len(self._remembered), 0)
        end = min(-((first - end_sample) // frame_samples), n)
        if begin >= end:
            return 0.0
        return float(self._remembered.take(np.arange(begin, end), mode="wrap").max())

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; see `Task.process`."""
        events: list[Event] = []
        for _ in self._stepper.steps(frames):
            self._remember()
            self._tell(self._hysteresis.process(self._stepper.posteriors), events)
        return events

    def flush(self) -> list[Event]:
        """End the speech that is under way: the stream is over.

        The quietest frame of the last second is played on for a moment first, as if the room went on;
        positions stay inside what was really heard, and what began behind it is nothing. Afterwards only
        `reset` makes sense.
        """
        heard_end = self._stepper.heard_end
        events: list[Event] = []
        for _ in self._stepper.play_on(self._flush_s):
            self._remember()
            self._tell(self._hysteresis.process(self._stepper.posteriors), events)
        self._tell(self._hysteresis.flush(), events)
        return [
            msgspec.structs.replace(event, end_sample=min(event.end_sample, heard_end))
            for event in events
            if isinstance(event, (SpeechStart, SpeechEnd)) and event.start_sample < heard_end
        ]

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""
        self._stepper.reset(at_sample)
        self._hysteresis.reset()
        self._start_sample: int | None = None
        self._not_before = at_sample

    def _remember(self) -> None:
        n_out = self._stepper.n_out
        at = (self._stepper.n_decided - n_out) % len(self._remembered)
        self._remembered[at : at + n_out] = self._stepper.posteriors[:, self._column]

    def _tell(self, edges: Iterable[Edge], events: list[Event]) -> None:
        for edge in edges:
            events.append(self._begin(edge) if edge.began else self._end(edge))

    def _begin(self, edge: Edge) -> SpeechStart:
        onset = self._stepper.frame_start(edge.start - self._hysteresis.lag_frames)
        self._start_sample = max(onset - self._pre_roll, self._not_before)
        return SpeechStart(
            model=self.name,
            score=edge.score,
            start_sample=self._start_sample,
            end_sample=self._stepper.frame_end(edge.frame),
            latency_s=0.0,
            sample_rate_hz=self.spec.sample_rate_hz,
        )

    def _end(self, edge: Edge) -> SpeechEnd:
        start = self._not_before if self._start_sample is None else self._start_sample
        self._start_sample = None
        # A short one at the stream's very start: both ends would be moved before it.
        last = max(0, edge.frame_end - 1 - self._hysteresis.lag_frames)
        self._not_before = max(self._stepper.frame_end(last), start)
        return SpeechEnd(
            model=self.name,
            score=edge.score,
            start_sample=start,
            end_sample=self._not_before,
            latency_s=0.0,
            sample_rate_hz=self.spec.sample_rate_hz,
        )


def _settled(
    manifest: ModelManifest, threshold: float | None, pre_roll_ms: float | None, least_off_ms: float | None
) -> Activity:
    """Return how stretches are told, with what was asked for instead of the model's own."""
    if manifest.kind != "vad":
        raise manifest.misused("it does not tell whether somebody speaks")
    activity = manifest.stretches
    if len(manifest.spotted) != 1:
        told = ", ".join(manifest.spotted) or "nothing"
        raise ModelError(f"model '{manifest.name}' is for speech activity, but tells of {told}")
    if threshold is not None:
        activity = msgspec.structs.replace(activity, threshold=check_threshold(threshold), thresholds={})
    for key, value in (("pre_roll_ms", pre_roll_ms), ("least_off_ms", least_off_ms)):
        if value is None:
            continue
        if not 0.0 <= value <= _LONGEST_MS:
            raise UsageError(f"{key} is {value:g}, not between 0 and {_LONGEST_MS:g} ms")
        activity = msgspec.structs.replace(activity, **{key: value})
    return activity
