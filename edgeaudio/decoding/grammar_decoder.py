"""The decoder for closed grammars: an exact search, and the courage to have understood nothing."""

from __future__ import annotations

from collections.abc import Sequence

from edgeaudio.decoding.base import Hypothesis, LogProbs
from edgeaudio.decoding.grammar import Grammar, Pronounce
from edgeaudio.decoding.graph_search import GraphSearch, Reading
from edgeaudio.decoding.token_graph import TokenGraph, build_token_graph
from edgeaudio.decoding.units import Units, spelling, token_index
from edgeaudio.errors import ModelError

__all__ = ["GrammarDecoder", "order_graph"]

OTHER_COST = 3.0
"""What a sound before or behind the order costs: about as much as one of the order that was not heard."""
BEAM = 60.0
"""What is this far behind has six sounds more amiss than the best: it never comes back."""
MAX_MISMATCH = 2.0
"""The most by which an order may disagree with what was heard, per sound of the order.

Of 300 phrases of 3 to 6 words, cut from LibriSpeech and each an order of one grammar, a network of phone
error rate 0.44 told 94 % apart; the limits pass 92 %, and 4 % of other phrases."""
MAX_WORD_MISMATCH = 4.0
"""The same for each single word, so that no unknown name hides in a long order."""


class GrammarDecoder:
    """Finds the order of a grammar that agrees best with what was heard, if any agrees at all.

    How far an order and the sounds disagree is counted per sound: 0 is perfect agreement, and speech that
    is no order disagrees with nearly all of them. Only at the end is that known. So no word is stable
    before, and :meth:`flush` returns none where no order agrees well enough.

    A word's evidence is the logarithm of the odds that it is right.

    Parameters
    ----------
    graph : TokenGraph
        What can be said, see :func:`order_graph`.
    tokens : sequence of str
        What the columns of the log-probabilities stand for.
    blank : str
        CTC's blank among them.
    max_mismatch, max_word_mismatch : float
        The most disagreement per sound, of the whole order and of each word in it; the greater, the more
        is understood, rightly and wrongly.

    Raises
    ------
    ModelError
        If `blank` is no token.
    """

    def __init__(
        self,
        graph: TokenGraph,
        tokens: Sequence[str],
        blank: str,
        *,
        max_mismatch: float = MAX_MISMATCH,
        max_word_mismatch: float = MAX_WORD_MISMATCH,
    ) -> None:
        self._max_mismatch = max_mismatch
        self._max_word_mismatch = max_word_mismatch
        self._search = GraphSearch(
            graph, len(tokens), token_index(tokens, blank), other_cost=OTHER_COST, beam=BEAM
        )

    def process(self, log_probs: LogProbs) -> None:
        """Read ``[n, n_tokens]`` further output frames, n of any size."""
        self._search.process(log_probs)

    def hypothesis(self) -> Hypothesis:
        """Return the order that is being spoken as far as it can be read; nothing of it is stable."""
        found = self._search.best()
        return Hypothesis(found.with_odds(), 0, "", self._search.quiet_frames, found.score)

    def commit(self, n_words: int) -> None:
        """Do nothing: before the end, nothing is certain."""

    def flush(self) -> Hypothesis:
        """Return the whole order that agrees best; without words if none agrees well enough."""
        found = self._search.best_whole()
        whole, worst = self.mismatch(found)
        agrees = whole <= self._max_mismatch and worst <= self._max_word_mismatch
        words = found.with_odds() if agrees else ()
        return Hypothesis(words, len(words), "", self._search.quiet_frames, found.score)

    def mismatch(self, found: Reading) -> tuple[float, float]:
        """Return by how much a reading disagrees: the whole of it, and the worst of its words.

        Per sound of the reading, other sounds before and behind it included: so one order in the midst of
        much else disagrees greatly.
        """
        whole = -found.score / max(1, sum(found.n_tokens))
        return whole, max(found.word_mismatches, default=0.0)

    def best(self) -> Reading:
        """Return the whole order that agrees best, however badly."""
        return self._search.best_whole()

    def reset(self) -> None:
        """Forget everything read, in place."""
        self._search.reset()


def order_graph(
    grammar: Grammar, tokens: Sequence[str], blank: str, units: Units, pronounce: Pronounce
) -> TokenGraph:
    """Write a grammar in a model's tokens.

    Parameters
    ----------
    grammar : Grammar
    tokens, blank
        As of :class:`GrammarDecoder`.
    units : {"phones", "characters"}
        Letters need no pronunciations.
    pronounce : callable
        Knows those that the grammar does not give itself.

    Raises
    ------
    ConfigError
        A word cannot be pronounced, or not be written with the model's letters, or the grammar is too
        large.
    ModelError
        The model's units are pieces of words.
    """
    if units == "pieces":
        raise ModelError(
            "grammars need a model of phones or characters, and this one's units are pieces of words"
        )
    place = {text.strip(" "): i for i, text in enumerate(spelling(tokens, blank, units)) if text}
    separator = place.pop("", None)
    if units == "phones":
        grammar.check_phones(list(place))
        spoken = grammar.spell(pronounce, place)
    else:
        spoken = grammar.spell(lambda word: [list(word)], place, own=False)
    return build_token_graph(
        grammar.states,
        {word: [[place[unit] for unit in one] for one in said] for word, said in spoken.items()},
        separator=separator,
        origin=grammar.name,
    )
