from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.decoding.automaton import step
from edgeaudio.training.kneser_ney import estimate, mixed, n_grams, prune, tables

N_WORDS = 9
TEXTS = st.lists(st.lists(st.integers(3, N_WORDS - 1), max_size=7), min_size=1, max_size=20)


def sentences(text):
    return [np.array(sentence, dtype=np.int32) for sentence in text]


class Reference:
    """Interpolated modified Kneser-Ney as Chen and Goodman write it down, for one probability at a time."""

    def __init__(self, text, order):
        raw = [Counter() for _ in range(order + 1)]
        for sentence in text:
            padded = (1, *sentence, 2)
            for length in range(1, order + 1):
                raw[length].update(padded[i : i + length] for i in range(len(padded) - length + 1))
        self.counts = list(raw)
        for length in range(1, order):
            lefts = defaultdict(set)
            for gram in raw[length + 1]:
                lefts[gram[1:]].add(gram[0])
            self.counts[length] = Counter(
                {gram: count if gram[0] == 1 else len(lefts[gram]) for gram, count in raw[length].items()}
            )
        if order >= 1:
            self.counts[1].pop((1,), None)
        self.discounts = [self._discounts(counts) for counts in self.counts]

    @staticmethod
    def _discounts(counts):
        n = Counter(min(count, 5) for count in counts.values())
        if not all(n[k] for k in (1, 2, 3, 4)):
            return (0, 0.5, 1.0, 1.5)
        y = n[1] / (n[1] + 2 * n[2])
        found = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
        return (
            0,
            *(min(max(d, u / 10), k) for k, d, u in zip((1, 2, 3), found, (0.5, 1.0, 1.5), strict=True)),
        )

    def prob(self, context, word):
        length = len(context) + 1
        following = {gram: c for gram, c in self.counts[length].items() if gram[:-1] == context}
        lower = 1 / (N_WORDS - 1) if length == 1 else self.prob(context[1:], word)
        total = sum(following.values())
        if total == 0:
            return lower
        d = self.discounts[length]
        left = sum(d[min(count, 3)] for count in following.values()) / total
        count = following.get((*context, word), 0)
        return (count - d[min(count, 3)]) / total + left * lower


def lookups(levels):
    """P(word | context) from the packed arrays."""
    automaton, start = tables(levels, N_WORDS).automaton()

    def prob(context, word):
        state = start if context[:1] == (1,) else 0
        for one in context[1:] if context[:1] == (1,) else context:
            state = step(automaton, state, one)[1]
        return math.exp(step(automaton, state, word)[0])

    return prob


@given(text=TEXTS, order=st.integers(1, 4), data=st.data())
@settings(max_examples=50)
def test_probabilities_are_those_of_the_textbook(text, order, data):
    found = lookups(estimate(sentences(text), n_words=N_WORDS, order=order))
    wanted = Reference(text, order)
    context = data.draw(st.lists(st.integers(3, N_WORDS - 1), max_size=order - 1).map(tuple))
    if order > 1 and data.draw(st.booleans()):
        context = (1, *context)[: order - 1]
    for word in (0, *range(2, N_WORDS)):
        # Scores of the few n-grams here fit the 256 values; the rest is float32.
        assert found(context, word) == pytest.approx(wanted.prob(context, word), rel=2e-2)


@given(text=TEXTS, order=st.integers(1, 4), threshold=st.sampled_from([0.0, 1e-3, 1e-2, 0.1, 10.0]))
@settings(max_examples=50)
def test_in_every_state_the_probabilities_sum_to_one(text, order, threshold):
    levels = prune(estimate(sentences(text), n_words=N_WORDS, order=order), threshold)
    for length, level in enumerate(levels, start=1):
        assert (level.prob[level.grams[:, -1] != 1] > 0).all()
        assert length == 1 or np.isfinite(np.log(level.backoff)).all()
    automaton, start = tables(levels, N_WORDS).automaton()
    for state in {start, *range(len(automaton.backoff_state))}:
        total = sum(math.exp(step(automaton, state, word)[0]) for word in range(N_WORDS))
        # Scores in eight bits: up to 256 values are exact, more are rounded by less than a hundredth.
        assert total == pytest.approx(1.0, abs=1e-2)


def test_counts_are_those_of_a_text_one_can_count():
    levels = estimate(sentences([[3, 4], [3, 4], [3, 5]]), n_words=6, order=2)
    assert levels[0].grams.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert levels[0].count.tolist() == [0, 3, 3, 3, 2, 1]
    bigrams = dict(zip(map(tuple, levels[1].grams.tolist()), levels[1].count.tolist(), strict=True))
    assert bigrams == {(1, 3): 3, (3, 4): 2, (3, 5): 1, (4, 2): 2, (5, 2): 1}


