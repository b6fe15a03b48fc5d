from __future__ import annotations

import itertools
import math
import os
import threading
import time

import pytest

from edgeaudio.profiling import sensors
from edgeaudio.profiling.sensors import Gauge, Sampler, Unavailable, absent


class Told:
    """A gauge's reading that follows a list, its last entry for ever, and says when all of it was told."""

    def __init__(self, *values):
        self._values = list(values)
        self.over = threading.Event()

    def __call__(self):
        value = self._values.pop(0) if len(self._values) > 1 else self._values[0]
        if len(self._values) == 1:
            self.over.set()
        if isinstance(value, Exception):
            raise value
        return value


def sample(read, unit="°C", **settings):
    sampler = Sampler([Gauge("it", unit, "a file", read)], interval_s=0.001, **settings)
    sampler.start()
    assert read.over.wait(30)
    [sensor] = sampler.stop()
    return sensor


def test_readings_come_at_the_pace_asked_for_with_their_moments():
    read = Told(*range(20))
    sampler = Sampler([Gauge("it", "°C", "a file", read)], interval_s=0.02)
    before_s = time.monotonic()
    sampler.start()
    assert read.over.wait(30)
    [sensor] = sampler.stop(since_s=before_s)
    moments, values = zip(*sensor.samples, strict=True)
    assert (sensor.status, sensor.reason) == ("measured", "")
    assert values[:19] == tuple(range(19))
    # On a busy machine rounds are late or left out, but never early; moments are rounded to a millisecond.
    assert moments[18] >= 18 * 0.02 - 0.02 - 0.001
    assert all(later > earlier for earlier, later in itertools.pairwise(moments))


def test_of_a_long_run_an_even_choice_of_readings_is_kept(monkeypatch):
    monkeypatch.setattr(sensors, "_MOST_SAMPLES", 10)
    found = sample(Told(*range(100)))
    values = [value for _, value in found.samples if value < 99]  # the last one is told for ever
    assert 5 <= len(found.samples) <= 10
    assert values[0] == 0
    assert len({later - earlier for earlier, later in itertools.pairwise(values)}) == 1


@pytest.mark.parametrize(
    ("unit", "value", "said"),
    [
        ("°C", -300.0, "-300 °C"),
        ("°C", math.nan, "nan °C"),
        ("MHz", 1e9, "1e+09 MHz"),
        ("MHz", 0.0, "0 MHz"),
        ("W", -3.0, "-3 W"),
        ("W", math.inf, "inf W"),
        ("", 7.0, "it says 7, which"),
    ],
)
def test_what_cannot_be_is_unavailable_and_says_what_was_said(unit, value, said):
    sensor = sample(Told(value, value, value, value), unit)
    assert sensor.status == "unavailable"
    assert said in sensor.reason
    assert sensor.samples == []


def test_one_bad_reading_is_left_out_and_told():
    sensor = sample(Told(40.0, -300.0, 41.0, 41.0, 41.0))
    assert sensor.status == "measured"
    assert sensor.reason == "1 left out: it says -300 °C, which cannot be"
    assert [value for _, value in sensor.samples][:2] == [40.0, 41.0]


def test_a_sensor_that_vanishes_keeps_what_it_told_and_says_since_when():
    gone = FileNotFoundError(2, os.strerror(2))
    sensor = sample(Told(40.0, 41.0, gone, gone, gone, gone))
    assert sensor.status == "unavailable"
    assert sensor.reason.endswith("s on: No such file or directory")
    assert [value for _, value in sensor.samples] == [40.0, 41.0]


def test_a_gauge_given_up_is_not_asked_again():
    asked = []

    def read():
        asked.append(1)
        raise Unavailable("it is not for us")

    other = Told(*range(10))
    sampler = Sampler(
        [Gauge("it", "W", "a file", read), Gauge("other", "°C", "a file", other)], interval_s=0.001
    )
    sampler.start()
    assert other.over.wait(30)
    it, measured = sampler.stop()
    assert (it.status, it.reason, len(asked)) == ("unavailable", "it is not for us", 1)
    assert measured.status == "measured"


def test_an_error_nobody_foresaw_concerns_its_gauge_alone():
    other = Told(*range(10))
    broken = Told(ZeroDivisionError("division by zero"))
    sampler = Sampler(
        [Gauge("it", "W", "a file", broken), Gauge("other", "°C", "a file", other)], interval_s=0.001
    )
    sampler.start()
    assert other.over.wait(30)
    it, measured = sampler.stop()
    assert it.reason == "ZeroDivisionError: division by zero"
    assert measured.status == "measured"


def test_a_gauge_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(sensors, "_JOIN_S", 0.05)
    hanging, let_go = threading.Event(), threading.Event()

    def read():
        hanging.set()
        let_go.wait()
        return 1.0

    before = Told(40.0)
    sampler = Sampler([Gauge("before", "°C", "a file", before), Gauge("it", "W", "a file", read)])
    sampler.start()
    assert hanging.wait(30)
    first, it = sampler.stop()
    let_go.set()
    assert first.status == "measured"
    assert (it.status, it.reason) == ("unavailable", "it does not answer")


def test_costly_gauges_are_read_more_seldom():
    costly, cheap = Told(1.0, 2.0), Told(*range(9))
    gauges = [Gauge("costly", "W", "a program", costly, every=4), Gauge("cheap", "°C", "a file", cheap)]
    sampler = Sampler(gauges, interval_s=0.001)
    sampler.start()
    assert cheap.over.wait(30)
    seldom, often = sampler.stop()
    assert len(seldom.samples) == math.ceil(len(often.samples) / 4)


def test_a_run_too_short_for_a_rate_says_so():
    read = Told(None)
    assert sample(read).reason == "nothing was read in so short a time"


def test_what_is_absent_says_why():
    [sensor] = Sampler([absent("power", "W", "a chip", "no such chip")]).stop()
    assert sensor.status == "unavailable"
    sampler = Sampler([absent("power", "W", "a chip", "no such chip")])
    sampler.start()
    [sensor] = sampler.stop()
    assert (sensor.status, sensor.reason) == ("unavailable", "no such chip")


def test_its_own_cpu_time_is_told():
    def read():
        until_s = time.thread_time() + 0.01
        while time.thread_time() < until_s:
            pass
        return 1.0

    sampler = Sampler([Gauge("it", "W", "a file", read)], interval_s=0.001)
    sampler.start()
    deadline_s = time.monotonic() + 30
    while sampler.cpu_s < 0.05:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    [sensor] = sampler.stop()
    assert sampler.cpu_s >= 0.01 * (len(sensor.samples) - 1)
    assert 0.0 < sampler.share <= 1.01  # two clocks
