"""The compiled lexicon search: tokens pass through the tree of words, an n-gram weighs what they spell.

A hypothesis is a place: a state of the language model, a state of the hotwords, and a node of the
:class:`~edgeaudio.decoding.trie.Trie`. It holds two probabilities, that its last frame was blank and that
it was its last token, as CTC's prefix search does, so that all alignments of a spelling are one
hypothesis. Nodes from ``n_nodes`` on are places between words: node ``n_nodes + c`` behind a word whose
last token was c (the same token again then needs a blank between), and ``n_nodes + n_tokens`` the very
beginning.

Probabilities are plain ones, scaled so that the best hypothesis has 1: within a beam they never come near
the limits of float64, and neither logarithm nor exponential is needed but for each token of a frame and
each word that ends. Those who arrive at the same place are merged: their probabilities are added (or the
larger is taken), and the more probable one's past is kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.decoding import automaton as automaton_module
from edgeaudio.decoding import lexicon_beam as beam_module
from edgeaudio.decoding import pool as pool_module
from edgeaudio.decoding import selection as selection_module
from edgeaudio.decoding.automaton import step
from edgeaudio.decoding.lexicon_beam import NOTHING, Count, Scale, arrive, prune, raise_least
from edgeaudio.decoding.ngrams import SENTENCE_END
from edgeaudio.decoding.pool import Mark, advance_root, grow, keep_below, release, witness

__all__ = ["Words", "advance", "finish", "keep"]


class Words(NamedTuple):
    """What does not change beside tree and automaton."""

    entry_gain: NDArray[np.float64]
    """``[n_nodes]``: factor on the way into a node, from looking ahead."""
    word: NDArray[np.int32]
    """``[n_entries]``, in the order of the tree's ``word_first``."""
    word_score: NDArray[np.float64]
    """``[n_entries]``: added to the language model's score when the word ends."""
    hot_word: NDArray[np.int32]
    """``[n_words]``: number among the words of hotwords, 0 for others; empty without hotwords."""
    hot_next: NDArray[np.int32]
    """``[n_hot_states, n_hot_words]``"""
    hot_score: NDArray[np.float64]
    """``[n_hot_states, n_hot_words]``"""


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_inner: Any = njit(**_OPTIONS)
_CALLS = (pool_module, automaton_module, beam_module, selection_module)
_SHARE_WEIGHT, _GAP_WEIGHT = 0.3, 0.2
"""In a word's evidence: they rank right words before wrong ones best, for phones and for letters."""
_LEAST_GAP = -20.0


@_inner
def _both(beam, i):  # type: ignore[no-untyped-def]
    """The probability of a survivor, whatever its last frame was."""
    if beam.counts[Count.ADD]:
        return beam.here[i].blank + beam.here[i].token
    return max(beam.here[i].blank, beam.here[i].token)


@_inner
def _shortfall(log_prob, top):  # type: ignore[no-untyped-def]
    """How much less probable a token is than the frame's best; bounded, so that sums stay finite."""
    return max(log_prob - top, -30.0)


@_inner
def _stay(beam, trie, i, row, top):  # type: ignore[no-untyped-def]
    """Let a survivor hear blank, or its last token once more."""
    counts = beam.counts
    beam.coming[0] = beam.here[i]
    coming = beam.coming[0]
    n_nodes = trie.token.size
    last = trie.token[coming.node] if coming.node < n_nodes else coming.node - n_nodes
    token, heard = 0.0, counts[Count.BLANK]
    blank = _both(beam, i) * beam.frame[heard]
    if last < counts[Count.N_TOKENS]:
        token = coming.token * beam.frame[last]
        if token > blank:
            heard = last
            if last != counts[Count.SPACE]:
                coming.seen = counts[Count.FRAME] + 1
    coming.blank, coming.token = blank, token
    coming.word = NOTHING
    coming.gap += _shortfall(row[heard], top)
    arrive(beam)


