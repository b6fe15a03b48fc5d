"""Time stamps around the parts of a running engine.

A part is watched by replacing one method of one object by a closure that reads the clock before and after.
Nothing else changes, and an engine that nobody watches has no probe in its way.

A stamp is ``time.monotonic_ns``, the clock that sources capture by, stored in an array that was there before.
Each array has one writer: the thread in which its part runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgeaudio.events import Event
    from edgeaudio.listener import Listener
    from edgeaudio.sources import Source

__all__ = [
    "Stamps",
    "WaitStamps",
    "now_ns",
    "timed",
    "watch",
    "watch_decisions",
    "watch_shedding",
    "watch_source",
]

now_ns = time.monotonic_ns
_NS = 1_000_000_000


class Stamps:
    """When each pass of one part began and ended, in nanoseconds of `time.monotonic_ns`.

    Parameters
    ----------
    capacity : int
        Passes that are kept, rounded up to a power of two. Later ones take the place of the oldest.
    """

    width = 2

    def __init__(self, capacity: int) -> None:
        rows = 1 << max(0, capacity - 1).bit_length()
        self.table: NDArray[np.int64] = np.zeros((rows, self.width), np.int64)
        # Storing in a memoryview takes half the time of storing in an array.
        self.words: memoryview = self.table.reshape(-1).data
        self.mask = self.table.size - 1
        self._at = 0

    def add(self, begin: int, end: int) -> None:
        """Note a pass; for what happens too rarely to be worth a closure."""
        self.words[self._at] = begin
        self.words[self._at + 1] = end
        self._at = (self._at + self.width) & self.mask

    def passes(self) -> NDArray[np.int64]:
        """Return the passes that have ended, in order of time, ``[n, width]``."""
        ended = self.table[:, 1] >= np.maximum(self.table[:, 0], 1)
        passes: NDArray[np.int64] = self.table[ended]
        return passes[np.argsort(passes[:, 0], kind="stable")]


class WaitStamps(Stamps):
    """Waits for a block, and what was found then.

    Columns: begin, end, samples of the block (0 if nothing came), and when the newest of them was captured,
    in nanoseconds.
    """

    width = 4
    BEGIN, END, BLOCK, CAPTURED = range(4)


def watch(owner: Any, method: str, stamps: Stamps) -> Callable[[], None]:
    """Time each call of one method of one object; return what ends it."""
    setattr(owner, method, timed(getattr(owner, method), stamps))
    return lambda: delattr(owner, method)


def timed(call: Callable[[Any], Any], stamps: Stamps) -> Callable[[Any], Any]:
    """Return `call`, of one argument, with a stamp before and behind it."""
    words, mask, now = stamps.words, stamps.mask, now_ns
    at = 0

    def call_timed(argument: Any) -> Any:
        nonlocal at
        words[at] = now()
        result = call(argument)
        words[at + 1] = now()
        at = (at + 2) & mask
        return result

    return call_timed


def watch_source(source: Source, stamps: WaitStamps, alarm: Callable[[int], int]) -> Callable[[], None]:
    """Time each wait of a source; return what ends it.

    Parameters
    ----------
    source : Source
        Not started yet.
    stamps : WaitStamps
        Gets a row for each wait.
    alarm : callable
        Called in the engine's thread with the time in nanoseconds when that is due; returns when it is due
        next. It is due at first when the first wait ends.
    """
    call, ring, captured_at = source.wait, source.ring, source.captured_at
    words, mask, now = stamps.words, stamps.mask, now_ns
    at = due = 0

    def wait(n_samples: int, timeout_s: float) -> int:
        nonlocal at, due
        words[at] = now()
        available = call(n_samples, timeout_s)
        words[at + 2] = n = min(available, n_samples)
        words[at + 3] = int(captured_at(ring.position + n - 1) * _NS)
        # Last: a row counts when it has an end, and the time that the above took is no time of the engine.
        words[at + 1] = end = now()
        at = (at + 4) & mask
        if end >= due:
            due = alarm(end)
        return available

    setattr(source, "wait", wait)  # noqa: B010 - to a checker, an assignment would change the class
    return lambda: delattr(source, "wait")


def watch_decisions(listener: Listener, decided_ns: dict[int, int]) -> Callable[[], None]:
    """Note by its `id` when each event was complete, before it sets out to the caller."""
    call = listener.complete

    def complete(event: Event) -> Event:
        done = call(event)
        decided_ns[id(done)] = now_ns()
        return done

    setattr(listener, "complete", complete)  # noqa: B010 - as above
    return lambda: delattr(listener, "complete")


def watch_shedding(task: Any, levels: list[tuple[int, int]]) -> Callable[[], None]:
    """Note when a task is told to save work, and how much: ``(nanoseconds, level)``."""
    call = task.shed

    def shed(level: int) -> None:
        levels.append((now_ns(), level))
        call(level)

    task.shed = shed
    return lambda: delattr(task, "shed")
