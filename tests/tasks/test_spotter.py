"""The spotter: steps, positions and decisions, on networks that can be seen through."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.backends.base import Signature
from edgeaudio.errors import ModelError, UsageError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import Decision
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.testing import ScriptedBackend, chunkings, scripted_manifest, scripted_spotter

LABELS = ("go", "stop", "unknown")
RULES = Decision(threshold=0.6, smoothing_ms=80.0, refractory_ms=200.0, silent_labels=("unknown",))


class Integrator:
    """A network with a memory: logits are leaky sums, so every frame and its order count."""

    runtime = "scripted"
    signature = Signature(step_frames=8, n_bands=40, n_out=2, n_labels=3, states=())

    def __init__(self):
        self._sums = np.zeros(3, np.float32)
        self._logits = np.zeros((2, 3), np.float32)

    def step(self, frames):
        for i, frame in enumerate(frames):
            self._sums = np.float32(0.9) * self._sums + frame[[0, 7, 39]]
            self._logits[i // 4] = self._sums
        return self._logits

    def reset(self):
        self._sums[:] = 0.0


def spotter(**changes):
    return Spotter(Integrator(), scripted_manifest(LABELS, msgspec.structs.replace(RULES, **changes)))


def frames(n, seed=0):
    """Slow swings, so that posteriors cross thresholds in both directions."""
    noise = np.random.default_rng(seed).normal(0, 3.0, (n // 10 + 1, 40))
    return np.repeat(noise, 10, axis=0)[:n].astype(np.float32)


def heard(one, table, lengths):
    """Events of a whole stream; each chunk is destroyed after the call, as the contract allows."""
    events = []
    at = 0
    for length in lengths:
        chunk = table[at : at + length].copy()
        events += one.process(chunk)
        chunk[:] = np.nan
        at += length
    return events + one.flush()


def test_every_chunking_hears_the_same():
    table = frames(1003)
    expected = heard(spotter(), table, [1003])
    assert len(expected) > 3
    for lengths in chunkings(1003):
        assert heard(spotter(), table, lengths) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.integers(0, 5))
def test_every_drawn_chunking_hears_the_same(lengths, seed):
    table = frames(sum(lengths), seed)
    assert heard(spotter(), table, lengths) == heard(spotter(), table, [sum(lengths)])


def test_same_after_reset_different_without():
    table = frames(500)
    one = spotter()
    expected = heard(one, table, [500])
    one.reset()
    assert heard(one, table, [500]) == expected
    one.reset()
    one.process(frames(500, seed=9))
    assert heard(one, table, [500]) != expected


def test_two_streams_do_not_mix():
    table, other = frames(400), frames(400, seed=3)
    one, two = spotter(), spotter()
    events = []
    for at in range(0, 400, 20):
        events += one.process(table[at : at + 20])
        two.process(other[at : at + 20])
    assert events + one.flush() == heard(spotter(), table, [400])


def test_positions_are_absolute_and_bound_what_was_heard():
    one = scripted_spotter([(2.0, "go")])
    (event,) = heard(one, np.zeros((300, 40), np.float32), [300])
    # Output frame 49 has heard input frames 0..199; the last covers samples 199*160 to 199*160+400.
    assert event.end_sample == 199 * 160 + 400
    assert event.start_sample == event.end_sample - 16000  # 100 frames of receptive field
    assert (event.model, event.name) == ("scripted", "go")
    one.reset(at_sample=50_000)
    (later,) = heard(one, np.zeros((300, 40), np.float32), [300])
    assert later.end_sample == event.end_sample + 50_000


def test_a_word_does_not_start_before_the_stream():
    one = scripted_spotter([(0.2, "go")])
    one.reset(at_sample=1234)
    (event,) = heard(one, np.zeros((40, 40), np.float32), [40])
    assert event.start_sample == 1234


@pytest.mark.parametrize("n_frames", [200, 203, 207])
def test_a_word_that_ends_with_the_stream_is_heard_by_the_flush(n_frames):
    """Its posterior rises 120 ms after the last frame; positions stay inside what was heard."""
    one = scripted_spotter([(0.01 * n_frames + 0.12, "go")])
    table = np.ones((n_frames, 40), np.float32)
    assert one.process(table) == []
    (event,) = one.flush()
    assert event.end_sample == (n_frames - 1) * 160 + 400


def test_a_word_does_not_begin_behind_the_end_of_the_stream():
    """A network that sees less than the flush plays on decides from what was played on alone."""
    manifest = msgspec.structs.replace(scripted_manifest(["go"]), receptive_field_frames=10)
    script = np.full((20, 1), -8.0, np.float32)
    script[9] = 8.0
    one = Spotter(ScriptedBackend(script), manifest)
    one.process(np.zeros((8, 40), np.float32))
    (event,) = one.flush()
    assert event.start_sample == event.end_sample == 7 * 160 + 400


def test_the_flush_plays_on_the_quietest_frame():
    seen = []

    class Recorder(ScriptedBackend):
        def step(self, frames):
            seen.append(frames.copy())
            return super().step(frames)

    one = Spotter(Recorder(np.zeros((1, 3))), scripted_manifest(LABELS, RULES))
    table = np.full((21, 40), 5.0, np.float32)
    table[12] = -3.0
    one.process(table)
    one.flush()
    padded = np.concatenate(seen)[21:]
    assert len(padded) >= 38  # 0.3 s and 80 ms of smoothing
    assert (padded == -3.0).all()


def test_a_flush_of_nothing_says_nothing():
    assert spotter().flush() == []


def test_softmax_and_sigmoid():
    logits = np.array([[1000.0, 0.0, -1000.0], [0.0, 1.0, 2.0]], np.float32)
    manifest = scripted_manifest(LABELS, RULES)
    for activation, expected in (
        ("sigmoid", [[1.0, 0.5, 0.0], 1 / (1 + np.exp([-0.0, -1.0, -2.0]))]),
        ("softmax", [[1.0, 0.0, 0.0], np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()]),
    ):
        one = Spotter(ScriptedBackend(logits), msgspec.structs.replace(manifest, activation=activation))
        one.process(np.zeros((8, 40), np.float32))
        np.testing.assert_allclose(one.posteriors, expected, rtol=1e-6)  # float32 rounding


def test_a_threshold_replaces_all_of_the_model():
    own = msgspec.structs.replace(RULES, thresholds={"stop": 0.99}, smoothing_ms=40.0)
    script = np.zeros((50, 3), np.float32)
    script[10, 1] = 1.0  # sigmoid: 0.73
    table = np.zeros((200, 40), np.float32)
    manifest = scripted_manifest(LABELS, own)
    assert Spotter(ScriptedBackend(script), manifest).process(table) == []
    (event,) = Spotter(ScriptedBackend(script), manifest, threshold=0.7).process(table)
    assert event.name == "stop"
    assert event.score == pytest.approx(0.7311, abs=1e-4)


@pytest.mark.parametrize("threshold", [7.0, 0.0, -1.0, float("nan")])
def test_a_senseless_threshold_is_refused_with_its_value(threshold):
    with pytest.raises(UsageError, match=f"{threshold:g}"):
        Spotter(Integrator(), scripted_manifest(LABELS, RULES), threshold=threshold)
    with pytest.raises(UsageError, match=f"{threshold:g}"):
        Spotter.load("no-such-model", threshold=threshold)


def test_an_unknown_model_is_refused():
    with pytest.raises(ModelError, match="no-such-model"):
        Spotter.load("no-such-model")


def test_waveform_models_end_in_silence():
    spec = FrontendSpec(features="waveform")
    seen = []

    class Recorder(ScriptedBackend):
        def step(self, frames):
            seen.append(frames.copy())
            return super().step(frames)

    manifest = msgspec.structs.replace(scripted_manifest(LABELS, RULES), frontend=spec)
    one = Spotter(Recorder(np.zeros((1, 3)), n_bands=160), manifest)
    one.process(np.ones((8, 160), np.float32))
    one.flush()
    assert not np.concatenate(seen)[8:].any()


def test_near_misses_are_told_only_when_asked_for():
    table = np.zeros((200, 40), np.float32)
    script = np.full((60, 1), -8.0)
    script[20] = 0.0  # a posterior of 0.5
    decision = Decision(threshold=0.6, smoothing_ms=40.0, refractory_ms=500.0)

    def one(**options):
        return Spotter(ScriptedBackend(script, rest=-8.0), scripted_manifest(["go"], decision), **options)

    assert heard(one(), table, [200]) == []
    for lengths in ([200], [8] * 25):
        (event,) = heard(one(near_ratio=0.7), table, lengths)
        assert (event.name, event.score, event.threshold) == ("go", 0.5, 0.6)
        # Output frame 20 has heard input frames 0..83.
        assert event.end_sample == 83 * 160 + 400
    assert heard(one(near_ratio=0.9), table, [200]) == []
    again = one()
    again.decide_at(0.45)
    assert [event.name for event in heard(again, table, [200])] == ["go"]
