"""Which phrases will do, and what is found that sounds like them."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.errors import UsageError
from edgeaudio.training.phones import Nearness, n_syllables
from edgeaudio.training.phrases import COMMANDS, check_phrase, confusables
from edgeaudio.training.soundalikes import english

of_computer = cache(lambda: confusables(["computer"]))

NAMES = ("AA", "AH", "D", "IY", "K", "S", "T", "Y", "Z")


@pytest.mark.parametrize(
    ("text", "wanted", "syllables"),
    [
        ("computer", "computer", 3),
        (" Hey\tComputer ", "hey computer", 4),
        ("hey-computer", "hey computer", 4),
        ("okay nabu", "okay nabu", 4),  # no lexicon has nabu
        ("What\N{RIGHT SINGLE QUOTATION MARK}s up", "what's up", 2),
    ],
)
def test_a_good_phrase_is_taken_as_it_is_said(text: str, wanted: str, syllables: int) -> None:
    phrase = check_phrase(text)
    assert phrase.text == wanted
    assert phrase.n_syllables == syllables
    assert len(phrase.phones) == len(phrase.words) == len(wanted.split())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        (" -' ", "empty"),
        ("yes", "too short.*1 syllable of 3 sounds"),
        ("okay", "too short.*2 syllables of 3 sounds"),
        ("hey you there all of you guys", "7 words"),
        ("internationalization organizational characteristically", "20 syllables"),
        ("a" * 201, "201 characters"),
        ("a" * 70, "how to say"),
        ("channel 5", '(?s)digits: 5.*"channel five"'),
        ("naïve robot", '(?s)no English letter: ï.*"naive robot"'),
        ("hey, computer!", "no English letter: ! ,"),
        ("two\0words", r"\\x00"),
        ("日本", "(?s)日 本.*English letters"),
        ("hey bcdfghjk", "how to say 'bcdfghjk'"),
    ],
)
def test_what_is_wrong_with_a_phrase_is_said(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        check_phrase(text)


def test_short_words_are_taken_where_they_are_meant() -> None:
    assert [check_phrase(word, allow_short=True).text for word in COMMANDS] == list(COMMANDS)
    with pytest.raises(UsageError, match="how to say"):
        check_phrase("xqzt", allow_short=True)


def test_a_command_may_have_no_vowel() -> None:
    assert "hum" in confusables(["hmm"], limit=20)


def test_a_phrase_is_checked_before_anything_heavy_is_loaded() -> None:
    checking = (
        "import sys; from edgeaudio.training.phrases import check_phrase; check_phrase('hey computer');"
    )
    heavy = "sys.exit(bool({'torch', 'soundfile', 'edgeaudio.training.voices'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", checking + heavy], check=False).returncode == 0


def plain_distance(costs: Nearness, one: list[str], other: list[str]) -> float:
    """The textbook's edit distance by recursion, on the same weights."""
    if not one and not other:
        return 0.0
    ways = []
    if one:
        ways.append(plain_distance(costs, one[:-1], other) + costs.dropped(one[-1]))
    if other:
        ways.append(plain_distance(costs, one, other[:-1]) + costs.dropped(other[-1]))
    if one and other:
        ways.append(plain_distance(costs, one[:-1], other[:-1]) + costs.changed(one[-1], other[-1]))
    return min(ways)


phones = st.lists(st.sampled_from(NAMES), max_size=4)


@given(phones, st.lists(phones, min_size=1, max_size=3))
def test_distances_are_those_of_the_textbook(one: list[str], others: list[list[str]]) -> None:
    codes = np.array([[*map(NAMES.index, other), *[3] * (4 - len(other))] for other in others], np.uint8)
    nearness = Nearness(NAMES, codes, np.array([len(other) for other in others]))
    found = nearness.distances(one)
    for n in range(len(one) + 1):
        wanted = [plain_distance(nearness, one[:n], other) for other in others]
        # Sums of up to eight float32 weights.
        np.testing.assert_allclose(found[n], wanted, atol=1e-5)


def test_like_sounds_are_nearer_than_unlike_ones() -> None:
    sounds = english()
    (phones,) = sounds.readings("computer")
    order = list(sounds.near(sounds.beginnings(phones)[-1]))
    places = [order.index(word) for word in ("computer", "commuter", "composer", "competitor", "banana")]
    assert places == sorted(places)
    assert places[0] == 0
    # "compete" and "pewter" are the word without its end and without its beginning.
    assert sounds.exact(sounds.endings(phones)[3]).sum() == 1


def test_confusables_of_a_word_are_real_words_that_sound_like_it() -> None:
    found = of_computer()
    assert len(found) == len(set(found)) == 150
    near = "compute commuter pewter composer tutor compete scooter neuter suitor shooter committee looter"
    assert set(near.split()) <= set(found)
    # A model cannot be asked to wait whether the word goes on.
    assert not {"computer", "computers", "microcomputer"} & set(found)
    words = {word for phrase in found for word in phrase.split()}
    assert all(english().is_listed(word) for word in words)
    assert {n_syllables(english().phrase_readings(pair.split())[0]) for pair in found if " " in pair} >= {3}


def test_what_sounds_the_same_is_no_confusable() -> None:
    found = confusables(COMMANDS)
    assert len(found) == len(set(found)) == 150
    assert {"yet", "now", "cup", "town", "lift", "light", "an", "cough", "stock", "goat"} <= set(found)
    assert not {*COMMANDS, "know", "write", "wright", "awn"} & set(found)


def test_confusables_of_a_phrase_are_its_parts_and_the_phrase_with_another_word() -> None:
    found = confusables(["hey computer"])
    assert found[0] in {"hey", "computer"}
    assert {"hey", "computer", "hey commuter", "say computer", "hey together", "computers"} <= set(found)
    # Hay sounds like hey.
    assert not {"hay computer", "hey computers", "hey computer"} & set(found)
    parts = confusables(["turn it off"])
    assert {"turn", "turn it", "it off", "off"} <= set(parts)


def test_a_phrase_is_no_confusable_of_its_part() -> None:
    found = confusables(["turn it off", "off"])
    assert "turn it" in found
    assert not [phrase for phrase in found if "off" in phrase.split()]


def test_the_list_is_cut_to_its_limit_fairly() -> None:
    both = confusables(["computer", "banana"], limit=20)
    assert len(both) == 20
    # Half of the list belongs to each, whatever few words both are near to.
    assert 9 <= len(set(both) & set(of_computer())) <= 11
