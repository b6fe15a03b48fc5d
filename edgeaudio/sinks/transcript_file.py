"""Captions in a file that only ever grows, and is valid at any moment.

Every record (a line, a cue) is complete when it is written, and is written in one piece behind
those before it, so that nothing that happens to the program can spoil what is there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
from collections import deque
from pathlib import Path

from edgeaudio.errors import OutputError
from edgeaudio.events import Event
from edgeaudio.sinks.transcript import TranscriptFormat, make_writer

__all__ = ["TranscriptFile", "format_of"]

_LOG = logging.getLogger(__name__)

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


class TranscriptFile:
    """Appends each record, a line or a cue, to a file; what a file holds already stays.

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
            _claim(path, self._fd)
            head, tail = _ends(path, self._fd)
            if tail and not _fits(form, head, tail):
                raise OutputError(
                    f"{path}: holds something else than captions in the format {form}, and would be spoiled",
                    hint="Name another file.",
                )
            self._writer = make_writer(form, tail.decode(errors="replace"))
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
        plural = "" if self.written == 1 else "s"
        missing = f", {self.unwritten} not" if self.unwritten else ""
        return "file", f"{self.written} {self._writer.record_name}{plural} written to {self._path}{missing}"

    def _put(self, records: list[bytes]) -> None:
        self._waiting += records
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


def _claim(path: Path, fd: int) -> None:
    """Keep other runs from writing between our cues, as long as the file is open."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(
            f"{path}: another program is writing captions there", hint="Name another file."
        ) from None
    except OSError:  # some network file systems have no locks
        return


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
