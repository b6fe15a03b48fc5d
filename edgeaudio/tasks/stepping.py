"""A streaming network in steps: frames of any number go in, posteriors of whole steps come out.

What spotters, classifiers of sounds and the detector of speech have in common; what they make of the
posteriors is their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from edgeaudio.backends.base import StreamingGraph
from edgeaudio.compiled import cached_njit
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.types import Frames

__all__ = ["SteppedTask", "Stepper"]

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


class Stepper:
    """Cuts the frames of one stream into a network's steps, and runs it.

    A task loops over `steps` in its ``process``, and over `play_on` in its ``flush``; in the loop's body
    `posteriors` are those of this step, output frames ``n_decided - n_out`` to ``n_decided``. Every loop must
    run to its end: the frames behind it are heard only then.

    Parameters
    ----------
    graph : StreamingGraph
        The network, for one stream and one thread.
    manifest : ModelManifest
        Its frontend, steps and activation.

    Examples
    --------
    A task is little more than this::

        def process(self, frames):
            events = []
            for _ in self._stepper.steps(frames):
                for edge in self._hysteresis.process(self._stepper.posteriors):
                    events.append(self._told(edge))
            return events
    """

    def __init__(self, graph: StreamingGraph, manifest: ModelManifest) -> None:
        signature = graph.signature
        self.graph = graph
        self.spec: FrontendSpec = manifest.frontend
        self.n_out = signature.n_out
        """Output frames a step."""
        self._softmax = manifest.activation == "softmax"
        self._stride = manifest.stride
        self._step_frames = manifest.step_frames
        self._step_s = self._step_frames * self.spec.hop_samples / self.spec.sample_rate_hz
        recent_steps = math.ceil(_RECENT_S / self._step_s)
        self._posteriors = np.zeros((signature.n_out, signature.n_labels), np.float32)
        self._held = np.zeros((self._step_frames, signature.n_bands), np.float32)
        self._recent = np.zeros((recent_steps, *self._held.shape), np.float32)
        self.first_sample = 0
        """Where the stream begins."""
        self._n_held = 0
        self._n_steps = 0
        self.reset()

    @property
    def frame_ms(self) -> float:
        """Time from one output frame to the next."""
        return 1000 * self._stride * self.spec.hop_samples / self.spec.sample_rate_hz

    @property
    def posteriors(self) -> Frames:
        """``[n_out, n_labels]`` posteriors of the latest step; a view valid until the next."""
        return self._posteriors

    @property
    def n_decided(self) -> int:
        """Output frames since the reset."""
        return self._n_steps * self.n_out

    @property
    def heard_end(self) -> int:
        """Absolute index after the last sample of the frames heard so far, or where the first will begin."""
        n_frames = self._n_steps * self._step_frames + self._n_held
        return self._frame_end(n_frames) if n_frames else self.first_sample

    def frame_start(self, frame: int) -> int:
        """Absolute index of the first sample that is new in output frame `frame`, never before the stream.

        Frames overlap: the one before it has heard the beginning of this one's window.
        """
        return self.first_sample + max(0, frame) * self._stride * self.spec.hop_samples

    def frame_end(self, frame: int) -> int:
        """Absolute index after the last sample that output frame `frame` heard."""
        # It has heard the input frames up to (frame + 1) * stride, not included.
        return self._frame_end((frame + 1) * self._stride)

    def steps(self, frames: Frames) -> Iterator[Frames]:
        """Hear ``[n, n_bands]`` frames, n of any size; yield the frames of each step that was run.

        What is left waits for the next call. Calls with exactly one step, which the engine arranges, are
        not copied.
        """
        step = self._step_frames
        at = 0
        if self._n_held:
            at = min(step - self._n_held, len(frames))
            self._hold(frames[:at])
            if self._n_held < step:
                return
            self._n_held = 0
            yield self._run(self._held)
        while len(frames) - at >= step:
            yield self._run(frames[at : at + step])
            at += step
        if at < len(frames):
            self._hold(frames[at:])

    def play_on(self, seconds: float) -> Iterator[Frames]:
        """Run what is left of the stream, and `seconds` of its quietest recent frame, as if the room went on.

        A network is sure of a sound only after what follows it. Nothing is played where nothing was heard;
        afterwards only `reset` makes sense. `heard_end` grows, so ask for it before.
        """
        if not self._n_steps and not self._n_held:
            return
        pad = np.broadcast_to(self._background(), self._held.shape)
        if self._n_held:
            self._held[self._n_held :] = pad[self._n_held :]
            self._n_held = 0
            yield self._run(self._held)
        for _ in range(math.ceil(seconds / self._step_s)):
            yield self._run(pad)

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard, in place; the next frame begins at the absolute sample `at_sample`."""
        self.graph.reset()
        self.first_sample = at_sample
        self._n_held = 0
        self._n_steps = 0

    def _hold(self, frames: Frames) -> None:
        self._held[self._n_held : self._n_held + len(frames)] = frames
        self._n_held += len(frames)

    def _run(self, frames: Frames) -> Frames:
        self._recent[self._n_steps % len(self._recent)] = frames
        self._n_steps += 1
        _activate(self.graph.step(frames), self._softmax, self._posteriors)
        return frames

    def _frame_end(self, n_frames: int) -> int:
        """Absolute index after the last sample of the first `n_frames` frames."""
        return self.first_sample + (n_frames - 1) * self.spec.hop_samples + self.spec.window_samples

    def _background(self) -> Frames:
        """Return the quietest frame of the last second, ``[n_bands]``."""
        frames = self._recent[: self._n_steps].reshape(-1, self._held.shape[1])
        frames = np.concatenate((frames, self._held[: self._n_held]))
        if self.spec.features == "waveform":
            return np.zeros_like(frames[0])
        loudness = frames[:, 0] if self.spec.features == "mfcc" else frames.mean(axis=1)
        quietest: Frames = frames[int(loudness.argmin())]
        return quietest


class SteppedTask:
    """What all tasks have in common that run one network in steps.

    Parameters
    ----------
    graph : StreamingGraph
        The network, for one stream and one thread.
    manifest : ModelManifest
        Its facts.
    """

    def __init__(self, graph: StreamingGraph, manifest: ModelManifest) -> None:
        self._manifest = manifest
        self._stepper = Stepper(graph, manifest)

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
        return self._stepper.graph.runtime

    @property
    def graph(self) -> StreamingGraph:
        """The network, for whoever measures its steps."""
        return self._stepper.graph
