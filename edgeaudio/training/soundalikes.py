"""English words by their sound: near ones, rhymes, equal beginnings, equal rhythm."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.g2p import Pronouncer
from edgeaudio.decoding.language import Language
from edgeaudio.models.catalogue import find_language
from edgeaudio.training.phones import VOWELS, Nearness, n_syllables

__all__ = ["Phones", "Scores", "Sounds", "english"]

Phones: TypeAlias = tuple[str, ...]

_PLAIN = re.compile(r"[a-z]{2,}")
_LONGEST = 14
_NONE = np.uint8(0)
"""Behind the last phone."""
_MAX_READINGS = 8
_EXACT = 0.3
_RARE_FROM, _RARITY = 1000, 0.35
"""Common words are met more often, and synthesisers know how they are said: a tenfold rank counts as
that distance."""

Scores: TypeAlias = NDArray[np.float32]


@lru_cache(maxsize=1)
def english() -> Sounds:
    """The words of the language that comes with edgeaudio.

    Raises
    ------
    ModelError
        It is missing or damaged.
    """
    file = find_language("english-small")
    return Sounds(Language.load(file), Pronouncer.load(file.parent))


class Sounds:
    """The common words of a language, and how any word is said.

    Rows are pronunciations of words, the commonest word first.
    """

    def __init__(self, language: Language, pronouncer: Pronouncer) -> None:
        self._language = language
        self._pronouncer = pronouncer
        order = np.argsort(-language.automaton.unigram_score, kind="stable").tolist()
        plain = (number for number in order if _PLAIN.fullmatch(language.word(number)))
        numbers = list(plain)
        starts = np.searchsorted(language.pron_word, numbers, side="left")
        ends = np.searchsorted(language.pron_word, numbers, side="right")
        rows = [
            (rank, row)
            for rank, (first, last) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
            for row in range(first, last)
        ]
        ranks, prons = (np.array(column) for column in zip(*rows, strict=True))
        offsets = language.phone_offsets.astype(np.intp)
        lengths = offsets[prons + 1] - offsets[prons]
        fitting = (lengths > 1) & (lengths <= _LONGEST)
        ranks, prons, lengths = ranks[fitting], prons[fitting], lengths[fitting]
        first, last = offsets[prons][:, None], offsets[prons + 1][:, None] - 1
        inside = np.arange(_LONGEST) < lengths[:, None]
        codes = np.where(inside, language.phones[np.where(inside, first + np.arange(_LONGEST), 0)], _NONE)
        # Of words that sound the same the commonest stands for all.
        kept = np.sort(np.unique(codes, axis=0, return_index=True)[1])
        self._codes = codes[kept]
        self._ranks, self._lengths, inside = ranks[kept], lengths[kept], inside[kept]
        backwards = np.where(inside, last[kept] - np.arange(_LONGEST), 0)
        self._reversed = np.where(inside, language.phones[backwards], _NONE)
        self._words = [language.word(number) for number in numbers]
        vowel = np.array([name in VOWELS for name in language.phone_names])
        self._syllables = np.sum(vowel[self._codes] & inside, axis=1)
        self._nearness = Nearness(language.phone_names, self._codes, self._lengths)
        self._nearness_of_ends = Nearness(language.phone_names, self._reversed, self._lengths)
        self._rarity = _RARITY * np.log10(np.maximum(1, self._ranks / _RARE_FROM)).astype(np.float32)

    def readings(self, word: str) -> list[Phones]:
        """Pronunciations of a word, the usual one first; none if its letters cannot be read."""
        listed = self._language.pronunciations(word)
        if listed or not self._pronouncer.can_pronounce(word):
            return listed
        return [tuple(self._pronouncer.pronounce(word))]

    def is_listed(self, word: str) -> bool:
        """Whether the lexicon has the word."""
        return bool(self._language.pronunciations(word))

    def phrase_readings(self, words: Iterable[str]) -> list[Phones]:
        """The first few pronunciations of some words one after another."""
        ways = product(*(self.readings(word) for word in words))
        return [sum(way, ()) for way in islice(ways, _MAX_READINGS)]

    def beginnings(self, phones: Phones) -> Scores:
        """Distance of every beginning of `phones` to each row: ``[len(phones) + 1, n_rows]``."""
        return self._nearness.distances(phones)

    def endings(self, phones: Phones) -> Scores:
        """The same of what is left when 0, 1, … phones are taken from the front."""
        return self._nearness_of_ends.distances(phones[::-1])[::-1]

    def near(self, distances: Scores, among: NDArray[np.bool_] | None = None) -> Iterator[str]:
        """Words by rising distance, of equal ones the commoner first."""
        scores = distances + self._rarity
        rows = np.arange(len(scores)) if among is None else np.flatnonzero(among)
        for row in rows[np.argsort(scores[rows], kind="stable")].tolist():
            yield self.word(row)

    def nearest(self, distances: Scores, n: int) -> list[tuple[float, str]]:
        """Scores and words of the `n` nearest rows."""
        scores = distances + self._rarity
        rows = np.argsort(scores, kind="stable")[:n].tolist()
        return [(float(scores[row]), self.word(row)) for row in rows]

    def exact(self, distances: Scores) -> NDArray[np.bool_]:
        """Rows that nobody tells from what they were compared with."""
        return distances < _EXACT

    def word(self, row: int) -> str:
        """The word of a row."""
        return self._words[int(self._ranks[row])]

    def rhymes(self, phones: Phones) -> NDArray[np.bool_]:
        """Rows that end alike: in two syllables if `phones` has more than that, else in one."""
        vowels = [i for i, phone in enumerate(phones) if phone in VOWELS]
        tail = phones[vowels[-2 if len(vowels) > 2 else -1] :] if vowels else phones
        return self._begin(self._reversed, tail[::-1])

    def alliterations(self, phones: Phones) -> NDArray[np.bool_]:
        """Rows that begin alike: up to the second syllable's vowel, or with the only one's."""
        vowels = [i for i, phone in enumerate(phones) if phone in VOWELS]
        head = phones[: vowels[1] if len(vowels) > 1 else vowels[0] + 1] if vowels else phones
        return self._begin(self._codes, head)

    def rhythm(self, phones: Phones) -> list[str]:
        """Common words of as many syllables, the commonest first; no mere "of" or "the"."""
        rows = np.flatnonzero((self._syllables == n_syllables(phones)) & (self._lengths > 2))
        return list(dict.fromkeys(self.word(row) for row in rows[:200].tolist()))

    def _begin(self, codes: NDArray[np.uint8], phones: Sequence[str]) -> NDArray[np.bool_]:
        wanted = [self._language.phone_names.index(phone) for phone in phones]
        same: NDArray[np.bool_] = (codes[:, : len(wanted)] == wanted).all(axis=1)
        same &= self._lengths >= len(wanted)
        return same
