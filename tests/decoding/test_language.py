from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.decoding.automaton import quantize, step
from edgeaudio.decoding.language import SENTENCE_END, Language
from edgeaudio.decoding.ngrams import SENTENCE_START, Ngrams
from edgeaudio.errors import ModelError

WORDS = ("go", "no", "now", "né")
PRONUNCIATIONS = {"now": ["N AW"], "go": ["G OW"], "né": ["N EY"], "no": ["N OW", "N AA"]}
ID = {word: number for number, word in enumerate(("<unk>", "<s>", "</s>", *sorted(WORDS)))}


def reference(ngrams, context, word):
    """What Katz's back-off says, word for word as in every textbook."""
    gram = (*context, word)
    if gram in ngrams:
        return ngrams[gram][0]
    if not context:
        return -math.inf
    return ngrams.get(context, (0.0, 0.0))[1] + reference(ngrams, context[1:], word)


@st.composite
def models(draw):
    """Any n-grams up to length 3, closed under nothing; every word has a 1-gram."""
    score = st.floats(-9, 0).map(lambda value: round(value, 3))
    weight = st.floats(-4, 0.5).map(lambda value: round(value, 3))
    singles = {(word,): (draw(score), draw(weight)) for word in (*WORDS, "<unk>", "</s>")}
    start = {("<s>",): (-math.inf, draw(weight))}
    inner = st.sampled_from(WORDS)
    longer = st.tuples(st.sampled_from(("<s>", *WORDS)), st.sampled_from((*WORDS, "</s>"))) | st.tuples(
        st.sampled_from(("<s>", *WORDS)), inner, st.sampled_from((*WORDS, "</s>"))
    )
    further = draw(st.dictionaries(longer, st.tuples(score, weight), max_size=25))
    # What ends a sentence, or has three words, is no context.
    return {
        **singles,
        **start,
        **{g: (p, 0.0 if g[-1] == "</s>" or len(g) == 3 else b) for g, (p, b) in further.items()},
    }


@given(ngrams=models(), sentence=st.lists(st.sampled_from(WORDS), max_size=6))
@settings(max_examples=60)
def test_the_automaton_says_what_backing_off_says(ngrams, sentence):
    language = Language.build(PRONUNCIATIONS, ngrams)
    state, context = language.start_state, ("<s>",)
    for word in (*sentence, "</s>"):
        score, state = step(language.automaton, state, ID[word])
        # float32 sums of at most four scores below 16.
        assert score == pytest.approx(reference(ngrams, context[-2:], word), abs=1e-5)
        context = (*context, word)


@given(ngrams=models())
@settings(max_examples=30)
def test_what_a_longer_ngram_needs_is_added_without_changing_any_probability(ngrams):
    numbered = {tuple(ID[word] for word in gram): value for gram, value in ngrams.items()}
    closed = Ngrams.from_mapping(len(ID), numbered)
    found = {
        tuple(gram): (prob, backoff)
        for table in closed.tables
        for gram, prob, backoff in zip(table.grams.tolist(), table.log_prob, table.backoff, strict=True)
    }
    assert numbered.items() <= found.items()
    for gram in set(found) - set(numbered):
        assert found[gram][0] == pytest.approx(reference(numbered, gram[:-1], gram[-1]), abs=1e-12)
        assert found[gram][1] == 0.0
    for gram in found:
        assert not gram[:-1] or gram[:-1] in found
        assert not gram[1:] or gram[1:] in found


def test_states_are_only_what_makes_a_difference():
    ngrams = {("<s>",): (-99.0, 0.0), ("go",): (-1.0, 0.0), ("no",): (-1.0, 0.0), ("go", "no"): (-0.1, 0.0)}
    language = Language.build({"go": ["G OW"], "no": ["N OW"]}, ngrams)
    # Nothing follows <s> or "no" in particular: only "go" is remembered.
    assert len(language.automaton.backoff_state) == 2
    assert language.start_state == 0


def test_words_are_found_by_spelling_and_special_ones_are_not():
    language = Language.build(PRONUNCIATIONS)
    assert [language.word(number) for number in range(language.n_words)] == language.words
    assert language.words == ["<unk>", "<s>", "</s>", "go", "no", "now", "né"]
    assert [language.word_id(word) for word in WORDS] == [3, 4, 5, 6]
    for strange in ("", "g", "goo", "zz", "a", "<s>", "</s>", "<unk>", "ñ"):
        assert language.word_id(strange) is None


