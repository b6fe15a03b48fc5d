"""Frames of any number become whole steps; positions are those of what was heard."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeaudio.tasks.stepping import Stepper
from edgeaudio.testing import ScriptedBackend, chunkings, scripted_manifest

HOP, WINDOW = 160, 400
LOGITS = [[0.0, 1.0], [2.0, -3.0], [0.5, 0.5], [100.0, -100.0]]


class Remembering(ScriptedBackend):
    """Keeps a copy of all frames that it was given."""

    def step(self, frames):
        self.seen = np.concatenate((getattr(self, "seen", frames[:0]), frames))
        return super().step(frames)


def stepper(**changes):
    return Stepper(Remembering(LOGITS), msgspec.structs.replace(scripted_manifest(["a", "b"]), **changes))


def frames(n):
    return np.random.default_rng(0).standard_normal((n, 40)).astype(np.float32)


def test_every_frame_is_heard_once_in_order_however_they_come():
    table = frames(203)
    for lengths in chunkings(203):
        one = stepper()
        n_steps = 0
        for chunk in np.split(table, np.cumsum(lengths)[:-1]):
            n_steps += sum(1 for _ in one.steps(chunk))
        assert np.array_equal(one.graph.seen, table[:200])
        assert (n_steps, one.n_decided) == (25, 50)
        assert one.heard_end == 202 * HOP + WINDOW


def test_whole_steps_are_lent_and_not_copied():
    table = frames(16)
    assert [np.shares_memory(heard, table) for heard in stepper().steps(table)] == [True, True]


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_posteriors_are_those_of_the_latest_step(activation):
    one = stepper(activation=activation)
    found = [one.posteriors.copy() for _ in one.steps(frames(16))]
    logits = np.array(LOGITS, np.float64).reshape(2, 2, 2)
    expected = 1 / (1 + np.exp(-logits))
    if activation == "softmax":
        powers = np.exp(logits - logits.max(axis=2, keepdims=True))
        expected = powers / powers.sum(axis=2, keepdims=True)
    # float32 holds seven digits.
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_positions_count_from_where_the_stream_begins():
    one = stepper()
    one.reset(at_sample=5000)
    assert one.heard_end == one.frame_start(0) == 5000
    assert one.frame_start(3) == 5000 + 12 * HOP
    assert one.frame_start(-2) == 5000
    # Output frame 3 has heard the frames up to the fifteenth, which ends its window.
    assert one.frame_end(3) == 5000 + 15 * HOP + WINDOW
    assert one.frame_ms == 40.0


def test_what_is_left_and_the_quietest_frame_are_played_on():
    table = frames(20)
    table[5] -= 9.0
    one = stepper()
    assert len(list(one.steps(table))) == 2
    assert len(list(one.play_on(0.1))) == 3  # the rest of the third step, and 0.1 s in two further ones
    assert np.array_equal(one.graph.seen, np.concatenate((table, np.repeat(table[5:6], 20, axis=0))))


def test_nothing_is_played_on_where_nothing_was_heard():
    assert list(stepper().play_on(1.0)) == []
