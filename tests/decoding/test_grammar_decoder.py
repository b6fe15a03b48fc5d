from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeaudio.decoding.base import LogProbs
from edgeaudio.decoding.grammar import Grammar
from edgeaudio.decoding.grammar_decoder import GrammarDecoder, order_graph
from edgeaudio.decoding.grammar_states import States
from edgeaudio.decoding.graph_search import GraphSearch
from edgeaudio.decoding.token_graph import build_token_graph
from edgeaudio.errors import ConfigError, ModelError

TOKENS = ["<blank>", *"abcdefgh"]
"""Each is the phone of its name."""
GRAMMAR = Grammar.parse(
    """
    public <one> = ab (cd | ce) [fg];
    public <two> = bad <x>+;
    <x> = aa {1} | cab {2};
    """
)


def pronounce(word: str) -> list[list[str]]:
    return [list(word), ["g", *word]] if word == "bad" else [list(word)]


def decoder(grammar: Grammar = GRAMMAR) -> GrammarDecoder:
    return GrammarDecoder(order_graph(grammar, TOKENS, "<blank>", "phones", pronounce), TOKENS, "<blank>")


def spoken(text: str, *, p: float = 0.9) -> LogProbs:
    """One frame a letter, '.' is blank; what is not said shares the rest."""
    probs = np.full((len(text), len(TOKENS)), (1 - p) / (len(TOKENS) - 1), np.float32)
    for frame, letter in enumerate(text):
        probs[frame, 0 if letter == "." else TOKENS.index(letter)] = p
    return np.log(probs)


def heard(decoder: GrammarDecoder, log_probs: LogProbs) -> str:
    decoder.reset()
    decoder.process(log_probs)
    return " ".join(word.text for word in decoder.flush().words)


@pytest.mark.parametrize(
    ("sounds", "order"),
    [
        ("abcd", "ab cd"),
        ("..a.bb.c.d..", "ab cd"),
        ("abcefg", "ab ce fg"),
        ("bada.a", "bad aa"),
        ("gbad.cab.a.a", "bad cab aa"),
        ("a.b.c.h", "ab cd"),  # one sound of four amiss
        ("h.abcd", "ab cd"),  # one sound before
        ("hhhh.gegegegege", ""),
        ("abab", ""),
        ("abcd.hgehehgfefehhgheh", ""),
        ("......", ""),
        ("", ""),
    ],
)
def test_the_nearest_order_is_understood_if_it_is_near(sounds: str, order: str) -> None:
    assert heard(decoder(), spoken(sounds)) == order


def test_a_token_twice_needs_a_blank_between() -> None:
    assert heard(decoder(), spoken("badaa")) != "bad aa"
    search = decoder()
    search.process(spoken("badaa"))
    assert search.best().score < -2, "'aa' without a blank is one sound"


def test_words_have_times_and_evidence() -> None:
    search = decoder()
    search.process(spoken("..abb.c.h.."))
    found = search.flush()
    assert [(w.text, w.start_frame, w.end_frame) for w in found.words] == [("ab", 2, 5), ("cd", 6, 9)]
    assert found.quiet_frames == 2
    # The most probable token of one frame was h: what d lost against it.
    lost = float(np.log(0.9 / 0.0125))
    assert [word.evidence for word in search.best().words] == pytest.approx([0.0, -lost], abs=1e-4)
    assert found.score == pytest.approx(-lost, abs=1e-4)
    sure, doubtful = (word.evidence for word in found.words)
    assert sure > 3.0 > doubtful, "log-odds of 20 to 1 and less"


def test_what_is_shown_meanwhile_is_never_stable() -> None:
    search = decoder()
    search.process(spoken("..ab.c"))
    assert ([word.text for word in search.hypothesis().words], search.hypothesis().stable) == (["ab"], 0)
    search.process(spoken("hhgefegh"))
    assert search.flush().words == ()
    search.reset()
    assert search.hypothesis().words == ()


