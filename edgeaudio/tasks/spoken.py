"""Words that count only if somebody spoke: a spotter hears everything, and a detector of speech has a say.

Unlike a gate this saves nothing, and need not: a spotter costs little, and has to know what came before
a word.
"""

from __future__ import annotations

from collections import deque

from edgeaudio.events import Detection, Event, NearMiss
from edgeaudio.tasks.base import Task
from edgeaudio.tasks.trigger import check_threshold
from edgeaudio.tasks.vad import Vad
from edgeaudio.tasks.wrapper import Wrapper
from edgeaudio.types import Frames

__all__ = ["Muted", "SpokenWords"]


class SpokenWords(Wrapper):
    """A spotter whose words count only if somebody spoke.

    A word (or near miss) is told if the detector's posterior reached the threshold at any moment between the
    word's start and end. The detector is a task of its own in the same engine, given before the spotter: so
    it has heard each block first, and no word waits. Where it has not, the word is told with the next block.

    Parameters
    ----------
    task : Task
        Such as a `Spotter`. Its other events pass.
    vad : Vad
        Hears the same stream; several tasks may ask one. In a `Muted`, its own events are not told.
    threshold : float, optional
        Above 0 and below 1; by default the level down to which the detector takes speech to go on. A
        word that is missed costs more than a noise that passes.

    Raises
    ------
    UsageError
        If the threshold is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from edgeaudio import ArraySource, Engine
    >>> from edgeaudio.testing import scripted_spotter, scripted_vad
    >>> vad = scripted_vad([(1.0, 2.0)])
    >>> words = SpokenWords(scripted_spotter([(0.5, "go"), (1.5, "stop")]), vad)
    >>> engine = Engine(ArraySource(np.ones(32000, np.float32)), Muted(vad), words)
    >>> [event.name for event in engine.run_until_finished() if isinstance(event, Detection)]
    ['stop']
    """

    def __init__(self, task: Task, vad: Vad, *, threshold: float | None = None) -> None:
        super().__init__(task)
        self._vad = vad
        self._threshold = vad.release if threshold is None else check_threshold(threshold)
        self._waiting: deque[Event] = deque()
        self.left_out = 0
        """How many words did not count, through any reset."""

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; see `Task.process`."""
        self._waiting.extend(self._task.process(frames))
        return self._spoken(at_last=False) if self._waiting else []

    def flush(self) -> list[Event]:
        """Decide about the end of the stream. Afterwards only `reset` makes sense."""
        self._waiting.extend(self._task.flush())
        return self._spoken(at_last=True)

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""
        self._task.reset(at_sample)
        self._waiting.clear()

    def _spoken(self, *, at_last: bool) -> list[Event]:
        """Return the events that count, in order, as far as the detector knows."""
        events: list[Event] = []
        while self._waiting:
            event = self._waiting[0]
            if isinstance(event, Detection | NearMiss):
                if not at_last and self._vad.decided < event.end_sample:
                    break
                if self._vad.probability_between(event.start_sample, event.end_sample) < self._threshold:
                    self.left_out += 1
                    self._waiting.popleft()
                    continue
            events.append(self._waiting.popleft())
        return events


class Muted(Wrapper):
    """A task that listens and says nothing: a detector that only decides for others.

    Parameters
    ----------
    task : Task
        What listens.
    """

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size."""
        self._task.process(frames)
        return []

    def flush(self) -> list[Event]:
        """Let the task decide about the end of the stream."""
        self._task.flush()
        return []
