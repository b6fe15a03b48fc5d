"""What may follow what, and how probable it is: one set of arrays for n-grams and for grammars.

A back-off automaton in the manner of Kaldi's G. A state is what was said before, as far as it matters.
Its arcs, sorted by word, hold what is known to follow; a word without an arc costs ``backoff_score``
and is looked up again in ``backoff_state``. That ends in state 0, which remembers nothing and answers
every word from dense arrays, or in -1: the word cannot follow. A closed grammar is an automaton of
which no state backs off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import ArrayLike, NDArray

__all__ = ["N_CODES", "Automaton", "frozen", "grammar_automaton", "quantize", "step"]

N_CODES = 256
_SWEEPS = 8


class Automaton(NamedTuple):
    """The arrays, read-only; scores are natural logarithms, -inf is impossible.

    Arcs of state s are ``arc_offsets[s]:arc_offsets[s + 1]``; state 0 has none. ``backoff_state[s]`` is
    less than s, so that looking up ends.
    """

    arc_offsets: NDArray[np.uint32]
    """``[n_states + 1]``"""
    arc_word: NDArray[np.uint32]
    """``[n_arcs]``"""
    arc_score: NDArray[np.uint8]
    """``[n_arcs]``: places in the codebook."""
    arc_next: NDArray[np.uint32]
    """``[n_arcs]``"""
    score_codebook: NDArray[np.float32]
    """``[256]``"""
    backoff_score: NDArray[np.float32]
    """``[n_states]``"""
    backoff_state: NDArray[np.int32]
    """``[n_states]``"""
    unigram_score: NDArray[np.float32]
    """``[n_words]``"""
    unigram_next: NDArray[np.uint32]
    """``[n_words]``"""


@register_jitable  # plain Python, and callable from compiled code
def step(automaton: Automaton, state: int, word: int) -> tuple[float, int]:
    """Read `word` in `state`: its score and the state behind it, or (-inf, 0) where it cannot follow."""
    score = np.float32(0.0)
    while state > 0:
        # Signed, since Numba makes a float of a signed and an unsigned number.
        low = np.int64(automaton.arc_offsets[state])
        end = high = np.int64(automaton.arc_offsets[state + 1])
        while low < high:
            middle = (low + high) // 2
            if automaton.arc_word[middle] < word:
                low = middle + 1
            else:
                high = middle
        if low < end and automaton.arc_word[low] == word:
            score += automaton.score_codebook[automaton.arc_score[low]]
            return score, np.int64(automaton.arc_next[low])
        score += automaton.backoff_score[state]
        state = np.int64(automaton.backoff_state[state])
    if state < 0:
        return np.float32(-np.inf), np.int64(0)
    return score + automaton.unigram_score[word], np.int64(automaton.unigram_next[word])


def grammar_automaton(n_words: int, states: Sequence[Mapping[int, tuple[float, int]]]) -> Automaton:
    """Build the automaton of a closed grammar: what has no arc cannot be said.

    Parameters
    ----------
    n_words : int
        Words of the lexicon, the three special ones included.
    states : sequence of mapping
        For each state from 1 on (state 0 stands before them and permits nothing): word → (natural
        logarithm, next state). A state in which a sentence may end has an arc for ``</s>``.
    """
    arcs = [(word, *arc) for state in states for word, arc in sorted(state.items())]
    codes, codebook = quantize([score for _, score, _ in arcs])
    counts = [0, *(len(state) for state in states)]
    return frozen(
        Automaton(
            arc_offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.uint32),
            arc_word=np.array([word for word, _, _ in arcs], dtype=np.uint32),
            arc_score=codes,
            arc_next=np.array([following for _, _, following in arcs], dtype=np.uint32),
            score_codebook=codebook,
            backoff_score=np.zeros(len(counts), dtype=np.float32),
            backoff_state=np.full(len(counts), -1, dtype=np.int32),
            unigram_score=np.full(n_words, -np.inf, dtype=np.float32),
            unigram_next=np.zeros(n_words, dtype=np.uint32),
        )
    )


def frozen(automaton: Automaton) -> Automaton:
    """Make the arrays read-only and contiguous, as those of a mapped file: one type for compiled code."""
    arrays: list[Any] = [np.ascontiguousarray(array) for array in automaton]
    for array in arrays:
        array.flags.writeable = False
    return Automaton(*arrays)


def quantize(scores: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Describe scores by 256 values: exactly where that many are enough, else by k-means.

    Returns
    -------
    codes : ``[n] uint8``
    codebook : ``[256] float32``, ascending
    """
    values = np.asarray(scores, dtype=np.float32)
    book = np.unique(values)
    if len(book) > N_CODES:
        # Starting from equal shares of the scores, Lloyd's sweeps settle within a few rounds.
        ordered = np.sort(values)
        book = ordered[np.linspace(0, len(ordered) - 1, N_CODES).astype(np.int64)].astype(np.float64)
        for _ in range(_SWEEPS):
            nearest = _nearest(values, book)
            sums = np.bincount(nearest, weights=values, minlength=N_CODES)
            counts = np.bincount(nearest, minlength=N_CODES)
            book = np.sort(np.where(counts > 0, sums / np.maximum(counts, 1), book))
    last = book[-1] if len(book) else 0.0
    codebook = np.concatenate((book, np.full(N_CODES - len(book), last))).astype(np.float32)
    return _nearest(values, codebook).astype(np.uint8), codebook


def _nearest(values: NDArray[np.float32], book: NDArray[np.floating]) -> NDArray[np.int64]:
    # In float64 there is a middle between any two; between -inf and anything it is -inf.
    exact = book.astype(np.float64)
    middles = (exact[:-1] + exact[1:]) / 2
    return np.searchsorted(middles, values, side="left")
