from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.errors import UsageError
from edgeaudio.tasks.endpoint import Endpoint

seconds = st.floats(0.01, 100.0)


def test_silence_after_text():
    rules = Endpoint(silence_s=0.5)
    assert rules.decide("go", quiet_s=0.49, length_s=1.0) is None
    assert rules.decide("go", quiet_s=0.5, length_s=1.0) == "silence"


def test_silence_without_text():
    rules = Endpoint(silence_s=0.5, nothing_s=1.5)
    assert rules.decide("", quiet_s=1.49, length_s=2.0) is None
    assert rules.decide("", quiet_s=1.5, length_s=2.0) == "nothing"
    assert rules.decide("", quiet_s=0.0, length_s=20.0) == "nothing"


def test_length():
    rules = Endpoint(max_s=7.0)
    assert rules.decide("and so on", quiet_s=0.0, length_s=6.99) is None
    assert rules.decide("and so on", quiet_s=0.0, length_s=7.0) == "length"


def test_a_complete_text_needs_less_silence():
    rules = Endpoint(complete_s=0.3, is_complete=lambda text: text.endswith("please"))
    assert rules.decide("stop it please", quiet_s=0.2, length_s=1.0) is None
    assert rules.decide("stop it please", quiet_s=0.3, length_s=1.0) == "rule"
    assert rules.decide("stop it", quiet_s=0.3, length_s=1.0) is None


def test_the_longer_a_caption_the_shorter_the_pause_that_ends_it():
    rules = Endpoint(silence_s=0.8, pause_s=0.2, max_s=20.0)
    needed = [rules.silence_needed_s(length_s) for length_s in (0.0, 10.0, 15.0, 20.0, 30.0)]
    assert needed == pytest.approx([0.8, 0.8, 0.5, 0.2, 0.2])


@given(seconds, seconds, st.booleans())
def test_what_ended_a_caption_still_ends_it_later(quiet_s, length_s, said):
    text = "text" if said else ""
    if Endpoint().decide(text, quiet_s=quiet_s, length_s=length_s) is not None:
        assert Endpoint().decide(text, quiet_s=quiet_s + 1.0, length_s=length_s + 1.0) is not None


@pytest.mark.parametrize("name", ["silence_s", "pause_s", "max_s", "complete_s", "nothing_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_senseless_times_are_refused_by_name(name, value):
    with pytest.raises(UsageError, match=f"{name} is {value:g}"):
        Endpoint(**{name: value})


def test_a_pause_is_no_longer_than_a_silence():
    with pytest.raises(UsageError, match=r"pause_s is 0\.5, longer than silence_s, 0\.4"):
        Endpoint(silence_s=0.4, pause_s=0.5)
