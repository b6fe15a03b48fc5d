"""A loudspeaker that knows when it was given what it plays."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import DeviceError
from edgeaudio.sources.devices import find_device, list_loudspeakers, sounddevice
from edgeaudio.types import Samples

__all__ = ["Loudspeaker", "Player"]

_SHIFT_S = 0.015
"""Running dry shifts what follows by a block or more; a smaller difference comes of blocks asked for late."""
_VIRTUAL_CHANNELS = 9
"""A device that claims so many channels is a sound server's, which spreads one to all."""


class Player(Protocol):
    """A loudspeaker that plays something once."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def rate_hz(self) -> int:
        """Its sample rate."""

    def handed_at(self, sample: int) -> float | None:
        """When a sample was handed over, in `time.monotonic` seconds; None if it is still to come."""

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
    Where the stream ran dry, what follows is estimated anew.

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
        self._latency = latency
        self._samples = np.zeros(0, np.float32)
        self._position = 0
        self._origins_s: list[float] = [math.inf]  # one more each time it ran dry
        self._dry_at: list[int] = []
        self._stream: Any = None

    def handed_at(self, sample: int) -> float | None:
        """When a sample was handed over."""
        if sample >= self._position:
            return None
        own_s, overall_s = self._origins_s[bisect_right(self._dry_at, sample)], min(self._origins_s)
        return (own_s if own_s - overall_s > _SHIFT_S else overall_s) + sample / self.rate_hz

    @property
    def underflows(self) -> int:
        """Times it ran dry."""
        return len(self._dry_at)

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
        if status.output_underflow:
            self._origins_s.append(math.inf)
            self._dry_at.append(at)
        self._origins_s[-1] = min(self._origins_s[-1], now - at / self.rate_hz)
        self._position = at + n  # last: until then nobody asks for this block
