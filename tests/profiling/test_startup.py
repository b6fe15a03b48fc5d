"""A start, measured in a process of its own."""

from __future__ import annotations

import time

import pytest

from edgeaudio.profiles import Profile
from edgeaudio.profiling.startup import _Stopwatch, measure_start_up
from edgeaudio.profiling.wanted import Wanted


def test_the_parts_of_a_start_make_up_its_whole():
    began = time.monotonic()
    found = measure_start_up([Wanted("wake", "wake-computer")], Profile())
    took_ms = 1000 * (time.monotonic() - began)
    assert found is not None
    parts = (found.import_ms, found.compile_ms, found.model_load_ms, found.first_frame_ms)
    assert all(part > 0 for part in parts)
    assert sum(parts) == pytest.approx(found.total_ms, rel=0.01)
    assert found.total_ms <= took_ms
    # The first block is 95 ms long and comes by the clock, which runs since shortly before the mark.
    assert found.first_frame_ms >= 80


def test_a_start_that_fails_is_told_and_not_measured(caplog):
    assert measure_start_up([Wanted("wake", "no-such-model")], Profile()) is None
    assert "could not be measured" in caplog.text


def test_compilations_within_compilations_count_once(monkeypatch):
    clock = iter([100, 190, 300, 305])
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(clock))
    watch = _Stopwatch()
    watch.begin()
    watch.begin()
    watch.end()
    watch.end()
    watch.begin()
    watch.end()
    assert watch.total_ns == 90 + 5
