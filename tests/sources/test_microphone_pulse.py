"""A real microphone path that breaks as they do in the field: `tests.pulse` says how."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from edgeaudio.errors import DeviceError
from edgeaudio.events import DeviceLost, DeviceRestored
from edgeaudio.sources import DeviceInfo, Microphone, SwitchSource, list_devices, microphone
from edgeaudio.sources.callback import Port
from edgeaudio.sources.portaudio import InputStream, open_stream
from edgeaudio.types import Samples
from tests.pulse import PulseServer
from tests.sources.reading import Listener

pytestmark = pytest.mark.pulse

SPEECH = np.random.default_rng(6).integers(-30000, 30000, 16000).astype(np.int16)
SPEECH[0] = 1  # so that its beginning is found


@pytest.fixture(params=["callback", "blocking"])
def listener(pulse: PulseServer, request: pytest.FixtureRequest) -> Iterator[Listener]:
    """Somebody who listens to the virtual microphone, in both ways of capturing."""
    with listening(Microphone("pulse", blocking=request.param == "blocking")) as listener:
        yield listener


@pytest.fixture
def listener_by_callback(pulse: PulseServer) -> Iterator[Listener]:
    """The same with the native callback only, where both ways share the code in question."""
    with listening(Microphone("pulse")) as listener:
        yield listener


@contextmanager
def listening(mic: Microphone | SwitchSource) -> Iterator[Listener]:
    mic.start()
    listener = Listener(mic)
    try:
        listener.until(lambda: mic.ring.position > 1600, 10, "first samples")
        yield listener
    finally:
        mic.stop()


def check_every_bit(listener: Listener, pulse: PulseServer) -> None:
    """Play speech and require that all of it is heard, unchanged and in one piece."""
    n_gaps = len(listener.gaps)
    listener.samples = []
    with pulse.playing(SPEECH):
        listener.until(lambda: speech_in(listener.audio) is not None, 30, "the speech is heard")
    np.testing.assert_array_equal(speech_in(listener.audio), SPEECH / np.float32(32768))
    assert len(listener.gaps) == n_gaps


def speech_in(audio: Samples) -> Samples | None:
    """What follows the first sound, once it is as long as the speech."""
    sound = np.flatnonzero(audio)
    if sound.size == 0 or audio.size < sound[0] + SPEECH.size:
        return None
    return audio[sound[0] : sound[0] + SPEECH.size]


def check_loss_and_return(
    listener: Listener, break_it: Callable[[], None], mend_it: Callable[[], None], away_s: float
) -> None:
    """Indices keep telling the time, and what is heard afterwards is exact again."""
    began, began_at = time.monotonic(), listener.source.ring.position
    break_it()
    noticed_s = listener.until(lambda: listener.heard(DeviceLost), 10, "the loss is noticed")
    assert noticed_s < 2.0, "the goal for a device that went away"
    listener.until(lambda: time.monotonic() > began + away_s, 10, "the device is away for a while")
    mend_it()
    listener.until(lambda: listener.heard(DeviceRestored), 30, "the device is back")
    listener.until(lambda: len(listener.gaps) == 1, 10, "the gap is reached")

    (gap,) = listener.gaps
    restored = listener.notices[-1]
    assert isinstance(restored, DeviceRestored)
    assert gap.cause == "device_lost"
    assert gap.start_sample + gap.n_samples == restored.start_sample
    listener.step()
    passed_s = time.monotonic() - began
    heard_s = (listener.source.ring.position - began_at) / 16000
    # Buffers of the server and a busy machine; the time away was several times as long.
    assert heard_s == pytest.approx(passed_s, abs=0.25)


def test_every_bit_is_heard(listener: Listener, pulse: PulseServer) -> None:
    check_every_bit(listener, pulse)
    stats = listener.source.stats()
    assert (stats.dropped_samples, stats.device_overflows, stats.reopens) == (0, 0, 0)
    assert listener.notices == []


def test_unplugged_and_plugged_in_again(listener: Listener, pulse: PulseServer) -> None:
    check_loss_and_return(listener, pulse.unplug, pulse.plug, away_s=1.0)
    check_every_bit(listener, pulse)


def test_the_server_is_killed_and_comes_back(listener_by_callback: Listener, pulse: PulseServer) -> None:
    check_loss_and_return(listener_by_callback, pulse.kill, pulse.start, away_s=1.0)
    check_every_bit(listener_by_callback, pulse)


def test_the_server_freezes_for_three_seconds(listener: Listener, pulse: PulseServer) -> None:
    check_loss_and_return(listener, pulse.pause, pulse.resume, away_s=3.0)
    check_every_bit(listener, pulse)


def test_giving_up(pulse: PulseServer) -> None:
    with listening(Microphone("pulse", give_up_s=0.5)) as listener:
        pulse.kill()
        with pytest.raises(DeviceError, match=r"'pulse' was away for 0\.5 s"):
            listener.until(lambda: False, 30, "giving up")
        assert listener.heard(DeviceLost)


def test_samples_are_as_old_as_they_are_late(listener_by_callback: Listener) -> None:
    mic = listener_by_callback.source
    ages_s: list[float] = []

    def measure() -> bool:
        listener_by_callback.step()
        ages_s.append(time.monotonic() - mic.captured_at(mic.ring.position - 1))
        return len(ages_s) >= 25

    listener_by_callback.until(measure, 20, "twenty-five waits")
    # A step ends within 10 ms after the newest sample; the rest is a busy machine. Half a block of
    # 40 ms more or less would mean that blocks are stamped at the wrong end.
    assert -1e-3 < min(ages_s) < 0.02
    assert float(np.median(ages_s)) < 0.05


def test_the_device_is_listed(pulse: PulseServer) -> None:
    assert "pulse" in [device.name for device in list_devices()]


def test_a_channel_can_be_chosen(pulse: PulseServer) -> None:
    with listening(Microphone("pulse", channel=1)) as listener:
        check_every_bit(listener, pulse)  # the server copies its one channel to both


def test_a_device_with_another_rate_is_resampled(pulse: PulseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: DeviceInfo, port: Port, **options: Any) -> InputStream:
        if port.rate_hz == 16000:  # a sound server never refuses, hardware does
            raise DeviceError("invalid sample rate")
        return open_stream(device, port, **options)

    monkeypatch.setattr(microphone, "open_stream", refuse)
    tone = (16000 * np.sin(2 * np.pi * 1000 * np.arange(32000) / 16000)).astype(np.int16)
    with listening(Microphone("pulse")) as listener:
        with pulse.playing(tone):
            listener.until(lambda: np.count_nonzero(listener.audio) > 20000, 30, "the tone is heard")
        began_at = int(np.flatnonzero(listener.audio)[0]) + 2000  # behind the resamplers' onset
        heard = listener.audio[began_at : began_at + 16000].astype(np.float64)
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(16000))) / 4000  # a Hann window halves n/2
        # The server's own resampler, to 44.1 kHz, is the coarse part: 1 % of level.
        assert int(np.argmax(spectrum)) == 1000
        assert spectrum[1000] == pytest.approx(16000 / 32768, rel=0.01)
        assert listener.gaps == []


def test_paused_by_a_page_it_is_closed_and_exact_again_afterwards(pulse: PulseServer) -> None:
    switch = SwitchSource()
    switch.select(lambda: Microphone("pulse"))
    with listening(switch) as listener:
        check_every_bit(listener, pulse)
        switch.select(None)
        listener.until(lambda: not pulse.recorders(), 10, "nobody records")
        switch.select(lambda: Microphone("pulse"))
        listener.until(lambda: bool(pulse.recorders()), 10, "it is open again")
        listener.until(lambda: bool(listener.gaps), 10, "the pause is told")
        n_blocks = len(listener.samples)
        listener.until(lambda: len(listener.samples) > n_blocks, 10, "it is heard again")
        assert [gap.cause for gap in listener.gaps] == ["paused"]
        check_every_bit(listener, pulse)
