"""A day of audio."""

from __future__ import annotations

import os

import numpy as np
import psutil
import pytest

from edgeaudio import ArraySource, Engine, Spotter
from edgeaudio.backends import RUNTIMES
from edgeaudio.events import Detection
from edgeaudio.testing import scripted_spotter

RATE = 16_000
HOURS = 24


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backend", RUNTIMES)
def test_a_day_through_the_engine_loses_nothing_and_grows_by_nothing(backend):
    process = psutil.Process(os.getpid())
    rss_after_hour = []

    def day():
        """Noise that never repeats exactly; memory is measured whenever an hour has gone by."""
        rng = np.random.default_rng(24)
        second = rng.normal(0, 0.05, 2 * RATE).astype(np.float32)
        for _ in range(HOURS):
            for _ in range(3600):
                at = int(rng.integers(RATE))
                yield second[at : at + RATE]
            rss_after_hour.append(process.memory_info().rss)

    words = [(float(at_s), "go") for at_s in range(1, HOURS * 3600, 7)]
    # One that says something to count, and one that really computes.
    model = Spotter.load("commands-12", backend=backend)
    engine = Engine(ArraySource(day()), scripted_spotter(words), model)
    n_detections = 0
    with engine:
        for event in engine:
            assert isinstance(event, Detection)
            n_detections += event.model == "scripted"
    stats = engine.stats()
    assert stats.processed_samples == stats.capture.written_samples == HOURS * 3600 * RATE
    assert stats.skipped_samples == stats.capture.dropped_samples == stats.events_dropped == 0
    assert n_detections == len(words)
    # Allocators keep some pages back and forth; one leaked float a block would be 4 MB a day.
    assert max(rss_after_hour) - rss_after_hour[0] < 2**21
