"""Files of labels that only ever grow: an interrupted run goes on where it stopped.

All that belongs to one recording is written at once. What a crash left unfinished at the end of a file
is recognised and cut off when the file is opened again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import msgspec

from edgeaudio.errors import InputError, OutputError
from edgeaudio.evaluation.labels import Label
from edgeaudio.evaluation.manifest import Row, path_text

__all__ = ["FORMATS", "LabelFile", "LabelFormat", "format_of", "record"]

LabelFormat: TypeAlias = Literal["tsv", "json", "ctm"]
FORMATS: tuple[LabelFormat, ...] = ("tsv", "json", "ctm")
_SUFFIXES: dict[str, LabelFormat] = {
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".ctm": "ctm",
}
_COLUMNS = ("path", "seconds", "speaker", "split", "label", "text", "confidence")
HEADER: dict[LabelFormat, bytes] = {
    "tsv": "\t".join(_COLUMNS).encode() + b"\n",
    "json": b"",
    "ctm": b";; recording channel start duration word confidence\n",
}
_CTM_BLOCK = re.compile(rb";; (\S+): (\d+) words\n")


def format_of(path: Path) -> LabelFormat:
    """Return the format that a file's name tells.

    Raises
    ------
    OutputError
        It tells none.
    """
    form = _SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise OutputError(
            f"{path}: the name does not tell the format",
            hint=f"Let it end in one of: {' '.join(_SUFFIXES)}",
        )
    return form


def record(form: LabelFormat, name: str, row: Row, label: Label | None) -> bytes:
    """Write all that is to be said about one recording.

    Parameters
    ----------
    form : {"tsv", "json", "ctm"}
    name : str
        What the recording is called.
    row : Row
        What was known before.
    label : Label or None
        None for a recording that is passed on as it was, which only manifests do: elsewhere nothing is
        written.

    Raises
    ------
    InputError
        The name cannot be written in such a file.
    """
    if form == "tsv":
        fields = _fields(name, row, label)
        if any(set(field) & set("\t\n\r") for field in fields):
            raise InputError(f"{row.origin}: a name with tabs or line breaks cannot stand in a manifest")
        return "\t".join(fields).encode("utf-8", "surrogateescape") + b"\n"
    if label is None:
        return b""
    if form == "json":
        return msgspec.json.encode(_plain(name, label)) + b"\n"
    spoken = re.sub(r"\s", "_", name)
    lines = [f";; {spoken}: {len(label.words)} words"]
    lines += [
        f"{spoken} 1 {word.start_s:.2f} {word.end_s - word.start_s:.2f} {word.word} {word.confidence:.2f}"
        for word in label.words
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape") + b"\n"


def _fields(name: str, row: Row, label: Label | None) -> list[str]:
    if label is None:
        seconds = "" if row.seconds is None else f"{row.seconds:.3f}"
        return [name, seconds, row.speaker, row.split, row.label, row.text, ""]
    about = [f"{label.seconds:.3f}", row.speaker, row.split, row.label]
    return [name, *about, label.text, f"{label.confidence:.3f}"]


def _plain(name: str, label: Label) -> dict[str, object]:
    return {
        "path": path_text(name),
        "seconds": round(label.seconds, 3),
        "text": label.text,
        "confidence": round(label.confidence, 3),
        "words": [
            {
                "word": word.word,
                "start_s": round(word.start_s, 3),
                "end_s": round(word.end_s, 3),
                "confidence": round(word.confidence, 3),
            }
            for word in label.words
        ],
    }


class LabelFile:
    """A file that recordings are added to.

    Parameters
    ----------
    path : Path
        Made if it is missing; otherwise what it holds already is kept.

    Raises
    ------
    OutputError
        It cannot be written, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.form = format_of(path)
        self._done: set[str] = set()
        try:
            self._file: BinaryIO = path.open("r+b" if path.exists() else "x+b")
            try:
                self._resume()
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def name_of(self, row: Row) -> str:
        """Return what a recording is called in this file: its path, relative to the file's folder."""
        return os.path.relpath(row.path.absolute(), self.path.absolute().parent)

    def holds(self, row: Row) -> bool:
        """Say whether a recording is in the file already."""
        return _key(self.form, self.name_of(row)) in self._done

    def add(self, row: Row, label: Label | None) -> None:
        """Append what is known of a recording, see :func:`record`.

        Raises
        ------
        OutputError
            It cannot be written; the file is as it was before.
        """
        name = self.name_of(row)
        data = record(self.form, name, row, label)
        end = self._file.tell()
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            self._file.truncate(end)
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from None
        self._done.add(_key(self.form, name))

    def _resume(self) -> None:
        """Find out what is there, and cut off what is unfinished."""
        data = self._file.read()
        header = HEADER[self.form]
        end, done = 0, list[str]()
        if data.startswith(header):
            whole = data[: data.rfind(b"\n") + 1]
            end, done = _READERS[self.form](whole, len(header))
        # What is left must be the beginning of what could stand there.
        expected = _BEGINNINGS[self.form] if end else header or _BEGINNINGS[self.form]
        rest = data[end:]
        if not expected.startswith(rest[: len(expected)]):
            raise OutputError(
                f"{self.path} holds something else than labels", hint="Name another file, or remove this one."
            )
        self._done = set(done)
        self._file.seek(end)
        self._file.truncate()
        if end < len(header):
            self._file.write(header)
            self._file.flush()


def _key(form: LabelFormat, name: str) -> str:
    return re.sub(r"\s", "_", name) if form == "ctm" else name


def _read_tsv(data: bytes, at: int) -> tuple[int, list[str]]:
    lines = data[at:].decode("utf-8", "surrogateescape").split("\n")[:-1]
    return len(data), [line.split("\t")[0] for line in lines]


def _read_json(data: bytes, at: int) -> tuple[int, list[str]]:
    done = []
    for line in data[at:].splitlines(keepends=True):
        try:
            done.append(str(msgspec.json.decode(line, type=dict[str, object])["path"]))
        except (msgspec.DecodeError, KeyError):
            break
        at += len(line)
    return at, done


def _read_ctm(data: bytes, at: int) -> tuple[int, list[str]]:
    """Read blocks of a comment that says how many words follow, and the words."""
    done = []
    while match := _CTM_BLOCK.match(data, at):
        lines = data[match.end() :].split(b"\n", int(match[2]))
        if len(lines) <= int(match[2]):
            break  # the last block lacks words
        done.append(match[1].decode("utf-8", "surrogateescape"))
        at = len(data) - len(lines[-1])
    return at, done


_READERS: dict[LabelFormat, Callable[[bytes, int], tuple[int, list[str]]]] = {
    "tsv": _read_tsv,
    "json": _read_json,
    "ctm": _read_ctm,
}
"""Find out where the last complete record ends, and which recordings there are."""
_BEGINNINGS: dict[LabelFormat, bytes] = {"tsv": b"", "json": b'{"path":', "ctm": b";; "}
"""How each record begins."""
