"""PortAudio streams. The only place that uses sounddevice's private names.

They are what sounddevice offers "library authors" (see its ``_StreamBase``) and what rtmixer and
python-pa-ringbuffer have relied on for years: a callback given as an address, and the library's
restart. Where they are gone, `BlockingStream` does with public ones, at the price of the GIL.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from typing import Any, Literal, Protocol

from edgeaudio.errors import DeviceError
from edgeaudio.sources.callback import Port, callback_address, receive
from edgeaudio.sources.devices import DeviceInfo, sounddevice

__all__ = [
    "BlockingStream",
    "CallbackStream",
    "InputStream",
    "close_within",
    "leave_behind",
    "open_stream",
    "refresh_devices",
]

_log = logging.getLogger(__name__)

_open: set[InputStream] = set()
"""The native callback writes to what a stream owns, so none may be forgotten before it is closed; and
PortAudio must not be restarted under any."""


class InputStream(Protocol):
    """A running stream that fills the ring behind its port."""

    port: Port

    @property
    def active(self) -> bool:
        """False once the device is gone."""

    def close(self) -> None:
        """End it. May hang if the audio system does."""


class CallbackStream:
    """A stream whose callback is native code; Python takes no part in it."""

    def __init__(self, device: DeviceInfo, port: Port, block_frames: int, latency: Any) -> None:
        sd = sounddevice()
        self.port = port
        self._error: type[Exception] = sd.PortAudioError
        self._stream = sd._StreamBase(
            kind="input",
            **_arguments(device, port, block_frames, latency),
            callback=callback_address(),
            userdata=sd._ffi.cast("void *", port.address),
        )
        _start(self._stream)
        _open.add(self)

    @property
    def active(self) -> bool:
        """False once the device is gone."""
        try:
            return bool(self._stream.active)
        except self._error:
            return False

    def close(self) -> None:
        """End it. May hang if the audio system does."""
        self._stream.close()
        _open.discard(self)


class BlockingStream:
    """A stream that a Python thread reads: the fallback where no native callback can be used."""

    def __init__(self, device: DeviceInfo, port: Port, block_frames: int, latency: Any) -> None:
        sd = sounddevice()
        self.port = port
        self._block_frames = block_frames
        self._error: type[Exception] = sd.PortAudioError
        self._stream = sd.InputStream(**_arguments(device, port, block_frames, latency))
        _start(self._stream)
        _open.add(self)
        self._closing = False
        self._thread = threading.Thread(target=self._read, name="edgeaudio-capture", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while not self._closing:
                block, overflowed = self._stream.read(self._block_frames)
                receive(self.port.words, self.port.ring.memory, block, 2 * overflowed, time.monotonic_ns())
        except self._error as error:
            _log.debug("reading ended: %s", error)

    @property
    def active(self) -> bool:
        """False once the device is gone."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End it. May hang if the audio system does."""
        self._closing = True
        self._thread.join()
        self._stream.close()
        _open.discard(self)


def _arguments(device: DeviceInfo, port: Port, block_frames: int, latency: Any) -> dict[str, Any]:
    return {
        "device": device.index,
        "samplerate": port.rate_hz,
        "channels": port.channels,
        "dtype": "float32",
        "blocksize": block_frames,
        "latency": latency,
    }


def _start(stream: Any) -> None:
    """Start a stream that was opened; if it refuses, close it, or the device stays busy."""
    try:
        stream.start()
    except Exception:
        stream.close()
        raise


def open_stream(
    device: DeviceInfo,
    port: Port,
    *,
    block_ms: float,
    latency: float | Literal["low", "high"],
    blocking: bool,
) -> InputStream:
    """Open and start a stream into a port, which stays muted.

    Raises
    ------
    DeviceError
        The device is busy, gone, or refuses the port's rate or channels.
    """
    block_frames = round(port.rate_hz * block_ms / 1000)
    sd = sounddevice()
    try:
        if not blocking and _native_callbacks(sd):
            return CallbackStream(device, port, block_frames, latency)
        return BlockingStream(device, port, block_frames, latency)
    except sd.PortAudioError as error:
        raise DeviceError(
            f"cannot open the microphone {device.name!r} at {port.rate_hz} Hz "
            f"with {port.channels} channels: {error.args[0]}",
            hint="Is it used by another program? `edgeaudio devices` lists what is there.",
        ) from error


def _native_callbacks(sd: Any) -> bool:
    """Whether this sounddevice takes an address as callback and Numba can make one."""
    if not (hasattr(sd, "_StreamBase") and hasattr(sd, "_ffi")):
        _log.warning("sounddevice %s takes no native callback: reading in a thread", sd.__version__)
        return False
    try:
        return callback_address() != 0
    except Exception as error:
        _log.warning("no native audio callback on this system, reading in a thread: %s", error)
        return False


def refresh_devices() -> None:
    """Restart PortAudio: only then does it see what was plugged in. Not while a stream is open."""
    sd = sounddevice()
    if not _open and hasattr(sd, "_terminate") and hasattr(sd, "_initialize"):
        with contextlib.suppress(sd.PortAudioError):  # it is down already where an earlier restart failed
            sd._terminate()
        sd._initialize()


def leave_behind() -> None:
    """PortAudio hangs: do not wait for it when the interpreter ends."""
    handler = getattr(sounddevice(), "_exit_handler", None)
    if handler is not None:
        atexit.unregister(handler)


def close_within(stream: InputStream, timeout_s: float) -> bool:
    """Close a stream in a thread of its own; False if it still hangs after the time."""
    thread = threading.Thread(target=stream.close, name="edgeaudio-close", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return not thread.is_alive()
