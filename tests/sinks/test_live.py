"""The live line, on a terminal that remembers its screen."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.events import (
    Clipping,
    DeviceLost,
    DeviceRestored,
    DigitalSilence,
    Gap,
    SpeechEnd,
    SpeechStart,
)
from edgeaudio.sinks.live import LiveLine
from tests.sinks.samples import detection


class Terminal(io.StringIO):
    """Counts writes, and knows what its last line shows."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self.writes = 0
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)

    def shown(self) -> str:
        last = self.getvalue().rpartition("\n")[2]
        return last.rpartition("\r")[2].replace("\x1b[K", "")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Above:
    """Prints events on the same terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def emit(self, event: object) -> None:
        assert self._terminal.shown() == "", "an event was printed into the live line"
        self._terminal.write("event\n")

    def close(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(terminal: Terminal, clock: Clock, columns: int = 80) -> LiveLine:
    return LiveLine(terminal, Above(terminal), width=lambda: columns, clock=clock)


def test_shows_level_and_how_long_it_listens(clock: Clock) -> None:
    terminal = Terminal()
    make(terminal, clock).draw(-30.0, 75.0)
    assert terminal.shown() == "██████████··········   -30 dBFS  listening 1 min"


def test_shows_the_last_detection_and_its_age(clock: Clock) -> None:
    terminal = Terminal()
    line = make(terminal, clock)
    line.emit(detection("computer", end_s=3.0, score=0.97))
    clock.now_s += 4.2
    line.draw(-60.0, 7.2)
    assert terminal.shown().endswith(" -60 dBFS  computer 0.97, 4 s ago")


def test_an_event_is_printed_above_the_line(clock: Clock) -> None:
    terminal = Terminal()
    line = make(terminal, clock)
    line.draw(-30.0, 1.0)
    line.emit(detection(end_s=1.0))
    line.draw(-30.0, 1.1)
    assert "\x1b[Kevent\n" in terminal.getvalue()
    assert "dBFS" in terminal.shown()


def test_log_records_go_above_the_line_too(clock: Clock) -> None:
    terminal = Terminal()
    line = make(terminal, clock)
    line.draw(-30.0, 1.0)
    line.write("a warning\n")
    assert "\r\x1b[Ka warning\n" in terminal.getvalue()


def test_writes_nothing_while_nothing_changes(clock: Clock) -> None:
    terminal = Terminal()
    line = make(terminal, clock)
    line.draw(-30.0, 1.0)
    written = terminal.writes
    line.draw(-30.01, 1.1)
    assert terminal.writes == written


def test_warns_of_lost_audio_for_a_while(clock: Clock) -> None:
    terminal = Terminal()
    line = make(terminal, clock)
    line.emit(Gap(start_sample=0, n_samples=16000, cause="consumer_lag"))
    line.emit(Gap(start_sample=32000, n_samples=8000, cause="consumer_lag"))
    line.draw(-30.0, 3.0)
    assert "! lost audio, 1.5 s in all" in terminal.shown()
    clock.now_s += 11
    line.draw(-30.0, 14.0)
    assert "!" not in terminal.shown()


def test_a_missing_microphone_is_shown_until_it_is_back(clock: Clock) -> None:
    terminal = Terminal()
    line = make(terminal, clock)
    line.emit(DeviceLost(start_sample=0, device="Mic", reason="unplugged"))
    line.emit(Clipping(start_sample=0, n_samples=20))
    clock.now_s += 3600
    line.draw(-120.0, 3.0)
    assert "! microphone gone" in terminal.shown()
    line.emit(DeviceRestored(start_sample=0, device="Mic", away_s=3600, attempts=9))
    line.draw(-40.0, 3.0)
    assert "microphone" not in terminal.shown()


def test_digital_silence_is_shown_until_it_ends(clock: Clock) -> None:
    terminal = Terminal()
    line = make(terminal, clock)
    line.emit(DigitalSilence(start_sample=0, n_samples=32000, ended=False))
    line.draw(-120.0, 3.0)
    assert "! digital silence: muted?" in terminal.shown()
    line.emit(DigitalSilence(start_sample=0, n_samples=64000, ended=True))
    line.draw(-40.0, 4.0)
    assert "silence" not in terminal.shown()


@given(columns=st.integers(1, 200), level=st.floats(-200, 20), warn=st.booleans(), heard=st.booleans())
def test_never_wraps(columns: int, level: float, warn: bool, heard: bool) -> None:
    terminal = Terminal()
    line = make(terminal, Clock(), columns)
    if warn:
        line.emit(Gap(start_sample=0, n_samples=16000, cause="ring_full"))
    if heard:
        line.emit(detection(end_s=2.0))
    line.draw(level, 1e6)
    assert len(terminal.shown()) < max(columns, 1)


def test_a_terminal_without_unicode_gets_ascii(clock: Clock) -> None:
    terminal = Terminal("ascii")
    make(terminal, clock).draw(-30.0, 2.0)
    assert terminal.shown().startswith("##########..........")
    terminal.getvalue().encode("ascii")


def test_closing_takes_the_line_away(clock: Clock) -> None:
    terminal = Terminal()
    line = make(terminal, clock)
    line.draw(-30.0, 2.0)
    line.close()
    line.close()
    assert terminal.shown() == ""


def test_tells_for_how_long_somebody_speaks(clock: Clock) -> None:
    terminal = Terminal()
    live = LiveLine(terminal, width=lambda: 60, clock=clock)
    live.emit(SpeechStart(model="vad", score=0.9, start_sample=0, end_sample=4000, latency_s=0.1))
    clock.now_s += 3
    live.draw(-20.0, 10.0)
    assert terminal.shown().endswith("dBFS  speech, 3 s")
    live.emit(SpeechEnd(model="vad", score=0.9, start_sample=0, end_sample=64_000, latency_s=0.1))
    clock.now_s += 70
    live.draw(-20.0, 80.0)
    assert terminal.shown().endswith("dBFS  speech until 1 min ago")
