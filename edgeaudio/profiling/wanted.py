"""Which tasks to measure: from a word on the command line to something that listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from edgeaudio.config import nearest
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.backends.base import Runtime
    from edgeaudio.profiles import Profile
    from edgeaudio.tasks.base import Task

__all__ = ["Kind", "Wanted"]

Kind = Literal["wake", "captions"]

_MODELS: dict[Kind, str] = {"wake": "wake-computer", "captions": "captions-en-small"}


class Wanted(NamedTuple):
    """One task that shall be measured."""

    kind: Kind
    model: str

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read ``wake``, ``captions``, or one of them with a model: ``wake=commands-12``.

        Raises
        ------
        UsageError
            There is no such task, or no model behind ``=``.

        Examples
        --------
        >>> Wanted.parse("wake"), Wanted.parse("captions=./mine")
        (Wanted(kind='wake', model='wake-computer'), Wanted(kind='captions', model='./mine'))
        """
        kind, equals, model = text.partition("=")
        kinds = get_args(Kind)
        if kind not in kinds:
            near = nearest(kind, list(kinds))
            hint = f"Did you mean '{near}'?" if near else f"There are: {', '.join(kinds)}."
            raise UsageError(f"there is no task '{kind}'", hint=hint)
        if equals and not model:
            raise UsageError(f"--task {text} names no model", hint=f"Write --task {kind}=NAME|PATH")
        known: Kind = "wake" if kind == "wake" else "captions"
        return cls(known, model or _MODELS[known])

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
        if self.kind == "wake":
            from edgeaudio.tasks.spotter import Spotter

            return Spotter.load(self.model, backend=backend, profile=profile)
        from edgeaudio.tasks.recognizer import Recognizer

        return Recognizer.load(self.model, backend=backend, profile=profile)
