"""A microphone that counts what it loses and comes back after it was unplugged."""

from __future__ import annotations

import logging
import threading
import time
from typing import Literal

from edgeaudio.errors import DeviceError, UsageError
from edgeaudio.events import DeviceLost, DeviceRestored, Event
from edgeaudio.ring import RingBuffer
from edgeaudio.sources.base import SLICE_S
from edgeaudio.sources.callback import Port
from edgeaudio.sources.devices import DeviceInfo, Pin, find_device, list_devices
from edgeaudio.sources.portaudio import InputStream, close_within, leave_behind, open_stream
from edgeaudio.sources.reopen import Reopener
from edgeaudio.sources.resample import Resampler, check_channel
from edgeaudio.sources.watch import Watch
from edgeaudio.stats import CaptureStats
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["Microphone"]

_log = logging.getLogger(__name__)

_RING_S = 8
"""A reader may be this late before samples are lost."""

_STOP_S = 2.0
"""How long `stop` waits for a device to close; that takes milliseconds, or for ever."""

_VIRTUAL_CHANNELS = 9
"""A device that claims so many channels is a sound server's, which mixes down by itself."""

_RESAMPLED_AT_ONCE = 4096


class Microphone:
    """Sound from an audio device.

    The device that is opened first stays the one: when it goes away it is opened again by its
    name, with growing pauses, and never replaced by another. (A sound server's own device, such
    as ``pulse`` or ``default``, may be connected to something else by the server at any time;
    name the hardware to rule that out.)

    Parameters
    ----------
    device : int or str, optional
        Index, or a part of its name. Default: the system's default microphone.
    channel : int, optional
        The channel to hear, counted from 0. Default: the mean of all.
    give_up_s : float, optional
        How long a lost device is waited for. Default: for ever.
    block_ms : float
        Length of the blocks in which the device delivers. Shorter ones answer sooner, by half their
        length on average, and wake the processor more often: through PulseAudio 40 ms cost 0.4 % of
        a core, 10 ms cost 0.7 %.
    latency : float or "low" or "high"
        Buffering that PortAudio is asked for, in seconds.
    blocking : bool
        Read in a Python thread instead of a native callback.

    Raises
    ------
    DeviceError
        There is no such device, or (from `wait`) it was lost for longer than `give_up_s`.
    UsageError
        The device has no such channel.
    MissingDependencyError
        sounddevice or PortAudio is not installed.
    """

    live = True

    def __init__(
        self,
        device: int | str | None = None,
        channel: int | None = None,
        give_up_s: float | None = None,
        *,
        block_ms: float = 40.0,
        latency: float | Literal["low", "high"] = "high",
        blocking: bool = False,
    ) -> None:
        devices = list_devices()
        found = find_device(device, devices)
        check_channel(channel, found.channels, f"the microphone {found.name!r}")
        if not 1.0 <= block_ms <= 1000.0:
            raise UsageError(f"block_ms is 1 to 1000 milliseconds, got {block_ms:g}")
        self.name = found.name
        self.ring = RingBuffer(_RING_S * SAMPLE_RATE_HZ)
        self._inlet = self.ring  # what the stream fills; another ring if it has another rate
        self._resampler: Resampler | None = None
        self._device = found
        self._pin = Pin(found, devices)
        self._channel = channel
        self._give_up_s = give_up_s
        self._block_ms = block_ms
        self._latency = latency
        self._blocking = blocking
        self._rate_hz = SAMPLE_RATE_HZ
        self._stream: InputStream | None = None
        self._reopener: Reopener | None = None
        self._port: Port | None = None
        self._origin_s = 0.0
        self._lost_at = 0.0
        self._lost_from = 0
        self._reopens = 0
        self._overflows = 0
        self._notices: list[Event] = []
        self._stopped = False
        self._in_use = threading.Lock()
        self._watch = Watch()

    @property
    def finished(self) -> bool:
        """Only after `stop`."""
        return self._stopped

    def start(self) -> None:
        """Open the device.

        Raises
        ------
        DeviceError
            It is busy or refuses.
        """
        try:
            stream = self._open(self._device)
        except DeviceError:
            own_rate_hz = round(self._device.default_rate_hz)
            if own_rate_hz == SAMPLE_RATE_HZ:
                raise
            self._use_rate(own_rate_hz)
            stream = self._open(self._device)
            _log.info("%s refuses %d Hz; resampling from %d Hz", self.name, SAMPLE_RATE_HZ, own_rate_hz)
        self._origin_s = time.monotonic()
        self._adopt(stream)
        stream.port.unmute()

    def stop(self) -> None:
        """Close the device. Idempotent, from any thread."""
        self._stopped = True
        self._close_if_stopped()

    def wait(self, n_samples: int, timeout_s: float) -> int:
        """Block until ``n_samples`` can be read, a gap is at hand, or time is over.

        Resamples, watches the device and brings it back, so it has to be called again and again.

        Raises
        ------
        DeviceError
            The device was lost for longer than ``give_up_s``.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with self._in_use:
                if not self._stopped:
                    self._tend()
            self._close_if_stopped()
            available = self.ring.available
            now = time.monotonic()
            if available >= n_samples or self.ring.cut_short or self._stopped or now >= deadline:
                return available
            missing_s = (n_samples - available) / SAMPLE_RATE_HZ
            time.sleep(max(0.0, min(max(missing_s, 0.001), deadline - now, SLICE_S)))

    def captured_at(self, sample: int) -> float:
        """When the sample reached this process; `edgeaudio.sources.callback` says how it is measured."""
        port = self._port
        origin_s = port.origin_s if port else None
        return (self._origin_s if origin_s is None else origin_s) + sample / SAMPLE_RATE_HZ

    def take_notices(self) -> list[Event]:
        """What happened to the device since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def stats(self) -> CaptureStats:
        """Counters since the start."""
        port = self._port  # read once: the engine's thread takes it away when the device is lost
        dropped = self.ring.dropped
        if self._inlet is not self.ring:
            dropped += self._resampled(self._inlet.dropped)
        return CaptureStats(
            written_samples=self.ring.written,
            dropped_samples=dropped,
            device_overflows=self._overflows + (port.overflows if port else 0),
            reopens=self._reopens,
            high_water_samples=max(self.ring.high_water, self._resampled(self._inlet.high_water)),
        )

    def _open(self, device: DeviceInfo) -> InputStream:
        """Open and start the device; its port is muted."""
        if self._channel is not None:
            channels = self._channel + 1
        else:
            channels = 1 if device.channels >= _VIRTUAL_CHANNELS else device.channels
        port = Port(self._inlet, self._rate_hz, channels, self._channel)
        return open_stream(
            device, port, block_ms=self._block_ms, latency=self._latency, blocking=self._blocking
        )

    def _open_again(self) -> InputStream:
        return self._open(self._pin.find(list_devices()))

    def _use_rate(self, rate_hz: int) -> None:
        self._resampler = Resampler(rate_hz)
        self._rate_hz = rate_hz
        self._inlet = RingBuffer(_RING_S * rate_hz)

    def _adopt(self, stream: InputStream) -> None:
        self._stream = stream
        self._port = stream.port
        self._watch = Watch()

    def _tend(self) -> None:
        """All that has to be done now and then."""
        if self._stream is not None:
            reason = self._watch.trouble(self._stream, time.monotonic())
            if reason:
                self._lose(self._stream, reason)
            elif self._reopener is not None:
                self._restore(self._stream.port, self._reopener)
        elif self._reopener is not None:
            stream = self._reopener.take()
            if stream is not None:
                self._adopt(stream)
                stream.port.resume(self._origin_s)
            elif self._give_up_s is not None and time.monotonic() - self._lost_at > self._give_up_s:
                raise DeviceError(
                    f"the microphone {self.name!r} was away for {self._give_up_s:g} s: "
                    f"{self._reopener.last_error}",
                    hint="Plug it in again; without --give-up it is waited for as long as it takes.",
                )
        if self._resampler is not None:
            self._resample(self._resampler)

    def _lose(self, stream: InputStream, reason: str) -> None:
        stream.port.mute()
        self._stream = None
        self._lost_at = time.monotonic()
        self._origin_s = self.captured_at(0)
        self._overflows += stream.port.overflows
        self._port = None
        self._lost_from = self._inlet.end
        lost_from = self._resampled(self._lost_from)
        self._notices.append(DeviceLost(start_sample=lost_from, device=self.name, reason=reason))
        _log.info("lost the microphone %s: %s", self.name, reason)
        self._reopener = Reopener(stream, self._open_again)

    def _restore(self, port: Port, reopener: Reopener) -> None:
        """Say that the device is back, once its first samples are in the ring."""
        if port.resumed_at is None:
            return
        self._reopener = None
        self._reopens += 1
        away_s = (port.resumed_at - self._lost_from) / self._rate_hz
        self._notices.append(
            DeviceRestored(
                start_sample=self._resampled(port.resumed_at),
                device=self.name,
                away_s=away_s,
                attempts=reopener.attempts,
            )
        )
        _log.info("the microphone %s is back after %.1f s", self.name, away_s)

    def _resample(self, resampler: Resampler) -> None:
        """Move what the stream delivered into the ring, as far as it has room."""
        while self.ring.free > 2 * _RESAMPLED_AT_ONCE:
            n = min(self._inlet.available, _RESAMPLED_AT_ONCE)
            block = self._inlet.peek(n)
            if n and block is not None:
                self.ring.write(resampler.process(block))
                self._inlet.advance(n)
                continue
            gap = self._inlet.take_gap()
            if gap is None:
                return
            self.ring.write(resampler.flush())
            missing = self._resampled(gap.start_sample + gap.n_samples) - self.ring.end
            self.ring.lose(max(0, missing), gap.cause)

    def _resampled(self, n: int) -> int:
        """A count of the stream's samples as a count at 16 kHz."""
        return n if self._rate_hz == SAMPLE_RATE_HZ else round(n * SAMPLE_RATE_HZ / self._rate_hz)

    def _close_if_stopped(self) -> None:
        # Whoever holds the lock comes here after releasing it and closes: nothing is left open,
        # and a stop from a signal handler inside `wait` does not wait for itself.
        if self._stopped and self._in_use.acquire(blocking=False):
            try:
                stream, self._stream = self._stream, None
                reopener, self._reopener = self._reopener, None
                if stream is not None:
                    stream.port.mute()
                closed = stream is None or close_within(stream, _STOP_S)
                ended = reopener is None or reopener.stop()
                if not (closed and ended):
                    leave_behind()
            finally:
                self._in_use.release()
