"""The calm line on a terminal: level, last detection, and what went wrong.

Plain ANSI: a carriage return, the text, "erase to the end of the line". A line is written in one
piece and only when it changed, so nothing flickers; whoever calls `draw` decides how often.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from typing import TextIO

from edgeaudio.events import Event
from edgeaudio.sinks import Sink
from edgeaudio.sinks.status import Status

__all__ = ["LiveLine"]

_ERASE = "\r\x1b[K"


class LiveLine:
    """Draws one line that stays at the bottom; what is printed meanwhile goes above it.

    Parameters
    ----------
    stream : TextIO
        The terminal.
    above : Sink, optional
        Prints events; the line steps aside while it does.
    width : callable, optional
        Columns of the terminal right now.
    clock : callable, optional
        Monotonic seconds.
    models : bool
        Say which model has heard a word.
    """

    def __init__(
        self,
        stream: TextIO,
        above: Sink | None = None,
        *,
        width: Callable[[], int] = lambda: shutil.get_terminal_size().columns,
        clock: Callable[[], float] = time.monotonic,
        models: bool = False,
    ) -> None:
        self._stream = stream
        self._above = above
        self._width = width
        self._status = Status(stream, clock, models=models)
        self._lock = threading.RLock()
        self._shown = ""

    def emit(self, event: Event) -> None:
        """Print the event above the line and remember it for the next drawing."""
        with self._lock:
            self._status.note(event)
            self._erase()
            if self._above is not None:
                self._above.emit(event)

    def write(self, text: str) -> int:
        """Write text such as a log record above the line."""
        with self._lock:
            self._erase()
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush the terminal."""
        self._stream.flush()

    def draw(self, level_dbfs: float, heard_s: float) -> None:
        """Draw the line anew if it looks different now."""
        with self._lock:
            text = self._status.text(level_dbfs, heard_s, self._width())
            if text != self._shown:
                self._stream.write(f"\r{text}\x1b[K")
                self._stream.flush()
                self._shown = text

    def close(self) -> None:
        """Take the line away; idempotent."""
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._shown:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._shown = ""
