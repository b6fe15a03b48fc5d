"""The ring between the thread that captures and the one that listens.

The contract
------------
One producer, one consumer. The producer is a realtime callback, or the consumer itself where
samples are pulled (files, pipes); never two threads at once.

* ``write`` copies a whole block or loses a whole block: the newest one, never a part of it.
  It never blocks, allocates, takes a lock or overwrites what has not been read.
* A lost block is counted and leaves a gap at its exact place. So does every loss that the
  producer only hears of (``lose``). Absolute indices therefore stay those of the clock.
* ``peek`` lends samples, ``advance`` gives them back. The view is read-only, contiguous and
  valid until ``advance``; afterwards the producer writes into it. Nobody keeps one.
* A view never spans a gap. When ``available`` is 0 the consumer asks ``take_gap``.

All state lies in one int64 array, so that one address is all that native code needs::

    word 0..15   indices and counters          (see the names below)
    then         log of up to 64 gaps          3 words each: place, length, cause
    then         2 × capacity float32          every sample is stored twice, capacity apart,
                                               so that every view of the ring is contiguous

Each index has one writer. It is published by a release store after what it announces and read
by an acquire load before: without them an ARM core may show the index before the samples.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.events import Gap, GapCause
from edgeaudio.types import Samples

__all__ = ["RingBuffer"]

CAPACITY, WRITTEN, READ, DROPPED, HIGH_WATER, GAPS_WRITTEN, GAPS_READ = range(7)
PENDING, PENDING_CAUSE, PENDING_SAMPLES = 7, 8, 9
"""A loss that still grows: the producer keeps it to itself until the next block is stored."""
LOST, LOST_READ = 10, 11
"""Samples lost so far, as the producer knows it and as far as the consumer has come."""

_LOG = 16
_LOG_ENTRIES = 64
_DATA = _LOG + 3 * _LOG_ENTRIES

CAUSES: tuple[GapCause, ...] = get_args(GapCause)
DEVICE_OVERFLOW = CAUSES.index("device_overflow")
DEVICE_LOST = CAUSES.index("device_lost")
RING_FULL = CAUSES.index("ring_full")


intrinsic: Any = _intrinsic  # typed as what it wraps, not as what it returns


def _word(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    item_pointer: Any = cgutils.get_item_pointer
    return item_pointer(context, builder, signature.args[0], array, [args[1]], wraparound=False)


@intrinsic
def load_acquire(typingctx: Any, words: Any, index: Any) -> Any:
    """``words[index]``, before anything that the code below reads."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_word(context, builder, signature, args), "acquire", 8)

    return types.int64(words, types.intp), codegen


