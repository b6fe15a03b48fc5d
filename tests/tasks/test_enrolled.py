"""An enrolled word: scored in a stream as at once, and spotted as any other."""

from __future__ import annotations

import numpy as np

from edgeaudio.models.enrolments import WordNumbers
from edgeaudio.tasks.enrolled import EnrolledGraph, enrolled_manifest, word_scores
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.testing import ScriptedBackend, chunkings, scripted_manifest

RNG = np.random.default_rng(0)
NUMBERS = WordNumbers(
    segments=3,
    segment_frames=4,
    mean=tuple(RNG.normal(0, 1, 15)),
    deviation=tuple(RNG.uniform(0.5, 2, 15)),
    weights=tuple(RNG.normal(0, 1, 15)),
    threshold=2.5,
    slope=50.0,
)


def slow_score(stretch):
    """The definition, for the 12 rows of one stretch."""
    pooled = np.concatenate([stretch[4 * s : 4 * s + 4].mean(axis=0) for s in range(3)])
    z = (pooled - np.array(NUMBERS.mean)) / np.array(NUMBERS.deviation)
    return z @ np.array(NUMBERS.weights) / np.linalg.norm(z)


def test_each_score_is_that_of_the_stretch_that_ends_there():
    rows = RNG.normal(0, 1, (40, 5)).astype(np.float32)
    scores = word_scores(NUMBERS, rows)
    assert np.isnan(scores[:11]).all()
    expected = [slow_score(rows[i - 11 : i + 1].astype(np.float64)) for i in range(11, 40)]
    np.testing.assert_allclose(scores[11:], expected, rtol=1e-5)  # float32 results


class Embedding(ScriptedBackend):
    """A network whose embedding follows a script of rows."""

    def __init__(self, rows):
        super().__init__(np.zeros((1, 2)))
        self.rows = rows

    @property
    def embedding(self):
        first = 2 * (self.n_steps - 1)
        return self.rows[first : first + 2]


def rows_with_the_word(n, at):
    """Noise, and at one place what scores highest."""
    rows = np.random.default_rng(1).normal(0, 0.05, (n, 5)) + np.array(NUMBERS.mean[:5])
    z = np.array(NUMBERS.weights) / np.linalg.norm(NUMBERS.weights)
    word = (10 * z * np.array(NUMBERS.deviation) + np.array(NUMBERS.mean)).reshape(3, 5)
    rows[at - 12 : at] = np.repeat(word, 4, axis=0)
    return rows.astype(np.float32)


def heard(lengths, reset_first=False):
    spotter = Spotter(
        EnrolledGraph(Embedding(rows_with_the_word(120, 60)), NUMBERS),
        enrolled_manifest(scripted_manifest(("a", "b")), "jarvis"),
    )
    if reset_first:
        spotter.process(np.zeros((200, 40), np.float32))
        spotter.reset()
    frames, events, at = np.zeros((400, 40), np.float32), [], 0
    for length in lengths:
        events += spotter.process(frames[at : at + length])
        at += length
    return events


def test_it_is_spotted_once_where_it_was_said_for_every_chunking():
    (expected,) = heard([400])
    assert (expected.model, expected.name) == ("jarvis", "jarvis")
    frame = expected.end_sample / 640  # 40 ms an output frame
    assert 55 <= frame <= 62
    for lengths in chunkings(400):
        assert heard(lengths) == [expected]
    assert heard([400], reset_first=True) == [expected]
