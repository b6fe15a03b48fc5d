r"""N-gram models as ARPA files, the format of SRILM, KenLM and everybody else.

::

    \data\
    ngram 1=4
    ngram 2=2

    \1-grams:
    -1.2041	the	-0.3010
    …
    \2-grams:
    -0.3010	the cat
    \end\

Logarithms are to base 10; -99 stands for impossible.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaudio.decoding.files import read_lines, replacing
from edgeaudio.decoding.ngrams import MAX_ORDER, SPECIAL_WORDS, Ngrams
from edgeaudio.errors import InputError

__all__ = ["ArpaModel", "read_arpa", "write_arpa"]

MAX_NGRAMS = 50_000_000
_LN10 = math.log(10.0)
_NEVER = -99.0
_FIELD = re.compile(r"\S+")
_UNKNOWNS = {"<UNK>": "<unk>", "<Unk>": "<unk>"}


@dataclass(frozen=True)
class ArpaModel:
    """The words of a model, the three special ones first and the others ascending, and its n-grams."""

    words: tuple[str, ...]
    ngrams: Ngrams


def read_arpa(path: Path) -> ArpaModel:
    """Read a model of up to five words, plain or ``.gz``.

    Raises
    ------
    InputError
        The file cannot be read or is not what its header promises; with ``file:line:column``.
    """
    return _Reader(path).read()


def write_arpa(path: Path, words: Sequence[str], ngrams: Ngrams) -> None:
    """Write a model over `words` to `path`, all of it or nothing.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with replacing(path) as file:
        file.writelines(f"{line}\n".encode() for line in _lines(words, ngrams))


def _lines(words: Sequence[str], ngrams: Ngrams) -> Iterator[str]:
    yield "\\data\\"
    for length, table in enumerate(ngrams.tables, start=1):
        yield f"ngram {length}={len(table.grams)}"
    for length, table in enumerate(ngrams.tables, start=1):
        yield f"\n\\{length}-grams:"
        probs = np.maximum(table.log_prob / _LN10, _NEVER).tolist()
        backoffs = np.maximum(table.backoff / _LN10, _NEVER).tolist()
        for gram, prob, backoff in zip(table.grams.tolist(), probs, backoffs, strict=True):
            behind = f"\t{backoff:.7g}" if length < ngrams.order else ""
            yield f"{prob:.7g}\t{' '.join(words[word] for word in gram)}{behind}"
    yield "\n\\end\\"


class _Reader:
    """Goes through the lines once and knows where it is, to say so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = read_lines(path)
        self._number, self._line = 0, ""
        self._ids: dict[str, int] = dict.fromkeys(SPECIAL_WORDS, 0)

    def read(self) -> ArpaModel:
        counts = self._read_header()
        singles: dict[str, tuple[float, float]] = {}
        for (word,), values in self._read_section(1, counts[0], len(counts)):
            if word in singles:
                raise self._problem(f"the word {word!r} is listed twice", self._column(1))
            singles[word] = values
        words = (*SPECIAL_WORDS, *sorted(set(singles) - set(SPECIAL_WORDS)))
        self._ids = {word: number for number, word in enumerate(words)}
        grams: dict[tuple[int, ...], tuple[float, float]] = {
            (self._ids[word],): values for word, values in singles.items()
        }
        for length, count in enumerate(counts[1:], start=2):
            for names, values in self._read_section(length, count, len(counts)):
                key = self._key(names)
                if key in grams:
                    raise self._problem("this n-gram is listed twice", self._column(1))
                grams[key] = values
        if self._line != "\\end\\":
            raise self._problem(f"here should be \\end\\, not {self._shown()}")
        return ArpaModel(words, Ngrams.from_mapping(len(words), grams))

    def _read_header(self) -> list[int]:
        while self._next() and self._line != "\\data\\":
            pass
        if self._line != "\\data\\":
            raise self._problem("no line \\data\\: this is no ARPA file", hint="Its first lines begin so.")
        counts: list[int] = []
        while self._next() and not self._line.startswith("\\"):
            found = re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d{1,12})", self._line)
            if not found or int(found[1]) != len(counts) + 1:
                raise self._problem(f"here should be: ngram {len(counts) + 1}=…, not {self._shown()}")
            if len(counts) == MAX_ORDER:
                raise self._problem(f"n-grams of more than {MAX_ORDER} words")
            counts.append(int(found[2]))
            if sum(counts) > MAX_NGRAMS:
                raise self._problem(f"more than {MAX_NGRAMS} n-grams", found.start(2) + 1)
        if not counts:
            raise self._problem("the header names no n-grams")
        return counts

    def _read_section(
        self, length: int, count: int, order: int
    ) -> Iterator[tuple[list[str], tuple[float, float]]]:
        if self._line != f"\\{length}-grams:":
            raise self._problem(f"here should be \\{length}-grams:, not {self._shown()}")
        found = 0
        while self._next() and not self._line.startswith("\\"):
            found += 1
            yield self._gram(length, order)
        if found != count:
            raise self._problem(f"{found} n-grams of {length}, the header promises {count}")

    def _gram(self, length: int, order: int) -> tuple[list[str], tuple[float, float]]:
        fields = self._line.split()
        most = length + 1 + (length < order)
        if not length + 1 <= len(fields) <= most:
            wanted = f"a logarithm, {length} word{'s' * (length > 1)}"
            further = " and perhaps another logarithm" * (length < order)
            column = self._column(min(len(fields) - 1, most))
            raise self._problem(f"{len(fields)} fields; here should be {wanted}{further}", column)
        prob = self._logarithm(0, fields[0])
        if prob > 0.0:
            raise self._problem(f"{fields[0]} is the logarithm of no probability", self._column(0))
        backoff = self._logarithm(length + 1, fields[-1]) if len(fields) == length + 2 else 0.0
        return [_UNKNOWNS.get(word, word) for word in fields[1 : length + 1]], (prob, backoff)

    def _key(self, names: list[str]) -> tuple[int, ...]:
        for place, name in enumerate(names):
            if name not in self._ids:
                raise self._problem(f"the word {name!r} is not among the 1-grams", self._column(place + 1))
            if (name == "<s>" and place > 0) or (name == "</s>" and place < len(names) - 1):
                raise self._problem(f"{name} in the middle of an n-gram", self._column(place + 1))
        return tuple(self._ids[name] for name in names)

    def _logarithm(self, place: int, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value) or value == math.inf:
            raise self._problem(f"{text!r} is no logarithm", self._column(place))
        return -math.inf if value <= _NEVER else value * _LN10

    def _next(self) -> bool:
        """Go to the next line that is not blank."""
        for number, line in self._lines:
            self._number, self._line = number, line.rstrip()
            if self._line:
                return True
        self._number, self._line = self._number + 1, ""
        return False

    def _column(self, place: int) -> int:
        starts = [found.start() + 1 for found in _FIELD.finditer(self._line)]
        return starts[place] if place < len(starts) else len(self._line) + 1

    def _shown(self) -> str:
        return repr(self._line[:40]) if self._line else "the end of the file"

    def _problem(self, problem: str, column: int = 1, hint: str | None = None) -> InputError:
        return InputError(f"{self._path}:{self._number}:{column}: {problem}", hint=hint)
