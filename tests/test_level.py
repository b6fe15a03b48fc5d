"""The level meter: broken samples, dead microphones, clipping, and how loud a word was."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.events import Clipping, DigitalSilence
from edgeaudio.level import LevelMeter
from edgeaudio.testing import chunkings

RATE = 16_000


def noise(seconds, dbfs, seed=0):
    scale = 10 ** (dbfs / 20)
    return np.random.default_rng(seed).normal(0, scale, round(seconds * RATE)).astype(np.float32)


def tone(seconds, dbfs, frequency_hz=300.0):
    amplitude = math.sqrt(2) * 10 ** (dbfs / 20)
    return (amplitude * np.sin(2 * np.pi * frequency_hz / RATE * np.arange(seconds * RATE))).astype(
        np.float32
    )


def watch(x, lengths=None, meter=None):
    """Events of a whole stream, cut as a microphone would."""
    meter = meter or LevelMeter()
    events = []
    at = 0
    for length in lengths or [1280] * (len(x) // 1280 + 1):
        meter.process(x[at : at + length])
        events += meter.take_events()
        at += length
    return events


def test_good_samples_pass_without_a_copy():
    x = noise(0.1, -20)
    meter = LevelMeter()
    assert meter.process(x) is x
    assert meter.nonfinite_samples == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_broken_samples_become_zeros_and_are_counted(bad):
    x = noise(0.1, -20)
    x[[5, 700]] = bad
    x.flags.writeable = False
    meter = LevelMeter()
    repaired = meter.process(x)
    expected = x.copy()
    expected[[5, 700]] = 0.0
    np.testing.assert_array_equal(repaired, expected)
    assert not repaired.flags.writeable
    assert meter.nonfinite_samples == 2
    assert math.isfinite(meter.level_dbfs)


def test_the_level_is_the_rms_of_the_latest_block():
    meter = LevelMeter()
    meter.process(tone(0.08, -23.0))
    assert meter.level_dbfs == pytest.approx(-23.0, abs=0.01)  # 24 whole periods; float32 samples
    meter.process(np.zeros(1280, np.float32))
    assert meter.level_dbfs == -120.0


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_a_constant_signal_is_reported_once_when_it_begins_and_once_when_it_ends(value):
    loud = noise(1.0, -30)
    x = np.concatenate((loud, np.full(5 * RATE, value, np.float32), loud))
    silences = [event for event in watch(x) if isinstance(event, DigitalSilence)]
    assert silences == [
        DigitalSilence(start_sample=RATE, n_samples=2 * RATE, ended=False),
        DigitalSilence(start_sample=RATE, n_samples=5 * RATE, ended=True),
    ]


def test_two_seconds_less_a_sample_are_a_pause():
    x = np.concatenate((noise(1.0, -30), np.zeros(2 * RATE - 1, np.float32), noise(1.0, -30, seed=1)))
    assert watch(x) == []


def test_a_stream_of_nan_is_as_dead_as_one_of_zeros():
    (event,) = watch(np.full(3 * RATE, np.nan, np.float32))
    assert event == DigitalSilence(start_sample=0, n_samples=2 * RATE, ended=False)


def test_the_quietest_room_is_not_digital_silence():
    quantized = np.round(noise(5.0, -90) * 32768) / 32768
    assert watch(quantized.astype(np.float32)) == []


def test_clipping_is_reported_at_most_once_in_ten_seconds():
    clipped = np.clip(tone(25.0, 6.0), -1, 1)
    events = watch(clipped)
    assert all(isinstance(event, Clipping) for event in events)
    assert np.diff([event.start_sample for event in events]).min() >= 9 * RATE
    assert len(events) == 3
    # A sine of 9 dB too much is beyond full scale for most of its period.
    share = 1 - 2 / np.pi * math.asin(0.999 / (math.sqrt(2) * 10 ** (6 / 20)))
    assert events[1].n_samples == pytest.approx(share * RATE, rel=0.01)  # one sample per flank


def test_a_recording_normalised_to_its_peak_does_not_clip():
    x = noise(5.0, -20)
    assert watch(x / np.abs(x).max()) == []


def test_every_chunking_reports_the_same():
    x = np.concatenate((np.clip(tone(1.0, 3.0), -1, 1), np.zeros(3 * RATE, np.float32), noise(1.0, -20)))
    expected = watch(x)
    assert [type(event) for event in expected] == [Clipping, DigitalSilence, DigitalSilence]
    for lengths in chunkings(len(x)):
        assert watch(x, lengths) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30))
def test_every_chunking_measures_the_same(lengths):
    x = np.concatenate((noise(0.6, -50), noise(0.5, -20, seed=1), noise(3.0, -50, seed=2)))[: sum(lengths)]
    whole, cut = LevelMeter(), LevelMeter()
    whole.process(x)
    watch(x, lengths, cut)
    assert cut.span(9000, 18000) == whole.span(9000, 18000)


def test_after_a_gap_nothing_is_known_and_a_silence_ends():
    meter = LevelMeter()
    watch(np.concatenate((noise(1.0, -30), np.zeros(3 * RATE, np.float32))), None, meter)
    meter.reset(at_sample=100_000)
    (event,) = meter.take_events()
    assert event == DigitalSilence(start_sample=RATE, n_samples=3 * RATE, ended=True)
    meter.process(tone(0.2, -20))
    assert meter.span(100_000, 102_000).snr_db is None
    assert meter.span(100_000, 102_000).level_dbfs == pytest.approx(-20, abs=0.1)  # no whole periods


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0, 40.0])
def test_level_and_snr_of_a_word_in_noise(snr_db):
    background = noise(4.0, -50)
    word = noise(0.5, -50 + snr_db, seed=1)
    background[3 * RATE : 3 * RATE + len(word)] += word
    meter = LevelMeter()
    watch(background, None, meter)
    span = meter.span(3 * RATE, 3 * RATE + len(word))
    total_db = -50 + 10 * math.log10(1 + 10 ** (snr_db / 10))
    # The power of 160 samples of white noise scatters by 11 %, so its 20th percentile is 0.4 dB low.
    assert span.snr_db == pytest.approx(snr_db, abs=1.0)
    assert span.level_dbfs == pytest.approx(total_db, abs=0.3)


def test_a_constant_offset_is_neither_level_nor_noise():
    x = noise(4.0, -60)
    x[3 * RATE : 3 * RATE + 8000] += noise(0.5, -30, seed=1)
    plain, shifted = LevelMeter(), LevelMeter()
    watch(x, None, plain)
    watch(x + np.float32(0.1), None, shifted)
    expected, span = plain.span(3 * RATE, 3 * RATE + 8000), shifted.span(3 * RATE, 3 * RATE + 8000)
    assert span[:2] == expected[:2]
    assert span.snr_db == pytest.approx(expected.snr_db, abs=0.5)  # float32 rounds 0.1 + x
    assert span.level_dbfs == pytest.approx(expected.level_dbfs, abs=0.1)


def test_the_word_is_found_by_its_energy():
    x = noise(4.0, -60)
    x[40_000:46_400] += noise(0.4, -25, seed=1)
    meter = LevelMeter()
    watch(x, None, meter)
    span = meter.span(36_000, 50_000)
    assert (span.start_sample, span.end_sample) == (40_000, 46_400)  # on the 10 ms grid by choice


def test_a_closure_belongs_to_the_word_a_pause_does_not():
    x = noise(5.0, -60)
    for start, stop in ((40_000, 42_000), (48_000, 50_400), (52_000, 54_400)):  # 375 ms, then 100 ms apart
        x[start:stop] += noise((stop - start) / RATE, -25, seed=start)
    meter = LevelMeter()
    watch(x, None, meter)
    span = meter.span(39_000, 56_000)
    assert (span.start_sample, span.end_sample) == (48_000, 54_400)


def test_a_word_that_does_not_stand_out_keeps_its_range():
    meter = LevelMeter()
    watch(noise(4.0, -40), None, meter)
    assert meter.span(40_001, 50_007)[:2] == (40_001, 50_007)


def test_a_word_older_than_the_history_has_no_level():
    meter = LevelMeter()
    watch(noise(12.0, -40), None, meter)
    assert meter.span(0, 16_000).snr_db is None
    assert meter.span(0, 16_000).level_dbfs == -120.0
