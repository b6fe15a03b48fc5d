"""An acoustic model that looks ahead: each run of its network sees more than it decides about."""

from __future__ import annotations

import numpy as np

from edgeaudio.backends.base import StreamingGraph
from edgeaudio.decoding.base import LogProbs
from edgeaudio.dsp.normalise import running_norm
from edgeaudio.errors import ModelError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.tasks.acoustic import log_softmax
from edgeaudio.types import Frames

__all__ = ["PAST_S", "WindowedAcoustic"]

PAST_S = 6.0
"""How much of what was decided before the running normalisation still knows."""


class WindowedAcoustic:
    """An acoustic model whose network decides about a chunk when it has heard what follows it.

    A run gets, from left to right, `left_ms` of frames that were decided before (none where the graph
    has states to remember them), the chunk, and the look-ahead. For every way of cutting the stream the
    runs are the same.

    Parameters
    ----------
    graph : StreamingGraph
        The network, for one stream and one thread; a step takes a whole window.
    manifest : ModelManifest
        Its tokens, frontend, window and normalisation.

    Raises
    ------
    ModelError
        If the model makes no captions, or not in windows.
    """

    def __init__(self, graph: StreamingGraph, manifest: ModelManifest) -> None:
        captions = manifest.recognition
        if captions.window is None:
            raise ModelError(f"model '{manifest.name}' is not run in windows: model.yaml has no such section")
        signature = graph.signature
        self.spec: FrontendSpec = manifest.frontend
        self.tokens = manifest.labels
        self.blank = manifest.labels.index(captions.blank)
        self.frame_samples = self.spec.hop_samples * manifest.stride
        self.chunk_frames = signature.n_out
        self._chunk = manifest.step_frames
        self._left = round(captions.window.left_ms / self.spec.hop_ms)
        self._ahead = round(captions.window.lookahead_ms / self.spec.hop_ms)
        self.lookahead_samples = self._ahead * self.spec.hop_samples
        self.delay_samples = round(captions.delay_ms * self.spec.sample_rate_hz / 1000)
        self._graph = graph
        self._normalise = captions.normalise == "running"
        # Past, chunk and look-ahead, from left to right; the past is as long as any use of it asks for.
        self._past = max(self._left, round(1000 * PAST_S / self.spec.hop_ms))
        self._frames = np.zeros((self._past + self._chunk + self._ahead, signature.n_bands), np.float32)
        self._window = np.zeros((self._left + self._chunk + self._ahead, signature.n_bands), np.float32)
        self._log_probs = np.zeros((signature.n_out, signature.n_labels), np.float32)
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
        """Hear ``[n, n_bands]`` frames; see `AcousticModel.process`."""
        self._make_room((self._n_ahead + len(frames)) // self._chunk)
        at = n_out = 0
        while at < len(frames):
            room = self._chunk + self._ahead - self._n_ahead
            taken = frames[at : at + room]
            begin = self._past + self._n_ahead
            self._frames[begin : begin + len(taken)] = taken
            self._n_ahead += len(taken)
            at += len(taken)
            if len(taken) == room:
                n_out = self._run(n_out)
        return self._log_probs[:n_out]

    def flush(self) -> LogProbs:
        """Return what is still undecided; afterwards only `reset` makes sense.

        Behind the end the network gets what it was trained to find there: nothing.
        """
        n_runs = -(-self._n_ahead // self._chunk)
        self._make_room(n_runs)
        n_out = 0
        for _ in range(n_runs):
            n_out = self._run(n_out)
        return self._log_probs[:n_out]

    def reset(self) -> None:
        """Forget everything heard, in place."""
        self._graph.reset()
        self._n_past = 0
        """Frames decided about that are still at hand."""
        self._n_ahead = 0
        """Frames not decided about yet."""

    def _run(self, n_out: int) -> int:
        """Decide about the next chunk, writing from row `n_out` on; returns the row behind the last."""
        begin, end = self._past - self._n_past, self._past + self._n_ahead
        known = self._frames[begin:end]
        left = min(self._left, self._n_past)
        seen = known[self._n_past - left :]
        at = self._left - left
        # Zero is what convolutions find beyond either end of a recording.
        self._window.fill(0.0)
        self._window[at : at + len(seen)] = seen
        if self._normalise:
            mean, deviation = running_norm(known)
            self._window[at : at + len(seen)] -= mean
            self._window[at : at + len(seen)] /= deviation
        log_softmax(self._graph.step(self._window), self._log_probs[n_out : n_out + self.chunk_frames])
        self._frames[: -self._chunk] = self._frames[self._chunk :]
        self._n_past = min(self._n_past + self._chunk, self._past)
        self._n_ahead = max(0, self._n_ahead - self._chunk)
        return n_out + self.chunk_frames

    def _make_room(self, n_runs: int) -> None:
        if n_runs * self.chunk_frames > len(self._log_probs):
            self._log_probs = np.zeros((n_runs * self.chunk_frames, len(self.tokens)), np.float32)
