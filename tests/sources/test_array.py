"""Arrays and generators as sources, by the clock and without."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeaudio.errors import InputError, UsageError
from edgeaudio.sources import ArraySource, Source
from tests.sources.reading import read_all

RAMP = np.arange(5000, dtype=np.float32)


@settings(max_examples=30)
@given(n=st.integers(0, 5000), block=st.integers(1, 5000), asked=st.integers(1, 5000))
def test_every_block_length_delivers_every_sample_once(n: int, block: int, asked: int) -> None:
    np.testing.assert_array_equal(read_all(ArraySource(RAMP[:n], block=block), asked), RAMP[:n])


def test_a_generator_is_pulled_only_as_far_as_needed() -> None:
    made = []

    def endless() -> Iterator[NDArray[np.float32]]:
        while True:
            made.append(1)
            yield np.full(1000, len(made), np.float32)

    source = ArraySource(endless())
    assert source.wait(2500, 1.0) == 3000
    assert len(made) == 3
    assert not source.finished
    source.stop()
    assert source.finished
    assert source.wait(5000, 1.0) == 3000


def test_channels_and_rates() -> None:
    stereo = np.stack([RAMP, -RAMP], axis=1) / 5000
    np.testing.assert_array_equal(read_all(ArraySource(stereo, channel=1)), -RAMP / 5000)
    np.testing.assert_array_equal(read_all(ArraySource(stereo.astype(np.float64))), np.zeros(5000))
    assert read_all(ArraySource(np.zeros(48000), 48000)).size == 16000


def test_nan_and_infinity_pass() -> None:
    x = np.array([0.0, np.nan, np.inf, -np.inf, 1.0], np.float32)
    np.testing.assert_array_equal(read_all(ArraySource(x)), x)


def test_what_is_no_audio_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="int16") as error:
        ArraySource(np.zeros(10, np.int16))
    assert "32768" in str(error.value)
    with pytest.raises(InputError, match=r"\(2, 2, 2\)"):
        ArraySource(np.zeros((2, 2, 2)))
    with pytest.raises(UsageError, match="the array has 2 channels, there is no channel 2"):
        ArraySource(np.zeros((10, 2)), channel=2)
    with pytest.raises(UsageError, match="at least one"):
        ArraySource(RAMP, block=0)
    with pytest.raises(UsageError, match="the ring holds 64000"):
        ArraySource(RAMP).wait(64001, 1.0)


def test_a_paced_source_follows_the_clock() -> None:
    source: Source = ArraySource(np.zeros(16000, np.float32), paced=True)
    assert source.live
    source.start()
    n = source.wait(1600, timeout_s=5.0)
    now = time.monotonic()
    assert n >= 1600
    # Never before the clock; one sample for the rounding of the due index.
    assert source.captured_at(n - 1) <= now
    assert source.captured_at(1600) - source.captured_at(0) == pytest.approx(0.1, abs=1e-9)
    assert source.stats().written_samples == n


def test_a_paced_source_waits_no_longer_than_it_is_told() -> None:
    source = ArraySource(np.zeros(16000, np.float32), paced=True)
    source.start()
    assert source.wait(16000, timeout_s=0.05) < 16000
    # Half the audio is 0.5 s away: anything below proves that the timeout ended the wait.
    assert time.monotonic() - source.captured_at(0) < 0.5


def test_a_late_reader_of_a_paced_source_loses_nothing() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 70_000).astype(np.float32)
    source = ArraySource(x, paced=True)
    source.start()
    source._started_at = time.monotonic() - 10  # the reader was away for longer than the ring lasts
    np.testing.assert_array_equal(read_all(source), x)


def test_stop_ends_a_wait() -> None:
    source = ArraySource(np.zeros(160_000, np.float32), paced=True)
    source.start()
    timer = threading.Timer(0.05, source.stop)
    timer.start()
    source.wait(64_000, timeout_s=60.0)  # the samples would take four seconds
    timer.join()
    assert time.monotonic() - source.captured_at(0) < 2.0
    assert source.finished
    source.stop()
