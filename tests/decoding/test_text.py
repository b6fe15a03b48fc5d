from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.decoding.text import normalise, number_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Turn ON the lights, please!", "turn on the lights please"),
        ("well-known \u2013 or not\u2014so", "well known or not so"),
        ("It\u2019s O'Brien's \u2018house\u2019", "it's o'brien's house"),
        ("'Tis the dogs' 'food', 'em all", "'tis the dogs food 'em all"),
        ("Na\u00efve caf\u00e9, \u00c5ngstr\u00f6m", "naive cafe angstrom"),
        ("R&B, 50% @ home, 2+2=4", "r and b fifty percent at home two plus two equals four"),
        ("the U.S.A. and e.g. Mr. Smith", "the u s a and e g mr smith"),
        ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
        ("3.14 and .5", "three point one four and point five"),
        ("in 1984, 1900, 1905 and 2012", "in nineteen eighty four nineteen hundred nineteen oh five "
         "and twenty twelve"),
        ("2005 or 999", "two thousand five or nine hundred ninety nine"),
        ("1st 2nd 3rd 12th 20th 31st 100th", "first second third twelfth twentieth thirty first one "
         "hundredth"),
        ("at 12:00, 7:05 and 18:30", "at twelve seven oh five and eighteen thirty"),
        ("$1, $2.50 or \u00a33 or \u20ac10", "one dollar two dollars fifty or three pounds or ten euros"),
        ("agent 007", "agent zero zero seven"),
        ("mp3 b2b", "mp three b two b"),
        ("\uff34\uff45\uff58\uff54 \u00b2", "text two"),
        ("\u043f\u0440\u0438\u0432\u0435\u0442 \u4f60\u597d \U0001f600", ""),
        ("' '' ...", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_text_becomes_the_words_that_are_said(text, words):
    assert " ".join(normalise(text)) == words


@given(text=st.text(max_size=200))
def test_words_hold_letters_and_apostrophes_and_stay_as_they_are(text):
    words = normalise(text)
    assert all(re.fullmatch("'?[a-z][a-z']*", word) for word in words)
    assert normalise(" ".join(words)) == words


def test_very_long_numbers_are_read_digit_by_digit():
    assert normalise("9" * 5000) == ["nine"] * 5000
    assert normalise("1234567890123456")[:3] == ["one", "two", "three"]


@given(number=st.integers(0, 10**15 - 1))
def test_numbers_mean_what_they_say(number):
    ones = {word: value for value in range(20) for word in number_words(value)}
    tens = {number_words(value)[0]: value for value in range(20, 100, 10)}
    powers = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
    total = group = 0
    for word in number_words(number):
        if word in powers:
            total, group = total + group * powers[word], 0
        else:
            group = group * 100 if word == "hundred" else group + {**ones, **tens}[word]
    assert total + group == number