@intrinsic
def store_release(typingctx: Any, words: Any, index: Any, value: Any) -> Any:
    """``words[index] = value``, after everything that the code above wrote."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], _word(context, builder, signature, args), "release", 8)
        return context.get_dummy_value()

    return types.void(words, types.intp, types.int64), codegen


@cached_njit(nogil=True, error_model="numpy")
def publish_loss(memory: NDArray[np.int64]) -> bool:
    """Enter the pending loss in the log; False while the log is full."""
    if memory[PENDING] == 0:
        return True
    entry = memory[GAPS_WRITTEN]
    if entry - load_acquire(memory, GAPS_READ) >= _LOG_ENTRIES:
        return False
    at = _LOG + 3 * (entry % _LOG_ENTRIES)
    memory[at] = memory[WRITTEN]
    memory[at + 1] = memory[PENDING_SAMPLES]
    memory[at + 2] = memory[PENDING_CAUSE]
    memory[PENDING] = 0
    memory[PENDING_SAMPLES] = 0
    store_release(memory, GAPS_WRITTEN, entry + 1)
    return True


@cached_njit(nogil=True, error_model="numpy")
def note_loss(memory: NDArray[np.int64], n: int, cause: int) -> None:
    """Add ``n`` lost samples to the pending loss; a new cause begins a new gap if the log has room."""
    if memory[PENDING] == 1 and memory[PENDING_CAUSE] != cause:
        publish_loss(memory)
    if memory[PENDING] == 0:
        memory[PENDING] = 1
        memory[PENDING_CAUSE] = cause
    memory[PENDING_SAMPLES] += n
    memory[LOST] += n


@cached_njit(nogil=True, error_model="numpy")
def store(memory: NDArray[np.int64], block: NDArray[np.float32], channel: int) -> int:
    """Store one channel of a block ``[n, n_channels] float32``, or their mean if ``channel`` is −1.

    Returns n, or 0 if the block was lost.
    """
    n, n_channels = block.shape
    capacity = memory[CAPACITY]
    written = memory[WRITTEN]
    filled = written - load_acquire(memory, READ) + n
    if filled > capacity or not publish_loss(memory):
        memory[DROPPED] += n
        note_loss(memory, n, RING_FULL)
        return 0
    data = memory[_DATA:].view(np.float32)
    place = written % capacity
    for i in range(n):
        if channel >= 0:
            value = block[i, channel]
        else:
            value = block[i, 0]
            for k in range(1, n_channels):
                value += block[i, k]
            value /= np.float32(n_channels)
        data[place] = value
        data[place + capacity] = value
        place += 1
        if place == capacity:
            place = 0
    memory[HIGH_WATER] = max(memory[HIGH_WATER], filled)
    store_release(memory, WRITTEN, written + n)
    return int(n)


@cached_njit(nogil=True, error_model="numpy")
def readable(memory: NDArray[np.int64]) -> int:
    """Samples between the read position and the next gap, or the newest sample."""
    end: int = load_acquire(memory, WRITTEN)
    entry = memory[GAPS_READ]
    if entry < load_acquire(memory, GAPS_WRITTEN):
        # The gap was logged before any sample behind it was announced, so it cannot be missed.
        end = min(end, memory[_LOG + 3 * (entry % _LOG_ENTRIES)])
    return int(end - memory[READ])


@cached_njit(nogil=True, error_model="numpy")
def give_back(memory: NDArray[np.int64], n: int) -> None:
    """Let the producer overwrite the ``n`` oldest samples."""
    store_release(memory, READ, memory[READ] + n)


@cached_njit(nogil=True, error_model="numpy")
def pass_gap(memory: NDArray[np.int64]) -> tuple[int, int]:
    """Length and cause of the gap at the read position, which is then passed; ``(-1, -1)`` if none."""
    entry = memory[GAPS_READ]
    if entry >= load_acquire(memory, GAPS_WRITTEN):
        return -1, -1
    at = _LOG + 3 * (entry % _LOG_ENTRIES)
    if memory[at] != memory[READ]:
        return -1, -1
    n, cause = memory[at + 1], memory[at + 2]
    memory[LOST_READ] += n
    store_release(memory, GAPS_READ, entry + 1)
    return n, cause


class RingBuffer:
    """Mono float32 samples between one producer and one consumer.

    Parameters
    ----------
    capacity_samples : int
        How many unread samples it can hold.

    Examples
    --------
    >>> ring = RingBuffer(8)
    >>> ring.write(np.arange(6, dtype=np.float32))
    6
    >>> ring.write(np.arange(6, dtype=np.float32))  # no room: the whole block is lost
    0
    >>> ring.peek(4)
    array([0., 1., 2., 3.], dtype=float32)
    >>> ring.advance(6)
    >>> ring.write(np.arange(2, dtype=np.float32)), ring.available
    (2, 0)
    >>> ring.take_gap()
    Gap(sample_rate_hz=16000, start_sample=6, n_samples=6, cause='ring_full')
    >>> ring.available, ring.position
    (2, 12)
    """

    def __init__(self, capacity_samples: int) -> None:
        if capacity_samples < 1:
            raise ValueError(f"a ring needs room for at least one sample, got {capacity_samples}")
        # Two float32 a sample (the mirror) are one int64 word a sample.
        self.memory: NDArray[np.int64] = np.zeros(_DATA + capacity_samples, np.int64)
        self.memory[CAPACITY] = capacity_samples
        self.capacity = capacity_samples
        self._view: Samples = self.memory[_DATA:].view(np.float32)
        self._view.flags.writeable = False

    # The producer's side.

    def write(self, x: Samples) -> int:
        """Store a block ``[n] float32``; returns n, or 0 if there was no room and it was lost.

        Raises
        ------
        ValueError
            The block could never fit, or is not one-dimensional float32.
        """
        if x.dtype != np.float32 or x.ndim != 1:
            raise ValueError(f"a block is [n] float32, got {x.dtype} with shape {x.shape}")
        if x.size > self.capacity:
            raise ValueError(f"a block of {x.size} samples never fits a ring of {self.capacity}")
        return int(store(self.memory, x.reshape(-1, 1), 0)) if x.size else 0

    def lose(self, n: int, cause: GapCause) -> None:
        """Record that ``n`` samples never arrived (0: their number is unknown)."""
        note_loss(self.memory, n, CAUSES.index(cause))
        publish_loss(self.memory)

    @property
    def free(self) -> int:
        """Samples that can be written now."""
        return self.capacity - int(self.memory[WRITTEN] - self.memory[READ])

    @property
    def end(self) -> int:
        """Absolute index of the next sample to be written, lost samples included."""
        return int(self.memory[WRITTEN] + self.memory[LOST])

    # The consumer's side.

    @property
    def available(self) -> int:
        """Samples that can be read before the next gap."""
        return int(readable(self.memory))

    @property
    def position(self) -> int:
        """Absolute index of the next sample to be read, lost samples included."""
        return int(self.memory[READ] + self.memory[LOST_READ])

    def peek(self, n: int) -> Samples | None:
        """Lend the next ``n`` samples, or None if there are fewer before the next gap.

        The view is read-only and valid until ``advance``.
        """
        if n < 0 or n > self.available:
            return None
        start = int(self.memory[READ]) % self.capacity
        return self._view[start : start + n]

    def advance(self, n: int) -> None:
        """Give back the ``n`` oldest samples; every view of them ends here.

        Raises
        ------
        ValueError
            Fewer than ``n`` samples are available.
        """
        available = self.available
        if not 0 <= n <= available:
            raise ValueError(f"cannot advance by {n} samples at {self.position}: {available} are available")
        give_back(self.memory, n)

    @property
    def cut_short(self) -> bool:
        """A gap follows the available samples: waiting does not make more of them readable."""
        return bool(self.memory[GAPS_READ] < self.memory[GAPS_WRITTEN])

    def take_gap(self) -> Gap | None:
        """Pass the gap that lies exactly at ``position``, if there is one."""
        start = self.position
        n, cause = pass_gap(self.memory)
        return None if n < 0 else Gap(start_sample=start, n_samples=int(n), cause=CAUSES[cause])

    # Counters, readable from anywhere.

    @property
    def written(self) -> int:
        """Samples stored since the start."""
        return int(self.memory[WRITTEN])

    @property
    def dropped(self) -> int:
        """Samples lost because the ring was full."""
        return int(self.memory[DROPPED])

    @property
    def high_water(self) -> int:
        """Most samples that ever waited here."""
        return int(self.memory[HIGH_WATER])
