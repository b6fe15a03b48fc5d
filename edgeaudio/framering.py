"""The ring of frames between the engine's thread and the caption worker's.

The contract
------------
One producer, one consumer.

* ``write`` copies a whole block of frames or loses a whole block, the newest. It never blocks, takes no
  lock, allocates nothing but views, and overwrites nothing that has not been read.
* Every place where the frames do not follow each other is a `Break`, told to the reader in order: a loss
  before the frontend (``restart``), or a block that found no room here.
* ``peek`` lends frames, ``advance`` gives them back. A view never spans a break and is valid until
  ``advance``; afterwards the producer writes into it.
* ``position`` is the absolute sample at which the next frame to be read begins.

Both sides are Python threads, so that each index has one writer and is set, under the interpreter's lock,
after what it announces; unlike the ring of samples, this one needs no compiled code.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from edgeaudio.types import Frames

__all__ = ["Break", "FrameRing"]

_MAX_BREAKS = 64


class Break(NamedTuple):
    """The stream goes on at ``at_sample``.

    ``lost_samples`` is what found no room in the ring, from ``lost_from`` on; 0 where the loss happened
    before the frontend and was told by whoever noticed it.
    """

    lost_from: int
    lost_samples: int
    at_sample: int


class FrameRing:
    """Feature frames between one writing and one reading thread.

    Parameters
    ----------
    capacity_frames : int
        How many unread frames it can hold.
    n_bands : int
        Length of a frame.
    hop_samples : int
        From the beginning of a frame to that of the next.

    Examples
    --------
    >>> ring = FrameRing(8, n_bands=40, hop_samples=160)
    >>> ring.restart(32_000)
    >>> ring.write(np.ones((6, 40), np.float32)), ring.write(np.ones((6, 40), np.float32))
    (6, 0)
    >>> ring.take_break().at_sample, ring.peek(4).shape
    (32000, (4, 40))
    >>> ring.advance(4)
    >>> ring.position, ring.waiting
    (32640, 2)
    """

    def __init__(self, capacity_frames: int, n_bands: int, hop_samples: int) -> None:
        self._frames = np.zeros((capacity_frames, n_bands), np.float32)
        self._view = self._frames[:]
        self._view.flags.writeable = False
        self._hop = hop_samples
        self._breaks: deque[tuple[int, Break]] = deque()
        self.high_water = 0
        """Most frames that ever waited here."""
        # The writer's:
        self._written = 0
        self._newest = 0
        self._next_sample = 0
        self._pending: Break | None = None
        # The reader's:
        self._read = 0
        self._position = 0

    def write(self, frames: Frames) -> int:
        """Store ``[n, n_bands]`` frames, or lose all of them.

        Returns n, or 0 if the block was lost.
        """
        n, capacity = len(frames), len(self._frames)
        waiting = self._written - self._read + n
        if waiting > capacity or not self._publish():
            self._break_off(n * self._hop, self._next_sample + n * self._hop)
            return 0
        at = self._written % capacity
        head = min(n, capacity - at)
        self._frames[at : at + head] = frames[:head]
        if head < n:
            self._frames[: n - head] = frames[head:]
        self._next_sample += n * self._hop
        self._newest = n
        self._written += n
        self.high_water = max(self.high_water, waiting)
        return n

    def restart(self, at_sample: int) -> None:
        """Say that the next frame begins at the absolute sample `at_sample`, behind a loss."""
        self._break_off(0, at_sample)
        self._publish()

    def close(self) -> None:
        """Say how much was lost at the very end; nothing is written afterwards."""
        self._publish(_MAX_BREAKS + 1)

    @property
    def waiting(self) -> int:
        """Frames that were not yet read."""
        return self._written - self._read

    @property
    def late(self) -> int:
        """Frames that already waited when the newest block came: how far the reader is behind."""
        return max(0, self._written - self._read - self._newest)

    @property
    def position(self) -> int:
        """Absolute sample at which the next frame to be read begins."""
        return self._position

    def take_break(self) -> Break | None:
        """Pass the break at the read position, if there is one."""
        if not self._breaks or self._breaks[0][0] != self._read:
            return None
        passed = self._breaks.popleft()[1]
        self._position = passed.at_sample
        return passed

    def peek(self, n: int) -> Frames:
        """Lend at most `n` frames: fewer before a break, at the ring's end, or if no more are there."""
        # In this order: a break is entered before the frames behind it are announced.
        end = self._written
        if self._breaks:
            end = min(end, self._breaks[0][0])
        at = self._read % len(self._frames)
        return self._view[at : at + min(n, end - self._read)]

    def advance(self, n: int) -> None:
        """Give back the `n` oldest frames; every view of them ends here."""
        self._position += n * self._hop
        self._read += n

    def _break_off(self, lost_samples: int, at_sample: int) -> None:
        """Remember a break, and what is lost at it, until it can be told."""
        pending = self._pending or Break(self._next_sample, 0, at_sample)
        if pending.lost_samples == 0:
            pending = pending._replace(lost_from=self._next_sample)
        total = pending.lost_samples + lost_samples
        self._pending = pending._replace(lost_samples=total, at_sample=at_sample)
        self._next_sample = at_sample

    def _publish(self, most: int = _MAX_BREAKS) -> bool:
        """Tell the reader of the pending break; False while too many are untold."""
        if self._pending is not None:
            if len(self._breaks) >= most:
                return False
            self._breaks.append((self._written, self._pending))
            self._pending = None
        return True
