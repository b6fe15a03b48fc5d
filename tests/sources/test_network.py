from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgeaudio.errors import UsageError
from edgeaudio.events import Gap
from edgeaudio.sources.network import NetworkSource
from tests.sources.reading import Listener

RAMP = np.arange(16_000, dtype=np.float32) / 16_000


def test_what_is_pushed_is_read_and_the_end_is_seen():
    source = NetworkSource("browser")
    source.start()
    for block in np.split(RAMP, 10):
        source.push(block)
    source.end()
    source.end()
    assert source.finished
    listener = Listener(source)
    listener.until(lambda: source.ring.available == 0, 5.0, "all is read")
    np.testing.assert_array_equal(listener.audio, RAMP)
    assert listener.gaps == []


def test_a_waiting_engine_is_woken_by_samples_and_by_stop():
    source = NetworkSource("browser")
    source.start()
    threading.Timer(0.05, lambda: source.push(RAMP[:1280])).start()
    assert source.wait(1280, timeout_s=30.0) == 1280
    began = time.monotonic()
    threading.Timer(0.05, source.stop).start()
    source.wait(2560, timeout_s=30.0)
    assert time.monotonic() - began < 10.0
    assert source.finished


def test_samples_that_the_sender_left_out_become_a_gap_in_their_place():
    source = NetworkSource("browser", sample_rate_hz=48_000)
    source.start()
    source.push(np.zeros(48_000, np.float32))
    source.lose(4800)
    source.push(np.zeros(48_000, np.float32))
    source.end()
    listener = Listener(source)
    listener.until(lambda: source.ring.available == 0 and bool(listener.gaps), 5.0, "all is read")
    (gap,) = listener.gaps
    assert (gap.n_samples, gap.cause) == (pytest.approx(1600, abs=1), "device_overflow")
    # Rounding in the resampler may add or take a sample at each end.
    assert gap.start_sample == pytest.approx(16_000, abs=1)
    assert listener.audio.size == pytest.approx(32_000, abs=2)


def test_more_than_the_ring_holds_is_lost_and_counted():
    source = NetworkSource("browser")
    source.start()
    for _ in range(11):
        source.push(RAMP)
    assert source.stats().dropped_samples == 16_000
    source.ring.advance(160_000)
    source.push(RAMP)
    assert source.ring.take_gap() == Gap(start_sample=160_000, n_samples=16_000, cause="ring_full")


def test_a_late_block_does_not_look_as_if_it_had_just_been_spoken():
    source = NetworkSource("browser")
    source.start()
    source.push(RAMP[:1600])
    on_time = source.captured_at(0)
    began = time.monotonic()
    while time.monotonic() < began + 0.3:  # the network stands still
        source.wait(1_601, timeout_s=0.05)
    source.push(RAMP[:1600])
    # The second block was captured 0.1 s after the first; its delay of 0.3 s is latency, not a later capture.
    # The estimate moves by a thousandth of the time that passed, for clocks that drift.
    assert source.captured_at(0) == pytest.approx(on_time, abs=0.002)


def test_stopping_tells_the_sender_once():
    calls = []
    source = NetworkSource("browser", on_stop=lambda: calls.append(1))
    source.stop()
    source.stop()
    assert calls == [1]


def test_absurd_rates_and_waits_are_refused():
    with pytest.raises(UsageError, match="2 Hz"):
        NetworkSource("browser", sample_rate_hz=2)
    with pytest.raises(UsageError, match="the ring holds"):
        NetworkSource("browser").wait(10**9, timeout_s=0.0)
