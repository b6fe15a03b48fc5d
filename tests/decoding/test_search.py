"""The lexicon search against the enumeration of everything that could have been said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.decoding.language import Language
from edgeaudio.decoding.search import LexiconDecoder
from tests.decoding.slow_search import log_add, readings, spellings

TOKENS = ("<blank>", "A", "B", "C")
SAID = {"ab": ["A B", "B"], "a": ["A"], "ba": ["B A"], "aab": ["A A B"], "bee": ["B"], "c": ["C", "C C"]}
CODES = {word: [tuple(TOKENS.index(p) for p in one.split()) for one in said] for word, said in SAID.items()}
LETTERS = ("<blank>", "|", "a", "b", "c")
SPELLED = {word: [tuple(LETTERS.index(letter) for letter in word)] for word in ("ab", "a", "ba", "aab", "c")}


@dataclass(frozen=True)
class Everything:
    """A search in which nothing is given up."""

    beam_width: int = 3000
    beam_score: float = 600.0
    language_weight: float = 1.3
    word_bonus: float = 0.4
    blank_scale: float = 1.0


def language(seed: int, words: dict[str, list[str]] = SAID) -> Language:
    """A trigram model with random, but consistent, probabilities."""
    rng = np.random.default_rng(seed)
    names = [*words, "</s>"]
    ngrams: dict[tuple[str, ...], tuple[float, float]] = {("<s>",): (-99.0, -0.3)}
    for word in names:
        ngrams[word,] = (-float(rng.uniform(0.5, 4)), -float(rng.uniform(0, 1)))
    for first in ["<s>", *words]:
        for word in rng.permutation(names)[:3]:
            ngrams[first, str(word)] = (-float(rng.uniform(0.1, 3)), -float(rng.uniform(0, 1)))
    for context in [gram for gram in ngrams if len(gram) == 2 and gram[1] != "</s>"]:
        ngrams[(*context, str(rng.choice(names)))] = (-float(rng.uniform(0.1, 3)), 0.0)
    return Language.build(words, ngrams)


def random_frames(seed: int, n: int, n_tokens: int, sharpness: float = 2.0):
    rng = np.random.default_rng(seed)
    scores = sharpness * rng.normal(size=(n, n_tokens))
    return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)


def brute_force(frames, model, codes, search, *, add, space=None):
    """Every sentence with its score; those that differ in pronunciation or alignment only are merged."""
    found: dict[tuple[str, ...], list[float]] = {}
    for tokens, scores in readings(frames, blank=0).items():
        heard = log_add(scores) if add else max(scores)
        for words in spellings(tokens, codes, space):
            said = search.language_weight * model.log_prob(words) + search.word_bonus * len(words)
            found.setdefault(words, []).append(heard + said)
    return {words: log_add(scores) if add else max(scores) for words, scores in found.items()}


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
def test_finds_what_enumeration_finds(seed: int, n_frames: int, add: bool) -> None:
    model, search = language(seed), Everything()
    frames = random_frames(seed, n_frames, len(TOKENS))
    decoder = LexiconDecoder(model, TOKENS, "<blank>", "phones", search, merge="add" if add else "max")
    decoder.process(frames)
    found = decoder.flush()
    every = brute_force(frames, model, CODES, search, add=add)
    best = max(every, key=every.__getitem__)
    # Where sentences meet in one state of the language model, adding merges them: then the score is
    # that of all of them together, and the words are those of the stronger.
    if add:
        assert found.score >= every[best] - 1e-4
    else:
        assert found.score == pytest.approx(every[best], abs=1e-4)
        assert tuple(word.text for word in found.words) == best
