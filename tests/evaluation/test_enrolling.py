"""Words and voices from few recordings: known where they are, and honest where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.evaluation.dictation import Dictation
from edgeaudio.evaluation.enrolling import HeardWord, fit_word
from edgeaudio.evaluation.enrolling_voices import fit_voice
from edgeaudio.evaluation.spoken import find_word
from edgeaudio.models.background import Background
from edgeaudio.models.voices import VoiceSpace
from edgeaudio.tasks.enrolled import word_scores

WIDTH = 8


def background(seed=0, n=3000):
    rng = np.random.default_rng(seed)
    segments = np.abs(rng.normal(0, 1, (n, WIDTH))).astype(np.float32)
    return Background(segments, np.arange(60, n + 1, 60), 7, n * 0.14, "0" * 64)


def recording(rng, shape):
    """A second of anything, then the word: three segments of known means."""
    frames = np.abs(rng.normal(0, 1, (120, WIDTH))).repeat(1, axis=0)
    frames[60:81] = np.repeat(shape, 7, axis=0) + rng.normal(0, 0.2, (21, WIDTH))
    return HeardWord(frames.astype(np.float32), 60, 81)


@pytest.fixture
def shape():
    return 3.0 * np.abs(np.random.default_rng(5).normal(0, 1, (3, WIDTH)))


def test_a_word_is_known_again_and_others_are_not(shape):
    rng = np.random.default_rng(1)
    fit = fit_word([recording(rng, shape) for _ in range(5)], background(), max_false_alarms=1.0)
    assert (fit.estimate.missed, fit.estimate.of) == (0, 5)
    assert fit.estimate.interval[1] == pytest.approx(0.434, abs=0.001)  # nobody can promise more from five
    assert fit.estimate.false_alarms_per_hour == pytest.approx(1.0, rel=0.01)
    fresh = recording(rng, shape)
    scores = word_scores(fit.numbers, fresh.embeddings)
    assert scores[60:].max() > fit.numbers.threshold > np.nanmax(scores[:60])


def test_negatives_raise_the_threshold(shape):
    rng = np.random.default_rng(1)
    words = [recording(rng, shape) for _ in range(5)]
    like_it = recording(rng, 0.5 * shape + 1.0).embeddings
    plain, strict = (fit_word(words, background(), negatives=negatives) for negatives in ((), (like_it,)))
    assert np.nanmax(word_scores(strict.numbers, like_it)) <= strict.numbers.threshold + 1e-4
    assert strict.numbers.threshold != plain.numbers.threshold


def test_a_recording_of_another_word_is_missed_by_the_rest(shape):
    rng = np.random.default_rng(2)
    words = [recording(rng, shape) for _ in range(4)] + [recording(rng, 3.0 - shape)]
    fit = fit_word(words, background())
    assert fit.scores[-1] < 0.0 < min(fit.scores[:-1])
    assert fit.estimate.missed == 1


def test_a_voice_lets_strangers_pass_as_often_as_was_asked():
    rng = np.random.default_rng(3)
    d, between = 20, 9.0
    strangers = rng.normal(0, 3.2, (200, d))
    space = VoiceSpace(
        ("go",), np.zeros((1, d)), np.eye(d), np.full(d, between), strangers, np.zeros(200, np.int64), "0"
    )
    voice = rng.normal(0, 3.0, d)
    fit = fit_voice(voice + rng.normal(0, 1, (4, d)), "go", space, passing=0.05)
    assert fit.estimate.passed == pytest.approx(10, abs=1)
    assert fit.estimate.missed == 0
    mixed = fit_voice(np.stack([voice, voice + 0.5, voice - 0.5, -3 * voice]), "go", space)
    assert mixed.scores[-1] < 0.0


def burst(seconds, level=0.1, seed=0):
    n = round(seconds * 16000)
    return (level * np.random.default_rng(seed).normal(0, 1, n)).astype(np.float32)


def spoken(word, around_s=0.5):
    room = burst(2 * around_s + len(word) / 16000, 1e-3, seed=7)
    start = round(around_s * 16000)
    room[start : start + len(word)] += word
    return room


def test_a_word_is_found_by_its_level():
    found = find_word(spoken(burst(0.6)))
    # The envelope is smoothed over 30 ms.
    assert found.start == pytest.approx(8000, abs=500)
    assert found.seconds == pytest.approx(0.6, abs=0.06)
    assert found.level_dbfs == pytest.approx(-20.0, abs=0.5)
    assert found.problems == ()


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (spoken(burst(0.6, 0.003)), "too quiet"),
        (np.clip(spoken(burst(0.6, 2.0)), -1, 1), "clipped"),
        (spoken(burst(0.12)), "too short"),
        (spoken(burst(2.0)), "of speech: of a phrase"),
        (burst(1.5), "too much noise"),
    ],
)
def test_what_is_wrong_with_a_recording_is_told(samples, problem):
    found = find_word(samples)
    assert any(problem in told for told in found.problems)
    assert not found.unusable


@pytest.mark.parametrize("samples", [np.zeros(16000, np.float32), np.zeros(100, np.float32)])
def test_silence_is_unusable(samples):
    assert find_word(samples).unusable


def test_words_are_cut_out_of_a_stream():
    stream = np.concatenate([spoken(burst(0.6), 1.0), spoken(burst(0.3), 1.0), burst(1.0, 1e-3)])
    dictation, words = Dictation(), []
    for at in range(0, len(stream), 777):
        words += dictation.process(stream[at : at + 777])
    assert len(words) == 2
    assert [find_word(word).seconds for word in words] == pytest.approx([0.6, 0.3], abs=0.06)


def test_a_louder_room_is_no_word():
    stream = np.concatenate([burst(1.0, 1e-3), burst(10.0, 0.02)])
    dictation = Dictation()
    assert dictation.process(stream) == []
    assert len(dictation.process(np.concatenate([burst(0.5, 0.3), burst(1.0, 0.02)]))) == 1
