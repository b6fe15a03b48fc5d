"""Bringing a stream back, with streams that fail in every way that was seen on real systems."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edgeaudio.errors import DeviceError
from edgeaudio.ring import RingBuffer
from edgeaudio.sources import reopen
from edgeaudio.sources.callback import Port
from edgeaudio.sources.reopen import Reopener
from tests.pulse import until
from tests.sources.fakes import FakeStream


def new_stream(*, close_hangs: bool = False, silent: bool = False) -> FakeStream:
    stream = FakeStream(Port(RingBuffer(1000), 16000, 1, None), close_hangs=close_hangs)
    if not silent:
        stream.feed(160)
    return stream


class Opener:
    """Opens what the test says, in turn, and remembers when it was asked."""

    def __init__(self, *outcomes: FakeStream | Exception) -> None:
        self.outcomes = list(outcomes)
        self.asked_at: list[float] = []

    def __call__(self) -> FakeStream:
        self.asked_at.append(time.monotonic())
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def refreshes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When PortAudio would have been restarted."""
    times: list[float] = []
    monkeypatch.setattr(reopen, "refresh_devices", lambda: times.append(time.monotonic()))
    return times


def taken(reopener: Reopener, is_right: Callable[[object], bool]) -> None:
    until(lambda: is_right(reopener.take()), 10, "the stream is handed over")


def test_the_dead_stream_is_closed_and_the_next_one_handed_over_once(refreshes: list[float]) -> None:
    dead, fresh = new_stream(), new_stream()
    reopener = Reopener(dead, Opener(fresh))
    taken(reopener, lambda stream: stream is fresh)
    assert reopener.take() is None
    assert dead.closed.is_set()
    assert not fresh.closed.is_set()
    assert (reopener.attempts, len(refreshes)) == (1, 1)


def test_attempts_go_on_with_growing_pauses_whatever_is_thrown(
    refreshes: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reopen, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(reopen, "_LONGEST_PAUSE_S", 0.08)
    fresh = new_stream()
    opener = Opener(DeviceError("gone"), OSError("odd"), *[DeviceError("still gone")] * 3, fresh)
    reopener = Reopener(new_stream(), opener)
    taken(reopener, lambda stream: stream is fresh)
    assert reopener.attempts == len(refreshes) == 6
    assert reopener.last_error == "still gone"
    pauses = [b - a for a, b in zip(opener.asked_at, opener.asked_at[1:], strict=False)]
    assert all(pause >= least for pause, least in zip(pauses, (0.02, 0.04, 0.08, 0.08, 0.08), strict=True))


def test_a_stream_that_opens_but_stays_silent_does_not_count(
    refreshes: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reopen, "FIRST_BLOCK_S", 0.05)
    monkeypatch.setattr(reopen, "_FIRST_PAUSE_S", 0.01)
    silent, fresh = new_stream(silent=True), new_stream()
    reopener = Reopener(new_stream(), Opener(silent, fresh))
    taken(reopener, lambda stream: stream is fresh)
    assert silent.closed.is_set()
    assert "sends nothing within 0.05 s" in reopener.last_error


def test_portaudio_is_not_restarted_under_a_stream_whose_close_hangs(
    refreshes: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reopen, "CLOSE_S", 0.05)
    hanging, fresh = new_stream(close_hangs=True), new_stream()
    reopener = Reopener(hanging, Opener(fresh))
    taken(reopener, lambda stream: stream is fresh)
    assert refreshes == []
    assert "does not close" in caplog.text
    hanging.released.set()


def test_stop_ends_the_attempts_and_closes_what_was_opened(refreshes: list[float]) -> None:
    opener = Opener(DeviceError("gone"))
    reopener = Reopener(new_stream(), opener)
    until(lambda: reopener.attempts > 0, 10, "an attempt")
    assert reopener.stop()
    n = len(opener.asked_at)

    fresh = new_stream()
    reopener = Reopener(new_stream(), Opener(fresh))
    until(lambda: not reopener._thread.is_alive(), 10, "the stream is open")
    assert reopener.stop()
    assert fresh.closed.is_set()
    assert len(opener.asked_at) == n


def test_stop_says_when_portaudio_hangs(refreshes: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reopen, "_LAST_ATTEMPT_S", 0.05)
    hanging, fresh = new_stream(close_hangs=True), new_stream()
    reopener = Reopener(hanging, Opener(fresh))
    assert not reopener.stop()
    hanging.released.set()
    until(lambda: not reopener._thread.is_alive(), 10, "the thread ends")
    assert reopener.attempts == 0
