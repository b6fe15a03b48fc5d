"""Log-probabilities: the logarithm of the softmax, however the frames are cut."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.backends.base import Signature
from edgeaudio.errors import ModelError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import Captions
from edgeaudio.tasks.acoustic import StreamingAcoustic
from edgeaudio.testing import ScriptedBackend, chunkings, scripted_captions_manifest, scripted_manifest
from tests.allocation import allocated

MANIFEST = scripted_captions_manifest(["go", "stop"])


class Integrator:
    """A network with a memory: logits are leaky sums, so every frame and its order count."""

    runtime = "scripted"
    signature = Signature(step_frames=16, n_bands=40, n_out=4, n_labels=3, states=())

    def __init__(self):
        self._sums = np.zeros(3, np.float32)
        self._logits = np.zeros((4, 3), np.float32)
        self.seen = []

    def step(self, frames):
        self.seen.append(frames.copy())
        for i, frame in enumerate(frames):
            self._sums = np.float32(0.9) * self._sums + frame[[0, 7, 39]]
            self._logits[i // 4] = self._sums
        return self._logits

    def reset(self):
        self._sums[:] = 0.0


def acoustic(graph=None, **captions):
    section = msgspec.structs.replace(MANIFEST.recognition, **captions)
    return StreamingAcoustic(graph or Integrator(), msgspec.structs.replace(MANIFEST, captions=section))


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
        chunk[:] = answer[:] = np.nan
        at += length
    return np.concatenate([*found, one.flush()])


def test_the_logarithm_of_the_softmax():
    logits = np.array([[0.0, 1.0, 2.0], [1000.0, 0.0, -1000.0], [-5.0, -5.0, -5.0], [0.1, 0.2, 80.0]])
    found = acoustic(ScriptedBackend(logits, step_frames=16, n_out=4)).process(frames(16))
    exact = logits - logits.max(axis=1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)  # float32 rounding
    assert found.dtype == np.float32


def test_every_chunking_hears_the_same():
    table = frames(1003)
    expected = heard(acoustic(), table, [1003])
    for lengths in chunkings(1003):
        np.testing.assert_array_equal(heard(acoustic(), table, lengths), expected)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=20), st.integers(0, 5))
def test_every_drawn_chunking_hears_the_same(lengths, seed):
    table = frames(sum(lengths), seed)
    expected = heard(acoustic(), table, [sum(lengths)])
    np.testing.assert_array_equal(heard(acoustic(), table, lengths), expected)


def test_same_after_reset_different_without():
    table = frames(500)
    one = acoustic()
    expected = heard(one, table, [500])
    one.reset()
    np.testing.assert_array_equal(heard(one, table, [500]), expected)
    one.reset()
    one.process(frames(480, seed=9))
    assert not np.array_equal(heard(one, table, [500])[: len(expected)], expected)


@pytest.mark.parametrize(("delay_ms", "n_steps"), [(-100.0, 3), (0.0, 3), (240.0, 4), (250.0, 5)])
def test_the_flush_plays_on_the_quietest_frame_for_the_networks_delay(delay_ms, n_steps):
    """0.4 s and the delay, in steps of 160 ms; first the step that has begun is filled."""
    graph = Integrator()
    one = acoustic(graph, delay_ms=delay_ms)
    table = np.full((35, 40), 5.0, np.float32)
    table[12] = -3.0
    one.process(table)
    assert len(one.flush()) == 4 * (1 + n_steps)
    played = np.concatenate(graph.seen)
    assert len(played) == 48 + 16 * n_steps
    assert (played[:35] == table).all()
    assert (played[35:] == -3.0).all()


def test_a_flush_of_nothing_says_nothing():
    assert acoustic().flush().shape == (0, 3)


def test_waveform_models_end_in_silence():
    spec = FrontendSpec(features="waveform")
    graph = Integrator()
    graph.signature = Signature(step_frames=16, n_bands=160, n_out=4, n_labels=3, states=())
    one = StreamingAcoustic(graph, msgspec.structs.replace(MANIFEST, frontend=spec))
    one.process(np.ones((16, 160), np.float32))
    one.flush()
    assert not np.concatenate(graph.seen)[16:].any()


def test_facts_come_from_the_manifest():
    one = acoustic(delay_ms=240.0, blank="stop")
    assert (one.tokens, one.blank) == (("<blank>", "go", "stop"), 2)
    assert (one.frame_samples, one.chunk_frames, one.delay_samples) == (640, 4, 3840)
    assert one.runtime == "scripted"


def test_a_spotter_is_refused():
    with pytest.raises(ModelError, match="'scripted' spots single words"):
        StreamingAcoustic(Integrator(), scripted_manifest(["go"]))


def test_a_blank_that_is_no_token_is_refused():
    with pytest.raises(ValueError, match="names the blank 'pause', not among the labels"):
        msgspec.structs.replace(MANIFEST, captions=Captions(units="phones", blank="pause"))


def test_nothing_is_allocated_after_the_first_call():
    one = acoustic(ScriptedBackend(np.zeros((1, 3)), step_frames=16, n_out=4))
    blocks = [frames(n) for n in (8, 8, 16, 5, 11)]
    for block in blocks:
        one.process(block)

    def work():
        for _ in range(100):
            for block in blocks:
                one.process(block)

    # Views and numbers come and go (a few hundred bytes each); a step's frames would be 2,560.
    kept, peak = allocated(work)
    assert kept < 500
    assert peak < 2000
