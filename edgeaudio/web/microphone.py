"""A browser's microphone, or any program that sends audio, as the input."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgeaudio.errors import EdgeAudioError
from edgeaudio.sources.network import NetworkSource
from edgeaudio.types import SAMPLE_RATE_HZ, Samples
from edgeaudio.web.inputs import Inputs
from edgeaudio.web.viewer import BAD_DATA, NOT_UNDERSTOOD, REFUSED, TOO_BIG, Allowance, close_quietly

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

__all__ = ["LONGEST_MESSAGE", "listen"]

LONGEST_MESSAGE = 2**18
"""Bytes of any message; whatever is longer is refused before it was read."""

BUSY, STOPPED = 4409, 4410
_RATES_HZ = (8000, 96_000)
_FORMATS: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
_SILENT_S = 10.0
_BURST_S = 10.0
_FASTER = 1.05
"""How much faster than real time audio may come for long: more than any clock is wrong."""
_MOST_LOST_S = 3600


class _Lost(msgspec.Struct, tag_field="type", tag="lost", forbid_unknown_fields=True):
    samples: int


class _Reader:
    """Turns messages into samples.

    Parameters
    ----------
    source : NetworkSource
        Where they go.
    rate_hz : int
        Samples a second.
    dtype : numpy.dtype
        Of the samples on the wire.
    """

    def __init__(self, source: NetworkSource, rate_hz: int, dtype: np.dtype[Any]) -> None:
        self._source = source
        self._rate_hz = rate_hz
        self._dtype = dtype
        self._allowance = Allowance(_FASTER * rate_hz, _BURST_S * rate_hz)

    def take(self, message: dict[str, Any]) -> tuple[int, str] | None:
        """Take one message; the close code and reason if it breaks the rules."""
        data = message.get("bytes")
        if data is None:
            return self._note(message.get("text") or "")
        if len(data) % self._dtype.itemsize:
            return NOT_UNDERSTOOD, f"{len(data)} bytes are no whole samples of {self._dtype.itemsize} bytes"
        n = len(data) // self._dtype.itemsize
        if n > self._rate_hz:
            return TOO_BIG, "a message holds at most one second"
        if not self._allowance.spend(n):
            return REFUSED, "audio comes faster than it can have been spoken"
        if n:
            self._source.push(_to_float(np.frombuffer(data, self._dtype)))
        return None

    def _note(self, text: str) -> tuple[int, str] | None:
        try:
            lost = msgspec.json.decode(text, type=_Lost).samples
        except msgspec.DecodeError:
            return BAD_DATA, 'audio is binary; the only text is {"type":"lost","samples":N}'
        if not 0 <= lost <= _MOST_LOST_S * self._rate_hz or not self._allowance.spend(self._rate_hz / 100):
            return REFUSED, "no such loss"
        self._source.lose(lost)
        return None


async def listen(socket: WebSocket, inputs: Inputs) -> None:
    """Serve one accepted sender until it goes, breaks the rules or is stopped."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stopped.set)

    rate, format_ = socket.query_params.get("rate", "16000"), socket.query_params.get("format", "s16le")
    if not (re.fullmatch(r"[0-9]{1,6}", rate) and _RATES_HZ[0] <= int(rate) <= _RATES_HZ[1]):
        await close_quietly(socket, REFUSED, f"rate is {_RATES_HZ[0]} to {_RATES_HZ[1]} Hz")
        return
    if format_ not in _FORMATS:
        await close_quietly(socket, REFUSED, f"format is one of {', '.join(_FORMATS)}")
        return
    rate_hz = int(rate)
    try:
        source = NetworkSource("a browser's microphone", sample_rate_hz=rate_hz, on_stop=stop)
    except EdgeAudioError as error:
        await close_quietly(socket, REFUSED, f"only {SAMPLE_RATE_HZ} Hz: {error.message}"[:120])
        return
    if not inputs.take(source):
        await close_quietly(socket, BUSY, "another browser's microphone is in use")
        return
    try:
        verdict = await _receive(socket, _Reader(source, rate_hz, _FORMATS[format_]), stopped)
    finally:
        inputs.release(source)
    if verdict is not None:
        await close_quietly(socket, *verdict)


async def _receive(socket: WebSocket, reader: _Reader, stopped: asyncio.Event) -> tuple[int, str] | None:
    """Take messages; return why the sender has to go, None if it went by itself."""
    waiting = asyncio.ensure_future(stopped.wait())
    receiving = asyncio.ensure_future(socket.receive())
    try:
        while True:
            await asyncio.wait((waiting, receiving), timeout=_SILENT_S, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return STOPPED, "somebody chose another input"
            if not receiving.done():
                return REFUSED, f"no audio came for {_SILENT_S:g} s"
            message = receiving.result()
            if message["type"] == "websocket.disconnect":
                return None
            verdict = reader.take(dict(message))
            if verdict is not None:
                return verdict
            receiving = asyncio.ensure_future(socket.receive())
    finally:
        for task in (waiting, receiving):
            task.cancel()
        await asyncio.gather(waiting, receiving, return_exceptions=True)


def _to_float(samples: np.ndarray[Any, Any]) -> Samples:
    """Full scale at 1; what is no number becomes silence."""
    scale = 1 / 32768 if samples.dtype.kind == "i" else 1.0
    scaled: Samples = np.nan_to_num(np.clip(samples * np.float32(scale), -8.0, 8.0)).astype(np.float32)
    return scaled
