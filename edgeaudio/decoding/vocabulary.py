"""What the lexicon search walks through: the tree of a language's words and what each step earns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.hotwords import Hotwords, over_words
from edgeaudio.decoding.kernel_lexicon import Words
from edgeaudio.decoding.language import SENTENCE_END, Language
from edgeaudio.decoding.lexicon_beam import NOTHING
from edgeaudio.decoding.trie import Trie, build_trie
from edgeaudio.decoding.units import Units
from edgeaudio.errors import ModelError

__all__ = ["lay_out"]

_LEAST_UNIGRAM = -30.0


class _Entries(NamedTuple):
    """Ways to write words, one an index."""

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    word: NDArray[np.int32]
    score: NDArray[np.float64]


def lay_out(
    language: Language,
    written: Sequence[str],
    units: Units,
    hotwords: Hotwords | None,
    *,
    weight: float,
    word_bonus: float,
) -> tuple[Trie, Words]:
    """Make the tree of all words that can be written, and what it earns to walk in it.

    Parameters
    ----------
    language : Language
    written : sequence of str
        What each token writes, see :func:`edgeaudio.decoding.units.spelling`.
    units : {"phones", "characters"}
    hotwords : Hotwords, optional
        Their words are in `language`.
    weight : float
        Of the language model; its unigrams are looked ahead to.
    word_bonus : float
        For each word, a natural logarithm.

    Raises
    ------
    ModelError
        If no word can be written.
    """
    entries = _spoken(language, written) if units == "phones" else _spelled(language, written)
    entries = _usable(entries)
    if not len(entries.word):
        raise ModelError(
            f"the language has no word that can be written with the model's {units}",
            hint="Choose a language made for this model's tokens.",
        )
    unigram = language.automaton.unigram_score[entries.word].astype(np.float64)
    # A closed grammar has no unigrams: there is nothing to look ahead to.
    ahead = np.maximum(unigram, _LEAST_UNIGRAM) if np.isfinite(unigram).any() else np.zeros_like(unigram)
    hot_word, hot_next, hot_score, gain = _hot(hotwords, language)
    score = weight * ahead + entries.score + gain[entries.word]
    trie = build_trie(entries.tokens, entries.offsets, score)
    n_nodes = len(trie.token)
    # What the first step of a word earns is the best of all words with that token.
    best = trie.best.copy()
    best[0] = 0.0
    parent = np.repeat(np.arange(n_nodes), np.diff(trie.first))
    entry_gain = np.ones(n_nodes)
    entry_gain[1:] = np.exp(best[1:] - best[parent])
    end = np.repeat(np.arange(n_nodes), np.diff(trie.word_first))
    return trie, Words(
        entry_gain=entry_gain,
        word=entries.word[trie.entry],
        word_score=entries.score[trie.entry] + word_bonus - best[end],
        hot_word=hot_word,
        hot_next=hot_next,
        hot_score=hot_score,
    )


def _hot(
    hotwords: Hotwords | None, language: Language
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """Return symbol of each word, next states and scores, and the most that each word may earn."""
    if hotwords is None or not hotwords.phrases:
        nothing = np.zeros(0, np.int32), np.zeros((0, 0), np.int32), np.zeros((0, 0))
        return (*nothing, np.zeros(language.n_words))
    contexts, symbols = over_words(hotwords, language)
    # No word earns more than by going on with a phrase, and a stranger earns nothing at best.
    most = np.maximum(contexts.score.max(axis=0), 0.0)
    return symbols, contexts.next_state, contexts.score, most[symbols]


def _spoken(language: Language, written: Sequence[str]) -> _Entries:
    code = {text.strip(): token for token, text in enumerate(written) if text}
    token_of = np.array([code.get(name, NOTHING) for name in language.phone_names] or [0], np.int32)
    return _Entries(
        token_of[language.phones],
        language.phone_offsets.astype(np.int64),
        language.pron_word,
        language.pron_score.astype(np.float64),
    )


def _spelled(language: Language, written: Sequence[str]) -> _Entries:
    """Spell all words; letters are code points, not bytes."""
    blob = language.word_bytes
    begins = np.concatenate(([0], np.cumsum((blob & 0xC0) != 0x80)))
    letters = np.frombuffer(blob.tobytes().decode("utf-8", errors="replace").encode("utf-32-le"), np.uint32)
    code = {ord(text): token for token, text in enumerate(written) if len(text) == 1 and text != " "}
    known = np.array(sorted(code), np.uint32)
    token_of = np.array([code[letter] for letter in sorted(code)], np.int32)
    place = np.minimum(np.searchsorted(known, letters), len(known) - 1)
    tokens = np.where(known[place] == letters, token_of[place], np.int32(NOTHING)).astype(np.int32)
    n = language.n_words
    offsets = begins[language.word_offsets.astype(np.int64)].astype(np.int64)
    return _Entries(tokens, offsets, np.arange(n, dtype=np.int32), np.zeros(n))


def _usable(entries: _Entries) -> _Entries:
    """Leave out what is no word, and words with a unit that the model lacks: they cannot be heard."""
    lacking = np.concatenate(([0], np.cumsum(entries.tokens == NOTHING)))
    length = np.diff(entries.offsets)
    usable = (lacking[entries.offsets[1:]] == lacking[entries.offsets[:-1]]) & (length > 0)
    usable &= entries.word > SENTENCE_END
    return _Entries(
        entries.tokens[np.repeat(usable, length)],
        np.concatenate(([0], np.cumsum(length[usable]))),
        entries.word[usable].astype(np.int32),
        entries.score[usable],
    )