@settings(max_examples=12)
@given(st.integers(0, 10_000))
def test_the_search_is_exact(seed: int) -> None:
    tokens = TOKENS[:4]
    rng = np.random.default_rng(seed)
    log_probs = np.log(rng.dirichlet(np.ones(4), size=5)).astype(np.float32)
    best = log_probs.argmax(axis=1)
    # Behind a sentence, a sound that goes on costs no more, which the oracle does not know.
    assume(not any(token and token == before for before, token in itertools.pairwise(best)))
    sentences = [["ab", "b"], ["ab", "a"], ["b", "ba"], ["ca"]]
    grammar = Grammar.parse(f"public <a> = {' | '.join(' '.join(s) for s in sentences)};")
    graph = order_graph(grammar, tokens, "<blank>", "phones", pronounce)
    search = GraphSearch(graph, 4, 0, other_cost=1000.0, beam=1000.0)
    search.process(log_probs)

    def by_trying(sentence: list[str]) -> float:
        relative = log_probs - log_probs.max(axis=1, keepdims=True)
        relative = np.maximum(relative, -10.0)  # as limited in the search
        target = "".join(sentence)
        scores = [-np.inf]
        for path in itertools.product(range(4), repeat=5):
            if "".join(tokens[t] for t, _ in itertools.groupby(path) if t) == target:
                scores.append(float(sum(relative[i, t] for i, t in enumerate(path))))
        return max(scores)

    assert search.best_whole().score == pytest.approx(max(map(by_trying, sentences)), abs=1e-4)


def noisy(seed: int, n_frames: int = 200) -> LogProbs:
    rng = np.random.default_rng(seed)
    return np.log(rng.dirichlet(np.full(len(TOKENS), 0.3), size=n_frames) + 1e-6).astype(np.float32)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.lists(st.integers(0, 40), max_size=12))
def test_the_result_does_not_depend_on_how_frames_are_cut(seed: int, lengths: list[int]) -> None:
    log_probs = noisy(seed)
    whole, parts = decoder(), decoder()
    whole.process(log_probs)
    at = 0
    for length in [*lengths, len(log_probs)]:
        parts.process(log_probs[at : at + length])
        parts.hypothesis()
        at += length
    assert parts.best() == whole.best()
    assert parts.flush() == whole.flush()


def test_after_a_reset_nothing_is_left() -> None:
    fresh, used = decoder(), decoder()
    used.process(noisy(1))
    used.reset()
    for search in (fresh, used):
        search.process(noisy(2))
    assert used.best() == fresh.best()


def test_a_full_table_of_records_changes_nothing() -> None:
    graph = order_graph(
        Grammar.parse("public <a> = (ab | cd | ef | gh)+;"), TOKENS, "<blank>", "phones", pronounce
    )
    searches = [GraphSearch(graph, len(TOKENS), 0, other_cost=3.0, beam=60.0) for _ in range(2)]
    small = searches[0]._search
    # The records of some dozens of frames fit.
    searches[0]._search = small._replace(table=small.table[:600], table_score=small.table_score[:600])
    log_probs = noisy(3, 400)
    for search in searches:
        search.process(log_probs)
    assert len(searches[1].best_whole().words) > 20
    assert searches[0].best_whole() == searches[1].best_whole()


def test_letters_with_a_space_between_words() -> None:
    tokens = ["<blank>", "|", *"abcdefgh"]
    graph = order_graph(GRAMMAR, tokens, "<blank>", "characters", pronounce)
    search = GrammarDecoder(graph, tokens, "<blank>")
    probs: NDArray[np.float64] = np.full((9, len(tokens)), 0.01)
    for frame, token in enumerate(["a", "b", "|", "c", "d", "<blank>", "|", "f", "g"]):
        probs[frame, tokens.index(token)] = 0.9
    search.process(np.log(probs).astype(np.float32))
    found = search.flush()
    assert ([word.text for word in found.words], found.score) == (["ab", "cd", "fg"], 0.0)


def test_what_a_model_cannot_write_is_told() -> None:
    with pytest.raises(ModelError, match="pieces of words"):
        order_graph(GRAMMAR, TOKENS, "<blank>", "pieces", pronounce)
    with pytest.raises(ConfigError, match=r"line 1, column 14: the model cannot write 'xyz'"):
        order_graph(Grammar.parse("public <a> = xyz;"), TOKENS, "<blank>", "characters", pronounce)


def test_a_graph_that_is_too_large_is_refused() -> None:
    words = list("abcdefgh")
    states: States = [(None, dict.fromkeys(words, (0.0, i + 1))) for i in range(400)]
    # No two words share a beginning: 8 × 100 × 400 nodes.
    long = {word: [[1 + i] * 100] for i, word in enumerate(words)}
    with pytest.raises(ConfigError, match="larger than 300000 nodes"):
        build_token_graph([*states, (0.0, {})], long)
