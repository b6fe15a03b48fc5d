"""Captions on standard output or in a file: plain text, JSON, SRT or WebVTT.

Every record (a line, a cue) is complete when it is written, and is written in one piece behind
those before it: what is there is valid at any moment, whatever happens to the program next.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections import deque
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from edgeaudio.errors import OutputError
from edgeaudio.events import Caption, Event, encode_event
from edgeaudio.sinks.lines import describe, printable, write_record
from edgeaudio.sinks.subtitles import Cue, CueMaker, end_of_last_cue, srt_cue, vtt_cue

__all__ = ["FORMATS", "TranscriptFile", "TranscriptFormat", "TranscriptStream", "format_of"]

_LOG = logging.getLogger(__name__)

TranscriptFormat = Literal["text", "json", "srt", "vtt"]
FORMATS: tuple[TranscriptFormat, ...] = ("text", "json", "srt", "vtt")
_SUFFIXES: dict[str, TranscriptFormat] = {
    ".txt": "text",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".srt": "srt",
    ".vtt": "vtt",
}
_TAIL_BYTES = 64 * 1024
_WAITING_BYTES = 2**20
"""What is kept for a disk that is full, until there is room: days of captions."""


def format_of(path: Path) -> TranscriptFormat | None:
    """Return the format that a file's name tells, or None.

    Examples
    --------
    >>> format_of(Path("talk.SRT")), format_of(Path("talk.log"))
    ('srt', None)
    """
    return _SUFFIXES.get(path.suffix.lower())


class _Writer(Protocol):
    """Turns events into bytes: none, one record, or several."""

    def begin(self) -> bytes: ...

    def write(self, event: Event) -> bytes: ...

    def finish(self) -> bytes: ...


class _Text:
    def begin(self) -> bytes:
        return b""

    def write(self, event: Event) -> bytes:
        if not (isinstance(event, Caption) and event.final and event.words):
            return b""
        return printable(event.text).encode() + b"\n"

    def finish(self) -> bytes:
        return b""


class _Json(_Text):
    def write(self, event: Event) -> bytes:
        return encode_event(event) + b"\n"


class _Srt:
    def __init__(self, tail: str) -> None:
        index, end_ms = end_of_last_cue(tail)
        self._cues = CueMaker(offset_ms=end_ms, n_before=index)

    def begin(self) -> bytes:
        return b""

    def write(self, event: Event) -> bytes:
        return b"".join(map(self._encode, self._cues.add(event)))

    def finish(self) -> bytes:
        return b"".join(map(self._encode, self._cues.finish()))

    def _encode(self, cue: Cue) -> bytes:
        return srt_cue(cue).encode()


class _Vtt(_Srt):
    def begin(self) -> bytes:
        return b"WEBVTT\n\n"

    def _encode(self, cue: Cue) -> bytes:
        return vtt_cue(cue).encode()


def _writer(form: TranscriptFormat, tail: str = "") -> _Writer:
    if form == "text":
        return _Text()
    if form == "json":
        return _Json()
    return _Srt(tail) if form == "srt" else _Vtt(tail)


class TranscriptStream:
    """Writes each record to a stream and flushes it.

    Where the format has no place for news of losses and devices, these are logged.

    Parameters
    ----------
    stream : BinaryIO
        Standard output.
    form : {"text", "json", "srt", "vtt"}
        ``text`` is one line a final caption, ``json`` one line an event.
    """

    def __init__(self, stream: BinaryIO, form: TranscriptFormat) -> None:
        self._stream = stream
        self._writer = _writer(form)
        self._tells_all = form == "json"
        self._begun = False

    def emit(self, event: Event) -> None:
        """Write what the event completes; raises as `JsonLines.emit` does."""
        if not (self._tells_all or isinstance(event, Caption)):
            _LOG.warning("%s", describe(event))
        self._begin()
        self._put(self._writer.write(event))

    def close(self) -> None:
        """Write what is pending; raises as `emit` does."""
        self._begin()
        self._put(self._writer.finish())

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._put(self._writer.begin())

    def _put(self, record: bytes) -> None:
        if record:
            write_record(self._stream, record)


class TranscriptFile:
    """Appends each record to a file; what a file holds already stays.

    Where it holds subtitles, numbers and times go on behind the last cue. What a full disk does not
    take is kept, said once, and written as soon as there is room.

    Parameters
    ----------
    path : Path
        The file, made if it is not there.
    form : {"text", "json", "srt", "vtt"}
        See `TranscriptStream`.

    Attributes
    ----------
    written, unwritten : int
        Records in the file, and those that it did not take.

    Raises
    ------
    OutputError
        The file cannot be written, or holds something else.
    """

    def __init__(self, path: Path, form: TranscriptFormat) -> None:
        self.written = 0
        self._path = path
        self._dropped = 0
        self._last_error: int | None = None
        self._waiting: deque[bytes] = deque()
        self._fd: int | None = _open(path)
        try:
            head, tail = _ends(path, self._fd)
            if tail and not _fits(form, head, tail):
                raise OutputError(
                    f"{path}: holds something else than captions in the format {form}, and would be spoiled",
                    hint="Name another file.",
                )
            self._writer = _writer(form, tail.decode(errors="replace"))
            joint = _joint(form, tail) if tail else self._writer.begin()
            if joint and (failure := self._append(joint)):
                raise _cannot(path, failure)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def unwritten(self) -> int:
        """Records that are not in the file."""
        return self._dropped + len(self._waiting)

    def emit(self, event: Event) -> None:
        """Append what the event completes; trouble is logged and does not reach the caller."""
        self._put(self._writer.write(event))

    def close(self) -> None:
        """Append what is pending; idempotent."""
        if self._fd is None:
            return
        self._put(self._writer.finish())
        os.close(self._fd)
        self._fd = None

    def fact(self) -> tuple[str, str]:
        """Say for the summary how many records are in the file."""
        missing = f", {self.unwritten} not" if self.unwritten else ""
        return "file", f"{self.written} written to {self._path}{missing}"

    def _put(self, record: bytes) -> None:
        if record:
            self._waiting.append(record)
        while sum(map(len, self._waiting)) > _WAITING_BYTES:
            self._waiting.pop()
            self._dropped += 1
        while self._waiting:
            failure = self._append(self._waiting[0])
            if failure:
                self._tell(failure)
                return
            self._waiting.popleft()
            self.written += 1
        if self._last_error is not None:
            self._last_error = None
            _LOG.warning("%s can be written again", self._path)

    def _append(self, record: bytes) -> OSError | None:
        """Write a record whole or not at all, and return what went wrong."""
        if self._fd is None:
            return OSError(errno.EBADF, os.strerror(errno.EBADF))
        n_written = 0
        try:
            status = os.fstat(self._fd)
            while n_written < len(record):
                n_written += os.write(self._fd, record[n_written:])
        except OSError as error:
            if n_written and stat.S_ISREG(status.st_mode):
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, status.st_size)
            return error
        return None

    def _tell(self, failure: OSError) -> None:
        if failure.errno != self._last_error:
            self._last_error = failure.errno
            _LOG.warning(
                "%s cannot be written: %s; captions go on and are kept for it (said once)",
                self._path,
                failure.strerror,
            )


def _open(path: Path) -> int:
    try:
        # Without O_NONBLOCK a named pipe that nobody reads would keep us waiting here.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(path, flags, 0o666)
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        raise _cannot(path, error) from None
    os.set_blocking(fd, True)
    return fd


def _cannot(path: Path, error: OSError | ValueError) -> OutputError:
    reason = getattr(error, "strerror", None) or str(error)
    return OutputError(
        f"{path}: captions cannot be written there: {reason}",
        hint="Name a file in a folder that exists and that you may write to.",
    )


def _ends(path: Path, fd: int) -> tuple[bytes, bytes]:
    """Return beginning and end of what the file holds; nothing of a pipe or a device."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return b"", b""
    try:
        with path.open("rb") as file:
            head = file.read(16)
            file.seek(max(0, status.st_size - _TAIL_BYTES))
            return head.removeprefix(b"\xef\xbb\xbf"), file.read()
    except OSError as error:
        raise _cannot(path, error) from None


def _fits(form: TranscriptFormat, head: bytes, tail: bytes) -> bool:
    """Say whether that is a transcript of this format, and no recording that was named by mistake."""
    if b"\0" in tail:
        return False
    if form == "json":
        return head.lstrip().startswith(b"{")
    if form == "vtt":
        return head.startswith(b"WEBVTT")
    if form == "srt":
        return not head.startswith(b"WEBVTT") and (b"-->" in tail or not tail.strip())
    return True


def _joint(form: TranscriptFormat, tail: bytes) -> bytes:
    """Return what has to stand between the file's last record, perhaps a cut one, and the next."""
    wanted = b"\n\n" if form in {"srt", "vtt"} else b"\n"
    ending = tail.replace(b"\r", b"")[-len(wanted) :]
    missing = len(wanted) - (len(ending) - len(ending.rstrip(b"\n")))
    return b"\n" * missing
