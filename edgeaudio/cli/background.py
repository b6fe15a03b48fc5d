"""What happens beside the main thread: signals, and things that are due again and again."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["HangUps", "StopSignals", "Ticker"]


class StopSignals:
    """The first SIGINT, SIGTERM or SIGHUP asks for a clean end, a second one ends the process at once.

    The handler itself only notes the signal: it may interrupt the main thread anywhere, also while
    that holds a lock that a clean end needs. A thread of its own calls what stops the work.

    Parameters
    ----------
    hang_up : bool
        Whether SIGHUP is one of them.
    """

    # timeout(1) signals its child and then the group that the child is in: two signals, one wish.
    _ONE_WISH_S = 0.3

    def __init__(self, *, hang_up: bool = True) -> None:
        self._hang_up = hang_up
        self.received: int | None = None
        self.on_second: Callable[[], None] | None = None
        """Called from the handler before a second signal ends the process."""
        self._at = 0.0
        self._watcher: threading.Thread | None = None
        self._notes: queue.SimpleQueue[int | None] = queue.SimpleQueue()  # put() is reentrant

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch the signals inside the with block; afterwards they do what they did before."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if self._hang_up and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup wants it to live on
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._watcher is not None:
                self._notes.put(None)
                self._watcher.join()

    def watch(self, stop: Callable[[], None]) -> None:
        """Call `stop` from another thread when a signal comes, or has come already."""

        def wait() -> None:
            if self._notes.get() is not None:
                stop()

        self._watcher = threading.Thread(target=wait, name="edgeaudio-signals", daemon=True)
        self._watcher.start()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is None:
            self.received, self._at = number, now
            self._notes.put(number)
        elif now - self._at > self._ONE_WISH_S:
            if self.on_second is not None:
                self.on_second()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


class HangUps:
    """Calls a function for each SIGHUP, one after the other, in a thread of its own.

    Signals that come while it runs are one: whatever they are about, it is looked at once more.
    """

    def __init__(self) -> None:
        self._came = False
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()  # put() is reentrant
        self._thread: threading.Thread | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch the signal inside the with block; what comes before `watch` waits for it."""
        before = signal.signal(signal.SIGHUP, self._note)
        try:
            yield
        finally:
            self.close()
            signal.signal(signal.SIGHUP, before)

    def watch(self, call: Callable[[], None]) -> None:
        """Call `call` for each signal from now on."""

        def wait() -> None:
            while self._wake.get():
                self._came = False
                call()

        self._thread = threading.Thread(target=wait, name="edgeaudio-reload", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call no more; a call under way has ended when this returns."""
        if self._thread is not None:
            self._wake.put(False)
            self._thread.join()
            self._thread = None

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if not self._came:
            self._came = True
            self._wake.put(True)


class Ticker:
    """Calls a function again and again from a thread of its own, until it is closed."""

    def __init__(self, period_s: float, call: Callable[[], None]) -> None:
        self._period_s = period_s
        self._call = call
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgeaudio-ticker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop calling; the last call has returned when this returns."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self._period_s):
            self._call()