@_inner
def _enter(beam, trie, words, automaton, i, child, token, shortfall):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Let survivor `i` hear the token of `child`, with probability `token`: a word goes on, or ends."""
    past, frame = beam.here[i], beam.counts[Count.FRAME]
    n_nodes = trie.token.size
    beam.coming[0] = past
    coming = beam.coming[0]
    coming.blank, coming.token = 0.0, token
    coming.seen = frame + 1
    coming.gap += shortfall
    coming.word = NOTHING
    if past.node >= n_nodes:
        coming.start = frame
    if trie.first[child] < trie.first[child + 1]:
        coming.node = child
        arrive(beam)
    coming.node = n_nodes + trie.token[child]
    for k in range(trie.word_first[child], trie.word_first[child + 1]):
        word = words.word[k]
        log_prob, coming.state = step(automaton, past.state, word)
        score = beam.scales[Scale.WEIGHT] * log_prob + words.word_score[k]
        if words.hot_word.size:
            score += words.hot_score[past.hot, words.hot_word[word]]
            coming.hot = words.hot_next[past.hot, words.hot_word[word]]
        coming.word = word
        coming.token = token * np.exp(score)
        arrive(beam)


@_inner
def _leave(beam, trie, words, automaton, i, row, top):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Let a survivor hear each token that may follow."""
    counts, least = beam.counts, beam.scales[Scale.LEAST]
    past, n_nodes = beam.here[i], trie.token.size
    both, again = _both(beam, i), past.blank
    node, last = past.node, NOTHING
    if node < n_nodes:
        last = trie.token[node]
    else:
        last, node = node - n_nodes, 0
        space = counts[Count.SPACE]
        if space != NOTHING:
            beam.coming[0] = past
            coming = beam.coming[0]
            coming.node = n_nodes + space
            coming.blank, coming.token = 0.0, (again if last == space else both) * beam.frame[space]
            coming.word = NOTHING
            # The space belongs to no word.
            coming.gap += _shortfall(row[space], top)
            coming.gap_before = coming.gap
            arrive(beam)
            if last != space and last < counts[Count.N_TOKENS]:
                return
    for child in range(trie.first[node], trie.first[node + 1]):
        c = trie.token[child]
        token = (again if c == last else both) * beam.frame[c] * words.entry_gain[child]
        if token >= least:
            _enter(beam, trie, words, automaton, i, child, token, _shortfall(row[c], top))


@_inner
def _survive(beam, pool, n_nodes):  # type: ignore[no-untyped-def]
    """Make the next frame's places the survivors; words that ended get back-pointers."""
    here, there, counts, scales = beam.here, beam.there, beam.counts, beam.scales
    prune(beam)
    n_before, n = counts[Count.ACTIVE], counts[Count.NEXT]
    end = counts[Count.FRAME] + 1
    for i in range(n):
        place = there[i]
        if place.word != NOTHING:
            # Words that met here are one from now on: how much of them all this one was.
            share = np.log(place.strength / (place.blank + place.token))
            gap = max(place.gap - place.gap_before, _LEAST_GAP)
            evidence = _SHARE_WEIGHT * share + _GAP_WEIGHT * gap
            place.back = grow(pool, place.back, place.word, place.start, end, evidence)
            place.gap_before = place.gap
        else:
            pool.nodes[place.back].users += 1
            if place.node >= n_nodes and place.seen == end:
                # The word's last token is heard once more.
                pool.nodes[place.back].end = end
    for i in range(n_before):
        release(pool, here[i].back)
    scale = 1.0 / scales[Scale.TOP]
    best, total = 0, 0.0
    for i in range(n):
        here[i] = there[i]
        here[i].blank *= scale
        here[i].token *= scale
        if here[i].blank + here[i].token > here[best].blank + here[best].token:
            best = i
        total += here[i].blank + here[i].token
    for i in range(n):
        witness(pool, here[i].back, (here[i].blank + here[i].token) / total, end)
    counts[Count.ACTIVE] = n
    counts[Count.BEST] = best
    scales[Scale.TOTAL] += np.log(scales[Scale.TOP])
    advance_root(pool)


