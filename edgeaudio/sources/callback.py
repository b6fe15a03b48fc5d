"""The code that runs in the audio system's realtime thread: compiled, without Python.

A stream owns a *port*: sixteen int64 words that tell the callback where to put the samples and
in which it leaves its counters. One address is all that PortAudio hands to a callback. The
port of a stream that was given up stays muted for ever, so even a callback that comes back from
the dead cannot disturb the ring.

What time is measured: the callback reads ``CLOCK_MONOTONIC`` (Python's `time.monotonic`) when a
block arrives. Blocks arrive late, never early, so of all "clock minus samples so far" the
smallest is nearest to the moment when sample 0 was captured. The estimate drops at once to a
smaller value and rises by a 1024th of the difference otherwise: at 10 ms a block it follows a
sound card's clock that is 100 ppm off within a millisecond. What passes between the microphone's
membrane and the callback (hardware and sound server buffers) cannot be seen from here.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic as _intrinsic
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from edgeaudio import ring
from edgeaudio.compiled import cached_cfunc, cached_njit
from edgeaudio.ring import (
    DEVICE_LOST,
    DEVICE_OVERFLOW,
    LOST,
    WRITTEN,
    RingBuffer,
    load_acquire,
    note_loss,
    store,
    store_release,
)

__all__ = ["Port", "callback_address", "receive"]

intrinsic: Any = _intrinsic  # typed as what it wraps, not as what it returns

SELF, RING, RING_WORDS, RATE_HZ, CHANNELS, CHANNEL = range(6)
MUTED, CALLBACKS, ORIGIN_NS, ORIGIN_KNOWN, OVERFLOWS = range(6, 11)
RESUMES, RESUMED_AT = 11, 12
"""Whether the first block follows a time away; absolute index of its first sample."""
TIMESPEC = 13
"""Two words into which the callback reads the clock."""
_PORT_WORDS = 15

_INPUT_OVERFLOW = 2  # paInputOverflow
_CLOCK_MONOTONIC = getattr(time, "CLOCK_MONOTONIC", 1)
_clock_gettime: Any = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))


@intrinsic
def pointer(typingctx: Any, address: Any) -> Any:
    """An integer as ``void *``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), codegen


