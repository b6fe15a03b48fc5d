"""A gate: what lies behind it hears only what was said, and costs nothing in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeaudio.backends.base import Runtime
from edgeaudio.errors import UsageError
from edgeaudio.events import Event, SpeechStart
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.base import Task
from edgeaudio.tasks.vad import DEFAULT_MODEL, Vad
from edgeaudio.tasks.wrapper import Wrapper
from edgeaudio.types import Frames

__all__ = ["PRE_ROLL_MS", "STAY_MS", "SpeechGate"]

PRE_ROLL_MS = 500.0
"""How much a gated task hears before the onset: its network begins with nothing in its memory."""
STAY_MS = 1000.0
"""How long a gate stays open in silence: longer than the pauses in which a recogniser ends its captions."""


class SpeechGate(Wrapper):
    """A task that hears only what was said.

    ::

        frames ── vad ── speaks? ── yes ── task
                   │        └ no: flush, and wait
                   └── ring: the pre-roll ──┘

    While nobody speaks, frames go through the detector and into a ring. When speech begins, the task begins
    anew with the first frame of its pre-roll; when it ends, after the detector's ``least_off_ms``, the task
    is flushed, so that what it was about to say is said. It hears each frame once at most, and its positions
    stay absolute. All is decided by whole steps of the detector: a stream gives the same events however it
    is cut. The detector's own events are not told. Where the task hears its frames in a second thread, so
    does the detector.

    Parameters
    ----------
    task : Task
        What hears the speech, such as a `Recognizer`.
    vad : Vad
        Decides; it belongs to the gate from now on. Give it a pre-roll and a ``least_off_ms`` that suit the
        task, see `PRE_ROLL_MS` and `STAY_MS`.

    Raises
    ------
    UsageError
        Task and detector hear different frames.

    Examples
    --------
    >>> from edgeaudio.testing import scripted_recognizer, scripted_vad
    >>> words = [(0.4, 0.8, "one"), (3.4, 3.8, "two")]
    >>> gate = SpeechGate(scripted_recognizer(words), scripted_vad([(3.2, 6.0)]))
    >>> gate.passed_frames
    0
    """

    def __init__(self, task: Task, vad: Vad) -> None:
        if task.spec != vad.spec:
            raise UsageError(
                f"'{vad.name}' cannot gate '{task.name}': they hear different frames",
                hint=f"Do without it, or use a detector of speech with the frontend of '{task.name}'.",
            )
        super().__init__(task)
        self._vad = vad
        self._hop = task.spec.hop_samples
        self._n_kept = -(-vad.reach_samples // self._hop) + vad.step_frames
        # Twice as many, so that what is kept lies in one piece and moves to the front only now and then.
        self._kept = np.zeros((2 * self._n_kept, task.spec.n_bands), np.float32)
        self.passed_frames = 0
        """How many frames the task has heard, through any reset."""
        self._begin(0)

    @classmethod
    def load(
        cls,
        task: Task,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        backend: Runtime | None = None,
        threshold: float | None = None,
        pre_roll_ms: float = PRE_ROLL_MS,
        stay_ms: float = STAY_MS,
        profile: Profile | None = None,
    ) -> SpeechGate:
        """Load a detector of speech, and put it before a task.

        Parameters
        ----------
        task : Task
            What hears the speech.
        name_or_path, backend, threshold, pre_roll_ms, profile
            As for `Vad.load`.
        stay_ms : float, optional
            The detector's ``least_off_ms``: how long the gate stays open in silence.

        Raises
        ------
        EdgeAudioError
            As `Vad.load`, and if task and detector hear different frames.
        """
        vad = Vad.load(
            name_or_path,
            backend=backend,
            threshold=threshold,
            pre_roll_ms=pre_roll_ms,
            least_off_ms=stay_ms,
            profile=profile,
        )
        return cls(task, vad)

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; see `Task.process`."""
        events: list[Event] = []
        at, step = 0, self._vad.step_frames
        while at < len(frames):
            n = min(step - self._n_heard % step, len(frames) - at)
            self._hear(frames[at : at + n], events)
            at += n
        return events

    def flush(self) -> list[Event]:
        """Say what the task has still to say: the stream has ended. Afterwards only `reset` makes sense."""
        events: list[Event] = []
        # Speech that is known only now: its last moment is not lost.
        for event in self._vad.flush():
            if isinstance(event, SpeechStart) and not self._is_open:
                self._open(event.start_sample, events)
        self._close(events)
        return events

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""
        self._vad.reset(at_sample)
        self._task.reset(at_sample)
        self._begin(at_sample)

    def shed(self, level: int) -> None:
        """Pass it on to the task that it shall save work; see `Task`."""
        shed = getattr(self._task, "shed", None)
        if shed is not None:
            shed(level)

    def _begin(self, at_sample: int) -> None:
        self._first_sample = at_sample
        self._n_heard = 0
        self._n_kept_now = 0
        self._is_open = False

    def _hear(self, frames: Frames, events: list[Event]) -> None:
        """Hear what belongs to one step of the detector, which decides only when the step is complete."""
        self._n_heard += len(frames)
        if self._is_open:
            self._pass(frames, events)
        else:
            self._keep(frames)
        for event in self._vad.process(frames):
            if not isinstance(event, SpeechStart):
                self._close(events)
            elif not self._is_open:
                self._open(event.start_sample, events)

    def _open(self, start_sample: int, events: list[Event]) -> None:
        """Let the task hear what is kept from `start_sample` on, and all that follows."""
        oldest = self._n_heard - self._n_kept_now
        first = max((start_sample - self._first_sample) // self._hop, oldest)
        self._task.reset(self._first_sample + first * self._hop)
        self._is_open = True
        self._pass(self._kept[first - oldest : self._n_kept_now], events)

    def _close(self, events: list[Event]) -> None:
        if self._is_open:
            events += self._task.flush()
            self._is_open = False
            self._n_kept_now = 0  # all of it was heard

    def _pass(self, frames: Frames, events: list[Event]) -> None:
        self.passed_frames += len(frames)
        events += self._task.process(frames)

    def _keep(self, frames: Frames) -> None:
        n, kept = self._n_kept_now, self._kept
        if n + len(frames) > len(kept):
            kept[: self._n_kept] = kept[n - self._n_kept : n]
            n = self._n_kept
        kept[n : n + len(frames)] = frames
        self._n_kept_now = n + len(frames)
