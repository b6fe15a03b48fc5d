"""Sentences as a graph of tokens: what the exact search walks through, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.grammar_states import States
from edgeaudio.errors import ConfigError

__all__ = ["Graph", "TokenGraph", "build_token_graph"]

_MAX_NODES = 300_000
"""So many cost 2 ms a frame."""


class Graph(NamedTuple):
    """Nodes, each of which writes one token, and the junctions between words.

    A junction is a state of the word automaton. From each one a prefix tree leads through the
    pronunciations of the words that may follow; the last node of a word, which no other word shares,
    leads to the next junction. Junction 0 is the beginning. Parents come before their children.
    """

    token: NDArray[np.int32]
    """``[n_nodes]``"""
    parent: NDArray[np.int32]
    """``[n_nodes]``; ``-1 - j`` for the first node of a word that begins at junction j."""
    depth: NDArray[np.int32]
    """``[n_nodes]``: tokens from the word's first one to this."""
    word: NDArray[np.int32]
    """``[n_nodes]``: the word that ends here, -1 for none."""
    word_score: NDArray[np.float32]
    """``[n_nodes]``: natural logarithm of the word that ends here."""
    leaving: NDArray[np.int32]
    """Nodes where words end, grouped by the junction that they lead to."""
    leaving_offsets: NDArray[np.int32]
    """``[n_junctions + 1]`` into `leaving`."""
    ending: NDArray[np.float32]
    """``[n_junctions]``: natural logarithm of ending here, -inf where a sentence cannot."""


@dataclass(frozen=True)
class TokenGraph:
    """A graph with the spellings of its words."""

    words: tuple[str, ...]
    graph: Graph


def build_token_graph(
    states: States,
    spoken: Mapping[str, Sequence[Sequence[int]]],
    *,
    separator: int | None = None,
    origin: str = "the grammar",
) -> TokenGraph:
    """Unfold a deterministic automaton of words into tokens.

    Parameters
    ----------
    states : States
        See :func:`edgeaudio.decoding.grammar_states.sentences_automaton`.
    spoken : mapping
        The tokens of each pronunciation of each word, at least one.
    separator : int, optional
        The token between two words, where the units are letters.
    origin : str, optional
        What error messages call the automaton.

    Raises
    ------
    ConfigError
        The graph becomes too large.
    """
    words = sorted({word for _, arcs in states for word in arcs})
    number = {word: i for i, word in enumerate(words)}
    # A way back to the beginning needs a separator, which the beginning itself has not.
    states = [*states, states[0]]
    start = len(states) - 1
    nodes = _Nodes(origin)
    for junction, (_, arcs) in enumerate(states):
        tree: dict[tuple[int, ...], int] = {}
        lead = () if separator is None or junction == start else (separator,)
        for word, (score, to) in arcs.items():
            for tokens in dict.fromkeys((*lead, *one) for one in spoken[word]):
                parent = -1 - junction
                for depth in range(1, len(tokens)):
                    begun = tokens[:depth]
                    if begun not in tree:
                        tree[begun] = nodes.add(begun[-1], parent, depth)
                    parent = tree[begun]
                nodes.add(tokens[-1], parent, len(tokens), ends=(number[word], score, to))
    return TokenGraph(tuple(words), nodes.graph(states))


class _Nodes:
    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._rows: list[tuple[int, int, int, int, float, int]] = []

    def add(
        self, token: int, parent: int, depth: int, *, ends: tuple[int, float, int] = (-1, 0.0, -1)
    ) -> int:
        """Add a node; `ends` is the word that ends there, its score, and where it leads to."""
        if len(self._rows) >= _MAX_NODES:
            raise ConfigError(
                f"{self._origin}: in sounds, it is larger than {_MAX_NODES} nodes",
                hint="Use fewer commands, or several grammars one at a time.",
            )
        self._rows.append((token, parent, depth, *ends))
        return len(self._rows) - 1

    def graph(self, states: States) -> Graph:
        token, parent, depth, word, score, to = (np.array(column) for column in zip(*self._rows, strict=True))
        order = np.argsort(to, kind="stable")
        counts = np.bincount(to[to >= 0], minlength=len(states))
        return Graph(
            token=token.astype(np.int32),
            parent=parent.astype(np.int32),
            depth=depth.astype(np.int32),
            word=word.astype(np.int32),
            word_score=score.astype(np.float32),
            leaving=order[len(order) - counts.sum() :].astype(np.int32),
            leaving_offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int32),
            ending=np.array([-np.inf if end is None else end for end, _ in states], np.float32),
        )
