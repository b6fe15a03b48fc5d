"""Text to learn from: plain, packed with gzip, or a column of a table; and what of it to leave out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edgeaudio.decoding.files import read_lines
from edgeaudio.decoding.text import normalise
from edgeaudio.errors import InputError

__all__ = ["RUN", "SENTENCE_END", "Sentence", "Source", "read_sentences", "sources", "without"]

RUN = 6
"""Sentences that share so many words in a row have one origin."""

SENTENCE_END = re.compile(r"(?<=[.!?])[\"'\u201d\u2019)]*\s+")


class Sentence(NamedTuple):
    """Words as a lexicon lists them, and where they come from."""

    words: tuple[str, ...]
    source: str
    licence: str


class Source(NamedTuple):
    """How much of a text was used."""

    name: str
    licence: str
    sentences: int
    words: int


def read_sentences(path: Path) -> Iterator[Sentence]:
    """Read a text and normalise it.

    A file whose name ends in ``.tsv`` or ``.tsv.gz`` is a table with a header; of it the column ``text``
    is read and, where they are, ``source`` and ``licence``. Any other file holds one or more whole
    sentences on each line.

    Raises
    ------
    InputError
        The file cannot be read or has no column ``text``.
    """
    lines = read_lines(path)
    if not path.name.removesuffix(".gz").endswith(".tsv"):
        for _, line in lines:
            for text in SENTENCE_END.split(line):
                if words := normalise(text):
                    yield Sentence(tuple(words), path.name, "not stated")
        return
    columns = next(lines, (1, ""))[1].split("\t")
    if "text" not in columns:
        raise InputError(f"{path}:1: no column 'text'", hint="The first line names the columns.")
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise InputError(f"{path}:{number}: {len(fields)} fields, the header has {len(columns)}")
        row = dict(zip(columns, fields, strict=True))
        if words := normalise(row["text"]):
            yield Sentence(tuple(words), row.get("source") or path.name, row.get("licence") or "not stated")


def without(sentences: Iterable[Sentence], others: Iterable[Sentence]) -> list[Sentence]:
    """Return the sentences that share no run of :data:`RUN` words with `others` and are none of them."""
    runs = {run for other in others for run in _runs(other.words)}
    return [sentence for sentence in sentences if runs.isdisjoint(_runs(sentence.words))]


def sources(sentences: Sequence[Sentence]) -> list[Source]:
    """Count sentences and words of each source."""
    n_sentences = Counter((sentence.source, sentence.licence) for sentence in sentences)
    n_words: Counter[tuple[str, str]] = Counter()
    for sentence in sentences:
        n_words[sentence.source, sentence.licence] += len(sentence.words)
    return [Source(*key, count, n_words[key]) for key, count in n_sentences.items()]


def _runs(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    yield from (words[start : start + RUN] for start in range(len(words) - RUN + 1))
