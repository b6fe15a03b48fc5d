"""Recordings that are played again and again."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from edgeaudio.errors import InputError
from edgeaudio.profiling import audio
from edgeaudio.profiling.audio import BUNDLED, recordings


def heard(source, n):
    """The first samples of an endless source, which need not be waited for."""
    samples = []
    while sum(map(len, samples)) < n:
        samples.append(source._next_block(1.0, 1.0))
    return np.concatenate(samples)[:n]


def write(path, samples, rate_hz=16_000):
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path


def test_files_follow_each_other_and_begin_again(tmp_path):
    one = np.linspace(0.1, 0.2, 1000, dtype=np.float32)
    two = np.linspace(-0.2, -0.1, 700, dtype=np.float32)
    source = recordings([write(tmp_path / "one.wav", one), write(tmp_path / "two.wav", two)])
    assert source.live
    assert source.name == "one.wav + two.wav"
    np.testing.assert_array_equal(heard(source, 3400), np.concatenate((one, two, one, two)))


def test_what_comes_with_edgeaudio_is_all_of_it():
    n = sum(soundfile.info(path).frames for path in BUNDLED)
    source = recordings()
    samples = heard(source, n + 16_000)
    np.testing.assert_array_equal(samples[n:], samples[:16_000])
    np.testing.assert_array_equal(
        samples[: len(first := soundfile.read(BUNDLED[0], dtype="float32")[0])], first
    )


def test_channels_and_rates_are_those_of_files_elsewhere(tmp_path):
    stereo = np.stack((np.full(8000, 0.5, np.float32), np.zeros(8000, np.float32)), axis=1)
    path = write(tmp_path / "stereo.wav", stereo, 8000)
    right = heard(recordings([path], channel=1), 16_000)
    assert not right.any()
    mean = heard(recordings([path]), 16_000)
    assert mean[8000] == pytest.approx(0.25, abs=1e-3)  # the resampler's ripple


def test_no_more_is_held_than_some_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "_LONGEST_S", 1)
    path = write(tmp_path / "long.wav", np.arange(40_000, dtype=np.float32) / 40_000)
    samples = heard(recordings([path]), 20_000)
    assert samples[16_000] == samples[0]


def test_a_file_that_is_none_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        recordings([tmp_path / "nothing.wav"])
