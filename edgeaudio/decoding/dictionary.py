"""Pronouncing dictionaries as text, in CMUdict's form: a word and its phones on each line."""

from __future__ import annotations

import re
from pathlib import Path

from edgeaudio.decoding.files import read_lines
from edgeaudio.errors import InputError

__all__ = ["Lexicon", "read_lexicon"]

Lexicon = dict[str, list[str]]
"""Word → pronunciations, the usual one first, each a string of phones with blanks between them."""


def read_lexicon(path: Path) -> Lexicon:
    """Read a dictionary, plain or ``.gz``.

    Lines such as ``read R IY D`` and, for another pronunciation, ``read(2) R EH D1``; the marks of
    stress behind vowels are taken off. Lines that begin with ``;;;`` or ``#``, and what follows `` #``,
    are comments.

    Raises
    ------
    InputError
        The file cannot be read, or a line is none; with ``file:line:column``.
    """
    lexicon: Lexicon = {}
    for number, line in read_lines(path):
        entry = re.sub(r"\s#.*", "", line).split()
        if not entry or line.startswith((";;;", "#")):
            continue
        word, phones = re.sub(r"\(\d+\)$", "", entry[0].lower()), [phone.rstrip("012") for phone in entry[1:]]
        if not phones or not all(phone.isalnum() for phone in phones):
            wrong = next((phone for phone in entry[1:] if not phone.isalnum()), None)
            column = line.index(wrong) + 1 if wrong else len(line) + 1
            problem = f"{wrong!r} is no phone" if wrong else f"the word {entry[0]!r} has no phones"
            raise InputError(f"{path}:{number}:{column}: {problem}", hint="A line is a word and its phones.")
        said = lexicon.setdefault(word, [])
        if (one := " ".join(phones)) not in said:
            said.append(one)
    if not lexicon:
        raise InputError(f"{path}: the dictionary is empty")
    return lexicon
