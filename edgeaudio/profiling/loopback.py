"""The acoustic round trip: clicks through a loudspeaker, found again in the microphone.

What passes between the membrane and edgeaudio (converters, buffers of the device and of the sound
server) cannot be seen from inside. The way out and back again can be timed, and bounds it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import msgspec
import numpy as np

from edgeaudio.errors import DeviceError
from edgeaudio.events import DeviceLost
from edgeaudio.profiling.clicks import LONGEST_LAG_S, find_clicks, train
from edgeaudio.profiling.loudspeaker import Player
from edgeaudio.sources.base import Source
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["CLICKS", "RoundTrip", "round_trip"]

CLICKS = 10
"""How many are played, in six seconds."""

_SILENT_S = 5.0
"""A microphone or loudspeaker that does nothing for so long never will."""


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
            if progress is not None:
                progress(min(1.0, (time.monotonic() - begun_s) / length_s))
            end_s = loudspeaker.handed_at(len(clicks))
            return end_s is not None and recording.until_s() > end_s + LONGEST_LAG_S

        recording.listen(done, length_s + _SILENT_S, f"{loudspeaker.name!r} does not play")
        handed_s = np.array([loudspeaker.handed_at(int(position)) for position in positions], np.float64)
        # When the recording's sample 0 was captured, by the last and best estimate of the clock.
        began_s = microphone.captured_at(0)
        latency_s, underflows = loudspeaker.latency_s, loudspeaker.underflows
    finally:
        loudspeaker.close()
        microphone.stop()
    heard = recording.samples()
    echoes = find_clicks(heard, (handed_s - began_s) * SAMPLE_RATE_HZ)
    if echoes is None:
        raise _deaf(microphone.name, loudspeaker, heard)
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


def _deaf(microphone: str, loudspeaker: Player, heard: Samples) -> DeviceError:
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
    if loudspeaker.underflows > 1:  # one is usual at the beginning
        advice = f"The loudspeaker ran dry {loudspeaker.underflows} times: this machine is too busy to play."
    return DeviceError(
        f"the clicks played through {loudspeaker.name!r} did not arrive at {microphone!r}, which heard"
        f" {what}",
        hint=advice,
    )
