"""Frames to log-probabilities: the first half of a recogniser, before any word is looked for."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from edgeaudio.backends.base import StreamingGraph
from edgeaudio.compiled import cached_njit
from edgeaudio.decoding.base import LogProbs
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.types import Frames

__all__ = ["AcousticModel", "StreamingAcoustic", "log_softmax"]

_FLUSH_S = 0.4
"""What is played after the end of a stream, besides the network's delay: a network is sure of a sound
when it has heard what follows it."""
_RECENT_S = 1.0


class AcousticModel(Protocol):
    """Hears the frames of one stream and says how probable each token is at each moment.

    Output frames come in chunks of a fixed size, the same however the input is cut. One instance
    serves one stream and one thread.
    """

    @property
    def spec(self) -> FrontendSpec:
        """Which frames it wants."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """What the columns stand for."""

    @property
    def blank(self) -> int:
        """Which column is CTC's blank."""

    @property
    def frame_samples(self) -> int:
        """Samples from one output frame to the next."""

    @property
    def chunk_frames(self) -> int:
        """How many output frames are decided at a time."""

    @property
    def lookahead_samples(self) -> int:
        """How many samples behind its end a chunk of output frames had to wait for."""

    @property
    def delay_samples(self) -> int:
        """How long after a sound its tokens appear, on average, counted along the output frames."""

    @property
    def graph(self) -> StreamingGraph:
        """The network, for whoever measures its steps."""

    def process(self, frames: Frames) -> LogProbs:
        """Hear ``[n, n_bands]`` frames, n of any size.

        Returns
        -------
        array [n_chunks * chunk_frames, n_tokens] float32
            Natural logarithms; a view valid until the next call.
        """

    def flush(self) -> LogProbs:
        """Return what is still undecided, as if the room went on: the stream has ended."""

    def reset(self) -> None:
        """Forget everything heard, in place."""


class StreamingAcoustic:
    """An acoustic model whose network is streaming: whole steps go in, log-probabilities come out.

    Parameters
    ----------
    graph : StreamingGraph
        The network, for one stream and one thread.
    manifest : ModelManifest
        Its tokens, frontend and delay.

    Raises
    ------
    ModelError
        If the model makes no captions.
    """

    def __init__(self, graph: StreamingGraph, manifest: ModelManifest) -> None:
        captions = manifest.recognition
        signature = graph.signature
        self.spec: FrontendSpec = manifest.frontend
        self.tokens = manifest.labels
        self.blank = manifest.labels.index(captions.blank)
        self.frame_samples = self.spec.hop_samples * manifest.stride
        self.chunk_frames = signature.n_out
        self.lookahead_samples = 0
        self.delay_samples = round(captions.delay_ms * self.spec.sample_rate_hz / 1000)
        self._graph = graph
        self._step_frames = signature.step_frames
        step_s = self._step_frames * self.spec.hop_samples / self.spec.sample_rate_hz
        self._flush_steps = math.ceil((_FLUSH_S + max(0.0, captions.delay_ms / 1000)) / step_s)
        self._held = np.zeros((self._step_frames, signature.n_bands), np.float32)
        self._recent = np.zeros((math.ceil(_RECENT_S / step_s), *self._held.shape), np.float32)
        self._log_probs = np.zeros((signature.n_out, signature.n_labels), np.float32)
        self._n_held = 0
        self._n_steps = 0
        self.reset()

    @property
    def graph(self) -> StreamingGraph:
        """The network, for whoever measures its steps."""
        return self._graph

    @property
    def runtime(self) -> str:
        """The runtime really used."""
        return self._graph.runtime

    def process(self, frames: Frames) -> LogProbs:
        """Hear ``[n, n_bands]`` frames; see `AcousticModel.process`.

        Calls with exactly one step, which the engine arranges, are not copied.
        """
        step = self._step_frames
        self._make_room((self._n_held + len(frames)) // step)
        n_out = at = 0
        if self._n_held:
            at = min(step - self._n_held, len(frames))
            self._hold(frames[:at])
            if self._n_held < step:
                return self._log_probs[:0]
            self._n_held = 0
            n_out = self._step(self._held, n_out)
        while len(frames) - at >= step:
            n_out = self._step(frames[at : at + step], n_out)
            at += step
        if at < len(frames):
            self._hold(frames[at:])
        return self._log_probs[:n_out]

    def flush(self) -> LogProbs:
        """Return what is still undecided; afterwards only `reset` makes sense.

        The network answers with a delay, so the quietest frame of the last second is played on for this
        delay and 0.4 s more, as if the room went on.
        """
        if not self._n_steps and not self._n_held:
            return self._log_probs[:0]
        pad = np.broadcast_to(self._background(), self._held.shape)
        self._make_room(1 + self._flush_steps)
        n_out = 0
        if self._n_held:
            self._held[self._n_held :] = pad[self._n_held :]
            self._n_held = 0
            n_out = self._step(self._held, n_out)
        for _ in range(self._flush_steps):
            n_out = self._step(pad, n_out)
        return self._log_probs[:n_out]

    def reset(self) -> None:
        """Forget everything heard, in place."""
        self._graph.reset()
        self._n_held = 0
        self._n_steps = 0

    def _hold(self, frames: Frames) -> None:
        self._held[self._n_held : self._n_held + len(frames)] = frames
        self._n_held += len(frames)

    def _step(self, frames: Frames, n_out: int) -> int:
        """Advance by one step, writing from row `n_out` on; returns the row behind the last."""
        self._recent[self._n_steps % len(self._recent)] = frames
        self._n_steps += 1
        log_softmax(self._graph.step(frames), self._log_probs[n_out : n_out + self.chunk_frames])
        return n_out + self.chunk_frames

    def _make_room(self, n_steps: int) -> None:
        if n_steps * self.chunk_frames > len(self._log_probs):
            self._log_probs = np.zeros((n_steps * self.chunk_frames, len(self.tokens)), np.float32)

    def _background(self) -> Frames:
        """Return the quietest frame of the last second, ``[n_bands]``."""
        frames = self._recent[: self._n_steps].reshape(-1, self._held.shape[1])
        frames = np.concatenate((frames, self._held[: self._n_held]))
        if self.spec.features == "waveform":
            return np.zeros_like(frames[0])
        quietest: Frames = frames[int(frames.mean(axis=1).argmin())]
        return quietest


@cached_njit(nogil=True)
def log_softmax(logits: Frames, log_probs: Frames) -> None:
    """Write the logarithms of the softmax of ``[n, n_tokens]`` logits."""
    for row in range(logits.shape[0]):
        # Minus the largest, so that no exponential overflows.
        largest = logits[row].max()
        total = 0.0
        for token in range(logits.shape[1]):
            total += math.exp(logits[row, token] - largest)
        rest = largest + math.log(total)
        for token in range(logits.shape[1]):
            log_probs[row, token] = logits[row, token] - rest
