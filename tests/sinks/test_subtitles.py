"""Cues: what people can read, from words as they are committed."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.events import Caption
from edgeaudio.sinks.subtitles import Cue, CueMaker, end_of_last_cue, srt_cue, vtt_cue
from tests.sinks.samples import caption, spoken

LONG = (
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of"
    " foolishness it was the epoch of belief"
)


def cues_of(*captions: Caption) -> list[Cue]:
    maker = CueMaker()
    return [cue for event in captions for cue in maker.add(event)] + maker.finish()


def text_of(cues: list[Cue]) -> str:
    return " ".join(line for cue in cues for line in cue.lines)


def test_a_short_caption_is_one_cue_at_the_time_of_its_words() -> None:
    words = spoken("turn on the light", start_s=3.0, word_s=0.5)
    assert cues_of(caption(*words, final=True)) == [Cue(1, 3000, 5000, ("turn on the light",))]


def test_one_word_stays_for_a_second() -> None:
    (cue,) = cues_of(caption(("yes", 2.0, 2.3), final=True))
    assert (cue.start_ms, cue.end_ms) == (2000, 3000)


def test_the_next_cue_waits_for_the_end_of_one_that_was_too_short() -> None:
    first = caption(("yes", 2.0, 2.3), final=True)
    second = caption(("no", 2.6, 4.0), final=True, caption_id=2)
    assert [(cue.start_ms, cue.end_ms) for cue in cues_of(first, second)] == [(2000, 3000), (3000, 4000)]


def test_long_text_is_broken_into_cues_of_two_even_lines() -> None:
    cues = cues_of(caption(*spoken(LONG, word_s=0.2), final=True))
    assert cues[0].lines == (
        "it was the best of times it was the worst",
        "of times it was the age of wisdom it was",
    )
    assert text_of(cues) == LONG


def test_a_full_cue_ends_at_a_pause_rather_than_behind_its_last_word() -> None:
    before = "and then they all went home because it was late and dark"
    words = spoken(before, word_s=0.2)
    words += spoken("but not my aunt who had come by bus", start_s=words[-1][2] + 0.4, word_s=0.2)
    assert text_of(cues_of(caption(*words, final=True))[:1]) == before


def test_a_cue_comes_when_nothing_can_be_added_to_it() -> None:
    maker = CueMaker()
    words = spoken(LONG, word_s=0.2)
    complete = [n for n in range(1, len(words) + 1) if maker.add(caption(*words[:n]))]
    # The 21st word, "the", does not fit into the two lines of the first cue any more.
    assert complete[0] == 21
    assert maker.add(caption(*words, final=True))


def test_tentative_words_never_appear() -> None:
    assert cues_of(caption(("yes", 0.0, 0.5), tentative="please")) == [Cue(1, 0, 1000, ("yes",))]


def test_a_caption_of_which_nothing_remained_leaves_no_cue() -> None:
    assert cues_of(caption(tentative="hm"), caption(final=True)) == []


def test_a_long_pause_within_a_caption_ends_a_cue() -> None:
    words = [("well", 0.0, 0.5), ("yes", 4.0, 4.5)]
    assert [cue.lines for cue in cues_of(caption(*words, final=True))] == [("well",), ("yes",)]


def test_a_word_longer_than_a_line_is_cut() -> None:
    cues = cues_of(caption(("x" * 100, 0.0, 2.0), final=True))
    assert [line for cue in cues for line in cue.lines] == ["x" * 42, "x" * 42, "x" * 16]


def test_a_word_longer_than_a_cue_does_not_stay_for_ever() -> None:
    (cue,) = cues_of(caption(("om", 1.0, 30.0), final=True))
    assert (cue.start_ms, cue.end_ms) == (1000, 8000)


words_strategy = st.lists(
    st.tuples(st.integers(1, 60), st.floats(0, 9), st.floats(0, 9), st.booleans()), max_size=60
)


@given(words_strategy, st.integers(1, 7))
def test_whatever_is_said_stays_readable(parts: list[tuple[int, float, float, bool]], batch: int) -> None:
    """Lengths of words, pauses before them, their durations, and where captions end; committed in batches."""
    maker, cues, words, now, number = CueMaker(), [], [], 0.0, 1
    said = []
    for i, (length, pause, duration, ends) in enumerate(parts):
        word = chr(97 + i % 26) * length
        words.append((word, now + pause, now + pause + duration))
        now += pause + duration
        said.append(word)
        if ends or i % batch == 0:
            cues += maker.add(caption(*words, final=ends, caption_id=number))
        if ends:
            words, number = [], number + 1
    if words:
        cues += maker.add(caption(*words, final=True, caption_id=number))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    assert text_of(cues).replace(" ", "") == "".join(said)
    for cue in cues:
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < len(line) <= 42 for line in cue.lines)
        assert 1000 <= cue.end_ms - cue.start_ms <= 7000
    for before, behind in itertools.pairwise(cues):
        assert before.end_ms <= behind.start_ms


def test_times_beyond_an_hour_and_beyond_a_hundred() -> None:
    assert "01:01:01,001 --> 100:00:00,000" in srt_cue(Cue(7, 3_661_001, 360_000_000, ("x",)))
    assert "01:01:01.001 --> 100:00:00.000" in vtt_cue(Cue(7, 3_661_001, 360_000_000, ("x",)))


def test_markup_is_escaped_and_arrows_are_no_times() -> None:
    (cue,) = cues_of(caption(("<b>&", 0.0, 0.5), ("-->", 0.5, 0.8), final=True))
    assert vtt_cue(cue).endswith("\n&lt;b&gt;&amp; →\n\n")
    assert srt_cue(cue).count("-->") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0)),
        ("WEBVTT\n\n", (0, 0)),
        ("3\n00:00:01,000 --> 00:00:02,500\nhello\n\n", (3, 2500)),
        ("3\r\n00:00:01,000 --> 01:00:02,500\r\nhello\r\n\r\n", (3, 3_602_500)),
        ("WEBVTT\n\n00:01.000 --> 00:02.500\nhello\n\n", (0, 2500)),
        ("3\n00:00:01,000 --> 00:00:02,500\nhello\n\n4\n00:00:03,0", (3, 2500)),
    ],
)
def test_finds_where_a_file_ended(text: str, expected: tuple[int, int]) -> None:
    assert end_of_last_cue(text) == expected


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe (apt-get install ffmpeg)")
@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_ffprobe_reads_every_cue(tmp_path: Path, suffix: str) -> None:
    cues = cues_of(caption(*spoken(f"rock & roll <b> {LONG}", start_s=0.7, word_s=0.3), final=True))
    write, head = (srt_cue, "") if suffix == "srt" else (vtt_cue, "WEBVTT\n\n")
    path = tmp_path / f"talk.{suffix}"
    path.write_text(head + "".join(map(write, cues)))
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_packets", "-show_data", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    packets = json.loads(done.stdout)["packets"]
    assert [packet["pts_time"] for packet in packets] == [f"{cue.start_ms / 1000:.6f}" for cue in cues]
    assert [packet["duration_time"] for packet in packets] == [
        f"{(cue.end_ms - cue.start_ms) / 1000:.6f}" for cue in cues
    ]
    assert len(re.findall("data", done.stdout)) == len(cues)
