"""Signals end the work cleanly, and only once."""

from __future__ import annotations

import signal
import threading

from edgeaudio.cli.background import HangUps, StopSignals, Ticker


def test_a_signal_before_there_is_anything_to_stop_is_not_lost() -> None:
    signals = StopSignals()
    stopped = threading.Event()
    with signals.caught():
        signal.raise_signal(signal.SIGTERM)
        signals.watch(stopped.set)
        assert stopped.wait(10)
    assert signals.received == signal.SIGTERM


def test_two_signals_at_once_are_one_wish() -> None:
    signals = StopSignals()
    with signals.caught():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # would end pytest
    assert signals.received == signal.SIGTERM


def test_afterwards_signals_do_what_they_did() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopSignals().caught():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_a_ticker_calls_until_it_is_closed() -> None:
    called = threading.Semaphore(0)
    ticker = Ticker(0.001, called.release)
    for _ in range(3):
        assert called.acquire(timeout=10)
    ticker.close()
    while called.acquire(blocking=False):
        pass
    assert not called.acquire(timeout=0.05)


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals().caught():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_hang_up_calls_each_time_also_for_what_came_before() -> None:
    before = signal.getsignal(signal.SIGHUP)
    hang_ups = HangUps()
    called = threading.Semaphore(0)
    with hang_ups.caught():
        signal.raise_signal(signal.SIGHUP)
        hang_ups.watch(called.release)
        assert called.acquire(timeout=10)
        signal.raise_signal(signal.SIGHUP)
        assert called.acquire(timeout=10)
    assert signal.getsignal(signal.SIGHUP) == before


def test_hang_ups_while_it_works_are_one_more() -> None:
    hang_ups = HangUps()
    called, go_on = threading.Semaphore(0), threading.Event()

    def work() -> None:
        called.release()
        assert go_on.wait(10)

    with hang_ups.caught():
        hang_ups.watch(work)
        signal.raise_signal(signal.SIGHUP)
        assert called.acquire(timeout=10)
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
        go_on.set()
        assert called.acquire(timeout=10)
    # Closed behind all that was asked for.
    assert not called.acquire(blocking=False)


def test_a_hang_up_can_be_left_to_others() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with StopSignals(hang_up=False).caught():
        assert signal.getsignal(signal.SIGHUP) == before
