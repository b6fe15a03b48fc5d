"""Sentences out of a language model: something to say for who has no recordings of other speech."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.automaton import Automaton
from edgeaudio.decoding.language import SENTENCE_END, UNKNOWN, Language

__all__ = ["random_sentences"]

_WORDS = (5, 14)
_MAX_CHARACTERS = 90
_ATTEMPTS = 60
"""For each sentence: most random walks end too early or too late."""


def random_sentences(language: Language, count: int, *, seed: int, avoid: Collection[str] = ()) -> list[str]:
    """Draw sentences of five to fourteen words from an n-gram, none twice.

    They make little sense, but hold the words and the transitions between words that people use,
    as often as they use them.

    Parameters
    ----------
    avoid : collection of str
        Phrases that no sentence may hold.

    Returns
    -------
    list of str
        ``count`` of them, or fewer where the language has no more.
    """
    rng = np.random.default_rng(seed)
    # Rounding of the codebook leaves sums a little off 1.
    unigrams = np.cumsum(np.exp(language.automaton.unigram_score.astype(np.float64)))
    found: dict[str, None] = {}
    for _ in range(count * _ATTEMPTS):
        if len(found) >= count:
            break
        words = _walk(language, unigrams, rng)
        sentence = " ".join(words)
        plain = sentence.replace(" ", "").isalpha() and sentence.isascii()
        if not _WORDS[0] <= len(words) <= _WORDS[1] or not plain or len(sentence) > _MAX_CHARACTERS:
            continue
        if not any(f" {phrase} " in f" {sentence} " for phrase in avoid):
            found[sentence] = None
    return list(found)


def _walk(language: Language, unigrams: NDArray[np.float64], rng: np.random.Generator) -> list[str]:
    """Words up to the end of a sentence; none where the model says an unknown one or does not stop."""
    state = language.start_state
    words: list[str] = []
    while len(words) <= _WORDS[1]:
        word, state = _next(language.automaton, unigrams, state, rng)
        if word == SENTENCE_END:
            return words
        if word <= UNKNOWN:
            return []
        words.append(language.word(word))
    return []


def _next(
    automaton: Automaton, unigrams: NDArray[np.float64], state: int, rng: np.random.Generator
) -> tuple[int, int]:
    """A word that may follow, and the state behind it: an arc's, or what a shorter history allows."""
    while state > 0:
        arcs = slice(int(automaton.arc_offsets[state]), int(automaton.arc_offsets[state + 1]))
        sums = np.cumsum(np.exp(automaton.score_codebook[automaton.arc_score[arcs]].astype(np.float64)))
        at = int(np.searchsorted(sums, rng.random(), side="right"))
        if at < len(sums):
            return int(automaton.arc_word[arcs][at]), int(automaton.arc_next[arcs][at])
        state = int(automaton.backoff_state[state])
    word = int(np.searchsorted(unigrams, rng.random() * unigrams[-1], side="right"))
    return word, int(automaton.unigram_next[word])
