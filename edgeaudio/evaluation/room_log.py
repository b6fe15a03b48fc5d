"""What was heard of a room so far, in a file that only ever grows, so that listening can go on another day.

Numbers only, no audio: how long, the posteriors around each rise, and when something sounded like the word.
One JSON object a line; a line that was broken off is passed over, and costs its minute.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from edgeaudio.errors import OutputError
from edgeaudio.types import Frames

__all__ = ["Heard", "Listened", "RoomLog", "rooms_folder"]

_LOG = logging.getLogger(__name__)
_MAX_BYTES = 2**30
"""A larger file is none of ours: a word heard all the time fills 23 MB a day at 50 answers a second."""
_KEPT_HEARD = 1000


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Something that sounded like a word: `at` is the time, or the second in the recording `source`."""

    at: str
    name: str
    score: float
    source: str = ""


class _Head(msgspec.Struct, frozen=True):
    model: str
    fingerprint: str


class _Minute(msgspec.Struct, frozen=True):
    seconds: float
    stretches: list[bytes]
    heard: list[Heard]
    until: str


@dataclass
class Listened:
    """How long was listened, until when, and what rose; see `edgeaudio.evaluation.room`."""

    seconds: float = 0.0
    until: str = ""
    stretches: list[Frames] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    def add(self, seconds: float, stretches: list[Frames], heard: list[Heard], until: str = "") -> None:
        """Go on; of what was heard, the thousand highest are remembered."""
        self.seconds += seconds
        self.until = until or self.until
        self.stretches += stretches
        self.heard += heard
        if len(self.heard) > 2 * _KEPT_HEARD:
            self.heard = self.highest(_KEPT_HEARD)

    def highest(self, n: int) -> list[Heard]:
        """Return the `n` highest, the highest first."""
        return sorted(self.heard, key=lambda heard: -heard.score)[:n]


def rooms_folder() -> Path:
    """Return where the files lie: ``$XDG_STATE_HOME/edgeaudio/rooms``."""
    # expanduser leaves ~ as it is for a user without a home, where Path.home raises.
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111
    return Path(state) / "edgeaudio" / "rooms"


class RoomLog:
    """The file of one model; what was heard with another version of it is deleted.

    Parameters
    ----------
    path : Path
        The file, made with its folder.
    model, fingerprint : str
        Whose scores these are.
    n_words : int
        Words of the model that can be detected.

    Attributes
    ----------
    listened : Listened
        All that was heard so far.

    Raises
    ------
    OutputError
        The file cannot be written.
    """

    def __init__(self, path: Path, model: str, fingerprint: str, n_words: int) -> None:
        self.listened = Listened()
        self._path = path
        self._waiting = b""
        self._told = False
        head = msgspec.json.encode(_Head(model, fingerprint)) + b"\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = self._lines()
            if not lines or lines[0] + b"\n" != head:
                if lines:
                    _LOG.warning("what was heard with another version of '%s' is of no use", model)
                path.unlink(missing_ok=True)
                lines = []
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._waiting = b"\n" if lines else head
            self._write()
        except OSError as error:
            raise OutputError(
                f"what is heard cannot be kept in {path}: {error.strerror}",
                hint="Set XDG_STATE_HOME to a folder that you may write to.",
            ) from error
        for line in lines[1:]:
            self._take(line, n_words)

    @staticmethod
    def delete(path: Path) -> None:
        """Forget what was heard, if anything was; an `OutputError` if it cannot be."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be deleted: {error.strerror}") from error

    def add(self, seconds: float, stretches: list[Frames], heard: list[Heard], until: str) -> None:
        """Keep what was heard lately; what a full disk does not take waits for the next time."""
        self.listened.add(seconds, stretches, heard, until)
        blobs = [stretch.astype("<f4").tobytes() for stretch in stretches]
        self._waiting += msgspec.json.encode(_Minute(seconds, blobs, heard, until)) + b"\n"
        try:
            self._write()
            self._told = False
        except OSError as error:
            if not self._told:
                _LOG.warning("what was heard is not on the disk yet: %s (said once)", error.strerror)
            self._told = True

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self) -> None:
        end = os.fstat(self._fd).st_size
        try:
            n = os.write(self._fd, self._waiting)
        except OSError:
            os.ftruncate(self._fd, end)
            raise
        self._waiting = self._waiting[n:]
        if self._waiting:
            self._write()

    def _lines(self) -> list[bytes]:
        if not self._path.exists() or self._path.stat().st_size > _MAX_BYTES:
            return []
        return self._path.read_bytes().splitlines()

    def _take(self, line: bytes, n_words: int) -> None:
        try:
            minute = msgspec.json.decode(line, type=_Minute)
            stretches = [np.frombuffer(blob, "<f4").reshape(-1, n_words) for blob in minute.stretches]
        except (msgspec.MsgspecError, ValueError):
            return
        self.listened.add(max(minute.seconds, 0.0), stretches, minute.heard, minute.until)
