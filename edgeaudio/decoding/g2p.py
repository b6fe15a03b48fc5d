"""How a word is said that no lexicon lists: letters to phones.

A word is read as a row of graphones, one or two letters with the phones they stand for (``ph:F``,
``x:K.S``, ``e:`` for a silent letter), of which an n-gram knows what follows what (Bisani and Ney,
"Joint-sequence models for grapheme-to-phoneme conversion", 2008). The n-gram is a packed
:class:`~edgeaudio.decoding.language.Language` whose words are the graphones; it is made by
``edgeaudio train language`` from the lexicon.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from edgeaudio.decoding.language import SENTENCE_END, Language
from edgeaudio.decoding.ngrams import SPECIAL_WORDS
from edgeaudio.decoding.text import unaccented
from edgeaudio.errors import ModelError, UsageError

__all__ = ["G2P_FILE", "Pronouncer", "graphone"]

G2P_FILE = "g2p.bin"

_BEAM = 16
_MAX_LETTERS = 60
_Arcs: TypeAlias = dict[int, tuple[float, int]]
_Said: TypeAlias = "tuple[_Said, int] | None"
"""The graphones of a reading, last one first."""


def graphone(letters: str, phones: Iterable[str]) -> str:
    """Return the name of a graphone.

    Examples
    --------
    >>> graphone("x", ["K", "S"])
    'x:K.S'
    """
    return f"{letters}:{'.'.join(phones)}"


class Pronouncer:
    """Guesses pronunciations.

    Parameters
    ----------
    model : Language
        The n-gram of graphones.
    """

    def __init__(self, model: Language) -> None:
        self._automaton = model.automaton
        self._start = model.start_state
        self._arcs: dict[int, _Arcs] = {}
        self._unigrams = list(
            zip(model.automaton.unigram_score.tolist(), model.automaton.unigram_next.tolist(), strict=True)
        )
        self._phones: list[tuple[str, ...]] = []
        self._spelling: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(model.words):
            letters, _, phones = name.partition(":")
            self._phones.append(tuple(phones.split(".")) if phones else ())
            if number >= len(SPECIAL_WORDS):
                self._spelling[letters].append(number)
        self._longest = max(map(len, self._spelling), default=0)

    @classmethod
    def load(cls, path: str | Path) -> Pronouncer:
        """Map the model at `path`, or :data:`G2P_FILE` in the folder `path`, into memory.

        Raises
        ------
        ModelError
            The file is missing, damaged or holds no graphones.
        """
        path = Path(path)
        path = path / G2P_FILE if os.path.isdir(path) else path  # noqa: PTH112 - see `Language.load`
        model = Language.load(path)
        if model.n_words <= len(SPECIAL_WORDS) or ":" not in model.word(len(SPECIAL_WORDS)):
            raise ModelError(f"{path} holds no graphones", hint="Make it with: edgeaudio train language")
        return cls(model)

    def can_pronounce(self, word: str) -> bool:
        """Whether the model knows all letters of `word`."""
        plain = unaccented(word)
        return 0 < len(plain) <= _MAX_LETTERS and all(letter in self._spelling for letter in plain)

    def pronounce(self, word: str) -> list[str]:
        """Return the most probable phones of `word`; accents and upper case are taken off it.

        Raises
        ------
        UsageError
            The word holds a letter that the model never saw, is empty or far too long.
        """
        plain = unaccented(word)
        strange = [letter for letter in plain if letter not in self._spelling]
        if strange or not 0 < len(plain) <= _MAX_LETTERS:
            problem = f"there is no letter {strange[0]!r}" if strange else f"it has {len(plain)} letters"
            raise UsageError(f"cannot pronounce {word!r}: {problem}", hint="Give its phones yourself.")
        return self._best(plain)

    def _best(self, word: str) -> list[str]:
        # For each place in the word the best reading up to there that ends in each state.
        readings: list[dict[int, tuple[float, _Said]]] = [{} for _ in range(len(word) + 1)]
        readings[0][self._start] = (0.0, None)
        for place in range(len(word)):
            best = sorted(readings[place].items(), key=lambda item: -item[1][0])[:_BEAM]
            for end in range(place + 1, min(len(word), place + self._longest) + 1):
                options = self._spelling.get(word[place:end], ())
                there = readings[end]
                for state, (score, said) in best:
                    for option in options:
                        added, following = self._step(state, option)
                        if following not in there or score + added > there[following][0]:
                            there[following] = (score + added, (said, option))
        finished = (
            (score + self._step(state, SENTENCE_END)[0], said)
            for state, (score, said) in readings[-1].items()
        )
        _, said = max(finished, key=lambda item: item[0])
        phones: list[str] = []
        while said is not None:
            said, option = said
            phones[:0] = self._phones[option]
        return phones

    def _step(self, state: int, word: int) -> tuple[float, int]:
        """As :func:`~edgeaudio.decoding.automaton.step`, which is slow outside compiled code."""
        score = 0.0
        while state > 0:
            found = self._arcs_of(state).get(word)
            if found is not None:
                return score + found[0], found[1]
            score += float(self._automaton.backoff_score[state])
            state = int(self._automaton.backoff_state[state])
        found = self._unigrams[word]
        return score + found[0], found[1]

    def _arcs_of(self, state: int) -> _Arcs:
        if state not in self._arcs:
            automaton = self._automaton
            here = slice(int(automaton.arc_offsets[state]), int(automaton.arc_offsets[state + 1]))
            scores = automaton.score_codebook[automaton.arc_score[here]].tolist()
            ends = zip(scores, automaton.arc_next[here].tolist(), strict=True)
            self._arcs[state] = dict(zip(automaton.arc_word[here].tolist(), ends, strict=True))
        return self._arcs[state]
