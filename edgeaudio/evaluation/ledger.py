"""The ledger: a bounded folder of clips that sounded like a wake word, and what people said they were.

It is a corpus folder: audio and a ``manifest.tsv`` whose columns `edgeaudio.evaluation.manifest` knows, and
some more::

    path  seconds  speaker  split  label  text  source  licence
    score  threshold  heard_at  verdict  kind  word

``verdict`` is ``word`` where a person said that it was the word, ``other`` where it was not, and empty
where nobody has listened; ``label`` and ``text`` follow it. Training takes a ledger as such only, so that
nothing unheard passes for the word.
``source`` is the model, ``kind`` is ``detection`` or ``near_miss``.

Only the owner may read the folder. One process adds to it while another one reviews: a lock keeps them
apart. Lines are appended in one piece, and any other change replaces the file by a new one; a line that
cannot be understood is passed over, said, and kept as it is. What deletes, deletes lines before files, and no
files but those that the ledger made.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

from edgeaudio.config import read_bounded
from edgeaudio.errors import InputError, OutputError
from edgeaudio.evaluation.manifest import path_text

__all__ = ["Kind", "LedgerClip", "LedgerFolder", "Limits", "Verdict", "is_ledger", "read_ledger"]

_LOG = logging.getLogger(__name__)

Verdict: TypeAlias = Literal["", "word", "other"]
Kind: TypeAlias = Literal["detection", "near_miss"]

MANIFEST = "manifest.tsv"
MAX_MANIFEST_BYTES = 64 * 2**20
_LOCK = ".lock"
_COLUMNS = (
    *("path", "seconds", "speaker", "split", "label", "text", "source", "licence"),
    *("score", "threshold", "heard_at", "verdict", "kind", "word"),
)
_CLIP = re.compile(r"(\d{8}T\d{6}\.\d{3}Z)-\d{4,}-[\w-]{1,80}\.(?:flac|wav)", re.ASCII)
_UNFINISHED = re.compile(_CLIP.pattern + r"\.part", re.ASCII)
_DAY_S = 86_400.0


@dataclass(frozen=True)
class LedgerClip:
    """One clip; `word` is what the model took it for, `heard_at` the time in UTC."""

    path: Path
    seconds: float
    model: str
    word: str
    kind: Kind
    score: float
    threshold: float
    heard_at: datetime
    verdict: Verdict = ""

    def to_json(self) -> dict[str, Any]:
        """Return what ``edgeaudio ledger list --json`` prints."""
        return {
            "path": path_text(self.path),
            "seconds": self.seconds,
            "model": self.model,
            "word": self.word,
            "kind": self.kind,
            "score": self.score,
            "threshold": self.threshold,
            "heard_at": _time_text(self.heard_at),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Limits:
    """The most that a ledger may hold: clips, bytes, and seconds since they were heard."""

    clips: int = 1000
    size_bytes: int = 100_000_000
    age_s: float = 30 * _DAY_S


def is_ledger(folder: Path) -> bool:
    """Return whether a folder is a ledger rather than any other corpus."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            return set(_COLUMNS) <= set(file.readline(65_536).decode("utf-8", "replace").split())
    except OSError:
        return False


def read_ledger(folder: str | Path) -> list[LedgerClip]:
    """Return the clips of a ledger with what people said they were, in the order in which they came.

    Raises
    ------
    InputError
        There is no ledger in the folder, or it cannot be read.
    """
    return LedgerFolder.existing(folder).clips()


