"""The words a recogniser may write: spelling, pronunciations, and what follows what."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.automaton import Automaton, frozen, grammar_automaton, step
from edgeaudio.decoding.ngrams import (
    SENTENCE_END,
    SENTENCE_START,
    SPECIAL_WORDS,
    UNKNOWN,
    Ngrams,
)
from edgeaudio.errors import ModelError

__all__ = ["LANGUAGE_FILE", "SENTENCE_END", "SENTENCE_START", "UNKNOWN", "Language"]

_Scalar = TypeVar("_Scalar", bound=np.generic)

LANGUAGE_FILE = "language.bin"

_RARE = math.log(1e-7)
"""Of a word that comes in at run time where the model knows no probabilities to go by."""


@dataclass(frozen=True, eq=False)
class Language:
    """A lexicon with a word n-gram, or with a closed grammar; all arrays are read-only.

    Word 0 is ``<unk>``, 1 ``<s>`` and 2 ``</s>``; words from 3 on can be recognised and are in ascending
    order of their UTF-8 bytes, except for those that :meth:`extended` appended. Pronunciations are
    grouped by word; pronunciation i is ``phones[phone_offsets[i]:phone_offsets[i + 1]]``, places in
    ``phone_names``. A language for recognisers of characters needs none.

    Made by :meth:`load`, :meth:`build` or :meth:`closed`.
    """

    word_bytes: NDArray[np.uint8]
    word_offsets: NDArray[np.uint32]
    """``[n_words + 1]`` into `word_bytes`."""
    phone_names: tuple[str, ...]
    pron_word: NDArray[np.int32]
    """``[n_prons]``"""
    phone_offsets: NDArray[np.int32]
    """``[n_prons + 1]`` into `phones`."""
    phones: NDArray[np.uint8]
    pron_score: NDArray[np.float32]
    """``[n_prons]``: natural logarithms."""
    automaton: Automaton
    start_state: int
    """At the beginning of a sentence."""
    _appended: Mapping[str, int] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: str | Path) -> Language:
        """Map the packed file at `path`, or :data:`LANGUAGE_FILE` in the folder `path`, into memory.

        Raises
        ------
        ModelError
            The file is missing, damaged, or not what :func:`edgeaudio.decoding.pack.write_language` writes.
        """
        from edgeaudio.decoding.pack import read_language

        path = Path(path)
        # Path.is_dir raises where one may not look.
        return read_language(path / LANGUAGE_FILE if os.path.isdir(path) else path)  # noqa: PTH112

    @classmethod
    def build(
        cls,
        pronunciations: Mapping[str, Sequence[str]],
        ngrams: Mapping[tuple[str, ...], tuple[float, float]] | None = None,
    ) -> Language:
        """Make a small language in memory.

        Parameters
        ----------
        pronunciations : mapping
            Word → pronunciations as in a dictionary: ``{"read": ["R IY D", "R EH D"]}``.
        ngrams : mapping, optional
            N-gram → natural logarithms of its probability and of its back-off weight; ``<s>`` and ``</s>``
            are words like any other. By default all words and the end are equally probable, always.

        Examples
        --------
        >>> language = Language.build({"go": ["G OW"], "no": ["N OW"]})
        >>> language.word_id("no"), language.pronunciations("no")
        (4, [('N', 'OW')])
        >>> round(language.log_prob(["go", "no"]), 3) == round(3 * math.log(1 / 3), 3)
        True
        """
        words = _sorted_words(pronunciations)
        ids = {word: number for number, word in enumerate(words)}
        if ngrams is None:
            equal = -math.log(max(1, len(words) - SENTENCE_END))
            single = [(word,) for word in range(SENTENCE_END, len(words))]
            model = Ngrams.from_mapping(len(words), dict.fromkeys(single, (equal, 0.0)))
        else:
            model = Ngrams.from_mapping(
                len(words), {tuple(ids[word] for word in gram): value for gram, value in ngrams.items()}
            )
        return cls.assemble(words, pronunciations, *model.automaton())

    @classmethod
    def closed(
        cls,
        pronunciations: Mapping[str, Sequence[str]],
        states: Sequence[Mapping[str, tuple[float, int]]],
        start: int,
    ) -> Language:
        """Make the language of a closed grammar.

        Parameters
        ----------
        pronunciations : mapping
            As for :meth:`build`.
        states : sequence of mapping
            For each state: word → (natural logarithm, number of the next state). Where a sentence may
            end, ``</s>`` leads to any state.
        start : int
            State at the beginning.
        """
        words = _sorted_words(pronunciations)
        ids = {word: number for number, word in enumerate(words)}
        # State 0 of an automaton is the one that remembers nothing, so that all numbers move by one.
        arcs = [{ids[word]: (score, to + 1) for word, (score, to) in state.items()} for state in states]
        return cls.assemble(words, pronunciations, grammar_automaton(len(words), arcs), start + 1)

    @classmethod
    def assemble(
        cls,
        words: Sequence[str],
        pronunciations: Mapping[str, Sequence[str]],
        automaton: Automaton,
        start_state: int,
    ) -> Language:
        """Put a lexicon and an automaton over its words together.

        `words` are in their final order: the three special ones, then the others, ascending.
        """
        names = sorted({phone for said in pronunciations.values() for one in said for phone in one.split()})
        code = {name: number for number, name in enumerate(names)}
        spoken = [
            (number, [code[phone] for phone in one.split()])
            for number, word in enumerate(words)
            for one in dict.fromkeys(pronunciations.get(word, ()))
        ]
        blobs = [word.encode() for word in words]
        return cls(
            word_bytes=_fixed(np.frombuffer(b"".join(blobs), dtype=np.uint8)),
            word_offsets=_offsets([len(blob) for blob in blobs], np.uint32),
            phone_names=tuple(names),
            pron_word=_fixed(np.array([number for number, _ in spoken], dtype=np.int32)),
            phone_offsets=_offsets([len(phones) for _, phones in spoken], np.int32),
            phones=_fixed(np.array([code for _, phones in spoken for code in phones], dtype=np.uint8)),
            pron_score=_fixed(np.zeros(len(spoken), dtype=np.float32)),
            automaton=automaton,
            start_state=start_state,
        )

    @property
    def n_words(self) -> int:
        """Number of words, the three special ones included."""
        return len(self.word_offsets) - 1

    @property
    def is_extended(self) -> bool:
        """Whether :meth:`extended` appended words."""
        return bool(self._appended)

    @property
    def words(self) -> list[str]:
        """All words by number."""
        return [self.word(number) for number in range(self.n_words)]

    def word(self, number: int) -> str:
        """Return the spelling of word `number`."""
        start, end = self.word_offsets[number], self.word_offsets[number + 1]
        return self.word_bytes[start:end].tobytes().decode()

    def word_id(self, word: str) -> int | None:
        """Return the number of `word`, None where the lexicon lacks it or it is no word that is said."""
        wanted = word.encode()
        low, high = len(SPECIAL_WORDS), self.n_words - len(self._appended)
        end = high
        while low < high:
            middle = (low + high) // 2
            if self._spelling(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < end and self._spelling(low) == wanted else self._appended.get(word)

    def pronunciations(self, word: str) -> list[tuple[str, ...]]:
        """Return the phones of each pronunciation of `word`; none where the lexicon lacks it."""
        number = self.word_id(word)
        if number is None:
            return []
        first, last = np.searchsorted(self.pron_word, [number, number + 1])
        return [
            tuple(self.phone_names[code] for code in self.phones[start:end])
            for start, end in zip(
                self.phone_offsets[first:last], self.phone_offsets[first + 1 : last + 1], strict=True
            )
        ]

    def log_prob(self, words: Iterable[str], *, start: bool = True, end: bool = True) -> float:
        """Return the natural logarithm of the probability of a sentence, -inf where it cannot be.

        A word that the lexicon lacks counts as ``<unk>``. `start` and `end` say whether it begins and
        ends here.
        """
        numbers = [self.word_id(word) or UNKNOWN for word in words]
        state, total = self.start_state if start else 0, 0.0
        for number in [*numbers, SENTENCE_END] if end else numbers:
            score, state = step(self.automaton, state, number)
            total += float(score)
        return total

    def extended(self, pronunciations: Mapping[str, Sequence[str]]) -> Language:
        """Return this language with further words, each as probable as the rarest of its own.

        Words that it has already are left out. A closed grammar still permits only its own words.

        Raises
        ------
        ModelError
            A phone is none of ``phone_names``.
        """
        new = [word for word in dict.fromkeys(pronunciations) if self.word_id(word) is None]
        if not new:
            return self
        code = {name: number for number, name in enumerate(self.phone_names)}
        spoken = [(place, one.split()) for place, word in enumerate(new) for one in pronunciations[word]]
        strange = sorted({phone for _, phones in spoken for phone in phones} - set(code))
        if strange:
            raise ModelError(
                f"unknown phone {strange[0]!r}", hint=f"This language has: {' '.join(self.phone_names)}"
            )
        blobs = [word.encode() for word in new]
        return replace(
            self,
            word_bytes=_joined(self.word_bytes, list(b"".join(blobs))),
            word_offsets=_continued(self.word_offsets, [len(blob) for blob in blobs]),
            pron_word=_joined(self.pron_word, [self.n_words + place for place, _ in spoken]),
            phone_offsets=_continued(self.phone_offsets, [len(phones) for _, phones in spoken]),
            phones=_joined(self.phones, [code[phone] for _, phones in spoken for phone in phones]),
            pron_score=_joined(self.pron_score, [0.0] * len(spoken)),
            automaton=self._automaton_with(len(new)),
            _appended={**self._appended, **{word: self.n_words + place for place, word in enumerate(new)}},
        )

    def _automaton_with(self, n_new: int) -> Automaton:
        known = self.automaton
        possible = known.unigram_score[np.isfinite(known.unigram_score)]
        score = possible.min() if len(possible) else np.float32(_RARE)
        return frozen(
            known._replace(
                unigram_score=np.concatenate((known.unigram_score, np.full(n_new, score, np.float32))),
                unigram_next=np.concatenate((known.unigram_next, np.zeros(n_new, np.uint32))),
            )
        )

    def _spelling(self, number: int) -> bytes:
        return self.word_bytes[self.word_offsets[number] : self.word_offsets[number + 1]].tobytes()


def _sorted_words(pronunciations: Mapping[str, Sequence[str]]) -> list[str]:
    # The order of UTF-8 bytes is that of code points.
    return [*SPECIAL_WORDS, *sorted(set(pronunciations) - set(SPECIAL_WORDS))]


def _fixed(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    array.flags.writeable = False
    return array


def _offsets(lengths: Sequence[int], dtype: type[_Scalar]) -> NDArray[_Scalar]:
    return _fixed(np.concatenate(([0], np.cumsum(lengths))).astype(dtype))


def _continued(offsets: NDArray[_Scalar], lengths: Sequence[int]) -> NDArray[_Scalar]:
    ends = int(offsets[-1]) + np.cumsum(lengths, dtype=np.int64)
    return _fixed(np.concatenate((offsets, ends)).astype(offsets.dtype))


def _joined(array: NDArray[_Scalar], further: Sequence[float]) -> NDArray[_Scalar]:
    return _fixed(np.concatenate((array, np.array(further, dtype=array.dtype))))
