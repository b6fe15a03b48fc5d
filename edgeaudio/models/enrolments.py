"""What was enrolled on this device: a few hundred numbers a word or a voice, and who may read them.

Each enrolment is one YAML file, ``$XDG_DATA_HOME/edgeaudio/enrolments/NAME/enrolment.yaml``. It holds
numbers made from somebody's voice, so only its owner may read it; no recording can be made from it.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta

from edgeaudio.config import load_yaml, nearest
from edgeaudio.errors import ModelError, OutputError, UsageError
from edgeaudio.models.catalogue import search_path

__all__ = [
    "ENROLMENT_FILE",
    "Enrolment",
    "Estimate",
    "SpeakerNumbers",
    "VoiceNumbers",
    "WordNumbers",
    "check_name",
    "enrolments_folder",
    "find_enrolment",
    "holds_enrolment",
    "list_enrolments",
    "load_enrolment",
    "remove_enrolment",
    "save_enrolment",
]

ENROLMENT_FILE = "enrolment.yaml"
_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Numbers = Annotated[tuple[float, ...], Meta(min_length=1, max_length=4096)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Rate = Annotated[float, Meta(ge=0.0, le=1e6)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class WordNumbers(_Strict, frozen=True, kw_only=True):
    """A word of its own: ``score = weights . z / |z|`` with ``z = (pooled - mean) / deviation``.

    ``pooled`` holds the embedding's means over ``segments`` consecutive segments of ``segment_frames``
    output frames. A score at ``threshold`` has the posterior 0.5, one higher by ``1 / slope`` 0.73.
    """

    segments: Annotated[int, Meta(ge=1, le=64)]
    segment_frames: Annotated[int, Meta(ge=1, le=100)]
    mean: Numbers
    deviation: Numbers
    weights: Numbers
    threshold: float
    slope: Annotated[float, Meta(gt=0.0, le=1e6)]

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.deviation) == len(self.weights):
            raise ValueError("mean, deviation and weights differ in length")
        if len(self.mean) % self.segments:
            raise ValueError(
                f"mean has {len(self.mean)} values, which is no multiple of {self.segments} segments"
            )
        if not all(map(math.isfinite, (*self.mean, *self.weights, self.threshold))):
            raise ValueError("a number is not finite")
        if not all(0.0 < value < math.inf for value in self.deviation):
            raise ValueError("deviation holds something that is no positive number")


class VoiceNumbers(_Strict, frozen=True, kw_only=True):
    """A voice behind a wake word: where it lies in the space of voices, see `edgeaudio.tasks.verifier`.

    ``voice`` is the sum of the recordings' vectors and ``recordings`` their number.
    """

    voice: Numbers
    recordings: Annotated[int, Meta(ge=1, le=10_000)]
    label: str
    threshold: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.voice, self.threshold))):
            raise ValueError("a number is not finite")


class SpeakerNumbers(_Strict, frozen=True, kw_only=True):
    """A voice, whatever it says: where it lies in a speaker model's space, see `edgeaudio.tasks.speaker`.

    ``voice`` is the mean of the stretches' vectors, ``speech_s`` how much speech there was in them.
    """

    voice: Numbers
    speech_s: Annotated[float, Meta(gt=0.0, le=1e6)]

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.voice)):
            raise ValueError("a number is not finite")


class Estimate(_Strict, frozen=True, kw_only=True):
    """What few recordings can tell: each left out once, and what of the background passed.

    ``missed`` of ``of`` recordings with its 95 % interval; ``passed`` of ``strangers`` other voices, of
    a verifier; ``false_alarms_per_hour`` as extrapolated from ``background_hours``, of a word.
    """

    missed: Count
    of: Count
    interval: tuple[float, float]
    false_alarms_per_hour: Rate | None = None
    background_hours: Rate | None = None
    passed: Count | None = None
    strangers: Count | None = None
    strangers_interval: tuple[float, float] | None = None


class Enrolment(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """A word, a voice behind one, or a voice: the model it was made with, and how sure one can be of it."""

    name: Annotated[str, Meta(pattern=_NAME)]
    kind: Literal["word", "verifier", "speaker"]
    model: Annotated[str, Meta(min_length=1, max_length=100)]
    model_version: Annotated[str, Meta(max_length=100)]
    fingerprint: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    created: Annotated[str, Meta(max_length=40)]
    recordings: Annotated[int, Meta(ge=1, le=10_000)]
    estimate: Estimate
    word: WordNumbers | None = None
    voice: VoiceNumbers | None = None
    speaker: SpeakerNumbers | None = None
    warnings: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()

    def __post_init__(self) -> None:
        sections = {"word": self.word, "verifier": self.voice, "speaker": self.speaker}
        if {kind for kind, section in sections.items() if section is not None} != {self.kind}:
            raise ValueError(f"an enrolment of kind {self.kind} needs the section of that kind, and no other")


def enrolments_folder() -> Path:
    """Return the folder of this user's enrolments; it need not exist."""
    return search_path()[-1].parent / "enrolments"


