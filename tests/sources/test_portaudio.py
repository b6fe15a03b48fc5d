"""The seam to sounddevice, with a PortAudio that refuses."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from edgeaudio.errors import DeviceError
from edgeaudio.ring import RingBuffer
from edgeaudio.sources import portaudio
from edgeaudio.sources.callback import Port
from edgeaudio.sources.devices import DeviceInfo
from edgeaudio.sources.portaudio import InputStream, open_stream, refresh_devices

MIC = DeviceInfo(index=0, name="Mic", host_api="ALSA", channels=1, default_rate_hz=16000, is_default=True)


class PortAudio:
    """Stands in for the module sounddevice."""

    PortAudioError = type("PortAudioError", (Exception,), {})

    def __init__(self) -> None:
        self.running = True
        self.refuses_initialize = False
        self.refuses_start = False
        self.open: list[Any] = []
        self._ffi = self
        outer = self

        class Stream:
            active = True

            def __init__(self, **_: Any) -> None:
                outer.open.append(self)

            def start(self) -> None:
                if outer.refuses_start:
                    raise outer.PortAudioError("Device unavailable")

            def read(self, _n: int) -> Any:
                raise outer.PortAudioError("Stream is stopped")

            def close(self) -> None:
                outer.open.remove(self)

        self._StreamBase = self.InputStream = Stream

    def cast(self, _kind: str, address: int) -> int:
        return address

    def _terminate(self) -> None:
        if not self.running:
            raise self.PortAudioError("PortAudio not initialized")
        self.running = False

    def _initialize(self) -> None:
        if self.refuses_initialize:
            raise self.PortAudioError("Unanticipated host error")
        self.running = True


@pytest.fixture
def sd(monkeypatch: pytest.MonkeyPatch) -> PortAudio:
    sd = PortAudio()
    monkeypatch.setattr(portaudio, "sounddevice", lambda: sd)
    return sd


def opened(*, blocking: bool = False) -> InputStream:
    return open_stream(
        MIC, Port(RingBuffer(100), 16000, 1, None), block_ms=10.0, latency="high", blocking=blocking
    )


def test_a_restart_that_fails_once_succeeds_the_next_time(sd: PortAudio) -> None:
    sd.refuses_initialize = True
    with pytest.raises(sd.PortAudioError):
        refresh_devices()
    sd.refuses_initialize = False
    refresh_devices()
    assert sd.running


@pytest.mark.parametrize("blocking", [False, True])
def test_no_restart_while_a_stream_is_open(sd: PortAudio, blocking: bool) -> None:
    stream = opened(blocking=blocking)
    sd.refuses_initialize = True
    refresh_devices()
    stream.close()
    with pytest.raises(sd.PortAudioError):
        refresh_devices()


@pytest.mark.parametrize("blocking", [False, True])
def test_a_stream_that_does_not_start_is_closed(sd: PortAudio, blocking: bool) -> None:
    sd.refuses_start = True
    with pytest.raises(DeviceError, match="Device unavailable"):
        opened(blocking=blocking)
    assert sd.open == []


def test_what_the_callback_writes_to_lives_until_the_stream_is_closed(sd: PortAudio) -> None:
    port = weakref.ref(opened().port)
    gc.collect()
    assert port() is not None
    portaudio._open.pop().close()
    gc.collect()
    assert port() is None