def test_pruning_leaves_out_the_least_first_and_nothing_that_others_need():
    rng = np.random.default_rng(3)
    text = sentences([(rng.zipf(1.5, rng.integers(1, 9)) % 6 + 3).tolist() for _ in range(300)])
    levels = estimate(text, n_words=N_WORDS, order=3)
    before = n_grams(levels)
    for threshold in (0.0, 1e-5, 1e-4, 1e-3, 1e-2):
        pruned = prune(levels, threshold)
        assert n_grams(pruned) <= before
        before = n_grams(pruned)
        grams = {tuple(gram) for level in pruned for gram in level.grams.tolist()}
        assert all(gram[:-1] in grams and gram[1:] in grams for gram in grams if len(gram) > 1)
        for level, below in zip(pruned[1:], pruned, strict=False):
            np.testing.assert_array_equal(below.grams[level.prefix], level.grams[:, :-1])
            np.testing.assert_array_equal(below.grams[level.suffix], level.grams[:, 1:])
    assert n_grams(prune(levels, 10.0)) == 0


def test_the_loss_by_which_is_pruned_is_the_relative_entropy():
    rng = np.random.default_rng(5)
    text = sentences([(rng.zipf(1.7, rng.integers(1, 6)) % 6 + 3).tolist() for _ in range(40)])
    levels = estimate(text, n_words=N_WORDS, order=2)
    whole = lookups(levels)
    total = levels[0].count.sum()
    possible = [0, *range(2, N_WORDS)]
    # Just above the smallest loss of all, exactly the n-gram with that loss is left out.
    low, high = 1e-9, 10.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if n_grams(prune(levels, middle)) < n_grams(levels) else (middle, high)
    pruned = prune(levels, high)
    gone = {tuple(g) for g in levels[1].grams.tolist()} - {tuple(g) for g in pruned[1].grams.tolist()}
    assert len(gone) == 1
    ((context, _),) = gone
    smaller = lookups(pruned)
    entropy = (levels[0].count[context] / total) * sum(
        whole((context,), word) * math.log(whole((context,), word) / smaller((context,), word))
        for word in possible
    )
    # float32 logarithms whose differences are small.
    assert entropy == pytest.approx(high, rel=1e-2)


def test_a_text_without_sentences_makes_all_words_alike():
    found = lookups(estimate([], n_words=N_WORDS, order=3))
    for word in (0, *range(2, N_WORDS)):
        assert found((3, 4), word) == pytest.approx(1 / (N_WORDS - 1), rel=1e-6)


def prob_of(levels, context, word):
    """The probability by the definition of a back-off model, without its automaton."""
    place = {tuple(gram): i for i, gram in enumerate(levels[len(context)].grams.tolist())}.get(
        (*context, word)
    )
    if place is not None:
        return levels[len(context)].prob[place]
    begun = {tuple(gram): i for i, gram in enumerate(levels[len(context) - 1].grams.tolist())}.get(context)
    left = 1.0 if begun is None else levels[len(context) - 1].backoff[begun]
    return left * prob_of(levels, context[1:], word)


@settings(max_examples=40)
@given(first=TEXTS, second=TEXTS, weight=st.floats(0.05, 0.95))
def test_a_mixture_gives_each_ngram_the_mean(first, second, weight):
    models = [estimate(sentences(text), n_words=N_WORDS, order=3) for text in (first, second)]
    both = mixed(models, (weight, 1.0 - weight))
    for level in both:
        for gram, prob in zip(level.grams.tolist(), level.prob, strict=True):
            own = [prob_of(model, tuple(gram[:-1]), gram[-1]) for model in models]
            assert prob == pytest.approx(weight * own[0] + (1.0 - weight) * own[1], rel=1e-9, abs=1e-12)
    for context in ((), (3,), (1, 3), (4, 3), (3, 3)):
        total = sum(prob_of(both, context, word) for word in range(N_WORDS) if word != 1)
        assert total == pytest.approx(1.0, abs=1e-6)  # `_LEAST` where nothing is left over


@settings(max_examples=20)
@given(text=TEXTS)
def test_a_mixture_of_one_is_itself(text):
    own = estimate(sentences(text), n_words=N_WORDS, order=3)
    for level, one in zip(mixed([own, own], (0.3, 0.7)), own, strict=True):
        assert np.array_equal(level.grams, one.grams)
        assert np.array_equal(level.prefix, one.prefix)
        assert np.array_equal(level.suffix, one.suffix)
        assert level.prob == pytest.approx(one.prob, rel=1e-9)
