"""Time stamps around the parts of a running engine.

A part is watched by replacing one method of one object by a closure that reads the clock before and after.
Nothing else changes, and an engine that nobody watches has no probe in its way.

A stamp is ``time.monotonic_ns``, the clock that sources capture by, put into a queue that another thread
empties into a table: after 80 ms of silence most of a probe's code and data are no longer in the processor's
caches, so that the least of both is the quickest. Storing in an array by index took three times as long.
"""

from __future__ import annotations

import time
from collections import deque
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
    "watch_restarts",
    "watch_shedding",
    "watch_source",
]

now_ns = time.monotonic_ns


class Stamps:
    """When each pass of one part began and ended, in nanoseconds of `time.monotonic_ns`.

    One thread puts numbers in, another collects them; a pass that has begun and not ended stays behind.

    Parameters
    ----------
    capacity : int
        Passes for which there is room from the beginning. More make the table grow.
    """

    width = 2
    BEGIN, END = 0, 1

    def __init__(self, capacity: int) -> None:
        self._fresh: deque[int] = deque()
        self.put = self._fresh.append
        """Takes the next number of a pass: it has `width` of them."""
        self._table: NDArray[np.int64] = np.zeros((capacity, self.width), np.int64)
        self._n = 0

    def collect(self) -> None:
        """Move all whole passes to the table; in one thread at a time."""
        n = len(self._fresh) // self.width
        if not n:
            return
        take = self._fresh.popleft
        rows = np.array([take() for _ in range(n * self.width)], np.int64).reshape(n, self.width)
        if self._n + n > len(self._table):
            room = np.zeros((self._n + n, self.width), np.int64)
            self._table = np.concatenate((self._table[: self._n], room))
        self._table[self._n : self._n + n] = rows
        self._n += n

    def passes(self) -> NDArray[np.int64]:
        """Return what was collected, ``[n, width]``, in order of time."""
        table: NDArray[np.int64] = self._table[: self._n]
        return table[np.argsort(table[:, self.BEGIN], kind="stable")]


class WaitStamps(Stamps):
    """Waits for a block: also how many samples could be read then, and how many were wanted."""

    width = 4
    BEGIN, AVAILABLE, WANTED, END = range(4)


def watch(owner: Any, method: str, stamps: Stamps) -> Callable[[], None]:
    """Time each call of one method of one object; return what ends it."""
    setattr(owner, method, timed(getattr(owner, method), stamps))
    return lambda: delattr(owner, method)


def timed(call: Callable[[Any], Any], stamps: Stamps) -> Callable[[Any], Any]:
    """Return `call`, of one argument, with a stamp before and behind it."""
    put, now = stamps.put, now_ns

    def call_timed(argument: Any) -> Any:
        put(now())
        result = call(argument)
        put(now())
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
    call, put, now = source.wait, stamps.put, now_ns
    due = 0

    def wait(n_samples: int, timeout_s: float) -> int:
        nonlocal due
        put(now())
        available = call(n_samples, timeout_s)
        put(available)
        put(n_samples)
        end = now()
        put(end)
        if end >= due:
            due = alarm(end)
        return available

    setattr(source, "wait", wait)  # noqa: B010 - to a checker, an assignment would change the class
    return lambda: delattr(source, "wait")


def watch_restarts(listener: Listener, restarts: list[tuple[int, int]]) -> Callable[[], None]:
    """Note when audio was lost, and with which sample it went on: ``(nanoseconds, sample)``."""
    call = listener.restart

    def restart(at_sample: int, events: list[Event]) -> None:
        restarts.append((now_ns(), at_sample))
        call(at_sample, events)

    setattr(listener, "restart", restart)  # noqa: B010 - as above
    return lambda: delattr(listener, "restart")


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
