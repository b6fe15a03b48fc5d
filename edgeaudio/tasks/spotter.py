"""The keyword spotter: a streaming network, its posteriors, and the decision."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from edgeaudio.backends import open_graph
from edgeaudio.backends.base import Runtime, StreamingGraph
from edgeaudio.events import Detection, Event, NearMiss
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.stepping import SteppedTask
from edgeaudio.tasks.trigger import Firing, Trigger, check_threshold
from edgeaudio.types import Frames

__all__ = ["Listener", "Spotter"]

_LONGEST_WORD_S = 1.2
_FLUSH_S = 0.3
"""What is played after the end of a stream, besides the smoothing: a network is sure of a word when it
has heard what follows it."""


class Listener(Protocol):
    """Hears what a spotter hears, and has a say in whether a word counts."""

    def hear(self, frames: Frames) -> None:
        """Take ``[n, n_bands]`` frames in, before the decision about them."""

    def accepts(self, label: str) -> bool:
        """Say whether `label`, which was just spotted, counts."""

    def reset(self) -> None:
        """Forget everything heard."""


class Spotter(SteppedTask):
    """Spots the words of one model in a stream of frames.

    Parameters
    ----------
    graph : StreamingGraph
        The network, for one stream and one thread.
    manifest : ModelManifest
        Its labels, frontend and decision.
    threshold : float, optional
        Instead of the model's own, for all its words; above 0 and below 1.
    near_ratio : float, optional
        Also report a `NearMiss` for peaks from this part of the threshold on; none by default.

    Raises
    ------
    UsageError
        If the threshold or `near_ratio` is not between 0 and 1.
    """

    def __init__(
        self,
        graph: StreamingGraph,
        manifest: ModelManifest,
        *,
        threshold: float | None = None,
        near_ratio: float | None = None,
    ) -> None:
        decision = manifest.spotting
        super().__init__(graph, manifest)
        spec = manifest.frontend
        frame_s = spec.hop_samples / spec.sample_rate_hz
        self._longest_word = round(
            spec.sample_rate_hz * min(_LONGEST_WORD_S, manifest.receptive_field_frames * frame_s)
        )
        self._flush_s = _FLUSH_S + decision.smoothing_ms / 1000
        self._trigger = self._make_trigger(threshold, near_ratio)
        self._verifier: Listener | None = None
        self.reset()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        backend: Runtime | None = None,
        threshold: float | None = None,
        near_ratio: float | None = None,
        profile: Profile | None = None,
    ) -> Spotter:
        """Load a model by its name, or from its folder.

        Parameters
        ----------
        name_or_path : str or Path
            A name that ``edgeaudio models list`` shows, or the path of a bundle's folder.
        backend : {"onnx", "litert"}, optional
            The runtime, instead of the profile's; without both LiteRT where it is installed, else
            onnxruntime.
        threshold : float, optional
            Instead of the model's own.
        near_ratio : float, optional
            Also report near misses, from this part of the threshold on.
        profile : Profile, optional
            With what the network runs; default `Profile()`.

        Raises
        ------
        UsageError
            If the threshold or `near_ratio` is not between 0 and 1.
        ModelError
            If there is no such model, something is wrong with it, or it is a recogniser.
        BackendError
            If the runtime, or a provider that the profile names, is not installed.
        """
        if threshold is not None:
            check_threshold(threshold)  # before anything is loaded
        bundle = load_bundle(find_model(name_or_path))
        _ = bundle.manifest.spotting  # refuse a recogniser before its graph is opened
        graph = open_graph(bundle, backend, profile)
        return cls(graph, bundle.manifest, threshold=threshold, near_ratio=near_ratio)

    @property
    def threshold_of(self) -> dict[str, float]:
        """Threshold of each word that can be detected."""
        return self._trigger.threshold_of

    def decide_at(self, threshold: float | None, *, near_ratio: float | None = None) -> None:
        """Forget what was heard, and decide anew from now on; the parameters are as above."""
        self._trigger = self._make_trigger(threshold, near_ratio)
        self.reset(self._stepper.first_sample)

    @property
    def posteriors(self) -> Frames:
        """``[n_out, n_labels]`` posteriors of the latest step, not smoothed; a view valid until the next."""
        return self._stepper.posteriors

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; see `Task.process`.

        The network advances by whole steps; what is left waits for the next call. Calls with
        exactly one step, which the engine arranges, are not copied.
        """
        events: list[Event] = []
        for heard in self._stepper.steps(frames):
            self._decide(heard, events)
        return events

    def listen_for(self, verifier: Listener) -> None:
        """Report only words that `verifier` accepts; it hears all frames from now on."""
        self._verifier = verifier

    def flush(self) -> list[Event]:
        """Decide about the end of the stream.

        A word that ends with the stream is certain only after what follows it. So the quietest frame of
        the last second is played on for 0.3 s and the smoothing time, as if the room went on;
        positions stay inside what was really heard. Afterwards only `reset` makes sense.
        """
        events: list[Event] = []
        heard_end = self._stepper.heard_end
        for heard in self._stepper.play_on(self._flush_s):
            self._decide(heard, events)
        self._trigger.flush()
        self._add_near_misses(events)
        return [_ending_by(event, heard_end) for event in events]

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""
        self._stepper.reset(at_sample)
        self._trigger.reset()
        if self._verifier is not None:
            self._verifier.reset()

    def _decide(self, heard: Frames, events: list[Event]) -> None:
        """Append what the step tells that has just heard these frames."""
        verifier = self._verifier
        if verifier is not None:
            verifier.hear(heard)
        for firing in self._trigger.process(self._stepper.posteriors):
            if verifier is None or verifier.accepts(firing.label):
                events.append(self._detection(firing))
        self._add_near_misses(events)

    def _add_near_misses(self, events: list[Event]) -> None:
        for peak in self._trigger.near_misses:
            heard = self._detection(peak)
            near_miss = NearMiss(
                model=heard.model,
                name=heard.name,
                score=heard.score,
                threshold=self._trigger.threshold_of[heard.name],
                start_sample=heard.start_sample,
                end_sample=heard.end_sample,
                snr_db=None,
                level_dbfs=-120.0,
                sample_rate_hz=heard.sample_rate_hz,
            )
            events.append(near_miss)

    def _make_trigger(self, threshold: float | None, near_ratio: float | None) -> Trigger:
        decision = self._manifest.spotting
        if threshold is not None:
            check_threshold(threshold)
            decision = msgspec.structs.replace(decision, threshold=threshold, thresholds={})
        return Trigger(
            self._manifest.labels, decision, frame_ms=self._stepper.frame_ms, near_ratio=near_ratio
        )

    def _detection(self, firing: Firing) -> Detection:
        end = self._stepper.frame_end(firing.frame)
        return Detection(
            model=self.name,
            name=firing.label,
            score=firing.score,
            start_sample=max(self._stepper.first_sample, end - self._longest_word),
            end_sample=end,
            snr_db=None,
            level_dbfs=-120.0,
            latency_s=0.0,
            sample_rate_hz=self.spec.sample_rate_hz,
        )


def _ending_by(event: Event, end_sample: int) -> Event:
    if isinstance(event, (Detection, NearMiss)) and event.end_sample > end_sample:
        start_sample = min(event.start_sample, end_sample)
        return msgspec.structs.replace(event, start_sample=start_sample, end_sample=end_sample)
    return event