def check_name(name: str) -> str:
    """Return `name` if it can name an enrolment.

    Raises
    ------
    UsageError
        If it cannot.
    """
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"an enrolment cannot be called {name!r}",
            hint="Lower-case letters, digits, hyphens and underscores, at most 64.",
        )
    return name


def holds_enrolment(folder: Path) -> bool:
    """Say whether there is an enrolment in `folder`; not where one may not look."""
    return os.path.isfile(folder / ENROLMENT_FILE)  # noqa: PTH113 - Path.is_file raises where one may not look


def find_enrolment(name: str) -> Path:
    """Return the folder of an enrolment.

    Raises
    ------
    ModelError
        If there is none of this name: with the nearest one.
    """
    folder = enrolments_folder() / name
    if re.fullmatch(_NAME, name) and holds_enrolment(folder):
        return folder
    known = list_enrolments()
    guess = nearest(name, known)
    advice = f"Did you mean '{guess}'?" if guess else f"Known: {', '.join(known)}." if known else ""
    raise ModelError(
        f"nothing is enrolled as '{name}'", hint=advice or "Enrol it first: edgeaudio enrol NAME CLIPS…"
    )


def list_enrolments() -> list[str]:
    """Return the names of all enrolments, sorted."""
    with contextlib.suppress(OSError):  # it need not exist, and may be closed to us
        return sorted(path.name for path in enrolments_folder().iterdir() if holds_enrolment(path))
    return []


def load_enrolment(folder: Path) -> Enrolment:
    """Read an enrolment.

    Raises
    ------
    ModelError
        If it cannot be read, or something in it is wrong; with file and key.
    """
    try:
        return load_yaml(folder / ENROLMENT_FILE, Enrolment, error=ModelError)
    except ModelError as error:
        error.hint = error.hint or f"Enrol it again, or take this folder away: {folder}"
        raise


def save_enrolment(enrolment: Enrolment) -> Path:
    """Write an enrolment, all of it or nothing, for its owner's eyes only; returns its folder.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    folder = enrolments_folder() / enrolment.name
    text = yaml.safe_dump(
        msgspec.to_builtins(enrolment),
        sort_keys=False,
        allow_unicode=True,
        width=110,
        default_flow_style=None,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder.parent, folder):
            path.chmod(0o700)
        # mkstemp's files are their owner's alone from the first byte on.
        handle, partial = tempfile.mkstemp(prefix=f".{ENROLMENT_FILE}.", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(partial).replace(folder / ENROLMENT_FILE)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def remove_enrolment(name: str) -> Path:
    """Delete an enrolment and whatever is kept with it; returns the folder that is gone.

    Raises
    ------
    ModelError
        If there is none.
    OutputError
        If it cannot be deleted.
    """
    folder = find_enrolment(name)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise OutputError(f"cannot remove {folder}: {error.strerror or error}") from error
    return folder
