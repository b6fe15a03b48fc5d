"""``--vad``: captions and wake words of what was said, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeaudio.errors import ModelError

if TYPE_CHECKING:
    from edgeaudio.events import Event
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.sinks import Sink
    from edgeaudio.tasks.base import Task
    from edgeaudio.tasks.gate import SpeechGate

__all__ = ["gate_facts", "gate_speech", "only_spoken", "settle_vad", "vad_option"]

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])
_DEFAULT_MODEL = "vad-small"
_NONE_NAMED = ""
"""Stands for --vad without a model."""


def vad_option(help_text: str) -> Callable[[_COMMAND], _COMMAND]:
    """Add ``--vad`` as the argument ``vad``: None, or a model once `settle_vad` has seen it."""
    return click.option("--vad", is_flag=False, flag_value=_NONE_NAMED, metavar="[NAME|PATH]", help=help_text)


def settle_vad(options: dict[str, Any]) -> None:
    """Tell the model that follows ``--vad`` from the SOURCE."""
    name = options["vad"]
    if name is None:
        return
    if name != _NONE_NAMED:
        from edgeaudio.models.catalogue import find_model

        try:
            find_model(name)
        except ModelError:
            if options["source"] is not None:
                raise
            options["source"] = name
        else:
            return
    options["vad"] = _DEFAULT_MODEL


def gate_speech(task: Task, vad: str, backend: Runtime | None, profile: Profile) -> SpeechGate:
    """Let a task hear only what was said."""
    from edgeaudio.tasks.gate import SpeechGate

    return SpeechGate.load(task, vad, backend=backend, profile=profile)


def gate_facts(tasks: Sequence[Task]) -> list[Sink]:
    """Return what says, in the summary, how much came through the gates among `tasks`."""
    from edgeaudio.tasks.gate import SpeechGate

    def passed(gate: SpeechGate) -> str:
        return f"{gate.passed_frames * gate.spec.hop_samples / gate.spec.sample_rate_hz:.1f} s passed"

    return [_Fact("gate", partial(passed, task)) for task in tasks if isinstance(task, SpeechGate)]


def only_spoken(
    tasks: Sequence[Task], vad: str, backend: Runtime | None, profile: Profile
) -> tuple[list[Task], Sink]:
    """Let words count only if somebody spoke: tasks for an engine, and what says how many did not."""
    from edgeaudio.tasks.spoken import Muted, SpokenWords
    from edgeaudio.tasks.vad import Vad

    detector = Vad.load(vad, backend=backend, profile=profile)
    words = [SpokenWords(task, detector) for task in tasks]
    # The detector first: so it has heard each block when a word in it is decided.
    listening: list[Task] = [Muted(detector), *words]
    return listening, _Fact("unspoken", lambda: f"{sum(one.left_out for one in words)} left out")


class _Fact:
    """A sink that only has a line in the summary."""

    def __init__(self, name: str, text: Callable[[], str]) -> None:
        self._name = name
        self._text = text

    def emit(self, event: Event) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """Nothing is under way."""

    def fact(self) -> tuple[str, str]:
        """Say it."""
        return self._name, self._text()
