"""The acoustic round trip: clicks through a loudspeaker, found again in the microphone.

What passes between the membrane and edgeaudio (converters, buffers of the device and of the sound
server) cannot be seen from inside. The way out and back again can be timed, and bounds it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import DeviceError
from edgeaudio.events import DeviceLost
from edgeaudio.profiling.clicks import LONGEST_LAG_S, find_clicks, train
from edgeaudio.sources.base import Source
from edgeaudio.sources.devices import find_device, list_loudspeakers, sounddevice
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["CLICKS", "Loudspeaker", "Player", "RoundTrip", "round_trip"]

CLICKS = 10
"""How many are played, in six seconds."""

_SILENT_S = 5.0
"""A microphone or loudspeaker that does nothing for so long never will."""
_SETTLING_S = 0.3
"""A stream's first blocks are asked for in a burst."""
_VIRTUAL_CHANNELS = 9
"""A device that claims so many channels is a sound server's, which spreads one to all."""


class RoundTrip(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How long sound took from being handed to the loudspeaker until it was back.

    A click is out when the audio system takes the block that holds it, and back when the microphone's
    block could have ended right behind it: a block's length more passes until all of a block is here.
    """

    microphone: str
    loudspeaker: str
    played: int
    found: int
    """Clicks that were recognised, of those `played`."""
    median_ms: float
    least_ms: float
    most_ms: float
    likeness: float
    """1 for a perfect copy of the click; rooms, noise and echo cancellation lower it."""
    output_latency_ms: float
    """What PortAudio believes to be the loudspeaker's part of it."""
    underflows: int
    """Times the loudspeaker ran dry; each may have shifted the clicks behind it."""


class Player(Protocol):
    """A loudspeaker that plays something once."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def rate_hz(self) -> int:
        """Its sample rate."""

    @property
    def origin_s(self) -> float | None:
        """When sample 0 was handed over, in `time.monotonic` seconds; None before the stream is steady."""

    @property
    def latency_s(self) -> float:
        """What the audio system believes to be its delay."""

    @property
    def underflows(self) -> int:
        """Times it ran dry."""

    def play(self, samples: Samples) -> None:
        """Begin to play ``[n]`` samples, and then silence."""

    def close(self) -> None:
        """End."""


class Loudspeaker:
    """An audio device that plays.

    When a sample is handed over is estimated as for a microphone (`edgeaudio.sources.callback`): blocks
    are asked for late, never early, so the smallest "clock minus samples so far" is nearest to the truth.

    Parameters
    ----------
    device : int or str, optional
        Index, or a part of its name. Default: the system's default loudspeaker.
    latency : float or "low" or "high"
        Buffering that PortAudio is asked for.

    Raises
    ------
    DeviceError
        There is no such device.
    MissingDependencyError
        sounddevice or PortAudio is not installed.
    """

    def __init__(self, device: int | str | None = None, *, latency: Any = "high") -> None:
        self._device = find_device(device, list_loudspeakers(), "loudspeaker")
        self.name = self._device.name
        self.rate_hz = round(self._device.default_rate_hz)
        self.origin_s: float | None = None
        self.underflows = 0
        self._latency = latency
        self._samples = np.zeros(0, np.float32)
        self._position = 0
        self._stream: Any = None

    @property
    def latency_s(self) -> float:
        """What PortAudio believes to be its delay."""
        return float(self._stream.latency) if self._stream is not None else math.nan

    def play(self, samples: Samples) -> None:
        """Begin to play.

        Raises
        ------
        DeviceError
            The device is busy or refuses.
        """
        sd = sounddevice()
        channels = self._device.channels
        self._samples = samples
        try:
            self._stream = sd.OutputStream(
                device=self._device.index,
                samplerate=self.rate_hz,
                channels=1 if channels >= _VIRTUAL_CHANNELS else min(channels, 2),
                dtype="float32",
                latency=self._latency,
                callback=self._fill,
            )
            self._stream.start()
        except sd.PortAudioError as error:
            self.close()
            raise DeviceError(
                f"cannot play through {self.name!r} at {self.rate_hz} Hz: {error.args[0]}",
                hint="Is it used by another program?",
            ) from error

    def close(self) -> None:
        """End."""
        if self._stream is not None:
            self._stream.close()

    def _fill(self, block: NDArray[np.float32], n: int, _time: Any, status: Any) -> None:
        now = time.monotonic()
        at = self._position
        part = self._samples[at : at + n, None]
        block[: len(part)] = part
        block[len(part) :] = 0.0
        self._position = at + n
        self.underflows += bool(status.output_underflow)
        if at >= _SETTLING_S * self.rate_hz:
            origin_s = now - at / self.rate_hz
            self.origin_s = origin_s if self.origin_s is None else min(origin_s, self.origin_s)


def round_trip(
    microphone: Source,
    loudspeaker: Player,
    *,
    progress: Callable[[float], None] | None = None,
) -> RoundTrip:
    """Play clicks and time them; takes ten seconds.

    Parameters
    ----------
    microphone : Source
        Not started; it is started and stopped here.
    loudspeaker : Player
        Likewise.
    progress : callable, optional
        Told from time to time which part of it is done.

    Raises
    ------
    DeviceError
        A device is not there, goes away, does nothing, or too few clicks were heard to speak of any.
    """
    clicks, positions = train(CLICKS, loudspeaker.rate_hz)
    length_s = len(clicks) / loudspeaker.rate_hz + LONGEST_LAG_S
    recording = _Recording(microphone)
    try:
        microphone.start()
        recording.listen(lambda: recording.n_samples > 0, _SILENT_S, f"{microphone.name!r} delivers nothing")
        loudspeaker.play(clicks)
        begun_s = time.monotonic()

        def done() -> bool:
            origin_s = loudspeaker.origin_s
            if progress is not None:
                progress(min(1.0, (time.monotonic() - begun_s) / length_s))
            return origin_s is not None and recording.until_s() > origin_s + length_s

        recording.listen(done, length_s + _SILENT_S, f"{loudspeaker.name!r} does not play")
        origin_s = loudspeaker.origin_s or begun_s
        # When the recording's sample 0 was captured, by the last and best estimate of the clock.
        began_s = microphone.captured_at(0)
        latency_s, underflows = loudspeaker.latency_s, loudspeaker.underflows
    finally:
        loudspeaker.close()
        microphone.stop()
    heard = recording.samples()
    echoes = find_clicks(heard, (origin_s - began_s + positions / loudspeaker.rate_hz) * SAMPLE_RATE_HZ)
    if echoes is None:
        raise _deaf(microphone.name, loudspeaker.name, heard)
    lags_ms = 1000 * echoes.lags / SAMPLE_RATE_HZ
    return RoundTrip(
        microphone=microphone.name,
        loudspeaker=loudspeaker.name,
        played=len(positions),
        found=len(lags_ms),
        median_ms=float(np.median(lags_ms)),
        least_ms=float(lags_ms.min()),
        most_ms=float(lags_ms.max()),
        likeness=echoes.likeness,
        output_latency_ms=1000 * latency_s,
        underflows=underflows,
    )


class _Recording:
    """All that a source delivers, in one piece: lost samples are zeros, so that indices tell the time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._blocks: list[Samples] = []
        self.n_samples = 0

    def listen(self, done: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        """Record until `done`; a `DeviceError` with the complaint if that does not come to pass."""
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise DeviceError(f"{complaint}: nothing for {_SILENT_S:g} s", hint="Is it the right device?")
            self._take(self._source.wait(SAMPLE_RATE_HZ // 50, 0.1))
            for notice in self._source.take_notices():
                if isinstance(notice, DeviceLost):
                    raise DeviceError(f"the microphone {notice.device!r} went away: {notice.reason}")

    def until_s(self) -> float:
        """When the last sample so far was captured."""
        return self._source.captured_at(self.n_samples)

    def samples(self) -> Samples:
        """Everything, ``[n]``."""
        return np.concatenate(self._blocks)

    def _take(self, available: int) -> None:
        ring = self._source.ring
        view = ring.peek(available) if available else None
        if view is not None:
            self._keep(view.copy())
            ring.advance(available)
        gap = ring.take_gap()
        if gap is not None:
            self._keep(np.zeros(gap.n_samples, np.float32))

    def _keep(self, block: Samples) -> None:
        self._blocks.append(block)
        self.n_samples += len(block)


def _deaf(microphone: str, loudspeaker: str, heard: Samples) -> DeviceError:
    """Say that no clicks were heard, and what was instead."""
    loudest = float(np.abs(heard).max())
    if loudest == 0.0:
        what, advice = "digital silence", "Is the microphone muted, or another one meant (--device)?"
    else:
        what = f"sound of up to {20 * math.log10(loudest):.0f} dBFS, but no click"
        advice = (
            "Turn the loudspeaker up, or name it (--loudspeaker). Headphones and echo cancellation"
            " keep the clicks from the microphone."
        )
    return DeviceError(
        f"the clicks played through {loudspeaker!r} did not arrive at {microphone!r}, which heard {what}",
        hint=advice,
    )
