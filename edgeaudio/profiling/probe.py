"""Time stamps around the parts of a running engine.

A part is watched by replacing one method of one object by a closure that reads the clock before and after.
Nothing else changes, and an engine that nobody watches has no probe in its way.

A stamp is ``time.monotonic_ns``, the clock that sources capture by. All parts of one thread append theirs
to one list, which another thread empties into a table now and then: after 80 ms of silence most of a probe's
code and data are no longer in the processor's caches, so that the least of both is the quickest. Storing in
arrays, or in a queue for each part, took twice as long.
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
    "Log",
    "now_ns",
    "timed",
    "watch",
    "watch_decisions",
    "watch_restarts",
    "watch_shedding",
    "watch_source",
]

now_ns = time.monotonic_ns


class Log:
    """When each pass of each part began and ended, in nanoseconds of `time.monotonic_ns`.

    One thread writes, another collects. A pass that has not ended, or failed, is not in it.

    Parameters
    ----------
    capacity : int
        Passes for which there is room from the beginning. More make the table grow.
    """

    _WIDTH = 3

    def __init__(self, capacity: int) -> None:
        self.fresh: list[int] = []
        """What was not collected yet: begin, end and part of a pass, one after the other."""
        self._table: NDArray[np.int64] = np.zeros((capacity, self._WIDTH), np.int64)
        self._n = 0

    def add(self, begin: int, end: int, part: int) -> None:
        """Note a pass."""
        self.fresh += (begin, end, part)

    def collect(self) -> None:
        """Move all whole passes to the table; in one thread at a time."""
        n = len(self.fresh) // self._WIDTH
        if not n:
            return
        # Each of these is one step for the interpreter, and the writer only appends.
        rows = np.array(self.fresh[: n * self._WIDTH], np.int64).reshape(n, self._WIDTH)
        del self.fresh[: n * self._WIDTH]
        if self._n + n > len(self._table):
            room = np.zeros((self._n + n, self._WIDTH), np.int64)
            self._table = np.concatenate((self._table[: self._n], room))
        self._table[self._n : self._n + n] = rows
        self._n += n

    def passes(self, part: int) -> NDArray[np.int64]:
        """Return begin and end of what was collected of a part, ``[n, 2]``, in order of time."""
        table = self._table[: self._n]
        return _in_order(table[table[:, 2] == part, :2])

    def waits(self) -> NDArray[np.int64]:
        """Return begin, end and result of the waits that were collected, ``[n, 3]``, in order of time."""
        table = self._table[: self._n]
        waits = _in_order(table[table[:, 2] < 0])
        waits[:, 2] = ~waits[:, 2]
        return waits


def _in_order(passes: NDArray[np.int64]) -> NDArray[np.int64]:
    return passes[np.argsort(passes[:, 0], kind="stable")]


def watch(owner: Any, method: str, log: Log, part: int) -> Callable[[], None]:
    """Time each call of one method of one object; return what ends it."""
    return _put_in(owner, method, timed(getattr(owner, method), log, part))


def timed(call: Callable[[Any], Any], log: Log, part: int) -> Callable[[Any], Any]:
    """Return `call`, of one argument, with a stamp before and behind it. `part` is not negative."""
    fresh, now = log.fresh, now_ns

    def call_timed(argument: Any) -> Any:
        begin = now()
        result = call(argument)
        end = now()
        fresh.append(begin)
        fresh.append(end)
        fresh.append(part)
        return result

    return call_timed


def watch_source(source: Source, log: Log, alarm: Callable[[int], int]) -> Callable[[], None]:
    """Time each wait of a source, and note how many samples it found; return what ends it.

    Parameters
    ----------
    source : Source
        Not started yet.
    log : Log
        Of the engine's thread.
    alarm : callable
        Called in that thread with the time in nanoseconds when that is due; returns when it is due next. It
        is due at first when the first wait ends.
    """
    call, fresh, now = source.wait, log.fresh, now_ns
    due = 0

    def wait(n_samples: int, timeout_s: float) -> int:
        nonlocal due
        begin = now()
        available = call(n_samples, timeout_s)
        end = now()
        fresh.append(begin)
        fresh.append(end)
        fresh.append(~available)  # negative: parts are not
        if end >= due:
            due = alarm(end)
        return available

    return _put_in(source, "wait", wait)


def watch_restarts(listener: Listener, restarts: list[tuple[int, int]]) -> Callable[[], None]:
    """Note when audio was lost, and with which sample it went on: ``(nanoseconds, sample)``."""
    call = listener.restart

    def restart(at_sample: int, events: list[Event]) -> None:
        restarts.append((now_ns(), at_sample))
        call(at_sample, events)

    return _put_in(listener, "restart", restart)


def watch_decisions(listener: Listener, decided_ns: dict[int, int]) -> Callable[[], None]:
    """Note by its `id` when each event was complete, before it sets out to the caller."""
    call = listener.complete

    def complete(event: Event) -> Event:
        done = call(event)
        decided_ns[id(done)] = now_ns()
        return done

    return _put_in(listener, "complete", complete)


def watch_shedding(task: Any, levels: list[tuple[int, int]]) -> Callable[[], None]:
    """Note when a task is told to save work, and how much: ``(nanoseconds, level)``."""
    call = task.shed

    def shed(level: int) -> None:
        levels.append((now_ns(), level))
        call(level)

    return _put_in(task, "shed", shed)


def _put_in(owner: Any, method: str, call: Callable[..., Any]) -> Callable[[], None]:
    """Have `call` stand for a method of one object; return what takes it out again."""
    own = vars(owner)
    before = own.get(method)

    def take_out() -> None:
        if before is None:
            delattr(owner, method)
        else:  # somebody had put something in already
            setattr(owner, method, before)

    setattr(owner, method, call)
    return take_out
