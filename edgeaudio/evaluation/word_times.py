"""When each word of a recording is spoken, as ``edgeaudio label --align`` finds it out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from edgeaudio.errors import InputError

__all__ = ["SpokenWord", "WordTimes", "read_word_times"]


class SpokenWord(msgspec.Struct, frozen=True):
    """A word, and when it begins and ends."""

    word: str
    start_s: float
    end_s: float


class _Recording(msgspec.Struct, frozen=True):
    path: str
    words: tuple[SpokenWord, ...]


WordTimes: TypeAlias = dict[Path, tuple[SpokenWord, ...]]
"""By the resolved path of the recording."""


def read_word_times(path: Path) -> WordTimes:
    """Read the lines of JSON that ``edgeaudio label --align --output FILE.json`` writes.

    Paths in it are relative to its own folder.

    Raises
    ------
    InputError
        The file cannot be read or holds something else, with the line.
    """
    folder = path.absolute().parent
    return {(folder / one.path).resolve(): one.words for one in _recordings(path)}


def _recordings(path: Path) -> Iterator[_Recording]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot read the word times: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield msgspec.json.decode(line, type=_Recording)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InputError(
                    f"{path}:{number}: these are no word times: {error}",
                    hint="Make them with: edgeaudio label MANIFEST --align --output FILE.json",
                ) from None
