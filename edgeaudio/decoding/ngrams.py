"""Tables of n-grams as estimators and ARPA files know them, and the automaton they amount to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.automaton import Automaton, frozen, quantize

__all__ = ["MAX_ORDER", "SENTENCE_END", "SENTENCE_START", "SPECIAL_WORDS", "UNKNOWN", "Ngrams", "Table"]

MAX_ORDER = 5
UNKNOWN, SENTENCE_START, SENTENCE_END = 0, 1, 2
SPECIAL_WORDS = ("<unk>", "<s>", "</s>")
"""Words 0, 1 and 2 of every lexicon."""


@dataclass(frozen=True, eq=False)
class Table:
    """All n-grams of one length, in ascending order.

    ``grams`` is ``[n, order] int32``; ``log_prob`` and ``backoff`` are ``[n] float64``, natural
    logarithms. What is not listed behind a context costs the context's ``backoff``.
    """

    grams: NDArray[np.int32]
    log_prob: NDArray[np.float64]
    backoff: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ngrams:
    """A back-off model over words 0 … ``n_words - 1``; ``tables[k]`` holds the n-grams of k + 1 words."""

    n_words: int
    tables: tuple[Table, ...]

    @classmethod
    def from_mapping(
        cls, n_words: int, probabilities: Mapping[tuple[int, ...], tuple[float, float]]
    ) -> Ngrams:
        """Sort n-grams with their probabilities and back-off weights (natural logarithms) into tables.

        What a table must have because a longer one mentions it, is added as it would be backed off to:
        no probability changes.
        """
        known = dict(probabilities)
        for gram in probabilities:
            for part in _parts(gram):
                known.setdefault(part, (np.nan, 0.0))
        for gram in sorted(known, key=len):
            if np.isnan(known[gram][0]):
                known[gram] = (_backed_off(known, gram), 0.0)
        order = max((len(gram) for gram in known), default=1)
        return cls(n_words, tuple(_table(known, length) for length in range(1, order + 1)))

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.tables)

    def automaton(self) -> tuple[Automaton, int]:
        """Return the automaton and its state at the start of a sentence.

        An n-gram is a state where something is known to follow it, or where backing off from it
        costs something; any other leads straight to the longest of its endings that is one.
        """
        backoff_score, backoff_state = [np.zeros(1)], [np.full(1, -1, dtype=np.int64)]
        counts, words, scores, following = [np.zeros(1, dtype=np.int64)], [], [], []
        unigrams = np.full(self.n_words, -np.inf), np.zeros(self.n_words, dtype=np.int64)
        n_before = n_states = 1
        leads_to = np.zeros(1, dtype=np.int64)  # the state that each n-gram one word shorter leads to
        keys = self._keys()
        for table, followed in zip(self.tables, self._followed(keys), strict=True):
            grams = table.grams
            word = grams[:, -1]
            ending = leads_to[_places(keys, grams[:, 1:], self.n_words)]
            is_state = (followed | (table.backoff != 0.0)) & (word != SENTENCE_END)
            state = np.where(is_state, n_states - 1 + np.cumsum(is_state), ending)
            if grams.shape[1] == 1:
                unigrams[0][word], unigrams[1][word] = table.log_prob, state
            else:
                source = leads_to[_places(keys, grams[:, :-1], self.n_words)]
                counts.append(np.bincount(source, minlength=n_states)[n_before:n_states])
                words.append(word)
                scores.append(table.log_prob)
                following.append(state)
            n_before, n_states, leads_to = n_states, n_states + int(is_state.sum()), state
            backoff_score.append(table.backoff[is_state])
            backoff_state.append(ending[is_state])
        counts.append(np.zeros(n_states - n_before, dtype=np.int64))
        # Nobody says the beginning of a sentence; files give it -99 or whatever they like.
        unigrams[0][SENTENCE_START] = -np.inf
        codes, codebook = quantize(np.concatenate([*scores, np.zeros(0)]))
        automaton = Automaton(
            arc_offsets=np.concatenate((np.zeros(1), np.cumsum(np.concatenate(counts)))).astype(np.uint32),
            arc_word=np.concatenate([*words, np.zeros(0)]).astype(np.uint32),
            arc_score=codes,
            arc_next=np.concatenate([*following, np.zeros(0)]).astype(np.uint32),
            score_codebook=codebook,
            backoff_score=np.concatenate(backoff_score).astype(np.float32),
            backoff_state=np.concatenate(backoff_state).astype(np.int32),
            unigram_score=unigrams[0].astype(np.float32),
            unigram_next=unigrams[1].astype(np.uint32),
        )
        return frozen(automaton), int(automaton.unigram_next[SENTENCE_START])

    def _keys(self) -> list[NDArray[np.int64]]:
        """For each length: the place of an n-gram's first words among the shorter ones, and its last word."""
        keys: list[NDArray[np.int64]] = []
        for table in self.tables:
            prefix = _places(keys, table.grams[:, :-1], self.n_words)
            keys.append(prefix * self.n_words + table.grams[:, -1])
        return keys

    def _followed(self, keys: list[NDArray[np.int64]]) -> list[NDArray[np.bool_]]:
        """For each length, which n-grams are the beginning of a longer one."""
        flags = [np.zeros(len(table.log_prob), dtype=bool) for table in self.tables]
        for mine, longer in zip(flags, keys[1:], strict=False):
            mine[longer // self.n_words] = True
        return flags


def _places(keys: list[NDArray[np.int64]], grams: NDArray[np.int32], n_words: int) -> NDArray[np.int64]:
    """Find n-grams, which must be there, in the table of their length; the empty one is at 0."""
    place = np.zeros(len(grams), dtype=np.int64)
    for known, word in zip(keys, grams.T, strict=False):
        place = np.searchsorted(known, place * n_words + word)
    return place


def _parts(gram: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Every shorter run of words in an n-gram: its beginnings, its endings, and theirs."""
    return {gram[i:j] for i in range(len(gram)) for j in range(i + 1, len(gram) + 1)} - {gram}


def _backed_off(known: Mapping[tuple[int, ...], tuple[float, float]], gram: tuple[int, ...]) -> float:
    """Return what an n-gram that is not listed costs; a word that is not listed is impossible."""
    cost = 0.0
    while len(gram) > 1:
        cost += known.get(gram[:-1], (0.0, 0.0))[1]
        gram = gram[1:]
        if gram in known and not np.isnan(known[gram][0]):
            return cost + known[gram][0]
    return -np.inf


def _table(known: Mapping[tuple[int, ...], tuple[float, float]], length: int) -> Table:
    grams = sorted(gram for gram in known if len(gram) == length)
    values = np.array([known[gram] for gram in grams], dtype=np.float64).reshape(-1, 2)
    rows = np.array(grams, dtype=np.int32).reshape(-1, length)
    return Table(rows, values[:, 0].copy(), values[:, 1].copy())
