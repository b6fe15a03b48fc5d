"""Text files from outside, and files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgeaudio.errors import InputError, OutputError

__all__ = ["read_lines", "replacing"]

MAX_CHARACTERS = 2**30
"""Of text, when unpacked."""
MAX_LINE_CHARACTERS = 2**20


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 text, plain or ``.gz``, without their ends and with numbers from 1.

    Raises
    ------
    InputError
        The file cannot be read, is no text, or is larger than a gigabyte.
    """
    size = number = 0
    try:
        with path.open("rb") as packed, gzip.open(packed) if path.suffix == ".gz" else packed as raw:
            file = io.TextIOWrapper(raw, encoding="utf-8-sig")
            while line := file.readline(MAX_LINE_CHARACTERS + 1):
                number += 1
                size += len(line)
                if len(line) > MAX_LINE_CHARACTERS:
                    raise InputError(f"{path}:{number}: longer than {MAX_LINE_CHARACTERS} characters")
                if size > MAX_CHARACTERS:
                    raise InputError(f"{path}: more than {MAX_CHARACTERS} characters")
                yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number + 1}: not UTF-8 text ({error.reason})") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file beside `path` and then put it in its place: who has the old one open keeps it.

    Raises
    ------
    OutputError
        The file cannot be written; the old one is as it was.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                yield file  # type: ignore[misc]
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(0o644)
                Path(file.name).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(file.name).unlink()
                raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
