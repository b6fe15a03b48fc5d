"""Greedy decoding against grouping by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.decoding.greedy import GreedyDecoder
from edgeaudio.errors import UsageError
from tests.decoding.frames import CUTS, frames_of_path, pieces

TOKENS = ("<blank>", "|", "a", "b")
PATHS = st.lists(st.integers(0, 3), max_size=60)


def decoder() -> GreedyDecoder:
    return GreedyDecoder(TOKENS, "<blank>", "characters")


@given(PATHS, CUTS)
def test_writes_the_best_path_however_it_is_cut(path: list[int], cuts: list[int]) -> None:
    greedy = decoder()
    settled: tuple[object, ...] = ()
    for piece in pieces(frames_of_path(path, 4).reshape(-1, 4), cuts):
        greedy.process(piece)
        found = greedy.hypothesis()
        assert found.words[: len(settled)] == settled
        settled = found.words[: found.stable]
    letters = "".join(TOKENS[token] for token, _ in itertools.groupby(path) if token)
    found = greedy.flush()
    assert [word.text for word in found.words] == letters.replace("|", " ").split()
    assert found.words[: len(settled)] == settled
    quiet = len(path) - max((t + 1 for t, token in enumerate(path) if token), default=0)
    assert found.quiet_frames == quiet


def test_words_lie_where_their_letters_were_seen() -> None:
    greedy = decoder()
    greedy.process(frames_of_path([0, 2, 2, 0, 3, 3, 1, 3], 4, sure=0.9))
    first, second = greedy.flush().words
    assert (first.text, first.start_frame, first.end_frame) == ("ab", 1, 6)
    assert (second.text, second.start_frame, second.end_frame) == ("b", 7, 8)
    assert first.evidence == pytest.approx(np.log(0.9), abs=1e-6)


def test_the_unfinished_word_is_tentative_and_phones_are_whole() -> None:
    greedy = decoder()
    greedy.process(frames_of_path([2, 1, 3], 4))
    found = greedy.hypothesis()
    assert ([word.text for word in found.words], found.stable, found.partial) == (["a"], 1, "b")
    phones = GreedyDecoder(["<blank>", "EH", "JH"], "<blank>", "phones")
    phones.process(frames_of_path([1, 2, 2], 3))
    found = phones.hypothesis()
    # JH may still be heard longer.
    assert ([word.text for word in found.words], found.stable) == (["EH", "JH"], 1)


def test_more_tokens_than_there_is_room_for_are_read_in_between() -> None:
    greedy = decoder()
    greedy.process(frames_of_path([2, 3] * 3000, 4))
    assert greedy.flush().words[0].text == "ab" * 3000


def test_after_a_reset_nothing_old_is_left() -> None:
    greedy = decoder()
    greedy.process(frames_of_path([2, 1, 3], 4))
    greedy.reset()
    assert greedy.flush() == decoder().flush()


def test_frames_of_another_model_are_refused() -> None:
    with pytest.raises(UsageError, match=r"shape \(2, 3\) are none of 4 tokens"):
        decoder().process(np.zeros((2, 3), np.float32))
