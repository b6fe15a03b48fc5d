"""N-grams from text: interpolated modified Kneser-Ney, and Stolcke's pruning by relative entropy.

Chen and Goodman, "An empirical study of smoothing techniques for language modeling" (1998), section
3; Stolcke, "Entropy-based pruning of backoff language models" (1998). Probabilities of contexts for the
pruning are their relative frequencies, since those of a Kneser-Ney model's shorter n-grams are none
(Chelba et al., "Study on interaction between entropy pruning and Kneser-Ney smoothing", 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.ngrams import SENTENCE_END, SENTENCE_START, Ngrams, Table

__all__ = ["Level", "estimate", "mixed", "n_grams", "prune", "tables"]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

_USUAL_DISCOUNTS = (0.5, 1.0, 1.5)
"""For texts too small to say: what they are about in large ones."""
_LEAST = 1e-12
"""Keeps rounding errors of sums that should be 0 out of logarithms."""


@dataclass(frozen=True, eq=False)
class Level:
    """All n-grams of one length in ascending order, and how they hang together.

    ``prefix`` and ``suffix`` are the places of an n-gram's first and last words in the level below;
    ``count`` says how often it occurs; ``prob`` is what it has, ``backoff`` the share of what it
    leaves to shorter contexts. In a mixture counts are parts of all.
    """

    grams: NDArray[np.int32]
    prefix: Counts
    suffix: Counts
    count: Counts | Floats
    prob: Floats
    backoff: Floats


def estimate(sentences: Sequence[NDArray[np.int32]], *, n_words: int, order: int) -> list[Level]:
    """Estimate a model of n-grams of up to `order` words.

    Parameters
    ----------
    sentences : sequence of ``[n] int32``
        Words as numbers below `n_words`, without the marks of beginning and end.
    n_words : int
        Size of the vocabulary; every word of it gets a probability.

    Returns
    -------
    list of Level
        One for each length.
    """
    levels = _count(*_stream(sentences), n_words=n_words, order=order)
    shorter = np.full(n_words, 1.0 / (n_words - 1))
    for place, level in enumerate(levels):
        counts = cast(Counts, level.count)
        if place + 1 < len(levels):
            # In how many contexts, not how often; what begins a sentence has no context but that.
            contexts = np.bincount(levels[place + 1].suffix, minlength=len(counts))
            counts = np.where(level.grams[:, 0] == SENTENCE_START, counts, contexts)
        if place == 0:
            counts = np.where(level.grams[:, 0] == SENTENCE_START, 0, counts)
        discounts = _discounts(counts)
        taken = discounts[np.minimum(counts, 3)]
        n_contexts = len(levels[place - 1].count) if place else 1
        total = np.bincount(level.prefix, weights=counts, minlength=n_contexts)
        left = np.bincount(level.prefix, weights=taken, minlength=n_contexts)
        backoff = np.where(total > 0, left / np.maximum(total, 1), 1.0)
        prob = (counts - taken) / np.maximum(total, 1)[level.prefix]
        prob += backoff[level.prefix] * shorter[level.suffix if place else level.grams[:, 0]]
        if place == 0:
            prob[SENTENCE_START] = 0.0
        else:
            levels[place - 1] = replace(levels[place - 1], backoff=backoff)
        levels[place] = replace(level, prob=prob)
        shorter = prob
    return levels


def prune(levels: Sequence[Level], threshold: float) -> list[Level]:
    """Leave out what changes the model's relative entropy by less than `threshold` (nats a word).

    Beginnings and endings of what stays, stay too.
    """
    levels = list(levels)
    total = float(levels[0].count.sum())
    for place in range(len(levels) - 1, 0, -1):
        level, below = levels[place], levels[place - 1]
        keep = _loss(level, below, total) >= threshold
        if place + 1 < len(levels):
            keep[levels[place + 1].prefix] = True
            keep[levels[place + 1].suffix] = True
            renumbered = np.cumsum(keep) - 1
            above = levels[place + 1]
            levels[place + 1] = replace(
                above, prefix=renumbered[above.prefix], suffix=renumbered[above.suffix]
            )
        levels[place] = level = _chosen(level, keep)
        levels[place - 1] = replace(below, backoff=_shares(level, below))
    return levels


def mixed(models: Sequence[Sequence[Level]], weights: Sequence[float]) -> list[Level]:
    """Mix models of one vocabulary and order linearly: each n-gram that any of them has gets the mean.

    Parameters
    ----------
    models : sequence of list of Level
        As `estimate` returns them.
    weights : sequence of float
        How much each counts; they sum to one.

    Notes
    -----
    Where a model lacks an n-gram, what its shorter n-grams give counts, so that the mean is that of the
    models' own probabilities. Counts are relative frequencies then, for `prune`.
    """
    firsts = [model[0] for model in models]
    n_words = len(firsts[0].prob)
    here = np.arange(n_words)
    parts = [
        _Part(weight, float(first.count.sum()), first.prob, first.backoff, here)
        for weight, first in zip(weights, firsts, strict=True)
    ]
    levels = [_mean(firsts[0], parts, firsts)]
    for own in list(zip(*models, strict=True))[1:]:
        level, parts = _longer(n_words, levels[-1], parts, own)
        levels[-1] = replace(levels[-1], backoff=_shares(level, levels[-1]))
        levels.append(level)
    return levels


def n_grams(levels: Sequence[Level]) -> int:
    """Return how many n-grams there are, single words not counted."""
    return sum(len(level.count) for level in levels[1:])


def tables(levels: Sequence[Level], n_words: int) -> Ngrams:
    """Return the model as tables of logarithms."""
    with np.errstate(divide="ignore"):
        return Ngrams(
            n_words,
            tuple(Table(level.grams, np.log(level.prob), np.log(level.backoff)) for level in levels),
        )


@dataclass(frozen=True, eq=False)
class _Part:
    """One model of a mixture: what it gives each n-gram of one length, and where it has them itself."""

    weight: float
    total: float
    """Words it was estimated from."""
    probs: Floats
    backoffs: Floats
    """Of its own n-grams."""
    mean: Counts
    """Where in the mixture each of its own n-grams lies."""

    def next(self, own: Level, mean: Counts, prefix: Counts, suffix: Counts) -> _Part:
        """The same model a word further, where the mixture's n-grams have this `prefix` and `suffix`."""
        left = np.ones(len(self.probs))
        left[self.mean] = self.backoffs
        probs = left[prefix] * self.probs[suffix]
        probs[mean] = own.prob
        return replace(self, probs=probs, backoffs=own.backoff, mean=mean)

    def frequency(self, own: Level) -> Floats:
        """Relative frequencies in the order of the mixture, times the weight."""
        found = np.zeros(len(self.probs))
        found[self.mean] = own.count * (self.weight / self.total)
        return found


