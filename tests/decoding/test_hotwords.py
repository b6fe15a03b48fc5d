"""What phrases earn, word by word and letter by letter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.decoding.hotwords import Contexts, Hotwords, over_tokens, over_words
from edgeaudio.decoding.language import Language
from edgeaudio.errors import UsageError

WRITTEN = ("", " ", "a", "b", "c")


def earned(contexts: Contexts, symbols: Sequence[int]) -> float:
    state, total = contexts.start, 0.0
    for symbol in symbols:
        total += contexts.score[state, symbol]
        state = int(contexts.next_state[state, symbol])
    return total + float(contexts.end_score[state])


@given(st.lists(st.sampled_from(["ab", "abc", "b", "ca", "cab", "a"]), max_size=8))
def test_whole_words_earn_by_their_letters_and_parts_of_words_nothing(words: list[str]) -> None:
    contexts = over_tokens(Hotwords.parse(["ab", "ca"], boost=0.5), WRITTEN, "characters")
    symbols = [WRITTEN.index(letter) for letter in " ".join(words)]
    expected = 0.5 * 2 * sum(word in {"ab", "ca"} for word in words)
    assert earned(contexts, symbols) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.sampled_from(["edge", "audio", "no", "go"]), max_size=10))
def test_phrases_earn_when_they_are_complete(words: list[str]) -> None:
    language = Language.build({"edge": ["EH"], "audio": ["AO"], "no": ["N"], "go": ["G"]})
    contexts, symbols = over_words(Hotwords.parse(["edge audio"], boost=1.0), language)
    n_phrases = sum(pair == ("edge", "audio") for pair in itertools.pairwise(words))
    numbers = [int(symbols[language.word_id(word) or 0]) for word in words]
    assert earned(contexts, numbers) == pytest.approx(9.0 * n_phrases, abs=1e-9)


def test_a_phrase_earns_on_its_way() -> None:
    contexts = over_tokens(Hotwords.parse(["abc"], boost=1.0), WRITTEN, "characters")
    state, steps = contexts.start, []
    for letter in "abb":
        symbol = WRITTEN.index(letter)
        steps.append(float(contexts.score[state, symbol]))
        state = int(contexts.next_state[state, symbol])
    assert steps == [1.0, 1.0, -2.0]


def test_a_phrase_that_begins_another_keeps_what_it_earned() -> None:
    contexts = over_tokens(Hotwords.parse(["a", "a b c"], boost=1.0), WRITTEN, "characters")
    assert earned(contexts, [WRITTEN.index(letter) for letter in "a b b"]) == pytest.approx(1.0)
    assert earned(contexts, [WRITTEN.index(letter) for letter in "a b c"]) == pytest.approx(3.0)


def test_pieces_earn_for_all_their_letters() -> None:
    written = ("", " ed", "ge", " a", "e")
    contexts = over_tokens(Hotwords.parse(["edge a"], boost=1.0), written, "pieces")
    assert earned(contexts, [1, 2, 3]) == pytest.approx(5.0)
    assert earned(contexts, [1, 4, 3]) == pytest.approx(0.0)


def test_phrases_are_read_as_people_type_them() -> None:
    hotwords = Hotwords.parse(
        ["  Edge Audio", "edge audio", "O\N{RIGHT SINGLE QUOTATION MARK}Hara=OW HH EH1 R AH0"]
    )
    assert hotwords.phrases == (("edge", "audio"), ("o'hara",))
    assert hotwords.phones == {"o'hara": "OW HH EH R AH"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "hotword '' is empty"),
        ("  ", "is empty"),
        ("r2d2", "'2' belongs to no word"),
        ("e-mail", "'-' belongs to no word"),
        ("edge audio=EH JH", "phones belong to one word"),
        ("edge=", "phones belong to one word"),
    ],
)
def test_what_is_no_phrase_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Hotwords.parse([text])


def test_too_many_are_refused() -> None:
    with pytest.raises(UsageError, match="At most 1000"):
        Hotwords.parse(["a"] * 1001)


def test_phones_cannot_be_spelled() -> None:
    with pytest.raises(UsageError, match="cannot be spelled with phones"):
        over_tokens(Hotwords.parse(["edge"]), ("", " EH", " JH"), "phones")
