"""The keyword spotter: a streaming network, its posteriors, and the decision."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from edgeaudio.backends import open_graph
from edgeaudio.backends.base import Runtime, StreamingGraph
from edgeaudio.compiled import cached_njit
from edgeaudio.events import Detection, Event, NearMiss
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.trigger import Firing, Trigger, check_threshold
from edgeaudio.types import Frames

__all__ = ["Listener", "Spotter"]

_LONGEST_WORD_S = 1.2
_FLUSH_S = 0.3
"""What is played after the end of a stream, besides the smoothing: a network is sure of a word when it
has heard what follows it."""
_RECENT_S = 1.0


@cached_njit(nogil=True)
def _activate(logits: Frames, softmax: bool, posteriors: Frames) -> None:
    """Write the posteriors of ``[n, n_labels]`` logits."""
    for row in range(logits.shape[0]):
        if not softmax:
            for label in range(logits.shape[1]):
                posteriors[row, label] = 1.0 / (1.0 + math.exp(-logits[row, label]))
            continue
        # Minus the largest, so that no exponential overflows.
        largest = logits[row].max()
        total = 0.0
        for label in range(logits.shape[1]):
            value = math.exp(logits[row, label] - largest)
            posteriors[row, label] = value
            total += value
        for label in range(logits.shape[1]):
            posteriors[row, label] /= total


class Listener(Protocol):
    """Hears what a spotter hears, and has a say in whether a word counts."""

    def hear(self, frames: Frames) -> None:
        """Take ``[n, n_bands]`` frames in, before the decision about them."""

    def accepts(self, label: str) -> bool:
        """Say whether `label`, which was just spotted, counts."""

    def reset(self) -> None:
        """Forget everything heard."""


class Spotter:
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
        self._graph = graph
        self._manifest = manifest
        spec = manifest.frontend
        self._hop = spec.hop_samples
        self._window = spec.window_samples
        self._step_frames = manifest.step_frames
        self._softmax = manifest.activation == "softmax"
        signature = graph.signature
        frame_s = self._hop / spec.sample_rate_hz
        self._longest_word = round(
            spec.sample_rate_hz * min(_LONGEST_WORD_S, manifest.receptive_field_frames * frame_s)
        )
        flush_s = _FLUSH_S + decision.smoothing_ms / 1000
        self._flush_steps = math.ceil(flush_s / (frame_s * self._step_frames))
        recent_steps = math.ceil(_RECENT_S / (frame_s * self._step_frames))

        self._trigger = self._make_trigger(threshold, near_ratio)
        self._posteriors = np.zeros((signature.n_out, signature.n_labels), np.float32)
        self._held = np.zeros((self._step_frames, signature.n_bands), np.float32)
        self._recent = np.zeros((recent_steps, self._step_frames, signature.n_bands), np.float32)
        self._verifier: Listener | None = None
        self._first_sample = 0
        self._n_held = 0
        self._n_steps = 0
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
    def name(self) -> str:
        """The model's name."""
        return self._manifest.name

    @property
    def spec(self) -> FrontendSpec:
        """The frontend that the model was trained with."""
        return self._manifest.frontend

    @property
    def manifest(self) -> ModelManifest:
        """All facts of the model."""
        return self._manifest

    @property
    def runtime(self) -> str:
        """The runtime really used."""
        return self._graph.runtime

    @property
    def graph(self) -> StreamingGraph:
        """The network, for whoever measures its steps."""
        return self._graph

    @property
    def threshold_of(self) -> dict[str, float]:
        """Threshold of each word that can be detected."""
        return self._trigger.threshold_of

    def decide_at(self, threshold: float | None, *, near_ratio: float | None = None) -> None:
        """Forget what was heard, and decide anew from now on; the parameters are as above."""
        self._trigger = self._make_trigger(threshold, near_ratio)
        self.reset(self._first_sample)

    @property
    def posteriors(self) -> Frames:
        """``[n_out, n_labels]`` posteriors of the latest step, not smoothed; a view valid until the next."""
        return self._posteriors

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; see `Task.process`.

        The network advances by whole steps; what is left waits for the next call. Calls with
        exactly one step, which the engine arranges, are not copied.
        """
        events: list[Event] = []
        step = self._step_frames
        at = 0
        if self._n_held:
            at = min(step - self._n_held, len(frames))
            self._hold(frames[:at])
            if self._n_held < step:
                return events
            self._n_held = 0
            self._step(self._held, events)
        while len(frames) - at >= step:
            self._step(frames[at : at + step], events)
            at += step
        if at < len(frames):
            self._hold(frames[at:])
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
        if self._n_steps or self._n_held:
            pad = np.broadcast_to(self._background(), self._held.shape)
            heard_end = self._frame_end(self._n_steps * self._step_frames + self._n_held)
            if self._n_held:
                self._held[self._n_held :] = pad[self._n_held :]
                self._n_held = 0
                self._step(self._held, events)
            for _ in range(self._flush_steps):
                self._step(pad, events)
            self._trigger.flush()
            self._add_near_misses(events)
            events = [_ending_by(event, heard_end) for event in events]
        return events

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""
        self._graph.reset()
        self._trigger.reset()
        if self._verifier is not None:
            self._verifier.reset()
        self._first_sample = at_sample
        self._n_held = 0
        self._n_steps = 0

    def _hold(self, frames: Frames) -> None:
        self._held[self._n_held : self._n_held + len(frames)] = frames
        self._n_held += len(frames)

    def _step(self, frames: Frames, events: list[Event]) -> None:
        self._recent[self._n_steps % len(self._recent)] = frames
        self._n_steps += 1
        _activate(self._graph.step(frames), self._softmax, self._posteriors)
        verifier = self._verifier
        if verifier is not None:
            verifier.hear(frames)
        for firing in self._trigger.process(self._posteriors):
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
        frame_ms = 1000 * self._hop / self.spec.sample_rate_hz * self._manifest.stride
        return Trigger(self._manifest.labels, decision, frame_ms=frame_ms, near_ratio=near_ratio)

    def _detection(self, firing: Firing) -> Detection:
        # Output frame i has heard the input frames up to (i + 1) * stride, not included.
        end = self._frame_end((firing.frame + 1) * self._manifest.stride)
        return Detection(
            model=self.name,
            name=firing.label,
            score=firing.score,
            start_sample=max(self._first_sample, end - self._longest_word),
            end_sample=end,
            snr_db=None,
            level_dbfs=-120.0,
            latency_s=0.0,
            sample_rate_hz=self.spec.sample_rate_hz,
        )

    def _frame_end(self, n_frames: int) -> int:
        """Absolute index after the last sample of the first `n_frames` frames."""
        return self._first_sample + (n_frames - 1) * self._hop + self._window

    def _background(self) -> Frames:
        """Return the quietest frame of the last second, ``[n_bands]``."""
        frames = self._recent[: self._n_steps].reshape(-1, self._held.shape[1])
        frames = np.concatenate((frames, self._held[: self._n_held]))
        if self.spec.features == "waveform":
            return np.zeros_like(frames[0])
        loudness = frames[:, 0] if self.spec.features == "mfcc" else frames.mean(axis=1)
        quietest: Frames = frames[int(loudness.argmin())]
        return quietest


def _ending_by(event: Event, end_sample: int) -> Event:
    if isinstance(event, (Detection, NearMiss)) and event.end_sample > end_sample:
        start_sample = min(event.start_sample, end_sample)
        return msgspec.structs.replace(event, start_sample=start_sample, end_sample=end_sample)
    return event
