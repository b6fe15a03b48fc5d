"""Signals end the work cleanly, and only once."""

from __future__ import annotations

import signal
import threading

from edgeaudio.cli.background import StopSignals, Ticker


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