@_inner
def _keep(beam, pool, node):  # type: ignore[no-untyped-def]
    """Give up the survivors whose past does not include `node`."""
    counts = beam.counts
    counts[Count.ACTIVE], counts[Count.BEST] = keep_below(
        pool, beam.here, counts[Count.ACTIVE], counts[Count.BEST], node
    )


@_inner
def _decide_oldest(beam, pool):  # type: ignore[no-untyped-def]
    """Too much is undecided for the pool: the best hypothesis decides its oldest word."""
    here, counts = beam.here, beam.counts
    best, root = counts[Count.BEST], pool.marks[Mark.ROOT]
    node = here[best].back
    if node == root:
        for i in range(counts[Count.ACTIVE]):
            if i != best:
                release(pool, here[i].back)
        here[0] = here[best]
        counts[Count.ACTIVE], counts[Count.BEST] = 1, 0
        return
    while pool.nodes[node].parent != root:
        node = pool.nodes[node].parent
    _keep(beam, pool, node)


@cached_njit(calls=_CALLS, **_OPTIONS)
def advance(log_probs, beam, pool, trie, words, automaton):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Read frames until all are read, or more is stable than Python has fetched; return their number."""
    counts, scales = beam.counts, beam.scales
    for t in range(log_probs.shape[0]):
        while pool.marks[Mark.FREE] < counts[Count.WIDTH]:
            if pool.marks[Mark.STABLE] == pool.stable.size:
                return t
            _decide_oldest(beam, pool)
        row = log_probs[t]
        top = -np.inf
        for c in range(row.size):
            # What is no number is no probability.
            beam.frame[c] = np.exp(row[c]) if row[c] > -np.inf else 0.0
            top = max(top, row[c]) if row[c] > -np.inf else top
        beam.frame[counts[Count.BLANK]] *= scales[Scale.BLANK]
        counts[Count.EPOCH] += 1
        counts[Count.NEXT] = 0
        scales[Scale.TOP] = 0.0
        scales[Scale.LEAST] = 0.0
        for i in range(counts[Count.ACTIVE]):
            _stay(beam, trie, i, row, top)
        raise_least(beam)
        # The best first: it says soonest what cannot survive.
        best = counts[Count.BEST]
        _leave(beam, trie, words, automaton, best, row, top)
        for i in range(counts[Count.ACTIVE]):
            if i != best:
                _leave(beam, trie, words, automaton, i, row, top)
        # A frame in which nothing is possible says nothing.
        if scales[Scale.TOP] > 0.0:
            _survive(beam, pool, trie.token.size)
        counts[Count.FRAME] += 1
    return log_probs.shape[0]


@cached_njit(calls=_CALLS, **_OPTIONS)
def keep(beam, pool, node):  # type: ignore[no-untyped-def]
    """Give up the survivors whose past does not include `node`."""
    _keep(beam, pool, node)


@cached_njit(calls=_CALLS, **_OPTIONS)
def finish(beam, trie, words, automaton):  # type: ignore[no-untyped-def]
    """Return the best survivor at whose place a sentence may end, NOTHING if there is none, and its score."""
    here, counts, scales = beam.here, beam.counts, beam.scales
    best, best_score = NOTHING, -np.inf
    for i in range(counts[Count.ACTIVE]):
        total = _both(beam, i)
        if here[i].node < trie.token.size or total <= 0.0:
            continue
        log_prob, _ = step(automaton, here[i].state, SENTENCE_END)
        score = np.log(total) + scales[Scale.TOTAL] + scales[Scale.WEIGHT] * log_prob
        if words.hot_word.size:
            # The end breaks off what has begun, as a word of no phrase does.
            score += words.hot_score[here[i].hot, 0]
        if score > best_score:
            best, best_score = i, score
    return best, best_score
