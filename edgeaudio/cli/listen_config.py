"""What a file for `edgeaudio listen` holds. Each description is also what ``--init`` writes."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union, get_args

from msgspec import UNSET, Meta, UnsetType

from edgeaudio.cli.listen_sections import OneOf, Section, TaskEntry, Text, WakeTask
from edgeaudio.config import load_yaml, nearest
from edgeaudio.dsp.denoise import Strength
from edgeaudio.errors import ConfigError
from edgeaudio.events import Event
from edgeaudio.profiles.profile import Runtime

__all__ = [
    "ClipsOutput",
    "Config",
    "ExecOutput",
    "FileOutput",
    "FileSection",
    "LedgerOutput",
    "MicrophoneSection",
    "OutputEntry",
    "SourceEntry",
    "load_config",
]

EVENT_NAMES = tuple(str(kind.__struct_config__.tag) for kind in get_args(Event))
"""What an event calls itself."""

_Channel = Annotated[
    Annotated[int, Meta(ge=0)] | None, Meta(description="Listen to this one only, from 0; null: mean of all.")
]


class MicrophoneSection(Section, frozen=True, kw_only=True):
    """A microphone."""

    device: Annotated[
        int | Text | None,
        Meta(description="Its index, or part of its name; see edgeaudio devices. null: the default one."),
    ] = None
    channel: _Channel = None
    give_up_s: Annotated[
        Annotated[float, Meta(ge=0.0, le=1e9)] | None,
        Meta(description="End when it has been gone for so many seconds. null: never."),
    ] = None


class FileSection(Section, frozen=True, kw_only=True):
    """A recording."""

    path: Annotated[Text, Meta(description="WAV, FLAC, Ogg or MP3.", examples=["recording.wav"])]
    fast: Annotated[bool, Meta(description="Read it as fast as possible instead of in real time.")] = False
    channel: _Channel = None


class StdinSection(Section, frozen=True, kw_only=True):
    """Raw audio on standard input."""


class SourceEntry(OneOf, frozen=True, kw_only=True):
    """Where the sound comes from."""

    kinds: ClassVar[dict[str, Any]] = {
        "microphone": MicrophoneSection,
        "file": FileSection,
        "stdin": StdinSection,
    }
    microphone: Annotated[
        MicrophoneSection | UnsetType | None, Meta(description="A microphone, or whatever records.")
    ] = UNSET
    file: Annotated[FileSection | UnsetType | None, Meta(description="A sound file.")] = UNSET
    stdin: Annotated[
        StdinSection | UnsetType | None,
        Meta(description="Raw 16 kHz mono s16le on standard input; has no keys."),
    ] = UNSET


class FileOutput(Section, frozen=True, kw_only=True):
    """A file that only grows."""

    path: Annotated[
        Text, Meta(description="Appended to; another program may read it.", examples=["events.jsonl"])
    ]
    format: Annotated[
        Literal["json", "text", "srt", "vtt"],
        Meta(description="json: one line an event. text, srt and vtt: captions only."),
    ] = "json"


class ExecOutput(Section, frozen=True, kw_only=True):
    """A program."""

    command: Annotated[
        Text,
        Meta(
            description="Program and arguments, without a shell; the event is JSON on its input.",
            examples=["cat"],
        ),
    ]
    events: Annotated[
        tuple[str, ...],
        Meta(description=f"For which events: {', '.join(EVENT_NAMES)}. Of captions, final ones."),
    ] = ("detection",)
    names: Annotated[
        tuple[Text, ...], Meta(description="Only for these words, sounds, speakers or orders; none: all.")
    ] = ()
    timeout_s: Annotated[
        Annotated[float, Meta(ge=0.1, le=3600.0)], Meta(description="Kill it after so many seconds.")
    ] = 10.0

    def __post_init__(self) -> None:
        for name in self.events:
            if name not in EVENT_NAMES:
                near = nearest(name, list(EVENT_NAMES))
                raise ValueError(f"events: there is no event '{name}'" + (f", but '{near}'" if near else ""))


_Size = Annotated[str, Meta(pattern=r"^\d{1,12}(\.\d+)?\s*([kmgKMG]i?)?[bB]?$")]


class ClipsOutput(Section, frozen=True, kw_only=True):
    """Recordings of detections."""

    folder: Annotated[Text, Meta(description="Made if it is missing.", examples=["clips"])]
    pre_roll_s: Annotated[
        Annotated[float, Meta(ge=0.0, le=60.0)],
        Meta(description="Seconds in a clip before it."),
    ] = 1.0
    post_roll_s: Annotated[
        Annotated[float, Meta(ge=0.0, le=60.0)],
        Meta(description="Seconds in a clip after it."),
    ] = 0.5
    limit: Annotated[_Size, Meta(description="The most that all clips may take; the oldest go first.")] = (
        "100MB"
    )


class LedgerOutput(Section, frozen=True, kw_only=True):
    """Clips to review and learn from."""

    folder: Annotated[Text, Meta(description="Made if it is missing.", examples=["ledger"])]
    clips: Annotated[Annotated[int, Meta(ge=1)], Meta(description="The most clips in it.")] = 1000
    limit: Annotated[_Size, Meta(description="The most that they may take.")] = "100MB"
    days: Annotated[
        Annotated[float, Meta(ge=0.0, le=3650.0)], Meta(description="They are deleted after so many days.")
    ] = 30.0


class OutputEntry(OneOf, frozen=True, kw_only=True):
    """Where events go."""

    kinds: ClassVar[dict[str, Any]] = {
        "stdout": Literal["text", "json"],
        "file": FileOutput,
        "exec": ExecOutput,
        "clips": ClipsOutput,
        "ledger": LedgerOutput,
    }
    stdout: Annotated[
        Union[Literal["text", "json"], UnsetType],
        Meta(description="Standard output: text for people, or json, one line an event."),
    ] = UNSET
    file: Annotated[FileOutput | UnsetType | None, Meta(description="A file that only ever grows.")] = UNSET
    exec: Annotated[ExecOutput | UnsetType | None, Meta(description="A program for each event.")] = UNSET
    clips: Annotated[
        ClipsOutput | UnsetType | None, Meta(description="A WAV file of each word and sound.")
    ] = UNSET
    ledger: Annotated[
        LedgerOutput | UnsetType | None,
        Meta(description="Clips of detections and near misses, for edgeaudio ledger."),
    ] = UNSET


class Config(Section, frozen=True, kw_only=True):
    """One source, any tasks, any outputs."""

    source: Annotated[
        SourceEntry, Meta(description="Where the sound comes from. A change takes effect at the next start.")
    ] = SourceEntry(microphone=MicrophoneSection())
    profile: Annotated[
        Text | None,
        Meta(
            description="What this machine needs, by name or file; see edgeaudio profiles. null: the best"
            " match. A change takes effect at the next start."
        ),
    ] = None
    backend: Annotated[Runtime | None, Meta(description="litert or onnx. null: as the profile says.")] = None
    denoise: Annotated[
        Strength | None,
        Meta(
            description="Reduce steady noise in what the tasks hear: light, medium or strong. null: no."
            " A change takes effect at the next start."
        ),
    ] = None
    tasks: Annotated[
        tuple[TaskEntry, ...],
        Meta(min_length=1, max_length=64, description="What listens, all on the same frontends."),
    ] = (TaskEntry(wake=WakeTask()),)
    outputs: Annotated[
        tuple[OutputEntry, ...], Meta(max_length=64, description="Where the events go, each to all of them.")
    ] = (OutputEntry(stdout="text"),)

    def __post_init__(self) -> None:
        if sum(entry.kind == "stdout" for entry in self.outputs) > 1:
            raise ValueError("outputs: there is one standard output, give stdout once")
        if sum(entry.kind in ("clips", "ledger") for entry in self.outputs) > 8:
            raise ValueError("outputs: more than eight folders of clips")
        models = [(entry.kind, entry.value.model) for entry in self.tasks]
        files = [entry.value.path for entry in self.outputs if isinstance(entry.value, FileOutput)]
        for (kind, model), count in Counter(models).items():
            if count > 1:
                raise ValueError(
                    f"tasks: {kind} is there {count} times with the model '{model}', give it once"
                )
        for path, count in Counter(files).items():
            if count > 1:
                raise ValueError(f"outputs: {count} files named {path}, give it once")


def load_config(path: Path) -> Config:
    """Read a file.

    Raises
    ------
    ConfigError
        Something is wrong with it: what, where, and what was probably meant.
    """
    config = load_yaml(path, Config)
    for entry in config.outputs:
        if isinstance(entry.value, FileOutput) and _is_same(
            path.parent / Path(entry.value.path).expanduser(), path
        ):
            raise ConfigError(
                f"{path}: outputs: events would be written over this very file", hint="Name another file."
            )
    return config


def _is_same(one: Path, other: Path) -> bool:
    """Whether two names are of one file, by a link, too."""
    with contextlib.suppress(OSError):  # it need not be there yet
        return one.samefile(other)
    return False
