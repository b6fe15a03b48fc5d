"""A model of how letters are said, from a lexicon: alignment by EM, then an n-gram of graphones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.decoding.g2p import Pronouncer, graphone
from edgeaudio.decoding.language import Language
from edgeaudio.decoding.ngrams import SPECIAL_WORDS
from edgeaudio.evaluation.alignment import distance
from edgeaudio.training.kneser_ney import estimate, prune, tables

__all__ = ["phone_errors", "train_pronouncer"]

_ORDER = 6
_THRESHOLD = 4e-6
_SWEEPS = 8
_RAREST = 2.5e-5
"""Graphones that so small a share of the pronunciations needs are mistakes and oddities of the lexicon."""

_MOVES = ((1, 0), (1, 1), (1, 2), (2, 1))
"""Letters and phones of the four kinds of graphones."""
_START = (0.05, 0.6, 0.15, 0.2)
"""Guesses at how often each kind occurs, to begin with."""

Numbers = NDArray[np.int64]
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class _Pairs:
    """Words and their phones as numbers from 1 on, all in a row, each beginning at its offset."""

    letters: Numbers
    letter_offsets: Numbers
    phones: Numbers
    phone_offsets: Numbers
    alphabet: tuple[str, ...]
    phone_names: tuple[str, ...]


def train_pronouncer(lexicon: Mapping[str, Sequence[str]]) -> Language:
    """Learn from a lexicon (word → pronunciations) how words are said.

    Returns
    -------
    Language
        The n-gram of graphones that a :class:`~edgeaudio.decoding.g2p.Pronouncer` reads.
    """
    pairs = _pairs([(word, one.split()) for word, said in lexicon.items() for one in said])
    n_letters, n_phones = len(pairs.alphabet) + 1, len(pairs.phone_names) + 1
    prob = _first_guess(n_letters, n_phones)
    arrays = (pairs.letters, pairs.letter_offsets, pairs.phones, pairs.phone_offsets)
    rarest = _RAREST * (len(pairs.letter_offsets) - 1)
    for _ in range(_SWEEPS):
        expected = _expect(*arrays, prob, n_letters, n_phones)
        expected[expected < rarest] = 0.0
        prob = expected / expected.sum()
    paths, lengths = _align(*arrays, prob, n_letters, n_phones)
    used, flat = np.unique(paths, return_inverse=True)
    names = [_name(int(code), pairs, n_letters, n_phones) for code in used]
    # No letter may bring the search to a halt, so each can be silent, if with the least probability.
    words = [*SPECIAL_WORDS, *sorted({*names, *(graphone(letter, ()) for letter in pairs.alphabet)})]
    ids = {name: number for number, name in enumerate(words)}
    numbers = np.array([ids[name] for name in names], dtype=np.int32)[flat]
    sentences = np.split(numbers, np.cumsum(lengths[lengths > 0])[:-1])
    levels = prune(estimate(sentences, n_words=len(words), order=_ORDER), _THRESHOLD)
    return Language.assemble(words, {}, *tables(levels, len(words)).automaton())


def phone_errors(pronouncer: Pronouncer, lexicon: Mapping[str, Sequence[str]]) -> tuple[float, float]:
    """Compare with a lexicon, each word with the pronunciation that is nearest.

    Returns
    -------
    phone_error, word_error : float
        Wrong, missing and superfluous phones in relation to the lexicon's; words with any.
    """
    errors = phones = wrong = 0
    for word, said in lexicon.items():
        found = pronouncer.pronounce(word)
        edits, length = min((distance(found, one.split()), len(one.split())) for one in said)
        errors, phones, wrong = errors + edits, phones + length, wrong + (edits > 0)
    return errors / max(1, phones), wrong / max(1, len(lexicon))


def _pairs(entries: Sequence[tuple[str, list[str]]]) -> _Pairs:
    alphabet = tuple(sorted({letter for word, _ in entries for letter in word}))
    names = tuple(sorted({phone for _, phones in entries for phone in phones}))
    letter = {name: number for number, name in enumerate(alphabet, start=1)}
    phone = {name: number for number, name in enumerate(names, start=1)}
    return _Pairs(
        np.array([letter[one] for word, _ in entries for one in word], dtype=np.int64),
        np.cumsum([0, *(len(word) for word, _ in entries)]),
        np.array([phone[one] for _, phones in entries for one in phones], dtype=np.int64),
        np.cumsum([0, *(len(phones) for _, phones in entries)]),
        alphabet,
        names,
    )


def _first_guess(n_letters: int, n_phones: int) -> Probabilities:
    """Every graphone of a kind alike."""
    prob = np.zeros((n_letters, n_letters, n_phones, n_phones))
    some = slice(1, None)
    for (many_letters, many_phones), share in zip(_MOVES, _START, strict=True):
        where = (
            some,
            some if many_letters == 2 else slice(1),
            some if many_phones > 0 else slice(1),
            some if many_phones == 2 else slice(1),
        )
        prob[where] = share / prob[where].size
    return prob.reshape(-1)


def _name(code: int, pairs: _Pairs, n_letters: int, n_phones: int) -> str:
    a, b, p, q = np.unravel_index(code, (n_letters, n_letters, n_phones, n_phones))
    letters = "".join(pairs.alphabet[i - 1] for i in (a, b) if i)
    return graphone(letters, [pairs.phone_names[i - 1] for i in (p, q) if i])


@register_jitable
def _code(  # noqa: PLR0917 - compiled code takes no keywords
    letters: Numbers, phones: Numbers, i: int, j: int, di: int, dj: int, n_letters: int, n_phones: int
) -> int:
    """Number of the graphone of `di` letters from i and `dj` phones from j on."""
    a, b = letters[i], letters[i + 1] if di == 2 else 0
    p, q = phones[j] if dj > 0 else 0, phones[j + 1] if dj == 2 else 0
    code: int = ((a * n_letters + b) * n_phones + p) * n_phones + q
    return code


@cached_njit()
def _expect(  # noqa: PLR0917 - likewise
    letters: Numbers,
    letter_offsets: Numbers,
    phones: Numbers,
    phone_offsets: Numbers,
    prob: Probabilities,
    n_letters: int,
    n_phones: int,
) -> Probabilities:
    """How often each graphone occurs, over all alignments by their probabilities (forward-backward)."""
    expected = np.zeros(len(prob))
    for entry in range(len(letter_offsets) - 1):
        word = letters[letter_offsets[entry] : letter_offsets[entry + 1]]
        said = phones[phone_offsets[entry] : phone_offsets[entry + 1]]
        n, m = len(word), len(said)
        forward, backward = np.zeros((n + 1, m + 1)), np.zeros((n + 1, m + 1))
        forward[0, 0] = backward[n, m] = 1.0
        for i in range(n):
            for j in range(m + 1):
                for di, dj in _MOVES:
                    if forward[i, j] > 0.0 and i + di <= n and j + dj <= m:
                        code = _code(word, said, i, j, di, dj, n_letters, n_phones)
                        forward[i + di, j + dj] += forward[i, j] * prob[code]
        if forward[n, m] == 0.0:
            continue
        for i in range(n - 1, -1, -1):
            for j in range(m, -1, -1):
                for di, dj in _MOVES:
                    if i + di <= n and j + dj <= m:
                        code = _code(word, said, i, j, di, dj, n_letters, n_phones)
                        ahead = prob[code] * backward[i + di, j + dj]
                        backward[i, j] += ahead
                        expected[code] += forward[i, j] * ahead / forward[n, m]
    return expected


@cached_njit()
def _align(  # noqa: PLR0917 - likewise
    letters: Numbers,
    letter_offsets: Numbers,
    phones: Numbers,
    phone_offsets: Numbers,
    prob: Probabilities,
    n_letters: int,
    n_phones: int,
) -> tuple[Numbers, Numbers]:
    """The best alignment of each entry: graphones in a row, and how many; none where there is none."""
    paths = np.zeros(len(letters), dtype=np.int64)
    lengths = np.zeros(len(letter_offsets) - 1, dtype=np.int64)
    filled = 0
    for entry in range(len(letter_offsets) - 1):
        word = letters[letter_offsets[entry] : letter_offsets[entry + 1]]
        said = phones[phone_offsets[entry] : phone_offsets[entry + 1]]
        n, m = len(word), len(said)
        best, move = np.zeros((n + 1, m + 1)), np.zeros((n + 1, m + 1), dtype=np.int64)
        best[0, 0] = 1.0
        for i in range(n):
            for j in range(m + 1):
                for k, (di, dj) in enumerate(_MOVES):
                    if best[i, j] > 0.0 and i + di <= n and j + dj <= m:
                        score = best[i, j] * prob[_code(word, said, i, j, di, dj, n_letters, n_phones)]
                        if score > best[i + di, j + dj]:
                            best[i + di, j + dj], move[i + di, j + dj] = score, k
        if best[n, m] == 0.0:
            continue
        i, j = n, m
        while i > 0:
            di, dj = _MOVES[move[i, j]]
            i, j = i - di, j - dj
            paths[filled + lengths[entry]] = _code(word, said, i, j, di, dj, n_letters, n_phones)
            lengths[entry] += 1
        paths[filled : filled + lengths[entry]] = paths[filled : filled + lengths[entry]][::-1].copy()
        filled += lengths[entry]
    return paths[:filled], lengths
