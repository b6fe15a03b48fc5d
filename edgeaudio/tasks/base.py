"""What the engine asks of anything that listens to frames."""

from __future__ import annotations

from typing import Protocol

from edgeaudio.events import Event
from edgeaudio.frontend import FrontendSpec
from edgeaudio.types import Frames

__all__ = ["Task", "flushed_before_reset", "in_background"]


class Task(Protocol):
    """Hears the frames of one frontend and says what it noticed.

    A task returns the same events however its frames are cut into calls.

    Four things it may have beyond this protocol. ``background = True`` says that a call may take
    milliseconds: on a live source the task then hears its frames in a second thread, so that no
    wake word waits for it, and is flushed before each `reset`, because what was said before a loss was
    said. ``shed(level)`` tells such a task to save work, until told otherwise and through any
    reset: so many of the measures that its profile names under ``shed``, the first ones. ``graph`` is
    the network that it runs: a profile then tells its steps from the decisions. ``lasting = True`` says that
    it tells of what lasts, and is flushed before each `reset` too: a sound that went on when audio was
    lost was heard until then.
    """

    @property
    def name(self) -> str:
        """Who speaks: the model's name in each of its events."""

    @property
    def spec(self) -> FrontendSpec:
        """Which frames it wants; tasks of equal specs share one frontend."""

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; they are valid during the call only.

        The positions of a `Detection` bound what the decision heard: `end_sample` is the end of
        the last sample that it needed. Level, signal-to-noise ratio and latency are left to the
        engine, which knows the audio and the time.
        """

    def flush(self) -> list[Event]:
        """Say what is still undecided: the stream has ended."""

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""


def in_background(task: Task) -> bool:
    """Whether the task may hear a live source's frames in a second thread."""
    return bool(getattr(task, "background", False))


def flushed_before_reset(task: Task) -> bool:
    """Whether the task tells how what is going on ends, before it forgets it."""
    return in_background(task) or bool(getattr(task, "lasting", False))
