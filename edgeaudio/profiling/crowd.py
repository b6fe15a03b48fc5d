"""Many streams heard at once, in step: a frontend and a decision for each, and one model for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends.base import Runtime, Signature
from edgeaudio.backends.many import ManyStreams, Way, open_many
from edgeaudio.events import Event
from edgeaudio.frontend import Frontend
from edgeaudio.models.bundle import Bundle
from edgeaudio.profiles import Profile
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

__all__ = ["Crowd", "Rounds", "round_ms"]

_OFFSET_S = 1.37
"""Each stream hears the recording so much later than the one before: no two say the same at a time."""


class Rounds(NamedTuple):
    """What some rounds took."""

    answered_ms: NDArray[np.float64]
    """``[n, n_streams]``: from the capture of a model step's last sample to the stream's decision."""
    work_ms: NDArray[np.float64]
    """``[n_rounds, 3]``: in all frontends, in the model, in all decisions."""


def round_ms(bundle: Bundle, profile: Profile) -> float:
    """Return how long a round is: the profile's hop, or more to hold whole steps of the model."""
    manifest = bundle.manifest
    step_ms = manifest.step_frames * manifest.frontend.hop_ms
    return float(step_ms * max(1, round(profile.hop_ms / step_ms)))


class Crowd:
    """`n_streams` listeners of a spotter's model, all of whose audio comes at the same moment.

    Parameters
    ----------
    bundle : Bundle
        A spotter's.
    n_streams : int
        How many.
    way, runtime, profile
        How the model is run, see `edgeaudio.backends.many.open_many`.
    samples : array [n] float32
        What they hear, each from another place on, again and again.

    Raises
    ------
    EdgeAudioError
        The model cannot be run in this way.
    """

    def __init__(
        self,
        bundle: Bundle,
        n_streams: int,
        way: Way,
        runtime: Runtime,
        *,
        profile: Profile,
        samples: Samples,
    ) -> None:
        manifest = bundle.manifest
        self.n_streams = n_streams
        self.graph: ManyStreams = open_many(bundle, n_streams, way, runtime, profile)
        self.round_ms = round_ms(bundle, profile)
        self._step_frames = manifest.step_frames
        self._step_s = manifest.step_frames * manifest.frontend.hop_samples / SAMPLE_RATE_HZ
        self._hop = round(self.round_ms * SAMPLE_RATE_HZ / 1000)
        self._n_steps = round(self.round_ms / 1000 / self._step_s)
        self._surplus = manifest.frontend.window_samples - manifest.frontend.hop_samples
        self._frontends = [Frontend(manifest.frontend) for _ in range(n_streams)]
        self._answers = [_Answer(self.graph) for _ in range(n_streams)]
        self._listeners = [Spotter(answer, manifest) for answer in self._answers]
        n_frames = self._hop // manifest.frontend.hop_samples
        self._frames = np.zeros((n_streams, n_frames, manifest.frontend.n_bands), np.float32)
        # Long enough that every block is one piece, wherever it begins.
        self._n_samples = len(samples)
        self._samples = np.concatenate((samples, samples[: self._hop + self._surplus])).astype(np.float32)
        self._at = [self.offset(stream) for stream in range(n_streams)]
        self.events: list[list[Event]] = [[] for _ in range(n_streams)]
        """What each stream heard, its positions counted from its own beginning."""
        self._fresh = True

    def offset(self, stream: int) -> int:
        """Return from which sample on a stream hears the recording."""
        return round(stream * _OFFSET_S * SAMPLE_RATE_HZ) % self._n_samples

    def run(self, n_rounds: int, *, paced: bool, stop: Callable[[NDArray[np.float64]], bool]) -> Rounds:
        """Hear so many rounds.

        Parameters
        ----------
        n_rounds : int
            How many at most.
        paced : bool
            Wait until each round's audio would have been captured.
        stop : callable
            Asked after each round, with what it took to answer the rounds so far ``[n, n_streams]``.
        """
        answered = np.zeros((n_rounds * self._n_steps, self.n_streams))
        work = np.zeros((n_rounds, 3))
        begun_s = time.monotonic()
        n = 0
        while n < n_rounds:
            due_s = begun_s + (n + 1) * self.round_ms / 1000
            if paced:
                time.sleep(max(0.0, due_s - time.monotonic()))
            else:
                due_s = time.monotonic()
            self._hear(due_s, answered[n * self._n_steps : (n + 1) * self._n_steps], work[n])
            n += 1
            if stop(answered[: n * self._n_steps]):
                break
        return Rounds(answered[: n * self._n_steps], work[:n])

    def _hear(self, due_s: float, answered_ms: NDArray[np.float64], work_ms: NDArray[np.float64]) -> None:
        """Hear one round, whose last sample was captured at `due_s`."""
        n_samples = self._hop + self._surplus * self._fresh
        self._fresh = False
        begun_s = time.monotonic()
        for stream, frontend in enumerate(self._frontends):
            at = self._at[stream]
            self._frames[stream] = frontend.process(self._samples[at : at + n_samples])
            self._at[stream] = (at + n_samples) % self._n_samples
        now_s = time.monotonic()
        work_ms[0] = 1000 * (now_s - begun_s)
        for k in range(self._n_steps):
            begun_s = now_s
            captured_s = due_s - (self._n_steps - 1 - k) * self._step_s
            frames = self._frames[:, k * self._step_frames : (k + 1) * self._step_frames]
            logits = self.graph.step(frames)
            now_s = time.monotonic()
            work_ms[1] += 1000 * (now_s - begun_s)
            begun_s = now_s
            for stream, listener in enumerate(self._listeners):
                self._answers[stream].logits = logits[stream]
                self.events[stream] += listener.process(frames[stream])
                now_s = time.monotonic()
                answered_ms[k, stream] = 1000 * (now_s - captured_s)
            work_ms[2] += 1000 * (now_s - begun_s)


class _Answer:
    """Stands for a stream's own network: the answer is known already."""

    embedding: Frames | None = None

    def __init__(self, graph: ManyStreams) -> None:
        self.runtime, self.provider = graph.runtime, graph.provider
        self.precision, self.threads = graph.precision, graph.threads
        self.signature: Signature = graph.signature
        self.logits: Frames = np.zeros((self.signature.n_out, self.signature.n_labels), np.float32)

    def step(self, frames: Frames) -> Frames:
        """Return what the crowd's step answered to these frames."""
        return self.logits

    def reset(self) -> None:
        """Nothing is remembered here."""
