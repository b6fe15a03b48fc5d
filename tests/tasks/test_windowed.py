"""Windows over a stream: the same runs however it is cut, and a normalisation that silence does not spoil."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.backends.base import Signature
from edgeaudio.errors import ModelError
from edgeaudio.models.manifest import Captions, Window
from edgeaudio.tasks.windowed import WindowedAcoustic
from edgeaudio.testing import chunkings, scripted_captions_manifest
from tests.allocation import allocated

LEFT, CHUNK, AHEAD = 8, 16, 12


def manifest(left=LEFT, **captions):
    window = Window(left_ms=10.0 * left, chunk_ms=10.0 * CHUNK, lookahead_ms=10.0 * AHEAD)
    section = Captions(units="phones", window=window, **captions)
    return msgspec.structs.replace(scripted_captions_manifest(["go", "stop"]), captions=section)


class Recorder:
    """A network that keeps what it saw and answers with sums over the frames of each output frame."""

    runtime = "scripted"

    def __init__(self, left=LEFT, n_bands=40):
        self.left = left
        self.signature = Signature(left + CHUNK + AHEAD, n_bands, CHUNK // 4, 3, ())
        self.seen = []
        self._logits = np.zeros((CHUNK // 4, 3), np.float32)

    def step(self, frames):
        assert frames.shape == (self.signature.step_frames, self.signature.n_bands)
        self.seen.append(frames.copy())
        decided = frames[self.left : self.left + CHUNK].reshape(CHUNK // 4, 4, -1).sum(axis=1)
        self._logits[:] = decided[:, [0, 7, 39]]
        # So that past and look-ahead count, too.
        self._logits[:, 0] += frames[: self.left].sum() + frames[self.left + CHUNK :].sum()
        return self._logits

    def reset(self):
        self.seen.clear()


def frames(n, seed=0):
    return np.random.default_rng(seed).normal(0, 3.0, (n, 40)).astype(np.float32)


def heard(one, table, lengths):
    """All log-probabilities; each chunk and each answer is destroyed after use."""
    found = [np.zeros((0, 3), np.float32)]
    at = 0
    for length in lengths:
        chunk = table[at : at + length].copy()
        answer = one.process(chunk)
        found.append(answer.copy())
        chunk[:], answer[:] = np.nan, np.nan
        at += length
    return np.concatenate([*found, one.flush()])


def test_each_run_sees_past_chunk_and_lookahead():
    graph, table = Recorder(), frames(60)
    heard(WindowedAcoustic(graph, manifest()), table, [60])
    padded = np.concatenate((np.zeros((LEFT, 40)), table, np.zeros((AHEAD + CHUNK, 40))))
    assert len(graph.seen) == 4
    for i, seen in enumerate(graph.seen):
        np.testing.assert_array_equal(seen, padded[i * CHUNK : i * CHUNK + LEFT + CHUNK + AHEAD])


def test_a_graph_with_states_sees_no_past():
    graph, table = Recorder(left=0), frames(60)
    heard(WindowedAcoustic(graph, manifest(left=0)), table, [60])
    np.testing.assert_array_equal(graph.seen[1], table[CHUNK : 2 * CHUNK + AHEAD])


def test_a_chunk_is_decided_as_soon_as_its_lookahead_is_there():
    one, table = WindowedAcoustic(Recorder(), manifest()), frames(100)
    assert len(one.process(table[: CHUNK + AHEAD - 1])) == 0
    assert len(one.process(table[CHUNK + AHEAD - 1 : CHUNK + AHEAD])) == one.chunk_frames
    assert one.lookahead_samples == AHEAD * 160
    assert one.frame_samples == 4 * 160


@pytest.mark.parametrize("normalise", ["none", "running"])
@pytest.mark.parametrize("lengths", list(chunkings(1700)), ids=lambda lengths: str(lengths[:3]))
def test_every_chunking_gives_the_same_bits(normalise, lengths):
    table = frames(1700)
    one = WindowedAcoustic(Recorder(), manifest(normalise=normalise))
    whole = heard(one, table, [1700])
    one.reset()
    np.testing.assert_array_equal(heard(one, table, lengths), whole)
    assert len(whole) == -(-1700 // CHUNK) * 4


@given(st.integers(0, 70), st.integers(0, 70), st.integers(0, 70))
@settings(max_examples=30)
def test_interleaved_streams_and_a_reset_do_not_mix(n, first, second):
    one, other = (WindowedAcoustic(Recorder(), manifest(normalise="running")) for _ in range(2))
    alone = heard(one, frames(n), [n])
    one.process(frames(first, 1))
    other.process(frames(second, 2))
    one.flush()
    one.reset()
    other.reset()
    np.testing.assert_array_equal(heard(one, frames(n), [n // 2, n - n // 2]), alone)
    np.testing.assert_array_equal(heard(other, frames(n), [n]), alone)


def test_answers_are_logarithms_of_probabilities():
    found = heard(WindowedAcoustic(Recorder(), manifest()), frames(200), [200])
    np.testing.assert_allclose(np.exp(found.astype(np.float64)).sum(axis=1), 1.0, atol=1e-5)


def test_a_long_stream_takes_no_more_memory():
    one, table = WindowedAcoustic(Recorder(), manifest(normalise="running")), frames(16)
    one._graph.seen = None
    one._graph.step = lambda window: one._graph._logits

    def work():
        for _ in range(400):
            one.process(table)

    # The smallest object a call would be 400 × 16 bytes.
    assert allocated(work).kept < 6400


def test_nothing_heard_is_nothing_decided():
    one = WindowedAcoustic(Recorder(), manifest())
    assert len(one.process(frames(0))) == 0
    assert len(one.flush()) == 0


def test_a_model_without_windows_is_refused():
    with pytest.raises(ModelError, match="not run in windows"):
        WindowedAcoustic(Recorder(), scripted_captions_manifest(["go"]))
