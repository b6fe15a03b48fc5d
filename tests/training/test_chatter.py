from collections import Counter

import numpy as np

from edgeaudio.decoding.language import Language
from edgeaudio.training.chatter import random_sentences

HALF = -np.log(2.0)
WORDS = ["the", "cat", "dog", "sat"]


def language() -> Language:
    """the → cat or dog, both equally likely; cat → sat, dog → sat, sat → the end or the beginning again."""
    pairs = {
        ("<s>", "the"): 0.0,
        ("the", "cat"): HALF,
        ("the", "dog"): HALF,
        ("cat", "sat"): 0.0,
        ("dog", "sat"): 0.0,
        ("sat", "</s>"): HALF,
        ("sat", "the"): HALF,
    }
    singles = {(word,): (-3.0, 0.0) for word in ("<s>", "</s>", *WORDS)}
    ngrams = singles | {pair: (score, 0.0) for pair, score in pairs.items()}
    return Language.build({word: ["AH"] for word in WORDS}, ngrams)


def test_sentences_follow_the_model() -> None:
    found = random_sentences(language(), 12, seed=1)
    assert len(found) == len(set(found)) == 12
    for sentence in found:
        words = sentence.split()
        assert 5 <= len(words) <= 14
        assert all(group in ("the cat sat", "the dog sat") for group in _threes(words))
    animals = Counter(word for sentence in found for word in sentence.split() if word in ("cat", "dog"))
    assert min(animals.values()) > 5


def _threes(words: list[str]) -> list[str]:
    return [" ".join(words[i : i + 3]) for i in range(0, len(words), 3)]


def test_equal_seeds_say_the_same_and_no_phrase_to_avoid() -> None:
    assert random_sentences(language(), 5, seed=1) == random_sentences(language(), 5, seed=1)
    assert random_sentences(language(), 5, seed=1) != random_sentences(language(), 5, seed=2)
    found = random_sentences(language(), 20, seed=1, avoid=["cat sat"])
    assert 0 < len(found) < 20, "few sentences have no cat"
    assert not any("cat" in sentence for sentence in found)
