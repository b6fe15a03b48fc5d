"""Who speaks in a stream: every stretch of speech is compared with the voices that were enrolled."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends.base import Runtime
from edgeaudio.errors import ModelError
from edgeaudio.events import Event, SpeakerTurn, SpeechEnd, SpeechStart
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.speaker import DEFAULT_MODEL, Speaker, Vector, enrolled_voices
from edgeaudio.tasks.stepping import SteppedTask
from edgeaudio.tasks.vad import DEFAULT_MODEL as DEFAULT_VAD
from edgeaudio.tasks.vad import Vad
from edgeaudio.types import Frames

__all__ = ["SpeakerTask"]

_LONGEST_S = 6.0
"""Longer speech is told in parts: somebody else may go on without a pause."""
_MARGIN_S = 1.0
"""What a detector of speech may be late by, beside its own least pause."""


class SpeakerTask(SteppedTask):
    """Tells who spoke, at the end of each stretch of speech.

    Parameters
    ----------
    speaker : Speaker
        The model; its graph is this task's from now on.
    vad : Vad
        Finds the stretches; it must hear the same frames.
    voices : mapping
        Name → vector, see `edgeaudio.tasks.speaker.mean_voice`. May be empty: then nobody is known.
    false_accepts : float
        The part of other people's turns in which one of the voices may be named by mistake.

    Raises
    ------
    ModelError
        If the two models hear different frames.
    UsageError
        If the model does not know the score for so many false accepts.
    """

    lasting = True
    """Speech under way ends where audio is lost."""

    def __init__(
        self, speaker: Speaker, vad: Vad, voices: Mapping[str, Vector], *, false_accepts: float = 0.01
    ) -> None:
        manifest = speaker.manifest
        if vad.spec != manifest.frontend:
            raise ModelError(
                f"'{manifest.name}' and '{vad.name}' hear different frames", hint="Choose another --vad."
            )
        super().__init__(speaker.graph, manifest)
        self._speaker = speaker
        self._vad = vad
        self._names = tuple(voices)
        self._voices = np.array([*voices.values()], np.float64)
        self.threshold = speaker.threshold(false_accepts, max(1, len(voices)))
        rate_hz = self.spec.sample_rate_hz
        self._frame_samples = manifest.stride * self.spec.hop_samples
        self._longest = round(_LONGEST_S * rate_hz)
        self._late = round((_MARGIN_S + vad.manifest.stretches.least_off_ms / 1000) * rate_hz)
        n_steps = math.ceil((self._longest + 2 * self._late) / (self._frame_samples * self._stepper.n_out))
        n_kept = (n_steps + 2) * self._stepper.n_out
        self._features = np.zeros((n_kept, manifest.embedding_width), np.float32)
        self._weights = np.zeros(n_kept, np.float32)
        self._frames = np.zeros((n_kept, manifest.stride, self.spec.n_bands), np.float32)
        self._pending: deque[tuple[int, int]] = deque()
        self._start: int | None = None
        self.reset()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        vad: str | Path = DEFAULT_VAD,
        names: Sequence[str] = (),
        false_accepts: float = 0.01,
        backend: Runtime | None = None,
        profile: Profile | None = None,
    ) -> SpeakerTask:
        """Load a model, what finds the speech for it, and the voices that were enrolled.

        Parameters
        ----------
        name_or_path, vad : str or Path
            Models by their names, or their folders.
        names : sequence of str
            Only these voices; by default all that are enrolled.
        false_accepts : float
            As above.
        backend, profile
            See `Spotter.load`.

        Raises
        ------
        ModelError
            If a model or a voice is missing, something is wrong with it, or it belongs to another model.
        UsageError
            If a name is no voice's, or as above.
        BackendError
            If the runtime, or a provider that the profile names, is not installed.
        """
        speaker = Speaker.load(name_or_path, backend=backend, profile=profile)
        voices = enrolled_voices(speaker, names)
        detector = Vad.load(vad, backend=backend, profile=profile)
        return cls(speaker, detector, voices, false_accepts=false_accepts)

    @property
    def names(self) -> tuple[str, ...]:
        """Who is known."""
        return self._names

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; see `Task.process`."""
        events: list[Event] = []
        # Step by step, as what is remembered of a long call would not last to its end.
        step = self.manifest.step_frames
        for at in range(0, len(frames), step):
            piece = frames[at : at + step]
            for heard in self._stepper.steps(piece):
                self._keep(heard)
            self._follow(self._vad.process(piece))
            self._tell(events)
        return events

    def flush(self) -> list[Event]:
        """Tell who spoke last: the stream is over. Afterwards only `reset` makes sense."""
        events: list[Event] = []
        for heard in self._stepper.play_on(0.0):
            self._keep(heard)
        self._follow(self._vad.flush())
        self._tell(events)
        return events

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""
        self._stepper.reset(at_sample)
        self._vad.reset(at_sample)
        self._pending.clear()
        self._start = None

    def _keep(self, heard: Frames) -> None:
        """Remember the frames of a step, and what the network has made of them."""
        n_out = self._stepper.n_out
        at = (self._stepper.n_decided - n_out) % len(self._weights)
        self._features[at : at + n_out] = self._stepper.graph.embedding
        self._weights[at : at + n_out] = self._stepper.posteriors[:, 0]
        self._frames[at : at + n_out] = heard.reshape(n_out, -1, self.spec.n_bands)

    def _follow(self, events: list[Event]) -> None:
        """Note which stretches of speech are over, in parts where they are long."""
        for event in events:
            if isinstance(event, SpeechStart):
                self._start = event.start_sample
            elif isinstance(event, SpeechEnd) and self._start is not None:
                self._cut(event.end_sample)
                self._pending.append((self._start, event.end_sample))
                self._start = None
        # An end is told late: only what lies well behind cannot be cut off any more.
        self._cut(self._vad.decided - self._late)

    def _cut(self, sure: int) -> None:
        """Take off whole parts of the speech under way that is surely longer."""
        while self._start is not None and sure > self._start + self._longest:
            self._pending.append((self._start, self._start + self._longest))
            self._start += self._longest

    def _tell(self, events: list[Event]) -> None:
        """Tell the turns whose last frame the network has heard."""
        while self._pending:
            start, end = self._pending[0]
            first = self._stepper.first_sample
            begin = -((first - start) // self._frame_samples)
            stop = max((end - first) // self._frame_samples, begin + 1)
            if stop > self._stepper.n_decided:
                return
            self._pending.popleft()
            events.append(self._turn(start, end, np.arange(begin, stop)))

    def _turn(self, start: int, end: int, kept: NDArray[np.int64]) -> SpeakerTurn:
        name, score = None, None
        least = self.manifest.telling.least_speech_ms / 1000 * self.spec.sample_rate_hz
        if self._names and end - start >= least:
            frames = self._frames.take(kept, axis=0, mode="wrap").reshape(-1, self.spec.n_bands)
            features = self._features.take(kept, axis=0, mode="wrap")
            heard = self._speaker.print_of(frames, features, self._weights.take(kept, mode="wrap"))
            scores = self._speaker.score(self._voices, np.broadcast_to(heard.vector, self._voices.shape))
            best = int(scores.argmax())
            score = float(scores[best])
            name = self._names[best] if score >= self.threshold else None
        return SpeakerTurn(
            model=self.name,
            name=name,
            score=score,
            start_sample=start,
            end_sample=end,
            latency_s=0.0,
            sample_rate_hz=self.spec.sample_rate_hz,
        )
