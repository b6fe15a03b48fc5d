"""Clicks are found to a fraction of a sample, in rooms and noise, and never where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.profiling.clicks import LONGEST_LAG_S, click_times, find_clicks, train
from edgeaudio.types import Samples
from tests.conftest import ROOT

RATE = 16000
N_CLICKS = 10


def recorded(lag: int, *, noise: float = 0.0, gain: float = 0.1, seed: int = 0) -> Samples:
    """What a microphone would hear `lag` samples after the clicks were played."""
    played, _ = train(N_CLICKS, RATE)
    silence = np.random.default_rng(seed).normal(0, noise, len(played) + round(LONGEST_LAG_S * RATE))
    silence[lag : lag + len(played)] += gain * played
    return silence.astype(np.float32)


def expected() -> np.ndarray:
    return click_times(N_CLICKS) * RATE


@given(lag=st.integers(0, 31_000), noise=st.sampled_from([0.0, 1e-4, 3e-3]), seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_every_click_is_found_where_it_is(lag: int, noise: float, seed: int) -> None:
    echoes = find_clicks(recorded(lag, noise=noise, seed=seed), expected())
    assert echoes is not None
    assert len(echoes.lags) == N_CLICKS
    # Clicks begin at whole samples, half a sample from where they are expected at most; the parabola
    # is exact to a few hundredths, and noise of 25 dB below the clicks moves a peak by less than one.
    np.testing.assert_allclose(echoes.lags, lag, atol=0.6 if noise < 1e-3 else 1.5)


def test_a_lag_longer_than_the_distance_of_clicks_is_not_taken_for_a_shorter_one() -> None:
    echoes = find_clicks(recorded(round(1.3 * RATE)), expected())
    assert echoes is not None
    assert np.median(echoes.lags) == pytest.approx(1.3 * RATE, abs=0.5)


def test_the_direct_sound_counts_even_if_a_reflection_is_louder() -> None:
    room = np.zeros(400)
    room[0], room[90], room[350] = 1.0, 1.6, 0.7  # 5.6 ms: a table top
    sound = np.convolve(recorded(800, noise=1e-4), room)
    echoes = find_clicks(sound.astype(np.float32), expected())
    assert echoes is not None
    assert np.median(echoes.lags) == pytest.approx(800, abs=1.0)


def test_clicks_that_were_lost_are_told_by_their_number() -> None:
    sound = recorded(1600, noise=1e-4)
    for start in click_times(N_CLICKS)[[2, 7]]:
        at = round(start * RATE) + 1600
        sound[at : at + 200] = 0.0
    echoes = find_clicks(sound, expected())
    assert echoes is not None
    assert len(echoes.lags) == N_CLICKS - 2


def test_a_recording_that_ends_early_is_as_good_as_what_it_holds() -> None:
    sound = recorded(1600, noise=1e-4)
    end = round(click_times(N_CLICKS)[8] * RATE) + 1600
    echoes = find_clicks(sound[:end], expected())
    assert echoes is not None
    assert len(echoes.lags) == 8


@pytest.mark.parametrize("level", [0.0, 1e-4, 0.5])
def test_nothing_is_found_in_noise(level: float) -> None:
    found = [find_clicks(recorded(0, noise=level, gain=0.0, seed=seed), expected()) for seed in range(8)]
    assert found == [None] * 8


def test_nothing_is_found_in_speech() -> None:
    soundfile = pytest.importorskip("soundfile")
    for name in ("speech", "demo"):
        speech, _ = soundfile.read(ROOT / f"edgeaudio/assets/{name}.flac", dtype="float32")
        for start in range(0, len(speech) - 9 * RATE, 2 * RATE):
            assert find_clicks(speech[start : start + 9 * RATE], expected()) is None


def test_clicks_are_found_while_somebody_talks() -> None:
    soundfile = pytest.importorskip("soundfile")
    speech, _ = soundfile.read(ROOT / "edgeaudio/assets/speech.flac", dtype="float32")
    sound = recorded(1600, gain=0.2)
    sound += speech[: len(sound)]
    echoes = find_clicks(sound, expected())
    assert echoes is not None
    assert np.median(echoes.lags) == pytest.approx(1600, abs=1.0)


def test_hum_and_other_clicks_are_none_of_ours() -> None:
    t = np.arange(9 * RATE) / RATE
    hum = 0.3 * np.sin(2 * np.pi * 50 * t) + 0.1 * np.sin(2 * np.pi * 1000 * t)
    metronome = np.zeros_like(t)
    metronome[:: RATE // 2] = 0.9
    assert find_clicks((hum + metronome).astype(np.float32), expected()) is None


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_the_train_is_the_same_at_every_rate(rate_hz: int) -> None:
    samples, positions = train(N_CLICKS, rate_hz)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() <= 0.5
    np.testing.assert_allclose(positions / rate_hz, click_times(N_CLICKS), atol=0.5 / rate_hz)
    assert np.diff(click_times(N_CLICKS)).std() > 0.03, "uneven distances"
