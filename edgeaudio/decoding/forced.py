"""Forced alignment: when each word of a known text was spoken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeaudio.decoding.base import LogProbs, Word
from edgeaudio.decoding.grammar_states import States
from edgeaudio.decoding.graph_search import GraphSearch
from edgeaudio.decoding.token_graph import build_token_graph

__all__ = ["align_words"]

_OTHER_COST = 3.0
"""What a sound before or behind the text costs: about as much as one of the text that was not heard."""
_BEAM = 400.0
"""Far: a minute of noise in the midst must not end the search."""
_RECORDS_PER_WORD = 200


def align_words(
    log_probs: LogProbs,
    words: Sequence[str],
    spoken: Mapping[str, Sequence[Sequence[int]]],
    *,
    blank: int,
    separator: int | None = None,
) -> tuple[Word, ...]:
    """Find the most probable times of words that were said one after the other.

    Viterbi's algorithm over CTC's topology, with all pronunciations of each word. Other sounds before and
    behind the text are passed over.

    Parameters
    ----------
    log_probs : array [n_frames, n_tokens] float32
        Natural logarithms.
    words : sequence of str
    spoken : mapping
        The tokens of each pronunciation of each word.
    blank : int
        CTC's blank.
    separator : int, optional
        The token between two words, where the units are letters.

    Returns
    -------
    tuple of Word
        One for each of `words`; none if there are fewer frames than the words need. Their evidence is the
        logarithm of the odds that they were really said.
    """
    if not words or not len(log_probs):
        return ()
    states: States = [(None, {word: (0.0, place + 1)}) for place, word in enumerate(words)]
    graph = build_token_graph([*states, (0.0, {})], spoken, separator=separator, origin="the text")
    search = GraphSearch(
        graph,
        log_probs.shape[1],
        blank,
        other_cost=_OTHER_COST,
        beam=_BEAM,
        n_records=_RECORDS_PER_WORD * len(words),
    )
    search.process(log_probs)
    found = search.best_whole().with_odds()
    return found if len(found) == len(words) else ()
