"""Hotwords: phrases that are likely to be said, and how they are favoured.

A phrase earns its boost step by step while it is written, so that it survives the beam, and loses what
it has earned when it breaks off. The steps are an Aho-Corasick automaton (Aho and Corasick, "Efficient
string matching", 1975) over words, for the lexicon search, or over letters, for the prefix search.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.language import Language
from edgeaudio.decoding.units import Units
from edgeaudio.errors import ModelError, UsageError

__all__ = ["DEFAULT_BOOST", "Contexts", "Hotwords", "over_tokens", "over_words", "with_hotwords"]

DEFAULT_BOOST = 0.6
"""Natural logarithm for each letter."""
_MAX_PHRASES = 1000
_MAX_STRENGTH = 20.0
_MAX_CELLS = 20_000_000


@dataclass(frozen=True)
class Hotwords:
    """Phrases to favour, each a row of words in lower case.

    ``boost`` is what a phrase earns for each of its letters, a natural logarithm, times what ``strength``
    says of the phrase. ``phones`` tells how some words are said.
    """

    phrases: tuple[tuple[str, ...], ...]
    boost: float = DEFAULT_BOOST
    phones: dict[str, str] = field(default_factory=dict)
    strength: dict[tuple[str, ...], float] = field(default_factory=dict)

    def boost_of(self, phrase: tuple[str, ...]) -> float:
        """Return what a phrase earns for each of its letters."""
        return self.boost * self.strength.get(phrase, 1.0)

    @classmethod
    def parse(cls, texts: Sequence[str], boost: float = DEFAULT_BOOST) -> Hotwords:
        """Read phrases as users type them.

        A single word may be followed by ``=`` and its phones, and everything by a colon and how strongly
        it is favoured, 1 by default.

        Raises
        ------
        UsageError
            A phrase has no word, a character that belongs to no word, or there are too many.

        Examples
        --------
        >>> hotwords = Hotwords.parse(["Edge  audio:2", "Siobhan=SH AH V AO N"])
        >>> hotwords.phrases, hotwords.strength
        ((('edge', 'audio'), ('siobhan',)), {('edge', 'audio'): 2.0})
        """
        if len(texts) > _MAX_PHRASES:
            raise UsageError(f"{len(texts)} hotwords", hint=f"At most {_MAX_PHRASES} are possible.")
        phrases, phones, strength = [], {}, {}
        for text in texts:
            written, colon, number = text.partition(":")
            spelled, equals, said = written.partition("=")
            plain = unicodedata.normalize("NFC", spelled).lower()
            words = plain.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()
            _check(text, words)
            if equals:
                if len(words) != 1 or not said.split():
                    raise UsageError(
                        f"hotword {text!r}: phones belong to one word",
                        hint="As in: --hotword 'siobhan=SH AH V AO N'",
                    )
                phones[words[0]] = " ".join(re.sub(r"\d", "", said.upper()).split())
            phrases.append(tuple(words))
            if colon:
                strength[phrases[-1]] = _strength(text, number)
        return cls(tuple(dict.fromkeys(phrases)), boost, phones, strength)


class Contexts(NamedTuple):
    """What each symbol earns in each state, and where it leads."""

    next_state: NDArray[np.int32]
    """``[n_states, n_symbols]``"""
    score: NDArray[np.float64]
    """``[n_states, n_symbols]``"""
    end_score: NDArray[np.float64]
    """``[n_states]``: what the end of the sentence earns."""
    start: int


def over_tokens(hotwords: Hotwords | None, written: Sequence[str], units: Units) -> Contexts:
    """Favour phrases while tokens write them, whole words only.

    Parameters
    ----------
    hotwords : Hotwords or None
    written : sequence of str
        What each token writes, see :func:`edgeaudio.decoding.units.spelling`.
    units : {"phones", "characters", "pieces"}

    Raises
    ------
    UsageError
        A phrase has a letter that no token writes.
    """
    if hotwords is None or not hotwords.phrases:
        return Contexts(np.zeros((0, 0), np.int32), np.zeros((0, 0)), np.zeros(1), 0)
    if units == "phones":
        raise UsageError(
            "hotwords cannot be spelled with phones", hint="Use the search over a lexicon: --lm NAME."
        )
    letters = sorted({letter for text in written for letter in text} | {" "})
    code = {letter: number for number, letter in enumerate(letters)}
    rows = []
    for phrase in hotwords.phrases:
        # Between blanks, so that "ann" earns nothing within "annual".
        text = f" {' '.join(phrase)} "
        _check_letters(text, set(letters))
        boost = hotwords.boost_of(phrase)
        rows.append([(code[letter], 0.0 if letter == " " else boost) for letter in text])
    by_letter = _contexts(rows, len(letters))
    _check_size(len(by_letter.end_score) * len(written))
    n_states = len(by_letter.end_score)
    states = np.tile(np.arange(n_states, dtype=np.int32)[:, None], (1, len(written)))
    scores = np.zeros(states.shape)
    for token, text in enumerate(written):
        for letter in text:
            at = states[:, token]
            scores[:, token] += by_letter.score[at, code[letter]]
            states[:, token] = by_letter.next_state[at, code[letter]]
    blank = code[" "]
    # The end closes a word as a blank does.
    behind = by_letter.next_state[:, blank]
    ends = by_letter.score[:, blank] + by_letter.end_score[behind]
    return Contexts(states, scores, ends, int(by_letter.next_state[0, blank]))


def over_words(hotwords: Hotwords, language: Language) -> tuple[Contexts, NDArray[np.int32]]:
    """Favour phrases while words complete them.

    Returns
    -------
    Contexts
        Symbol 0 is any word of no phrase.
    symbols : ``[n_words] int32``
        The symbol of each word.
    """
    symbols = np.zeros(language.n_words, np.int32)
    code: dict[str, int] = {}
    for word in (word for phrase in hotwords.phrases for word in phrase):
        number = language.word_id(word)
        if word not in code and number is not None:
            code[word] = len(code) + 1
            symbols[number] = code[word]
    rows = []
    for phrase in hotwords.phrases:
        boost = hotwords.boost_of(phrase)
        rows.append([(code[word], boost * len(word)) for word in phrase])
    _check_size(sum(map(len, rows)) * (len(code) + 1))
    return _contexts(rows, len(code) + 1), symbols


def with_hotwords(
    language: Language,
    hotwords: Hotwords,
    written: Sequence[str],
    units: Units,
    pronounce: Callable[[str], Sequence[str]] | None,
) -> Language:
    """Return `language` with the words of `hotwords` that it lacks.

    Parameters
    ----------
    written : sequence of str
        What each token writes.
    pronounce : callable, optional
        Guesses the phones of a word, see :class:`edgeaudio.decoding.g2p.Pronouncer`; may raise `UsageError`.

    Raises
    ------
    UsageError
        It is not known how a word is said, a letter cannot be written, or the language is a closed
        grammar without the word.
    """
    new: dict[str, list[str]] = {}
    for word in (word for phrase in hotwords.phrases for word in phrase):
        if language.word_id(word) is not None:
            continue
        if not np.isfinite(language.automaton.unigram_score).any():
            raise UsageError(f"hotword {word!r} is not in the grammar", hint="Write it into the grammar.")
        if units != "phones":
            _check_letters(word, set(written))
            new[word] = []
        elif word in hotwords.phones:
            new[word] = [hotwords.phones[word]]
        elif pronounce is None:
            raise UsageError(
                f"hotword {word!r} is not in the lexicon", hint=f"Say how it sounds: --hotword '{word}=…'"
            )
        else:
            new[word] = [" ".join(pronounce(word))]
    try:
        return language.extended(new)
    except ModelError as error:
        raise UsageError(f"hotwords: {error.message}", hint=error.hint) from error


def _check(text: str, words: Sequence[str]) -> None:
    if not words:
        raise UsageError(f"hotword {text!r} is empty")
    for letter in "".join(words):
        if not (letter.isalpha() or letter == "'" or unicodedata.combining(letter)):
            raise UsageError(
                f"hotword {text!r}: {letter!r} belongs to no word", hint="Write it as it is said, in letters."
            )


def _check_letters(text: str, known: set[str]) -> None:
    strange = sorted(set(text) - known)
    if strange:
        raise UsageError(
            f"hotword {text.strip()!r}: the model cannot write {strange[0]!r}",
            hint=f"It writes: {''.join(sorted(known)).strip()}",
        )


def _strength(text: str, number: str) -> float:
    try:
        strength = float(number)
    except ValueError:
        strength = 0.0
    if not 0.0 < strength <= _MAX_STRENGTH:  # NaN, too, is none
        raise UsageError(
            f"hotword {text!r}: {number!r} is no strength between 0 and {_MAX_STRENGTH:g}",
            hint='Write for example --hotword "edge audio:2".',
        )
    return strength


def _check_size(n_cells: int) -> None:
    if n_cells > _MAX_CELLS:
        raise UsageError("the hotwords are too many for this model's tokens", hint="Leave some out.")


def _contexts(rows: Sequence[Sequence[tuple[int, float]]], n_symbols: int) -> Contexts:
    """Build the automaton of rows of symbols, each with what it earns."""
    children: list[dict[int, int]] = [{}]
    granted, whole = [0.0], [False]
    for row in rows:
        node = 0
        for symbol, gain in row:
            if symbol not in children[node]:
                children[node][symbol] = len(children)
                children.append({})
                granted.append(granted[node] + gain)
                whole.append(False)
            node = children[node][symbol]
        whole[node] = True
    n = len(children)
    next_state = np.zeros((n, n_symbols), np.int32)
    score = np.zeros((n, n_symbols))
    kept = [0.0] * n
    fall = [0] * n
    waiting = deque([0])
    total = np.array(granted)
    while waiting:
        node = waiting.popleft()
        # Where no phrase goes on, the longest one that began later does, if any.
        if node:
            next_state[node] = next_state[fall[node]]
        for symbol, child in children[node].items():
            fall[child] = int(next_state[node, symbol])
            kept[child] = granted[child] if whole[child] else max(kept[node], kept[fall[child]])
            next_state[node, symbol] = child
            waiting.append(child)
        score[node] = total[next_state[node]] - (granted[node] - kept[node])
        for symbol, child in children[node].items():
            score[node, symbol] = granted[child] - granted[node]
    return Contexts(next_state, score, np.array(kept) - total, 0)
