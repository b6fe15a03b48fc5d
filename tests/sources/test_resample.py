"""Streaming resampling against soxr's own one-shot float64, and against physics."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import MissingDependencyError, UsageError
from edgeaudio.sources.resample import Resampler, check_channel, mix
from edgeaudio.types import Samples

NOISE = np.random.default_rng(3).uniform(-0.5, 0.5, 20_000)


def in_chunks(resampler: Resampler, x: Samples, lengths: list[int]) -> Samples:
    out, start = [], 0
    for n in [*lengths, x.size]:
        out.append(resampler.process(x[start : start + n]))
        start = min(start + n, x.size)
    return np.concatenate([*out, resampler.flush()])


@settings(max_examples=25)
@given(
    rate_hz=st.sampled_from([8000, 11025, 22050, 44100, 48000, 96000]),
    lengths=st.lists(st.integers(0, 3000), max_size=20),
)
def test_every_chunking_gives_the_offline_result(rate_hz: int, lengths: list[int]) -> None:
    resampler = Resampler(rate_hz)
    expected = soxr.resample(NOISE, rate_hz, 16000, quality="HQ")
    for _ in range(2):  # once more after the flush: no state is left
        actual = in_chunks(resampler, NOISE.astype(np.float32), lengths)
        assert actual.dtype == np.float32
        # Single-precision input: rounding of samples up to 0.5 (3e-8) times the filter's gain sum of a few.
        np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-7)


def test_sixteen_kilohertz_passes_untouched() -> None:
    x = NOISE.astype(np.float32)
    resampler = Resampler(16000)
    assert resampler.process(x) is x
    assert resampler.flush().size == 0


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000])
def test_a_tone_keeps_its_pitch_and_level(rate_hz: int) -> None:
    x = np.sin(2 * np.pi * 1000 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    y = in_chunks(Resampler(rate_hz), x, [480] * 50)
    assert y.size == 16000
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    # The filter rings at both ends; in between 1 kHz lies deep in the passband (ripple < 0.01 dB = 1e-3).
    np.testing.assert_allclose(y[500:-500], expected[500:-500], rtol=0, atol=1e-3)


def test_what_sixteen_kilohertz_cannot_carry_disappears() -> None:
    x = np.sin(2 * np.pi * 11000 * np.arange(48000) / 48000).astype(np.float32)
    y = in_chunks(Resampler(48000), x, [480] * 50)
    # soxr HQ rejects by more than 100 dB; folded back it would be heard at 5 kHz.
    assert np.abs(y[500:-500]).max() < 1e-4


def test_mixing() -> None:
    block = np.random.default_rng(0).uniform(-1, 1, (100, 8)).astype(np.float32)
    np.testing.assert_array_equal(mix(block, 5), block[:, 5])
    # Eight additions of values below 1 in float32: 8 * 6e-8.
    np.testing.assert_allclose(mix(block, None), block.astype(np.float64).mean(axis=1), rtol=0, atol=5e-7)
    np.testing.assert_array_equal(mix(block[:, :1], None), block[:, 0])


@pytest.mark.parametrize("channel", [2, -1])
def test_a_channel_that_is_not_there(channel: int) -> None:
    with pytest.raises(UsageError, match=f"the device has 2 channels, there is no channel {channel}"):
        check_channel(channel, 2, "the device")
    check_channel(1, 2, "the device")
    check_channel(None, 2, "the device")


def test_without_soxr_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(MissingDependencyError, match="44100 Hz") as error:
        Resampler(44100)
    assert "edgeaudio[files]" in str(error.value)
    assert Resampler(16000).flush().size == 0


@pytest.mark.parametrize("rate_hz", [0, -16000, 2, 1e7, float("nan"), float("inf")])
def test_rates_that_no_audio_has(rate_hz: float) -> None:
    with pytest.raises(UsageError, match="sample rate"):
        Resampler(rate_hz)
