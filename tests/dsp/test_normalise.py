"""Normalisation while somebody speaks and pauses: silence must not spoil it, and must not be blown up."""

from __future__ import annotations

import numpy as np

from edgeaudio.dsp.normalise import running_norm


def speech(n, seed=0):
    """Frames like those of speech: bands go up and down together by a few nepers."""
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.normal(-10, 2.5, -(-n // 8)), 8)[:n, None]
    return (loudness + rng.normal(0, 1.5, (n, 40))).astype(np.float32)


def test_normalisation_does_not_know_the_level():
    mean, deviation = running_norm(speech(400))
    quiet_mean, quiet_deviation = running_norm(speech(400) - 3.0)
    np.testing.assert_allclose(quiet_mean, mean - 3.0, atol=1e-4)
    np.testing.assert_allclose(quiet_deviation, deviation, atol=1e-4)


def test_silence_before_speech_changes_little():
    said = speech(150)
    hush = np.random.default_rng(1).normal(-16, 0.5, (600, 40)).astype(np.float32)
    mean, deviation = running_norm(said)
    mixed_mean, mixed_deviation = running_norm(np.concatenate((hush, said)))
    # Half a deviation would be much; plain statistics are off by two.
    np.testing.assert_allclose(mixed_mean, mean, atol=0.5)
    np.testing.assert_allclose(mixed_deviation, deviation, atol=0.5)
    assert (mean - np.concatenate((hush, said)).mean(axis=0)).min() > 3.0


def test_silence_alone_is_not_blown_up():
    hush = np.full((300, 40), -16.6, np.float32)
    hush[::7] += 0.1
    mean, deviation = running_norm(hush)
    assert np.abs((hush - mean) / deviation).max() < 0.1


def test_a_click_does_not_drown_what_is_said():
    said = speech(400)
    clicked = said.copy()
    clicked[200:203] = 5.0
    mean, _ = running_norm(said)
    np.testing.assert_allclose(running_norm(clicked)[0], mean, atol=0.3)


def test_one_frame_is_enough():
    frame = speech(1)
    mean, deviation = running_norm(frame)
    np.testing.assert_array_equal(mean, frame[0])
    assert (deviation > 0).all()
