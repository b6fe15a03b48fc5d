"""What users write for hotwords."""

from __future__ import annotations

import pytest

from edgeaudio.decoding.hotwords import Hotwords, over_tokens
from edgeaudio.errors import UsageError


def test_a_colon_says_how_strongly_a_phrase_is_favoured() -> None:
    hotwords = Hotwords.parse(["edge audio:2.5", "siobhan=SH AH V AO N:0.5", "plain"], boost=1.0)
    assert hotwords.phrases == (("edge", "audio"), ("siobhan",), ("plain",))
    assert [hotwords.boost_of(phrase) for phrase in hotwords.phrases] == [2.5, 0.5, 1.0]
    assert hotwords.phones == {"siobhan": "SH AH V AO N"}


def test_a_stronger_phrase_earns_more() -> None:
    written = ["", "a", "b", " "]
    contexts = over_tokens(Hotwords.parse(["a:3", "b"], boost=0.5), written, "characters")
    earned = contexts.score[contexts.start]
    assert (earned[1], earned[2]) == (1.5, 0.5)


@pytest.mark.parametrize("text", ["audio:", "audio:much", "audio:0", "audio:-1", "audio:nan", "audio:1e9"])
def test_a_strength_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no strength between 0 and 20"):
        Hotwords.parse([text])


@pytest.mark.parametrize("text", ["", " ", ":2", "=", "r2d2", "a+b"])
def test_what_is_no_phrase(text: str) -> None:
    with pytest.raises(UsageError, match=r"is empty|belongs to no word"):
        Hotwords.parse([text])
