"""Time stamps: what they say, what they cost, and that nothing of them remains."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgeaudio import ArraySource
from edgeaudio.listener import Listener
from edgeaudio.profiling.overhead import timestamp_ns
from edgeaudio.profiling.probe import (
    Log,
    timed,
    watch,
    watch_restarts,
    watch_shedding,
    watch_source,
)
from edgeaudio.testing import scripted_spotter
from tests.allocation import allocated


def busy(ms):
    until = time.monotonic_ns() + round(ms * 1e6)
    while time.monotonic_ns() < until:
        pass


def test_each_call_leaves_its_begin_and_its_end():
    log = Log(8)
    one, other = (timed(lambda ms: busy(ms) or ms, log, part) for part in (0, 1))
    before = time.monotonic_ns()
    assert [one(2.0), other(1.0), one(1.0)] == [2.0, 1.0, 1.0]
    log.collect()
    passes = log.passes(0)
    assert passes.shape == (2, 2)
    assert before <= passes[0, 0] <= passes[0, 1] <= passes[1, 0] <= passes[1, 1] <= time.monotonic_ns()
    assert passes[0, 1] - passes[0, 0] >= 2e6
    assert passes[1, 1] - passes[1, 0] >= 1e6
    assert len(log.passes(1)) == 1
    assert len(log.passes(2)) == len(log.waits()) == 0


def test_of_more_passes_than_there_is_room_none_is_lost():
    log = Log(5)
    call = timed(lambda argument: argument, log, 3)
    for _ in range(3):
        for i in range(9):
            call(i)
        log.collect()
    passes = log.passes(3)
    assert len(passes) == 27
    assert (np.diff(passes[:, 0]) > 0).all()


def test_passes_in_passes_are_told_apart_whenever_they_are_collected():
    log = Log(4)

    def inner(_argument):
        log.collect()  # as the other thread may, at any time

    step = timed(inner, log, 1)
    call = timed(lambda argument: (step(argument), log.collect()), log, 0)
    call(1)
    call(2)
    log.collect()
    outer, steps = log.passes(0), log.passes(1)
    assert len(outer) == len(steps) == 2
    assert (outer[:, 0] <= steps[:, 0]).all()
    assert (steps[:, 1] <= outer[:, 1]).all()


def test_nothing_is_lost_while_another_thread_collects():
    log, ending = Log(10), threading.Event()
    call = timed(lambda argument: argument, log, 0)

    def collect():
        while not ending.is_set():
            log.collect()

    thread = threading.Thread(target=collect)
    thread.start()
    for i in range(20_000):
        call(i)
    ending.set()
    thread.join()
    log.collect()
    passes = log.passes(0)
    assert len(passes) == 20_000
    assert (passes[1:, 0] >= passes[:-1, 1]).all()


def test_a_pass_that_failed_is_none():
    def fail(_argument):
        raise OSError("no more")

    log = Log(4)
    with pytest.raises(OSError, match="no more"):
        timed(fail, log, 0)(1)
    timed(lambda argument: argument, log, 0)(1)
    log.collect()
    assert len(log.passes(0)) == 1


def test_what_was_watched_is_as_it_was():
    task = scripted_spotter([(0.5, "go")])
    stop = watch(task, "process", Log(4), 0)
    assert "process" in vars(task)
    stop()
    assert "process" not in vars(task)
    source = ArraySource(np.zeros(1600, np.float32), paced=True)
    watch_source(source, Log(4), lambda now_ns: now_ns)()
    assert "wait" not in vars(source)


def test_what_others_had_put_in_is_there_again():
    def mine(frames):
        return []

    task = scripted_spotter([(0.5, "go")])
    task.process = mine
    stop = watch(task, "process", Log(4), 0)
    assert task.process is not mine
    stop()
    assert task.process is mine


def test_a_wait_tells_how_much_there_was():
    source = ArraySource(np.zeros(3200, np.float32), paced=True)
    log = Log(8)
    watch_source(source, log, lambda now_ns: 2**62)
    found = [source.wait(0, 0.0), source.wait(800, 30.0), source.wait(1600, 30.0)]
    log.collect()
    waits = log.waits()
    assert waits[:, 2].tolist() == found
    assert (waits[:, 0] <= waits[:, 1]).all()
    assert waits[2, 1] >= source.captured_at(1599) * 1e9


def test_an_alarm_is_heeded_when_it_is_due():
    source = ArraySource(np.zeros(32_000, np.float32), paced=True)
    due, rung = [], []

    def alarm(now_ns):
        rung.append(now_ns)
        due.append(now_ns + 100_000_000)
        return due[-1]

    watch_source(source, Log(64), alarm)
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


@pytest.mark.slow  # it is speed that is tested: not among neighbours that come and go
def test_a_stamp_takes_at_most_100_ns():
    assert timestamp_ns() <= 100


def test_nothing_is_allocated_after_the_warm_up():
    """Numbers wait in a list until they are collected, and go into a table."""
    source = ArraySource(np.zeros(1600, np.float32), paced=True)
    source.wait = lambda n_samples, timeout_s: 0
    log = Log(20_000)
    watch_source(source, log, lambda now_ns: 2**62)
    wait, call = source.wait, timed(lambda argument: argument, log, 0)

    def work():
        for _ in range(40):
            for _ in range(60):
                call(None)
                wait(1280, 0.1)
            log.collect()

    # Nothing remains of 4800 passes; until they are collected, 360 numbers of 32 bytes, twice in a list.
    kept, peak = allocated(work)
    assert kept <= 256
    assert peak <= 40_000