class LedgerFolder:
    """The folder and its manifest; see the module.

    Parameters
    ----------
    folder : Path
        Made, for its owner alone, where it is missing.

    Raises
    ------
    OutputError
        The folder cannot be made or written to, or holds another corpus.
    """

    _n_unreadable = 0
    """That the log has told of."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder)
        self._manifest = self.path / MANIFEST
        try:
            is_new = not self.path.exists()
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_new or not any(self.path.iterdir()):
                self.path.chmod(0o700)
            elif self._manifest.exists() and self._manifest.stat().st_size:
                self._header()  # another corpus is left as it is, without as much as a lock
            with self._locked():
                self._header()
            if self.path.stat().st_mode & 0o077:
                _LOG.warning("others may look into %s; chmod 700 keeps them out", self.path)
        except InputError as error:
            raise OutputError(f"no ledger can be kept in {self.path}: {error}") from None
        except OSError as error:
            raise OutputError(
                f"no ledger can be kept in {self.path}: {error.strerror}",
                hint="Choose a folder that you may write to.",
            ) from None

    @classmethod
    def existing(cls, folder: str | Path) -> LedgerFolder:
        """Return a ledger that is there, without touching it; an `InputError` if there is none."""
        ledger = cls.__new__(cls)
        ledger.path = Path(folder)
        ledger._manifest = ledger.path / MANIFEST
        if not os.path.isfile(ledger._manifest):  # noqa: PTH113 - Path's raises where one may not look
            raise InputError(
                f"{folder}: there is no ledger in this folder",
                hint="edgeaudio wake --ledger DIR makes one.",
            )
        ledger._lines()
        return ledger

    def clips(self) -> list[LedgerClip]:
        """Return those that are there; lines that say nothing are passed over, and counted in the log."""
        columns, lines = self._lines()
        parsed = [self._parse(columns, line) for line in lines if line.strip()]
        unreadable = parsed.count(None)
        if unreadable and unreadable != self._n_unreadable:
            _LOG.warning("%s: %d lines make no sense; they are passed over", self._manifest, unreadable)
        self._n_unreadable = unreadable
        return [clip for clip in parsed if clip is not None and clip.path.is_file()]

    def add(self, name: str, data: bytes, clip: LedgerClip) -> None:
        """Write a clip's file, named ``name``, and its line. Raises OSError, and leaves nothing then.

        `name` is ``<UTC time>-<number>-<word>.flac`` or ``.wav``.
        """
        if not _CLIP.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a clip")
        with self._locked():
            columns = self._header()
            _write_private(self.path / name, data)
            try:
                self._append(_line(columns, replace(clip, path=self.path / name)))
            except OSError:
                (self.path / name).unlink(missing_ok=True)
                raise

    def judge(self, verdicts: Mapping[str, Verdict]) -> None:
        """Store what was said about clips, by their file names.

        Raises
        ------
        OutputError
            The manifest cannot be written; it stays as it was.
        """

        def judged(clip: LedgerClip) -> LedgerClip:
            return replace(clip, verdict=verdicts.get(clip.path.name, clip.verdict))

        self._change(judged)

    def remove(self, names: Collection[str]) -> None:
        """Delete clips by their file names; raises as `judge` does."""
        self._change(lambda clip: None if clip.path.name in names else clip)
        for name in names:
            if _CLIP.fullmatch(name):
                with _telling(self.path):
                    (self.path / name).unlink(missing_ok=True)

    def prune(self, limits: Limits, now: datetime | None = None) -> int:
        """Delete what is too old, and then the oldest until the rest fits; return how many clips went.

        To make room, those nobody has listened to go first; age spares none. Remains of a write that was
        cut off go, too. Raises as `judge` does.
        """
        now = now or datetime.now(timezone.utc)
        judged = {clip.path.name for clip in self.clips() if clip.verdict}
        kept: list[tuple[str, int]] = []
        gone: list[str] = []
        for entry in sorted(path.name for path in self.files()):
            heard_at = _time_in(entry)
            if now - heard_at > timedelta(seconds=limits.age_s):
                gone.append(entry)
                continue
            with contextlib.suppress(OSError):
                kept.append((entry, (self.path / entry).stat().st_size))
        n, size = len(kept), sum(size for _, size in kept)
        for entry, entry_size in sorted(kept, key=lambda item: (item[0] in judged, item[0])):
            if n <= limits.clips and size <= limits.size_bytes:
                break
            gone.append(entry)
            n, size = n - 1, size - entry_size
        if gone:
            self.remove(gone)
        self._sweep()
        return len(gone)

    def files(self) -> list[Path]:
        """Return the files of all clips, also of those whose line in the manifest is lost."""
        with _telling(self.path):
            return [path for path in self.path.iterdir() if _CLIP.fullmatch(path.name)]

    def _sweep(self) -> None:
        with self._locked(), _telling(self.path):  # the lock: nobody writes one now
            for path in self.path.iterdir():
                if _UNFINISHED.fullmatch(path.name) or path.name == f"{MANIFEST}.part":
                    path.unlink(missing_ok=True)

    def _lines(self) -> tuple[list[str], list[str]]:
        """Return the header's columns and the lines below it."""
        data = read_bounded(self._manifest, MAX_MANIFEST_BYTES, InputError)
        # A power cut leaves any bytes behind.
        lines = data.decode("utf-8", "surrogateescape").split("\n")
        columns = lines[0].rstrip("\r").split("\t")
        missing = [name for name in _COLUMNS if name not in columns]
        if missing:
            raise InputError(
                f"{self._manifest} belongs to another corpus: it has no column {missing[0]!r}",
                hint="Give the ledger a folder of its own.",
            )
        return columns, lines[1:]

    def _header(self) -> list[str]:
        """Return the columns of the manifest, which is begun if there is none."""
        if not self._manifest.exists() or not self._manifest.stat().st_size:
            _write_private(self._manifest, "\t".join(_COLUMNS).encode() + b"\n")
        with self._manifest.open("rb") as file:
            first = file.readline(65_536).decode("utf-8", "replace")
        columns = first.rstrip("\r\n").split("\t")
        if any(name not in columns for name in _COLUMNS):
            return self._lines()[0]  # says what is wrong
        return columns

    def _parse(self, columns: list[str], line: str) -> LedgerClip | None:
        fields = line.rstrip("\r").split("\t")
        if len(fields) != len(columns):
            return None
        value = dict(zip(columns, fields, strict=True))
        verdict, kind = value["verdict"], value["kind"]
        if not _CLIP.fullmatch(value["path"]) or verdict not in {"", "word", "other"}:
            return None
        if kind not in {"detection", "near_miss"}:
            return None
        try:
            return LedgerClip(
                path=self.path / value["path"],
                seconds=float(value["seconds"]),
                model=value["source"],
                word=value["word"],
                kind=kind,  # type: ignore[arg-type]
                score=float(value["score"]),
                threshold=float(value["threshold"]),
                heard_at=_read_time(value["heard_at"]),
                verdict=verdict,  # type: ignore[arg-type]
            )
        except (ValueError, OverflowError):
            return None

    def _append(self, line: bytes) -> None:
        """Add one line in one piece; a disk that is full in the middle of it leaves none of it."""
        fd = os.open(self._manifest, os.O_RDWR | os.O_APPEND)
        try:
            end = os.fstat(fd).st_size
            # What a power cut broke off is a line of its own, which says nothing.
            begun = end and os.pread(fd, 1, end - 1) != b"\n"
            line = b"\n" * bool(begun) + line
            try:
                if os.write(fd, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # there was room for a part
            except OSError:
                os.ftruncate(fd, end)
                raise
        finally:
            os.close(fd)

    def _change(self, change: Callable[[LedgerClip], LedgerClip | None]) -> None:
        """Write the manifest anew, each line as `change` wants it, or without it where it returns None."""
        with _telling(self.path), self._locked():
            columns, lines = self._lines()
            out = ["\t".join(columns).encode() + b"\n"]
            for line in lines:
                clip = self._parse(columns, line)
                changed = clip if clip is None else change(clip)
                if clip is not None and changed is not None and changed != clip:
                    out.append(_line(columns, changed, line))
                elif clip is None or changed is not None:
                    out.append(line.encode("utf-8", "surrogateescape") + b"\n" if line.strip() else b"")
            _write_private(self._manifest, b"".join(out))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _line(columns: list[str], clip: LedgerClip, before: str = "") -> bytes:
    """Return a clip's line; columns that we know nothing of stay as they were."""
    said = clip.word.replace("_", " ") if clip.verdict == "word" else ""
    values = {
        "path": clip.path.name,
        "seconds": f"{clip.seconds:.3f}",
        "label": clip.word if clip.verdict == "word" else clip.verdict,
        "text": said,
        "source": clip.model,
        "licence": "private",
        "score": f"{clip.score:.4f}",
        "threshold": f"{clip.threshold:.4f}",
        "heard_at": _time_text(clip.heard_at),
        "verdict": clip.verdict,
        "kind": clip.kind,
        "word": clip.word,
    }
    old = dict(zip(columns, before.rstrip("\r").split("\t"), strict=False))
    fields = (_plain(values.get(name, old.get(name, ""))) for name in columns)
    return "\t".join(fields).encode("utf-8", "surrogateescape") + b"\n"


def _plain(text: str) -> str:
    return re.sub(r"[\t\r\n]", " ", text)


def _time_text(at: datetime) -> str:
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_time(text: str) -> datetime:
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    at = at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at.astimezone(timezone.utc)
    if not datetime.min.year < at.year < datetime.max.year:
        raise ValueError(f"{text!r} has no time of day everywhere")
    return at


def _time_in(name: str) -> datetime:
    """Return when a clip was heard; the name says it even where the manifest's line is lost."""
    found = _CLIP.fullmatch(name)
    stamp = found[1] if found else ""
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=timezone.utc)
    except ValueError:  # month 13
        return datetime.fromtimestamp(0, timezone.utc)


def _write_private(path: Path, data: bytes) -> None:
    """Put a file in place, complete and for its owner alone, or raise OSError and leave what was there."""
    part = path.with_name(path.name + ".part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """Turn an OSError into one that people understand."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the ledger in {folder} cannot be changed: {error.strerror}",
            hint="It stays as it was. Make room, or become its owner.",
        ) from error
