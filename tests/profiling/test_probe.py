"""Time stamps: what they say, what they cost, and that nothing of them remains."""

from __future__ import annotations

import gc
import time
import tracemalloc

import numpy as np

from edgeaudio import ArraySource
from edgeaudio.listener import Listener
from edgeaudio.profiling.overhead import timestamp_ns
from edgeaudio.profiling.probe import (
    Stamps,
    WaitStamps,
    timed,
    watch,
    watch_restarts,
    watch_shedding,
    watch_source,
)
from edgeaudio.testing import scripted_spotter


def busy(ms):
    until = time.monotonic_ns() + round(ms * 1e6)
    while time.monotonic_ns() < until:
        pass


def test_each_call_leaves_its_begin_and_its_end():
    stamps = Stamps(8)
    call = timed(lambda ms: busy(ms) or ms, stamps)
    before = time.monotonic_ns()
    assert [call(2.0), call(1.0)] == [2.0, 1.0]
    stamps.collect()
    passes = stamps.passes()
    assert len(passes) == 2
    assert before <= passes[0, 0] <= passes[0, 1] <= passes[1, 0] <= passes[1, 1] <= time.monotonic_ns()
    assert passes[0, 1] - passes[0, 0] >= 2e6
    assert passes[1, 1] - passes[1, 0] >= 1e6


def test_of_more_passes_than_there_is_room_none_is_lost():
    stamps = Stamps(5)
    call = timed(lambda argument: argument, stamps)
    for _ in range(3):
        for i in range(9):
            call(i)
        stamps.collect()
    passes = stamps.passes()
    assert len(passes) == 27
    assert (np.diff(passes[:, 0]) > 0).all()


def test_a_pass_that_has_not_ended_waits_for_its_end():
    stamps = Stamps(4)

    def part(_argument):
        stamps.collect()  # as the other thread may, at any time

    call = timed(part, stamps)
    call(1)
    call(2)
    stamps.collect()
    passes = stamps.passes()
    assert len(passes) == 2
    assert (passes[:, 0] <= passes[:, 1]).all()


def test_what_was_watched_is_as_it_was():
    task = scripted_spotter([(0.5, "go")])
    stop = watch(task, "process", Stamps(4))
    assert "process" in vars(task)
    stop()
    assert "process" not in vars(task)
    source = ArraySource(np.zeros(1600, np.float32), paced=True)
    watch_source(source, WaitStamps(4), lambda now_ns: now_ns)()
    assert "wait" not in vars(source)


def test_a_wait_tells_what_was_wanted_and_what_there_was():
    source = ArraySource(np.zeros(3200, np.float32), paced=True)
    stamps = WaitStamps(8)
    watch_source(source, stamps, lambda now_ns: 2**62)
    found = [source.wait(800, 30.0), source.wait(1600, 30.0)]
    stamps.collect()
    passes = stamps.passes()
    assert passes[:, WaitStamps.WANTED].tolist() == [800, 1600]
    assert passes[:, WaitStamps.AVAILABLE].tolist() == found
    assert passes[1, WaitStamps.END] >= source.captured_at(1599) * 1e9


def test_an_alarm_is_heeded_when_it_is_due():
    source = ArraySource(np.zeros(32_000, np.float32), paced=True)
    due, rung = [], []

    def alarm(now_ns):
        rung.append(now_ns)
        due.append(now_ns + 100_000_000)
        return due[-1]

    watch_source(source, WaitStamps(64), alarm)
    source.start()
    while len(rung) < 3:
        source.ring.advance(source.wait(320, 1.0))
    assert rung[1] >= due[0]
    assert rung[2] >= due[1]


def test_it_is_noted_where_the_stream_went_on():
    listener = Listener((scripted_spotter([(0.5, "go")]),), 1280)
    restarts = []
    stop = watch_restarts(listener, restarts)
    listener.restart(4800, [])
    stop()
    listener.restart(9600, [])
    assert [sample for _, sample in restarts] == [4800]


def test_levels_of_shedding_are_noted():
    class Late:
        level = 0

        def shed(self, level):
            self.level = level

    task, levels = Late(), []
    stop = watch_shedding(task, levels)
    task.shed(2)
    stop()
    task.shed(1)
    assert task.level == 1
    assert [level for _, level in levels] == [2]


def test_a_stamp_takes_at_most_100_ns():
    assert timestamp_ns() <= 100


def test_nothing_is_allocated_after_the_warm_up():
    """Numbers wait in a queue until they are collected, and go into a table."""
    source = ArraySource(np.zeros(1600, np.float32), paced=True)
    source.wait = lambda n_samples, timeout_s: 0
    waits, passes = WaitStamps(20_000), Stamps(20_000)
    watch_source(source, waits, lambda now_ns: 2**62)
    wait, call = source.wait, timed(lambda argument: argument, passes)

    def work():
        for _ in range(40):
            for _ in range(60):
                call(None)
                wait(1280, 0.1)
            passes.collect()
            waits.collect()

    work()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        work()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    # Nothing remains of 4800 passes; until they are collected, 360 numbers of 32 bytes and their queue.
    assert after - before <= 256
    assert peak - before <= 40_000
