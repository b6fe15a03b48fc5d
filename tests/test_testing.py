"""The parts that users test with keep their own promises."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.errors import UsageError
from edgeaudio.testing import ScriptedBackend, chunkings, scripted_recognizer, scripted_spotter


@pytest.mark.parametrize("n", [0, 1, 2, 300, 5000])
def test_chunkings_cover_everything_in_many_ways(n):
    ways = list(chunkings(n))
    assert all(sum(lengths) == n for lengths in ways)
    assert all(length >= 0 for lengths in ways for length in lengths)
    if n > 2:
        assert len({tuple(lengths) for lengths in ways}) >= 5
        assert any(0 in lengths for lengths in ways)


def test_chunkings_are_the_same_every_time_for_one_seed():
    assert list(chunkings(500)) == list(chunkings(500))
    assert list(chunkings(500, seed=1)) != list(chunkings(500))


def test_a_scripted_backend_begins_again_after_a_reset():
    backend = ScriptedBackend([[1.0], [2.0]], n_out=1)
    frames = np.zeros((8, 40), np.float32)
    assert [backend.step(frames)[0, 0] for _ in range(3)] == [1.0, 2.0, 0.0]
    backend.reset()
    assert backend.step(frames)[0, 0] == 1.0


def test_a_scripted_backend_rests_as_it_was_told():
    backend = ScriptedBackend([[1.0, 2.0]], n_out=1, rest=[3.0, 4.0])
    frames = np.zeros((8, 40), np.float32)
    assert [backend.step(frames).tolist() for _ in range(3)] == [[[1.0, 2.0]], [[3.0, 4.0]], [[3.0, 4.0]]]


def test_a_scripted_backend_refuses_what_a_real_one_would():
    with pytest.raises(ValueError, match=r"\(8, 40\), got \(7, 40\)"):
        ScriptedBackend([[1.0]]).step(np.zeros((7, 40), np.float32))


def test_a_scripted_spotter_hears_nothing_without_words():
    assert scripted_spotter([]).process(np.zeros((80, 40), np.float32)) == []


def test_a_word_cannot_end_before_the_stream_begins():
    with pytest.raises(UsageError, match=r"0\.01 s"):
        scripted_spotter([(0.01, "go")])


def test_a_scripted_recogniser_says_each_word_in_its_time():
    script = [(0.4, 0.72, "no"), (0.72, 1.0, "no"), (1.2, 1.6, "wait"), (4.0, 4.2, "go")]
    one = scripted_recognizer(script)
    events = one.process(np.zeros((500, 40), np.float32)) + one.flush()
    assert [(event.text, event.final) for event in events if event.final] == [
        ("no no wait", True),
        ("go", True),
    ]
    words = [word for event in events if event.final for word in event.words]
    for word, (start_s, end_s, text) in zip(words, script, strict=True):
        assert word.text == text
        assert word.start_sample == pytest.approx(16000 * start_s, abs=1)
        assert word.end_sample == pytest.approx(16000 * (end_s - 0.04), abs=1)  # its last frame is blank
    assert {event.tentative for event in events} == {"", "no", "wait", "go"}


def test_a_scripted_recogniser_hears_nothing_without_words():
    one = scripted_recognizer([])
    assert one.process(np.zeros((500, 40), np.float32)) + one.flush() == []


@pytest.mark.parametrize(
    "script", [[(0.4, 0.8, "no"), (0.6, 1.0, "go")], [(0.4, 0.44, "no")], [(0.4, 0.4, "no")]]
)
def test_words_that_nobody_can_say_are_refused(script):
    with pytest.raises(UsageError, match="overlaps or is too short"):
        scripted_recognizer(script)
