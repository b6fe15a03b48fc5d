"""The lexicon as a prefix tree: words that begin alike share nodes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit

__all__ = ["Trie", "build_trie"]


class Trie(NamedTuple):
    """Nodes in breadth-first order; node 0 is the root, and all children of a node lie side by side.

    ``best[n]`` is the largest score of a word at or below node n, so that the language model can be
    looked ahead to: a path has always received what the best word it may become will receive.
    """

    first: NDArray[np.int32]
    """``[n_nodes + 1]``: children of n are ``first[n]:first[n + 1]``."""
    token: NDArray[np.int32]
    """``[n_nodes]``: the token that leads here; -1 to the root."""
    best: NDArray[np.float64]
    """``[n_nodes]``"""
    word_first: NDArray[np.int32]
    """``[n_nodes + 1]``: words that end at n are ``word_first[n]:word_first[n + 1]``."""
    entry: NDArray[np.int32]
    """``[n_entries]``: which of the entries given to :func:`build_trie`."""


def build_trie(tokens: NDArray[np.int32], offsets: NDArray[np.int64], score: NDArray[np.float64]) -> Trie:
    """Build the tree of entries ``tokens[offsets[i]:offsets[i + 1]]``, none of them empty.

    `score` ``[n_entries]`` is what ``best`` is the largest of.
    """
    n_nodes, first, token, end = _insert(tokens, offsets)
    word_first = np.zeros(n_nodes + 1, np.int32)
    np.cumsum(np.bincount(end, minlength=n_nodes), out=word_first[1:])
    best = np.full(n_nodes, -np.inf)
    np.maximum.at(best, end, score)
    _lift(first[: n_nodes + 1], best)
    entry = np.argsort(end, kind="stable").astype(np.int32)
    return Trie(first[: n_nodes + 1].copy(), token[:n_nodes].copy(), best, word_first, entry)


@cached_njit(nogil=True)
def _lift(first, best):  # type: ignore[no-untyped-def]
    """Give each node the best of its children, from the last to the first."""
    for node in range(first.size - 2, -1, -1):
        for child in range(first[node], first[node + 1]):
            best[node] = max(best[node], best[child])


@cached_njit(nogil=True)
def _insert(tokens, offsets):  # type: ignore[no-untyped-def]  # noqa: PLR0912
    """Insert all entries level by level, so that nodes come out in breadth-first order.

    On each level, entries are sorted by the node they have reached and by their next token: two
    counting sorts, since both are small integers.
    """
    n = offsets.size - 1
    room = tokens.size + 1
    first = np.zeros(room + 1, np.int32)
    token = np.full(room, -1, np.int32)
    end = np.zeros(n, np.int32)
    n_tokens = tokens.max() + 1 if tokens.size else 1
    order = np.arange(n)
    sorted_by_token = np.empty(n, np.int64)
    at = np.zeros(n, np.int64)
    count = np.zeros(n_tokens + 1, np.int64)
    n_nodes, level_start, depth = 1, 0, 0
    while order.size > 0:
        # By next token.
        count[:] = 0
        for i in order:
            count[tokens[offsets[i] + depth] + 1] += 1
        for c in range(n_tokens):
            count[c + 1] += count[c]
        for i in order:
            c = tokens[offsets[i] + depth]
            sorted_by_token[count[c]] = i
            count[c] += 1
        # By node, keeping the order by token.
        level = n_nodes - level_start
        places = np.zeros(level + 1, np.int64)
        for i in order:
            places[at[i] - level_start + 1] += 1
        for k in range(level):
            places[k + 1] += places[k]
        by_node = np.empty(order.size, np.int64)
        for k in range(order.size):
            i = sorted_by_token[k]
            by_node[places[at[i] - level_start]] = i
            places[at[i] - level_start] += 1
        # A new node wherever node or token changes.
        next_start, kept = n_nodes, 0
        node, last = level_start - 1, -1
        for i in by_node:
            c = tokens[offsets[i] + depth]
            if at[i] != node or c != last:
                while node < at[i]:
                    node += 1
                    first[node] = n_nodes
                last = c
                token[n_nodes] = c
                n_nodes += 1
            at[i] = n_nodes - 1
            end[i] = n_nodes - 1
            if offsets[i] + depth + 1 < offsets[i + 1]:
                by_node[kept] = i
                kept += 1
        while node < next_start - 1:
            node += 1
            first[node] = n_nodes
        order = by_node[:kept]
        level_start = next_start
        depth += 1
    for node in range(level_start, n_nodes + 1):
        first[node] = n_nodes
    return n_nodes, first, token, end
