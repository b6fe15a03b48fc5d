"""Prefix beam search against the exact sum over all alignments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.decoding.hotwords import Hotwords
from edgeaudio.decoding.prefix import PrefixDecoder
from edgeaudio.errors import ModelError, UsageError
from tests.decoding.frames import CUTS, frames_of_path, pieces, random_frames
from tests.decoding.slow_search import log_add, readings

TOKENS = ("<blank>", "|", "a", "b")
EVERYTHING = 400
"""More than there are prefixes of five tokens: nothing is given up."""


def text_of(reading: tuple[int, ...]) -> str:
    return " ".join("".join(" " if t == 1 else TOKENS[t] for t in reading).split())


def decoder(beam: int = 8, hotwords: Hotwords | None = None, beam_score: float = 30.0) -> PrefixDecoder:
    return PrefixDecoder(TOKENS, "<blank>", "characters", beam, hotwords, beam_score=beam_score)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_with_an_unlimited_beam_it_is_the_exact_sum(seed: int, n_frames: int) -> None:
    frames = random_frames(seed, n_frames, len(TOKENS))
    search = decoder(EVERYTHING, beam_score=700.0)
    search.process(frames)
    sums = {reading: log_add(scores) for reading, scores in readings(frames, blank=0).items()}
    best = max(sums, key=sums.__getitem__)
    found = search.flush()
    # The frames are float32, their sums float64.
    assert found.score == pytest.approx(sums[best], abs=1e-5)
    assert " ".join(word.text for word in found.words) == text_of(best)


@settings(max_examples=40)
@given(st.integers(0, 10_000), CUTS, st.sampled_from([1, 3, 8]))
def test_how_the_stream_is_cut_changes_nothing(seed: int, cuts: list[int], beam: int) -> None:
    frames = random_frames(seed, 60, len(TOKENS))
    whole, cut = decoder(beam), decoder(beam)
    whole.process(frames)
    for piece in pieces(frames, cuts):
        cut.process(piece)
        cut.hypothesis()
    assert cut.hypothesis() == whole.hypothesis()
    assert cut.flush() == whole.flush()


def test_after_a_reset_nothing_old_is_left() -> None:
    fresh, used = decoder(), decoder()
    used.process(random_frames(1, 100, len(TOKENS)))
    used.reset()
    assert used.hypothesis() == decoder().hypothesis()
    frames = random_frames(2, 50, len(TOKENS))
    fresh.process(frames)
    used.process(frames)
    assert used.flush() == fresh.flush()


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_stable_and_committed_words_never_change(seed: int) -> None:
    search = decoder()
    settled: tuple[object, ...] = ()
    for piece in pieces(random_frames(seed, 200, len(TOKENS), 1.5), [9] * 20):
        search.process(piece)
        before = search.hypothesis()
        search.commit(len(before.words))
        found = search.hypothesis()
        assert found.words == before.words  # the best one is kept
        assert found.stable == len(found.words)
        assert found.words[: len(settled)] == settled
        settled = found.words[: found.stable]
    assert search.flush().words[: len(settled)] == settled


def test_words_lie_where_their_letters_were_seen() -> None:
    search = decoder()
    search.process(frames_of_path([0, 2, 2, 0, 3, 0, 1, 0, 0, 3, 0, 0], len(TOKENS)))
    first, second = search.flush().words
    assert (first.text, first.start_frame, first.end_frame) == ("ab", 1, 5)
    assert (second.text, second.start_frame, second.end_frame) == ("b", 9, 10)
    assert search.hypothesis().partial == "b"
    assert search.hypothesis().quiet_frames == 2


def test_phones_are_words_of_their_own() -> None:
    search = PrefixDecoder(["<blank>", "EH", "JH"], "<blank>", "phones")
    search.process(frames_of_path([1, 0, 2, 0, 2], 3))
    assert [word.text for word in search.flush().words] == ["EH", "JH", "JH"]


def test_pieces_begin_words() -> None:
    search = PrefixDecoder(["<blank>", "▁ed", "ge", "▁a"], "<blank>", "pieces")
    search.process(frames_of_path([1, 0, 2, 0, 3], 4))
    assert [word.text for word in search.flush().words] == ["edge", "a"]


def test_a_frame_without_any_possible_token_says_nothing() -> None:
    search = decoder()
    frames = frames_of_path([2, 0, 3], len(TOKENS))
    broken = np.full((1, len(TOKENS)), -np.inf, np.float32)
    search.process(np.concatenate([frames[:2], broken, broken * np.nan, frames[2:]]))
    assert [word.text for word in search.flush().words] == ["ab"]


def test_hotwords_win_where_it_is_nearly_even() -> None:
    # "ab" and "bb", the first letter 40 to 60.
    frames = frames_of_path([0, 2, 0, 3, 0], len(TOKENS))
    frames[1] = np.log([0.01, 0.01, 0.39, 0.59])
    for hotwords, text in ((None, "bb"), (Hotwords.parse(["ab"]), "ab"), (Hotwords.parse(["abba"]), "bb")):
        search = decoder(hotwords=hotwords)
        search.process(frames)
        assert [word.text for word in search.flush().words] == [text]


def test_bad_input_is_named() -> None:
    with pytest.raises(ModelError, match="no token '<pad>'"):
        PrefixDecoder(TOKENS, "<pad>", "characters")
    with pytest.raises(UsageError, match=r"hotword 'abc': the model cannot write 'c'"):
        decoder(hotwords=Hotwords.parse(["abc"]))
    with pytest.raises(UsageError, match="beam width of 0"):
        decoder(0)
    with pytest.raises(UsageError, match=r"shape \(3, 5\) are none of 4 tokens"):
        decoder().process(np.zeros((3, 5), np.float32))
    search = decoder(8)
    search.beam_width = 2
    with pytest.raises(UsageError, match="From 1 to 8"):
        search.beam_width = 9
