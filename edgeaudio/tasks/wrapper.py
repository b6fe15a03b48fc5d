"""What tasks have in common that stand before another one."""

from __future__ import annotations

from edgeaudio.backends.base import StreamingGraph
from edgeaudio.events import Event
from edgeaudio.frontend import FrontendSpec
from edgeaudio.tasks.base import Task, in_background
from edgeaudio.types import Frames

__all__ = ["Wrapper"]


class Wrapper:
    """Passes everything on to a task.

    Parameters
    ----------
    task : Task
        Belongs to the wrapper from now on.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.background = in_background(task)
        """As of the task."""
        self.lasting = bool(getattr(task, "lasting", False))
        """As of the task."""

    @property
    def name(self) -> str:
        """The task's name."""
        return self._task.name

    @property
    def spec(self) -> FrontendSpec:
        """The task's frontend."""
        return self._task.spec

    @property
    def graph(self) -> StreamingGraph:
        """The task's network, for whoever measures its steps."""
        graph: StreamingGraph = self._task.graph  # type: ignore[attr-defined]  # as for the task, if it has one
        return graph

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; see `Task.process`."""
        return self._task.process(frames)

    def flush(self) -> list[Event]:
        """Decide about the end of the stream. Afterwards only `reset` makes sense."""
        return self._task.flush()

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""
        self._task.reset(at_sample)
