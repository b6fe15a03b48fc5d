"""The round trip through a cable of known length, and through a real sound server's virtual one."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from edgeaudio.errors import DeviceError
from edgeaudio.events import DeviceLost, Event
from edgeaudio.profiling import loopback, loudspeaker
from edgeaudio.profiling.clicks import click_times, train
from edgeaudio.profiling.loopback import CLICKS, RoundTrip, round_trip
from edgeaudio.profiling.loudspeaker import Loudspeaker
from edgeaudio.ring import RingBuffer
from edgeaudio.sources import DeviceInfo, Microphone
from edgeaudio.stats import CaptureStats
from edgeaudio.types import Samples
from tests.pulse import PulseServer

RATE = 16000


class Cable:
    """A loudspeaker and a microphone in one, `delay_ms` apart, faster than the clock."""

    live = True
    rate_hz = RATE
    latency_s = 0.02
    underflows = 0

    def __init__(self, delay_ms: float, *, gain: float = 0.3, hum: float = 0.0) -> None:
        self.name = "cable"
        self.ring = RingBuffer(RATE)
        self.origin_s: float | None = None
        self.finished = False
        self.notices: list[Event] = []
        self.lost_at_s: float | None = None
        self._delay = delay_ms / 1000
        self._gain = gain
        self._hum = hum
        self._begun_s = 1000.0
        self._sound = np.zeros(0, np.float32)

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self.finished = True

    def close(self) -> None:
        self.origin_s = None

    def handed_at(self, sample: int) -> float | None:
        return None if self.origin_s is None else self.origin_s + sample / RATE

    def play(self, samples: Samples) -> None:
        offset_s = 0.2503  # the loudspeaker begins when the microphone has heard this much
        self.origin_s = self._begun_s + offset_s
        played, _ = train(CLICKS, RATE)
        assert np.array_equal(samples, played)
        late = np.zeros(12 * RATE, np.float32)
        at = round((offset_s + self._delay) * RATE)
        late[at : at + len(samples)] = self._gain * samples
        hum = self._hum * np.sin(2 * np.pi * 100 / RATE * np.arange(len(late)))
        self._sound = late + hum.astype(np.float32)

    def wait(self, n_samples: int, timeout_s: float) -> int:
        at = self.ring.end
        block = self._sound[at : at + 640] if self._sound.size else np.zeros(640, np.float32)
        if self.lost_at_s is not None and at > self.lost_at_s * RATE:
            self.ring.lose(len(block), "ring_full")
            self.lost_at_s = None
        else:
            self.ring.write(block)
        return self.ring.available

    def captured_at(self, sample: int) -> float:
        return self._begun_s + sample / RATE

    def take_notices(self) -> list[Event]:
        return self.notices

    def stats(self) -> CaptureStats:
        return CaptureStats()


@pytest.mark.parametrize("delay_ms", [0.0, 7.3, 184.0, 1700.0])
def test_a_cable_is_as_long_as_it_is(delay_ms: float) -> None:
    cable = Cable(delay_ms, hum=0.05)
    done: list[float] = []
    found = round_trip(cable, cable, progress=done.append)
    assert (found.played, found.found) == (CLICKS, CLICKS)
    # The cable moves whole samples; half a sample is 0.03 ms.
    assert found.median_ms == pytest.approx(delay_ms, abs=0.06)
    assert found.most_ms - found.least_ms < 0.1
    assert found.likeness > 0.8
    assert found.output_latency_ms == 20.0
    assert cable.finished
    assert max(done) <= 1.0


def test_lost_samples_do_not_shift_what_follows() -> None:
    cable = Cable(50.0)
    cable.lost_at_s = 0.25 + click_times(CLICKS)[3]
    found = round_trip(cable, cable)
    assert found.found >= CLICKS - 1
    assert found.median_ms == pytest.approx(50.0, abs=0.06)


def test_silence_and_other_sounds_are_told_apart_when_no_click_arrives() -> None:
    silent = Cable(10.0, gain=0.0)
    with pytest.raises(DeviceError, match="did not arrive at 'cable', which heard digital silence"):
        round_trip(silent, silent)
    noisy = Cable(10.0, gain=0.0, hum=0.1)
    with pytest.raises(DeviceError, match="sound of up to -20 dBFS, but no click") as error:
        round_trip(noisy, noisy)
    assert "--loudspeaker" in str(error.value)
    assert noisy.finished


def test_a_microphone_that_goes_away_ends_it() -> None:
    cable = Cable(10.0)
    cable.notices = [DeviceLost(start_sample=0, device="USB", reason="unplugged")]
    with pytest.raises(DeviceError, match="'USB' went away: unplugged"):
        round_trip(cable, cable)


def test_a_loudspeaker_that_does_not_play_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Cable):
        def play(self, samples: Samples) -> None:
            pass

        def wait(self, n_samples: int, timeout_s: float) -> int:
            nonlocal now
            now += 0.02
            self._sound = np.zeros(0, np.float32)
            return super().wait(n_samples, timeout_s)

    now = 0.0
    monkeypatch.setattr(loopback.time, "monotonic", lambda: now)
    cable = Stuck(0.0)
    with pytest.raises(DeviceError, match="'cable' does not play"):
        round_trip(cable, cable)


def test_the_loudspeaker_hands_over_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callback, by hand: silence behind the end, and the clock of the promptest block."""
    info = DeviceInfo(
        index=0, name="Out", host_api="ALSA", channels=2, default_rate_hz=48000, is_default=True
    )  # fmt: skip
    monkeypatch.setattr(loudspeaker, "list_loudspeakers", lambda: [info])
    speaker = Loudspeaker()
    speaker._samples = np.arange(1, 1001, dtype=np.float32)
    heard, late_s = [], [0.0, 0.0, 0.004, 0.001, 0.002]
    for k, late in enumerate(late_s * 20):
        monkeypatch.setattr(
            loudspeaker.time, "monotonic", lambda k=k, late=late: 50.0 + k * 480 / 48000 + late
        )
        block = np.full((480, 2), np.nan, np.float32)
        speaker._fill(block, 480, None, type("Status", (), {"output_underflow": k == 7}))
        heard.append(block)
    sound = np.concatenate(heard)
    np.testing.assert_array_equal(sound[:1000, 0], speaker._samples)
    np.testing.assert_array_equal(sound[:, 0], sound[:, 1])
    assert not sound[1000:].any()
    assert [speaker.handed_at(n) for n in (9600, 9600 + 48000 // 2)] == pytest.approx([50.2, 50.7])
    assert speaker.handed_at(len(sound)) is None, "it is still to come"
    assert speaker.underflows == 1


def test_where_the_loudspeaker_ran_dry_what_follows_is_later(monkeypatch: pytest.MonkeyPatch) -> None:
    info = DeviceInfo(
        index=0, name="Out", host_api="ALSA", channels=1, default_rate_hz=16000, is_default=True
    )  # fmt: skip
    monkeypatch.setattr(loudspeaker, "list_loudspeakers", lambda: [info])
    speaker = Loudspeaker()
    for k in range(200):
        now = 50.0 + k * 0.01 + 0.13 * (k >= 100)
        monkeypatch.setattr(loudspeaker.time, "monotonic", lambda now=now: now)
        speaker._fill(
            np.zeros((160, 1), np.float32), 160, None, type("Status", (), {"output_underflow": k == 100})
        )
    assert [speaker.handed_at(n) for n in (15999, 16000, 20160)] == pytest.approx([50.9999375, 51.13, 51.39])
    assert speaker.underflows == 1


def patiently() -> RoundTrip:
    """A machine so busy that the sound server stalls in the midst of the clicks gets another chance."""
    for _ in range(2):
        with suppress(DeviceError):
            # Long buffers: the player shall not run dry.
            return round_trip(Microphone("pulse", block_ms=20), Loudspeaker("pulse", latency=0.4))
    return round_trip(Microphone("pulse", block_ms=20), Loudspeaker("pulse", latency=0.4))


@pytest.mark.pulse
def test_through_virtual_sinks_and_back(pulse: PulseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over two sinks of which one is known to be 300 ms further from the microphone than the other."""
    found = []
    for name, delay_ms in (("near", 100), ("far", 400)):
        pulse.plug_another(name, delay_ms)
        monkeypatch.setenv("PULSE_SINK", name)
        found.append(patiently())
    near, far = found
    for trip in found:
        # Where the machine is so busy that the player runs dry, clicks come late, and that is counted.
        assert trip.underflows > 0 or (trip.found == CLICKS and trip.most_ms - trip.least_ms < 5.0)
    # Nothing is mixed in: only the server's resampling touches the clicks, to keep the delay, too.
    assert min(near.likeness, far.likeness) > 0.7
    assert 100.0 < near.median_ms < 1000.0
    # The server keeps a delay to some milliseconds; it moves audio in blocks of up to 25 ms.
    assert far.median_ms - near.median_ms == pytest.approx(300.0, abs=40.0)


@pytest.mark.pulse
def test_a_microphone_that_hears_another_sink_hears_no_click(
    pulse: PulseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulse.plug_another("elsewhere")
    monkeypatch.setenv("PULSE_SINK", "elsewhere")
    with pytest.raises(DeviceError, match="digital silence"):
        round_trip(Microphone("pulse"), Loudspeaker("pulse"))