def _longer(
    n_words: int, below: Level, parts: Sequence[_Part], own: Sequence[Level]
) -> tuple[Level, list[_Part]]:
    """The mixture's level above `below`, made of the models' own ones."""
    keys = [part.mean[one.prefix] * n_words + one.grams[:, -1] for part, one in zip(parts, own, strict=True)]
    union = np.unique(np.concatenate(keys))
    prefix = union // n_words
    places = [np.searchsorted(union, key) for key in keys]
    suffix = np.empty(len(union), dtype=np.int64)
    for part, one, place in zip(parts, own, places, strict=True):
        suffix[place] = part.mean[one.suffix]
    parts = [
        part.next(one, place, prefix, suffix) for part, one, place in zip(parts, own, places, strict=True)
    ]
    grams = np.column_stack((below.grams[prefix], (union % n_words).astype(np.int32)))
    return _mean(Level(grams, prefix, suffix, union, below.prob, np.ones(len(union))), parts, own), parts


def _mean(level: Level, parts: Sequence[_Part], own: Sequence[Level]) -> Level:
    """The level with the parts' weighted means."""
    prob = np.sum([part.weight * part.probs for part in parts], axis=0)
    count = np.sum([part.frequency(one) for part, one in zip(parts, own, strict=True)], axis=0)
    return replace(level, prob=prob, count=count)


