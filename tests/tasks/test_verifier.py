"""Voices behind a wake word: the score is what its formula says, and others do not pass."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from edgeaudio.errors import ModelError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.enrolments import VoiceNumbers
from edgeaudio.models.voices import VoiceSpace
from edgeaudio.tasks.verifier import PARTS, Verifier, voice_score, voice_vector
from edgeaudio.testing import scripted_spotter

RNG = np.random.default_rng(0)


def test_the_score_is_the_ratio_of_two_gaussians():
    """One coordinate of three recordings and a fourth: jointly normal with or without a common voice."""
    b, enrolled, test = 2.5, np.array([1.0, 1.4, 0.3]), 0.9
    joint = multivariate_normal(np.zeros(4), b * np.ones((4, 4)) + np.eye(4))
    enrolment = multivariate_normal(np.zeros(3), b * np.ones((3, 3)) + np.eye(3))
    anybody = multivariate_normal(0.0, b + 1.0)
    expected = joint.logpdf([*enrolled, test]) - enrolment.logpdf(enrolled) - anybody.logpdf(test)
    found = voice_score(np.array([enrolled.sum()]), 3, np.array([b]), np.array([[test]]))
    assert found[0] == pytest.approx(expected)


def word(shape, lead=40, seed=0):
    """A quiet room and in it 60 frames of one spectrum."""
    frames = np.random.default_rng(seed).normal(-12.0, 0.1, (140, 40))
    frames[lead : lead + 60] += 9.0 + shape
    return frames.astype(np.float32)


def test_neither_place_nor_level_changes_a_voice():
    shape = np.linspace(-1, 1, 40)
    vector = voice_vector(word(shape), 0.01)
    assert vector.shape == (PARTS * 40,)
    # What differs is noise of 0.1 over means of fifteen frames.
    np.testing.assert_allclose(voice_vector(word(shape, lead=70, seed=1), 0.01), vector, atol=0.2)
    np.testing.assert_allclose(voice_vector(word(shape) - 2.0, 0.01), vector, atol=1e-4)
    assert np.abs(voice_vector(word(-shape), 0.01) - vector).max() > 1.0


SPACE = VoiceSpace(
    ("go",),
    np.zeros((1, 160)),
    np.eye(160),
    np.full(160, 4.0),
    np.zeros((1, 160)),
    np.zeros(1, np.int64),
    "0",
)


def verifier(shape):
    vectors = [voice_vector(word(shape, seed=seed), 0.01) for seed in range(3)]
    voice = VoiceNumbers(voice=tuple(np.sum(vectors, axis=0)), recordings=3, label="go", threshold=0.0)
    return Verifier([voice], SPACE, FrontendSpec())


@pytest.mark.parametrize("pieces", [1, 7, 140])
def test_only_the_enrolled_voice_passes_however_it_comes(pieces):
    shape = 3.0 * RNG.normal(0, 1, 40)
    mine = verifier(shape)
    assert not mine.accepts("go")
    for spoken, passes in ((word(shape, seed=9), True), (word(3.0 * RNG.normal(0, 1, 40)), False)):
        mine.reset()
        for piece in np.array_split(spoken, pieces):
            mine.hear(piece)
        assert mine.accepts("go") is passes
    mine.reset()
    mine.hear(word(shape, seed=9))
    assert not mine.accepts("stop")


def test_a_space_says_which_words_it_knows():
    with pytest.raises(ModelError, match=r"'stop'.*\n.*go"):
        SPACE.place("stop", np.zeros(160))


class Doorkeeper:
    """Lets every second word pass."""

    def __init__(self):
        self.n_frames = self.asked = 0

    def hear(self, frames):
        self.n_frames += len(frames)

    def accepts(self, label):
        self.asked += 1
        return self.asked % 2 == 0

    def reset(self):
        self.n_frames = 0


def test_a_spotter_reports_only_what_its_listener_accepts():
    spotter, door = scripted_spotter([(0.5, "go"), (2.0, "go"), (3.5, "go"), (5.0, "go")]), Doorkeeper()
    spotter.listen_for(door)
    events = spotter.process(np.zeros((600, 40), np.float32))
    assert [round(event.end_sample / 16000) for event in events] == [2, 5]
    assert (door.asked, door.n_frames) == (4, 600)
    spotter.reset()
    assert door.n_frames == 0
