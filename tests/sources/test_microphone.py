"""What a microphone decides, with a stream that the test controls."""

from __future__ import annotations

import signal
import threading
from typing import Any

import numpy as np
import pytest

from edgeaudio.errors import DeviceError, UsageError
from edgeaudio.events import DeviceLost, DeviceRestored
from edgeaudio.sources import Microphone, microphone, reopen
from edgeaudio.sources.callback import Port
from edgeaudio.sources.devices import DeviceInfo
from tests.allocation import allocated
from tests.pulse import until
from tests.sources.fakes import FakeStream
from tests.sources.reading import Listener

MIC = DeviceInfo(
    index=0, name="Mic: USB (hw:1,0)", host_api="ALSA", channels=2, default_rate_hz=48000, is_default=True
)


class Desk:
    """Stands in for PortAudio: which devices there are and what opening them does."""

    def __init__(self) -> None:
        self.devices = [MIC]
        self.streams: list[FakeStream] = []
        self.rates_hz = {16000, 48000}

    def open(self, device: DeviceInfo, port: Port, **_: Any) -> FakeStream:
        if port.rate_hz not in self.rates_hz:
            raise DeviceError(f"cannot open {device.name} at {port.rate_hz} Hz")
        self.streams.append(FakeStream(port))
        if len(self.streams) > 1:
            self.streams[-1].feed(160)  # the reopener waits for a sign of life
        return self.streams[-1]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A machine with one stereo microphone."""
    desk = Desk()
    monkeypatch.setattr(microphone, "list_devices", lambda: desk.devices)
    monkeypatch.setattr(microphone, "open_stream", desk.open)
    monkeypatch.setattr(reopen, "refresh_devices", lambda: None)
    monkeypatch.setattr(reopen, "_FIRST_PAUSE_S", 0.01)
    return desk


def test_the_device_and_its_channels_are_checked_before_it_is_opened(desk: Desk) -> None:
    with pytest.raises(UsageError, match=r"'Mic: USB \(hw:1,0\)' has 2 channels, there is no channel 2"):
        Microphone(channel=2)
    with pytest.raises(UsageError, match="block_ms"):
        Microphone(block_ms=0)
    with pytest.raises(DeviceError, match="no microphone's name contains 'yeti'"):
        Microphone("yeti")
    desk.devices = []
    with pytest.raises(DeviceError, match="no microphone on this machine"):
        Microphone()
    assert desk.streams == []


@pytest.mark.parametrize(("channel", "opened"), [(None, 2), (0, 1), (1, 2)])
def test_only_the_channels_that_are_needed_are_opened(desk: Desk, channel: int | None, opened: int) -> None:
    mic = Microphone(channel=channel)
    mic.start()
    assert desk.streams[0].port.channels == opened
    mic.stop()


def test_a_sound_server_mixes_by_itself(desk: Desk) -> None:
    desk.devices = [DeviceInfo(
        index=0, name="pulse", host_api="ALSA", channels=32, default_rate_hz=44100, is_default=True
    )]  # fmt: skip
    mic = Microphone()
    mic.start()
    assert desk.streams[0].port.channels == 1
    mic.stop()


def test_a_device_that_refuses_sixteen_kilohertz_is_resampled(desk: Desk) -> None:
    desk.rates_hz = {48000}
    mic = Microphone()
    mic.start()
    (stream,) = desk.streams
    assert stream.port.rate_hz == 48000
    for _ in range(100):
        stream.feed(480, value=0.25)
    listener = Listener(mic)
    listener.until(lambda: mic.ring.position > 15_000, 10, "one second of audio")
    # Behind the filter's onset a constant stays constant; its passband ripple is below 0.01 dB.
    np.testing.assert_allclose(listener.audio[1000:], 0.25, rtol=1e-3)
    mic.stop()


def test_a_device_that_refuses_every_rate_is_an_error(desk: Desk) -> None:
    desk.rates_hz = set()
    with pytest.raises(DeviceError, match="at 48000 Hz"):
        Microphone().start()


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_indices_tell_the_time_after_the_device_was_away(desk: Desk, rate_hz: int) -> None:
    desk.rates_hz = {rate_hz}
    mic = Microphone()
    mic.start()
    listener = Listener(mic)
    desk.streams[0].feed(rate_hz // 10)
    mic.ring.advance(0)
    desk.streams[0].active = False
    listener.until(lambda: len(desk.streams) == 2, 10, "the device is opened again")
    captured_first = mic.captured_at(0)
    listener.until(lambda: desk.streams[1].port.resumed_at is None, 10, "the stream is adopted")
    desk.streams[1].feed(rate_hz // 10)
    listener.until(lambda: listener.heard(DeviceRestored), 10, "it is back")
    listener.until(lambda: len(listener.gaps) == 1, 10, "the gap")
    lost, restored = listener.notices
    assert isinstance(lost, DeviceLost)
    assert isinstance(restored, DeviceRestored)
    assert (lost.start_sample, lost.device, lost.reason) == (1600, MIC.name, "the device went away")
    (gap,) = listener.gaps
    assert gap.cause == "device_lost"
    assert gap.start_sample + gap.n_samples == restored.start_sample
    assert restored.away_s == pytest.approx(gap.n_samples / 16000, abs=2 / 16000)
    # The same line through time before and after: a sample's rounding at each rate.
    assert mic.captured_at(0) == pytest.approx(captured_first, abs=2e-4)
    assert mic.stats().reopens == 1
    mic.stop()


def test_giving_up_names_the_last_error(desk: Desk) -> None:
    mic = Microphone(give_up_s=0.1)
    mic.start()
    desk.devices = []
    desk.streams[0].active = False
    listener = Listener(mic)
    with pytest.raises(DeviceError, match=r"was away for 0\.1 s: .* is not there") as error:
        listener.until(lambda: False, 10, "giving up")
    assert error.value.exit_code == 4
    mic.stop()


def test_counters_are_told_while_the_device_goes_away(desk: Desk) -> None:
    """Another thread asks for them at any time, such as between two looks at the port."""
    mic = Microphone()
    mic.start()

    class Vanishing:
        overflows = 0

        def __bool__(self) -> bool:
            mic._port = None
            return True

    mic._port = Vanishing()  # type: ignore[assignment]
    assert mic.stats().device_overflows == 0
    mic.stop()


def test_stop_while_the_device_is_away(desk: Desk) -> None:
    mic = Microphone()
    mic.start()
    desk.devices = []
    desk.streams[0].active = False
    listener = Listener(mic)
    listener.until(lambda: listener.heard(DeviceLost), 10, "the loss")
    assert not mic.finished
    mic.stop()
    mic.stop()
    assert mic.finished
    assert mic.wait(160, 10.0) == 0
    until(lambda: not _threads("edgeaudio-reopen"), 10, "the reopening ends")


def _threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_stop_from_a_signal_handler_inside_wait(desk: Desk) -> None:
    mic = Microphone()
    mic.start()
    before = signal.signal(signal.SIGALRM, lambda *_: mic.stop())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert mic.wait(160, 60.0) == 0
    finally:
        signal.signal(signal.SIGALRM, before)
    assert desk.streams[0].closed.is_set()


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_listening_for_long_takes_no_memory(desk: Desk, rate_hz: int) -> None:
    desk.rates_hz = {rate_hz}
    mic = Microphone()
    mic.start()

    def listen(n_blocks: int) -> None:
        for _ in range(n_blocks):
            desk.streams[0].feed(rate_hz // 100)
            mic.wait(1, timeout_s=0.0)
            mic.ring.advance(mic.ring.available)

    listen(1100)  # Python 3.10 gives a function a cache when it is called for the 1024th time
    try:
        kept = allocated(lambda: listen(700)).kept
    finally:
        mic.stop()
    # One sample kept of each block would be 2800 bytes.
    assert kept < 2000