def _stream(sentences: Sequence[NDArray[np.int32]]) -> tuple[Counts, Counts]:
    """All sentences with their marks in a row, and each word's place in its sentence."""
    lengths = np.array([len(sentence) + 2 for sentence in sentences], dtype=np.int64)
    ends = np.cumsum(lengths)
    words = np.empty(int(lengths.sum()), dtype=np.int64)
    age = np.arange(len(words)) - np.repeat(ends - lengths, lengths)
    words[ends - 1] = SENTENCE_END
    words[ends - lengths] = SENTENCE_START
    inner = np.ones(len(words), dtype=bool)
    inner[ends - 1] = inner[ends - lengths] = False
    words[inner] = np.concatenate([*sentences, np.zeros(0, dtype=np.int32)])
    return words, age


def _count(words: Counts, age: Counts, *, n_words: int, order: int) -> list[Level]:
    n_unigrams = np.bincount(words, minlength=n_words)
    zeros = np.zeros(n_words, dtype=np.int64)
    single = np.arange(n_words, dtype=np.int32)[:, None]
    levels = [Level(single, zeros, zeros, n_unigrams, np.zeros(n_words), np.ones(n_words))]
    place = words  # of the n-gram that ends here, among those of its length
    for length in range(2, order + 1):
        here = np.flatnonzero(age >= length - 1)
        keys, inverse, count = np.unique(
            place[here - 1] * n_words + words[here], return_inverse=True, return_counts=True
        )
        prefix = keys // n_words
        suffix = np.empty(len(keys), dtype=np.int64)
        suffix[inverse] = place[here]
        grams = np.column_stack((levels[-1].grams[prefix], (keys % n_words).astype(np.int32)))
        levels.append(Level(grams, prefix, suffix, count, np.zeros(len(keys)), np.ones(len(keys))))
        place = np.full(len(words), -1, dtype=np.int64)
        place[here] = inverse
    return levels


def _discounts(counts: Counts) -> Floats:
    """What is taken from an n-gram that was counted 0, 1, 2, and 3 times or oftener."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[:5].astype(np.float64)
    if (n[1:] == 0).any():
        return np.array([0.0, *_USUAL_DISCOUNTS])
    share = n[1] / (n[1] + 2 * n[2])
    found = [k - (k + 1) * share * n[k + 1] / n[k] for k in (1, 2, 3)]
    bounded = [
        min(max(value, usual / 10), k)
        for k, value, usual in zip((1, 2, 3), found, _USUAL_DISCOUNTS, strict=True)
    ]
    return np.array([0.0, *bounded])


def _loss(level: Level, below: Level, total: float) -> Floats:
    """Relative entropy between the model and the one without an n-gram, for each alone."""
    prob, shorter = level.prob, below.prob[level.suffix]
    n_contexts = len(below.count)
    free = np.maximum(1 - np.bincount(level.prefix, weights=prob, minlength=n_contexts), _LEAST)
    free_below = np.maximum(1 - np.bincount(level.prefix, weights=shorter, minlength=n_contexts), _LEAST)
    free, free_below = free[level.prefix], free_below[level.prefix]
    # The back-off weight before, and after the n-gram's own probability has joined what is left over.
    before, after = np.log(free / free_below), np.log((free + prob) / (free_below + shorter))
    change = prob * (np.log(shorter) + after - np.log(prob)) + free * (after - before)
    loss: Floats = -(below.count[level.prefix] / total) * change
    return loss


def _shares(level: Level, below: Level) -> Floats:
    """Back-off weights with which each context's probabilities sum to one."""
    n_contexts = len(below.count)
    own = np.bincount(level.prefix, weights=level.prob, minlength=n_contexts)
    shorter = np.bincount(level.prefix, weights=below.prob[level.suffix], minlength=n_contexts)
    return np.maximum(1 - own, _LEAST) / np.maximum(1 - shorter, _LEAST)


def _chosen(level: Level, keep: NDArray[np.bool_]) -> Level:
    return Level(
        level.grams[keep],
        level.prefix[keep],
        level.suffix[keep],
        level.count[keep],
        level.prob[keep],
        level.backoff[keep],
    )