@njit(nogil=True, error_model="numpy")
def _take_in(port: NDArray[np.int64], memory: NDArray[np.int64], block: Any, flags: int, now_ns: int) -> None:
    store_release(port, CALLBACKS, port[CALLBACKS] + 1)
    if load_acquire(port, MUTED):
        return
    if port[RESUMES]:
        # By the old stream's clock: what is missing between its last sample and this block.
        due = (now_ns - port[ORIGIN_NS]) * 1e-9 * port[RATE_HZ] - len(block)
        note_loss(memory, max(0, round(due) - memory[WRITTEN] - memory[LOST]), DEVICE_LOST)
        port[RESUMED_AT] = memory[WRITTEN] + memory[LOST]
        port[ORIGIN_KNOWN] = 0
        store_release(port, RESUMES, 0)
    if flags & _INPUT_OVERFLOW:
        # How much was lost nobody knows; the clock is read anew from here.
        port[OVERFLOWS] += 1
        port[ORIGIN_KNOWN] = 0
        note_loss(memory, 0, DEVICE_OVERFLOW)
    store(memory, block, port[CHANNEL])
    end, rate_hz = memory[WRITTEN] + memory[LOST], port[RATE_HZ]
    # Seconds and rest apart: end * 1e9 would overflow after a week.
    origin_ns = now_ns - (end // rate_hz) * 1_000_000_000 - (end % rate_hz) * 1_000_000_000 // rate_hz
    late_ns = origin_ns - port[ORIGIN_NS]
    if port[ORIGIN_KNOWN] == 0 or late_ns < 0:
        port[ORIGIN_NS] = origin_ns
        port[ORIGIN_KNOWN] = 1
    else:
        port[ORIGIN_NS] += late_ns >> 10


@cached_njit(nogil=True, calls=(ring,))
def _set(words: NDArray[np.int64], index: int, value: int) -> None:
    store_release(words, index, value)


@cached_njit(nogil=True, error_model="numpy", calls=(ring,))
def receive(port: NDArray[np.int64], memory: NDArray[np.int64], block: Any, flags: int, now_ns: int) -> None:
    """Put a block ``[n, n_channels] float32`` that arrived at ``now_ns`` into the ring."""
    _take_in(port, memory, block, flags, now_ns)


def _on_block(data: Any, _output: Any, n_frames: int, _time: Any, flags: int, user: Any) -> int:
    """A ``PaStreamCallback`` that does the same and always goes on."""
    port = carray(user, (_PORT_WORDS,), np.int64)
    memory = carray(pointer(port[RING]), (port[RING_WORDS],), np.int64)
    block = carray(data, (n_frames, port[CHANNELS]), np.float32)
    _clock_gettime(_CLOCK_MONOTONIC, pointer(port[SELF] + 8 * TIMESPEC))
    _take_in(port, memory, block, flags, port[TIMESPEC] * 1_000_000_000 + port[TIMESPEC + 1])
    return 0  # paContinue


@lru_cache(maxsize=1)
def callback_address() -> int:
    """Compile the callback, or take it from Numba's cache, and return its address."""
    arguments: Any = (types.voidptr, types.voidptr, types.ulong, types.voidptr, types.ulong, types.voidptr)
    callback: Any = cached_cfunc(types.intc(*arguments), calls=(ring,))(_on_block)
    return int(callback.address)


class Port:
    """Where one stream meets the ring; muted at first.

    Parameters
    ----------
    ring : RingBuffer
        Gets the samples, at the stream's rate.
    rate_hz : int
        The stream's rate.
    channels : int
        How many channels the stream has.
    channel : int, optional
        The one to keep. Default: the mean of all.
    """

    def __init__(self, ring: RingBuffer, rate_hz: int, channels: int, channel: int | None) -> None:
        self.ring = ring  # the callback knows only its address
        self.rate_hz = rate_hz
        self.channels = channels
        self.words: NDArray[np.int64] = np.zeros(_PORT_WORDS, np.int64)
        self.words[SELF] = self.address
        self.words[RING] = ring.memory.ctypes.data
        self.words[RING_WORDS] = ring.memory.size
        self.words[RATE_HZ] = rate_hz
        self.words[CHANNELS] = channels
        # A mean of one would be computed, and a copy is exact even for what is no number.
        self.words[CHANNEL] = (0 if channels == 1 else -1) if channel is None else channel
        self.words[MUTED] = 1

    @property
    def address(self) -> int:
        """What the callback is given."""
        return int(self.words.ctypes.data)

    def mute(self) -> None:
        """Let no more samples into the ring; the callback goes on counting."""
        _set(self.words, MUTED, 1)

    def unmute(self) -> None:
        """Let samples into the ring, after everything that was written there before."""
        _set(self.words, MUTED, 0)

    def resume(self, origin_s: float) -> None:
        """Unmute after a time away, which becomes a gap.

        The callback itself computes its length when the first block arrives, so that nothing
        which delays the caller meanwhile shifts the indices.

        Parameters
        ----------
        origin_s : float
            When the ring's sample 0 was captured, by the stream before.
        """
        self.words[ORIGIN_NS] = round(origin_s * 1e9)
        self.words[RESUMES] = 1
        self.unmute()

    @property
    def callbacks(self) -> int:
        """Blocks that came so far."""
        return int(self.words[CALLBACKS])

    @property
    def overflows(self) -> int:
        """Times the audio system said that it lost samples."""
        return int(self.words[OVERFLOWS])

    @property
    def resumed_at(self) -> int | None:
        """Index of the first sample after the time away, at the stream's rate; None while it lasts."""
        return None if self.words[RESUMES] else int(self.words[RESUMED_AT])

    @property
    def origin_s(self) -> float | None:
        """When the ring's sample 0 was captured, or would have been; None before the first block."""
        return float(self.words[ORIGIN_NS] / 1e9) if self.words[ORIGIN_KNOWN] else None