@given(words=st.sets(st.text(st.characters(min_codepoint=33, codec="utf-8"), min_size=1, max_size=5)))
def test_every_word_is_found_whatever_its_letters(words):
    words -= {"<unk>", "<s>", "</s>"}
    language = Language.build(dict.fromkeys(words, ()))
    assert {language.word(language.word_id(word)) for word in words} == words
    assert all((word in words) == (language.word_id(word) is not None) for word in ("a", "b", "ab"))


def test_pronunciations_are_those_of_the_word():
    language = Language.build({**PRONUNCIATIONS, "mute": []})
    assert language.pronunciations("no") == [("N", "OW"), ("N", "AA")]
    assert language.pronunciations("go") == [("G", "OW")]
    assert language.pronunciations("mute") == []
    assert language.pronunciations("yes") == []


def test_without_ngrams_all_words_and_the_end_are_equally_probable():
    language = Language.build(PRONUNCIATIONS)
    assert language.log_prob([]) == pytest.approx(math.log(1 / 5), abs=1e-6)
    assert language.log_prob(["go", "né"]) == pytest.approx(3 * math.log(1 / 5), abs=1e-6)
    assert language.log_prob(["yes"]) == -math.inf


def test_further_words_cost_what_the_rarest_costs():
    language = Language.build({"go": ["G OW"], "no": ["N OW"]}, {("go",): (-1.0, 0.0), ("no",): (-5.0, 0.0)})
    longer = language.extended({"gown": ["G OW N"], "no": ["G"], "a": ["OW", "OW N"]})
    assert longer.words[:5] == language.words
    assert longer.pronunciations("a") == [("OW",), ("OW", "N")]
    assert longer.pronunciations("no") == [("N", "OW")]
    assert longer.log_prob(["gown", "go", "a"], end=False) == -11.0
    assert longer.word_id("gown") == 5
    assert longer.extended({"own": ["OW N"]}).word_id("gown") == 5
    assert language.word_id("gown") is None
    assert longer.is_extended
    assert not language.is_extended


def test_further_words_must_be_made_of_known_phones():
    with pytest.raises(ModelError, match=r"unknown phone 'CH'.*\n.*G OW"):
        Language.build({"go": ["G OW"]}).extended({"choke": ["CH OW"]})


def test_a_closed_grammar_permits_its_own_sentences_and_no_others():
    states = [{"go": (-0.5, 1), "no": (-1.5, 2)}, {"now": (-0.25, 2), "</s>": (-1.25, 0)}, {"</s>": (0.0, 0)}]
    language = Language.closed(PRONUNCIATIONS, states, start=0)
    assert language.log_prob(["go", "now"]) == -0.75
    assert language.log_prob(["go"]) == -1.75
    assert language.log_prob(["no"]) == -1.5
    for sentence in ([], ["now"], ["no", "now"], ["go", "go"], ["go", "now", "now"]):
        assert language.log_prob(sentence) == -math.inf
    assert language.extended({"own": ["OW N"]}).log_prob(["own"]) == -math.inf


def test_arrays_have_one_type_wherever_they_come_from():
    closed = Language.closed(PRONUNCIATIONS, [{"</s>": (0.0, 0)}], start=0)
    built = Language.build(PRONUNCIATIONS)
    for language in (closed, built, built.extended({"gone": ["G OW N"]})):
        for array, like in zip(language.automaton, built.automaton, strict=True):
            assert array.dtype == like.dtype
            assert not array.flags.writeable
            assert array.flags.c_contiguous


@given(scores=st.lists(st.floats(-40, 0, width=32) | st.just(-math.inf), max_size=200))
def test_up_to_256_scores_are_kept_exactly(scores):
    codes, codebook = quantize(scores)
    assert codebook[codes].tolist() == scores
    assert codebook.dtype == np.float32
    assert len(codebook) == 256


def test_more_scores_are_rounded_to_the_nearest_of_256():
    scores = -np.random.default_rng(1).gamma(2.0, 2.5, 20_000)
    codes, codebook = quantize(scores)
    errors = np.abs(codebook[codes] - scores)
    assert (np.abs(codebook[None] - scores[:200, None]).min(axis=1) >= errors[:200] - 1e-6).all()
    # 256 equal steps over the same range would have this error; what lies dense lies closer.
    assert errors.mean() < np.ptp(scores) / 256 / 4


def test_numbers_of_the_special_words_are_what_the_layout_says():
    assert (SENTENCE_START, SENTENCE_END) == (1, 2)
