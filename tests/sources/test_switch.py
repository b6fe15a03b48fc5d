from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgeaudio.errors import DeviceError, UsageError
from edgeaudio.events import Gap
from edgeaudio.sources.array import ArraySource
from edgeaudio.sources.network import NetworkSource
from edgeaudio.sources.switch import SwitchSource
from edgeaudio.types import SAMPLE_RATE_HZ
from tests.sources.reading import Listener

SOUND = np.random.default_rng(1).normal(0, 0.1, 8000).astype(np.float32)


class Log:
    """What a switch says of its inputs."""

    def __init__(self):
        self.begun = []
        self.ended = []
        self.switch = SwitchSource(self.begun.append, lambda *facts: self.ended.append(facts))


@pytest.fixture
def log():
    made = Log()
    yield made
    made.switch.stop()


def playing(samples=SOUND):
    return ArraySource(samples, paced=True)


def test_an_input_is_handed_on_bit_for_bit_and_then_silence(log):
    listener = Listener(log.switch)
    log.switch.select(playing)
    log.switch.start()
    listener.until(lambda: bool(log.ended) and log.switch.ring.available == 0, 10.0, "it has ended")
    np.testing.assert_array_equal(listener.audio[:8000], SOUND)
    assert not listener.audio[8000:].any()
    # So long a silence ends a caption (0.8 s) and is not yet reported as a muted microphone (2 s).
    assert listener.audio.size == 8000 + 24_000
    assert listener.gaps == []
    assert not log.switch.finished


def test_it_listens_to_whatever_comes_next_and_positions_keep_the_time(log):
    listener = Listener(log.switch)
    switch = log.switch
    began = time.monotonic()
    switch.select(playing)
    switch.start()
    listener.until(lambda: bool(log.ended), 10.0, "the first has ended")
    switch.select(playing)
    listener.until(lambda: len(log.ended) == 2, 10.0, "the second has ended")
    listener.until(lambda: switch.ring.available == 0, 5.0, "all is read")
    (gap,) = listener.gaps
    assert gap.cause == "paused"
    assert gap.start_sample == 32_000
    second = listener.audio[32_000 : 32_000 + 8000]
    np.testing.assert_array_equal(second, SOUND)
    # Captured half a second after it was chosen, as the clock of its source says.
    start = 32_000 + gap.n_samples
    assert began < switch.captured_at(start) < switch.captured_at(start + 8000) <= time.monotonic()
    assert switch.captured_at(start + 1600) - switch.captured_at(start) == pytest.approx(0.1, abs=1e-6)
    assert switch.stats().written_samples == 16_000


def test_a_pause_counts_in_positions(log):
    listener = Listener(log.switch)
    switch = log.switch
    switch.select(playing)
    switch.start()
    listener.until(lambda: bool(log.begun), 10.0, "it has begun")
    switch.select(None)
    listener.until(lambda: bool(log.ended), 10.0, "it was left")
    left_at = time.monotonic()
    # Longer than the silence behind the input, so that some of the pause remains for the gap.
    listener.until(lambda: time.monotonic() > left_at + 1.8, 10.0, "the pause")
    before = switch.ring.end
    switch.select(playing)
    listener.until(lambda: len(log.begun) == 2 and bool(listener.gaps), 10.0, "it goes on")
    (gap,) = listener.gaps
    assert gap.start_sample == before
    # The pause but for 1.5 s of silence; half a second more if this machine is busy.
    assert 0.3 <= gap.n_samples / SAMPLE_RATE_HZ <= 0.8


def test_an_input_that_cannot_be_opened_is_reported_and_the_next_is_heard(log):
    def absent():
        raise DeviceError("no such microphone")

    listener = Listener(log.switch)
    log.switch.select(absent)
    log.switch.start()
    listener.until(lambda: bool(log.ended), 10.0, "it has failed")
    source, error = log.ended[0]
    assert source is None
    assert str(error) == "no such microphone"
    log.switch.select(playing)
    listener.until(lambda: bool(listener.samples), 10.0, "something is heard")


def test_gaps_of_the_input_stay_in_their_place(log):
    browser = NetworkSource("browser")
    listener = Listener(log.switch)
    log.switch.select(lambda: browser)
    log.switch.start()
    listener.until(lambda: bool(log.begun), 10.0, "it has begun")
    browser.push(SOUND)
    browser.lose(160)
    browser.push(SOUND)
    listener.until(lambda: sum(map(len, listener.samples)) == 16_000, 10.0, "all is read")
    assert listener.gaps == [Gap(start_sample=8000, n_samples=160, cause="device_overflow")]


def test_an_input_without_a_clock_is_read_no_faster_than_it_is_spoken(log):
    listener = Listener(log.switch)
    log.switch.select(lambda: ArraySource(np.ones(32_000, np.float32)))
    log.switch.start()
    took_s = listener.until(lambda: sum(map(len, listener.samples)) >= 24_000, 20.0, "1.5 s are heard")
    assert took_s > 0.9  # half a second may be ahead


def test_a_choice_wakes_a_waiting_reader(log):
    log.switch.start()
    threading.Timer(0.05, lambda: log.switch.select(playing)).start()
    assert log.switch.wait(1280, timeout_s=30.0) >= 1280


def test_stop_ends_it_and_its_input(log):
    browser = NetworkSource("browser")
    log.switch.select(lambda: browser)
    log.switch.start()
    log.switch.wait(160, timeout_s=0.0)
    log.switch.stop()
    assert log.switch.finished
    assert browser.finished
    assert log.switch.wait(160, timeout_s=30.0) == 0


def test_waiting_for_more_than_it_holds_is_refused(log):
    with pytest.raises(UsageError, match="the ring holds"):
        log.switch.wait(10**9, timeout_s=0.0)
