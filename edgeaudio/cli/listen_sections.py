"""What a file for `edgeaudio listen` says of its tasks. Each description is also what ``--init`` writes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

__all__ = [
    "CaptionTask",
    "OneOf",
    "Probability",
    "Section",
    "SoundsTask",
    "SpeakerTask",
    "TaskEntry",
    "Text",
    "VadTask",
    "WakeTask",
]

Text = Annotated[str, Meta(min_length=1, max_length=1000)]
"""A word, a path, a line."""
Probability = Annotated[float, Meta(gt=0.0, lt=1.0)]
_Seconds = Annotated[float, Meta(ge=0.0, le=60.0)]
_Model = Annotated[Text, Meta(description="Its name in edgeaudio models list, or the path of its folder.")]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the file."""


class OneOf(Section, frozen=True, kw_only=True):
    """A mapping with one key, which says what its value describes; an empty value is all defaults."""

    kinds: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        given = [key for key in self.__struct_fields__ if getattr(self, key) is not UNSET]
        if len(given) != 1:
            found = f"here are {', '.join(given)}" if given else "here is none"
            raise ValueError(f"one of {', '.join(self.__struct_fields__)} is wanted, {found}")
        if getattr(self, given[0]) is None:
            try:
                default = msgspec.convert({}, self.kinds[given[0]])
            except msgspec.ValidationError as error:
                raise ValueError(f"{given[0]}: {error}") from None
            msgspec.structs.force_setattr(self, given[0], default)

    @property
    def kind(self) -> str:
        """The key."""
        return next(key for key in self.__struct_fields__ if getattr(self, key) is not UNSET)

    @property
    def value(self) -> Any:
        """What stands behind it."""
        return getattr(self, self.kind)


class WakeTask(Section, frozen=True, kw_only=True):
    """Wake words and spoken commands."""

    model: _Model = "wake-computer"
    threshold: Annotated[
        Probability | None,
        Meta(description="Score at which a word counts. null: as calibrated for this room, or the model's."),
    ] = None
    verifiers: Annotated[
        tuple[Text, ...],
        Meta(description="Report a word only if one of these enrolled voices says it; none: anybody."),
    ] = ()
    vad: Annotated[
        Text | None,
        Meta(description="Report a word only if this model, such as vad-small, hears speech. null: always."),
    ] = None
    near_misses: Annotated[
        Probability | None,
        Meta(description="Also tell of what reaches this part of the threshold, such as 0.5. null: no."),
    ] = None


class CaptionTask(Section, frozen=True, kw_only=True):
    """Captions."""

    model: _Model = "captions-en-small"
    language: Annotated[
        Text | None,
        Meta(description="Lexicon and language model, by name or path. null: the model's own."),
    ] = None
    grammar: Annotated[
        Text | None, Meta(description="A file of orders: nothing else is understood. null: everything is.")
    ] = None
    hotwords: Annotated[
        tuple[Text, ...], Meta(description='Words that are likely to be said, as TEXT or "TEXT:STRENGTH".')
    ] = ()
    decoder: Annotated[
        Literal["auto", "greedy", "prefix", "lexicon"], Meta(description="How words are found.")
    ] = "auto"
    end_silence_s: Annotated[
        Annotated[float, Meta(ge=0.1, le=30.0)], Meta(description="Silence that ends a caption.")
    ] = 0.8
    end_complete_s: Annotated[
        Annotated[float, Meta(ge=0.1, le=30.0)],
        Meta(description="Silence that ends one that is a whole order of the grammar."),
    ] = 0.4
    max_length_s: Annotated[
        Annotated[float, Meta(ge=2.0, le=120.0)],
        Meta(description="Longest caption; what follows is the next one."),
    ] = 20.0
    vad: Annotated[
        Text | None,
        Meta(description="Hear only what this model, such as vad-small, takes for speech. null: everything."),
    ] = None

    def __post_init__(self) -> None:
        if self.grammar is not None and self.hotwords:
            raise ValueError("a grammar allows its own words only: leave hotwords out")


class SoundsTask(Section, frozen=True, kw_only=True):
    """Sounds."""

    model: _Model = "sounds-home"
    threshold: Annotated[
        Probability | None, Meta(description="Score at which a sound counts. null: the model's own.")
    ] = None
    thresholds: Annotated[
        dict[Text, Probability], Meta(description="The same for single sounds, such as {dog_bark: 0.8}.")
    ] = {}
    only: Annotated[tuple[Text, ...], Meta(description="Tell only of these sounds; none: of all.")] = ()
    ignore: Annotated[tuple[Text, ...], Meta(description="Do not tell of these.")] = ()
    onsets: Annotated[bool, Meta(description="Also tell that a sound has begun, as soon as it is sure.")] = (
        False
    )

    def __post_init__(self) -> None:
        if self.only and self.ignore:
            raise ValueError("only says it all: leave ignore out")


class VadTask(Section, frozen=True, kw_only=True):
    """Speech activity."""

    model: _Model = "vad-small"
    threshold: Annotated[
        Probability | None,
        Meta(description="Probability from which on somebody speaks. null: the model's own."),
    ] = None
    pre_roll_s: Annotated[
        _Seconds | None,
        Meta(description="How much before its onset speech is told to begin. null: the model's own."),
    ] = None
    hangover_s: Annotated[
        _Seconds | None, Meta(description="Silence that ends a stretch of speech. null: the model's own.")
    ] = None


class SpeakerTask(Section, frozen=True, kw_only=True):
    """Speakers."""

    model: _Model = "speaker-small"
    vad: Annotated[Text, Meta(description="What finds the speech.")] = "vad-small"
    names: Annotated[tuple[Text, ...], Meta(description="Know these only; none: all who are enrolled.")] = ()
    max_false_accepts: Annotated[
        Annotated[float, Meta(ge=0.001, le=0.2)],
        Meta(description="The part of strangers who may pass, by the model's measures."),
    ] = 0.01


class TaskEntry(OneOf, frozen=True, kw_only=True):
    """What listens."""

    kinds: ClassVar[dict[str, Any]] = {
        "wake": WakeTask,
        "caption": CaptionTask,
        "sounds": SoundsTask,
        "vad": VadTask,
        "speaker": SpeakerTask,
    }
    wake: Annotated[
        WakeTask | UnsetType | None, Meta(description="Wake words and spoken commands of one model.")
    ] = UNSET
    caption: Annotated[CaptionTask | UnsetType | None, Meta(description="What is said, written down.")] = (
        UNSET
    )
    sounds: Annotated[
        SoundsTask | UnsetType | None, Meta(description="Which sounds there are, from when to when.")
    ] = UNSET
    vad: Annotated[
        VadTask | UnsetType | None, Meta(description="When somebody begins to speak, and ends.")
    ] = UNSET
    speaker: Annotated[
        SpeakerTask | UnsetType | None, Meta(description="Who speaks, among people who were enrolled.")
    ] = UNSET
