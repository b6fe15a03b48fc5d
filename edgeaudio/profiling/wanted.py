"""Which tasks to measure: from a word on the command line to something that listens."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple

from edgeaudio.config import nearest
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Protocol

    from edgeaudio.backends.base import Runtime
    from edgeaudio.profiles import Profile
    from edgeaudio.tasks.base import Task

    class _Loadable(Protocol):
        @classmethod
        def load(cls, name_or_path: str, *, backend: Runtime | None, profile: Profile) -> Task: ...


__all__ = ["Kind", "Wanted"]

Kind = Literal["wake", "captions", "sounds", "vad", "speaker"]


class _Known(NamedTuple):
    """The model that is used by default, and the class that runs it."""

    model: str
    module: str
    task: str


_KNOWN: dict[Kind, _Known] = {
    "wake": _Known("wake-computer", "edgeaudio.tasks.spotter", "Spotter"),
    "captions": _Known("captions-en-small", "edgeaudio.tasks.recognizer", "Recognizer"),
    "sounds": _Known("sounds-home", "edgeaudio.tasks.classifier", "Classifier"),
    "vad": _Known("vad-small", "edgeaudio.tasks.vad", "Vad"),
    "speaker": _Known("speaker-small", "edgeaudio.tasks.turns", "SpeakerTask"),
}


class Wanted(NamedTuple):
    """One task that shall be measured."""

    kind: Kind
    model: str

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read a task such as ``wake``, ``sounds`` or ``speaker``, or one with a model: ``wake=commands-12``.

        Raises
        ------
        UsageError
            There is no such task, or no model behind ``=``.

        Examples
        --------
        >>> Wanted.parse("wake"), Wanted.parse("captions=./mine")
        (Wanted(kind='wake', model='wake-computer'), Wanted(kind='captions', model='./mine'))
        """
        name, equals, model = text.partition("=")
        kind = next((kind for kind in _KNOWN if kind == name), None)
        if kind is None:
            near = nearest(name, list(_KNOWN))
            hint = f"Did you mean '{near}'?" if near else f"There are: {', '.join(_KNOWN)}."
            raise UsageError(f"there is no task '{name}'", hint=hint)
        if equals and not model:
            raise UsageError(f"--task {text} names no model", hint=f"Write --task {kind}=NAME|PATH")
        return cls(kind, model or _KNOWN[kind].model)

    def bring_in(self) -> ModuleType:
        """Import what runs such a task, and return it."""
        return import_module(_KNOWN[self.kind].module)

    def load(self, profile: Profile, backend: Runtime | None = None) -> Task:
        """Load the model anew: what listened before is not fresh any more.

        Parameters
        ----------
        profile : Profile
            Says which runtime, provider, precision and how many threads.
        backend : {"onnx", "litert"}, optional
            Instead of the profile's runtimes.

        Raises
        ------
        EdgeAudioError
            The model is unknown or broken, or cannot be run as the profile says.
        """
        kind: type[_Loadable] = getattr(self.bring_in(), _KNOWN[self.kind].task)
        return kind.load(self.model, backend=backend, profile=profile)
