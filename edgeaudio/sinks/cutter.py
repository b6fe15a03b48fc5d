"""Cuts what was heard around an event out of the audio, and hands it to a thread that keeps it.

So a slow disk never holds up the engine, and neither does a cutting that waits for its last samples hold up
the events after it.
"""

from __future__ import annotations

import logging
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from edgeaudio.events import Event
from edgeaudio.history import History
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["Cutter", "Tape"]

_LOG = logging.getLogger(__name__)
_QUEUED = 16
_SLACK_S = 5.0
"""The longest a word can be, and how late the news of it may come."""


class Tape(History):
    """A history that says how far it has got: after each block, and before a loss.

    A long loss leaves nothing in the history of the word before it.

    Parameters
    ----------
    around_s : float
        The most that somebody cuts out before and after a word together.
    """

    def __init__(self, around_s: float) -> None:
        super().__init__(round((around_s + _SLACK_S) * SAMPLE_RATE_HZ))
        self._watchers: list[Callable[[int], None]] = []

    def watch(self, heard: Callable[[int], None]) -> None:
        """Call `heard` with the number of samples that have gone through."""
        self._watchers.append(heard)

    def append(self, block: Samples, start_sample: int) -> None:
        """Keep a block, see `History.append`, and tell the watchers."""
        if start_sample > self.end_sample:
            self._tell(start_sample)
        super().append(block, start_sample)
        self._tell(self.end_sample)

    def _tell(self, heard_samples: int) -> None:
        for heard in self._watchers:
            heard(heard_samples)


class Cutter(ABC):
    """A sink that keeps the audio around events: `span` says of which and how much, `keep` does it.

    `emit` notes an event; once all of its audio has gone through the tape it is copied out and handed to a
    thread, which calls `keep`. What cannot be kept is counted, and said once a kind.

    Parameters
    ----------
    tape : Tape
        What the engine feeds with all audio.
    folder : Path
        Where it is kept, for messages.
    things : str
        What is kept there, in the plural.
    wait : bool, optional
        Wait for a slow disk rather than leave something out: for files, where nothing is lost by waiting.
    idle_s : float, optional
        Call `rest` whenever nothing was to be kept for so long.

    Attributes
    ----------
    history : Tape
        What the engine must feed with all audio.
    saved, failed : int
        How much was kept, and could not be.
    """

    def __init__(
        self, tape: Tape, folder: Path, things: str, *, wait: bool = False, idle_s: float | None = None
    ) -> None:
        self.history = tape
        self.saved = 0
        self.failed = 0
        self._folder = folder
        self._things = things
        self._wait = wait
        self._idle_s = idle_s
        self._pending: list[tuple[Event, tuple[int, int], datetime]] = []
        self._lock = threading.Lock()
        self._last_error: int | None = None
        self._queue: queue.Queue[tuple[Event, datetime, Samples] | None] = queue.Queue(_QUEUED)
        self._closed = False
        tape.watch(self._collect)
        self._worker = threading.Thread(target=self._work, name=f"edgeaudio-{things}", daemon=True)
        self._worker.start()

    @abstractmethod
    def span(self, event: Event) -> tuple[int, int] | None:
        """Return the first sample to be kept and the one behind the last, or None for nothing."""

    @abstractmethod
    def keep(self, event: Event, at: datetime, samples: Samples) -> None:
        """Keep what was cut out around an event that was told at `at`; in the thread. May raise OSError."""

    def rest(self) -> None:  # noqa: B027 - most have nothing to do
        """Do what is due from time to time; in the thread. May raise OSError."""

    def emit(self, event: Event) -> None:
        """Note an event; those without a span are passed over."""
        span = self.span(event)
        if span is not None:
            with self._lock:
                self._pending.append((event, span, datetime.now(timezone.utc)))

    def restart(self) -> None:
        """Keep what is there of what is still open: the next block begins another recording, at sample 0."""
        self._collect(None)
        self.history.reset()

    def close(self) -> None:
        """Keep what is there of what is still open and wait until all is done."""
        if self._closed:
            return
        self._closed = True
        self._wait = True
        self._collect(None)
        self._queue.put(None)
        self._worker.join()

    def fact(self) -> tuple[str, str]:
        """Say for the summary how many there are."""
        failed = f", {self.failed} not" if self.failed else ""
        return self._things, f"{self.saved} saved{failed}"

    def _collect(self, heard_samples: int | None) -> None:
        """Take what ends within `heard_samples`, or all, out of the history."""
        if not self._pending:
            return
        with self._lock:
            waiting = self._pending
            self._pending = [
                item for item in waiting if heard_samples is not None and item[1][1] > heard_samples
            ]
            due = [item for item in waiting if heard_samples is None or item[1][1] <= heard_samples]
        for event, (start, end), at in due:
            samples = self.history.read(max(start, 0), end)
            if not len(samples):
                self._leave_out("its audio was gone already")
                continue
            try:
                self._queue.put((event, at, samples), block=self._wait)
            except queue.Full:
                self._leave_out("the disk is too slow")

    def _work(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=self._idle_s)
            except queue.Empty:
                self._try(self.rest)
                continue
            if item is None:
                return
            if self._try(lambda item=item: self.keep(*item)):  # type: ignore[misc]
                self.saved += 1
                if self._last_error is not None:
                    self._last_error = None
                    _LOG.warning("%s are being saved again in %s", self._things, self._folder)
            else:
                self.failed += 1

    def _try(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except OSError as error:
            if error.errno != self._last_error:
                self._last_error = error.errno
                _LOG.warning(
                    "%s cannot be saved in %s: %s (listening goes on; said once)",
                    self._things,
                    self._folder,
                    error.strerror,
                )
            return False
        return True

    def _leave_out(self, why: str) -> None:
        self.failed += 1
        _LOG.warning("one of the %s was left out: %s", self._things, why)
