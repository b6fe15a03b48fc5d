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

from edgeaudio.events import (
    Clipping,
    Detection,
    DeviceLost,
    DeviceRestored,
    DigitalSilence,
    Event,
    Gap,
)
from edgeaudio.sinks import Sink
from edgeaudio.sinks.lines import printable

__all__ = ["LiveLine"]

_ERASE = "\r\x1b[K"
_FLOOR_DBFS = -60.0
_WARNING_AGE_S = 10.0


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
    """

    def __init__(
        self,
        stream: TextIO,
        above: Sink | None = None,
        *,
        width: Callable[[], int] = lambda: shutil.get_terminal_size().columns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._above = above
        self._width = width
        self._clock = clock
        self._lock = threading.RLock()
        self._shown = ""
        self._last: tuple[Detection, float] | None = None
        self._lost_s = 0.0
        self._warning: tuple[str, float] | None = None
        self._lasting_warning = ""
        self._blocks = "▏▎▍▌▋▊▉█" if _speaks(stream, "▏▎▍▌▋▊▉█") else "#"

    def emit(self, event: Event) -> None:
        """Print the event above the line and remember it for the next drawing."""
        with self._lock:
            self._note(event)
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
            text = self._text(level_dbfs, heard_s, self._width())
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

    def _note(self, event: Event) -> None:
        now = self._clock()
        if isinstance(event, Detection):
            self._last = (event, now)
        elif isinstance(event, Gap):
            self._lost_s += event.n_samples / event.sample_rate_hz
            self._warning = (f"lost audio, {self._lost_s:.1f} s in all", now)
        elif isinstance(event, Clipping):
            self._warning = ("clipping", now)
        elif isinstance(event, DeviceLost):
            self._lasting_warning = "microphone gone, trying again"
        elif isinstance(event, DeviceRestored) or (isinstance(event, DigitalSilence) and event.ended):
            self._lasting_warning = ""
        else:
            self._lasting_warning = "digital silence: muted?"

    def _text(self, level_dbfs: float, heard_s: float, width: int) -> str:
        """Put the parts together, the most telling first, as many as fit."""
        now = self._clock()
        level = f"{level_dbfs:4.0f} dBFS"
        warning = self._lasting_warning
        if not warning and self._warning and now - self._warning[1] < _WARNING_AGE_S:
            warning = self._warning[0]
        parts = [f"! {warning}"] if warning else []
        if self._last:
            event, at = self._last
            parts.append(f"{printable(event.name)} {event.score:.2f}, {_age(now - at)} ago")
        else:
            parts.append(f"listening {_age(heard_s)}")
        text = "  ".join([level, *parts])
        # One column stays free: a character in the last one makes some terminals wrap.
        bar_columns = min(20, width - 1 - len(text) - 2)
        if bar_columns >= 4:
            return f"{self._bar(level_dbfs, bar_columns)}  {text}"
        return text[: max(width - 1, 0)]

    def _bar(self, level_dbfs: float, columns: int) -> str:
        steps = len(self._blocks)
        filled = round(columns * steps * min(max(1 - level_dbfs / _FLOOR_DBFS, 0.0), 1.0))
        whole, part = divmod(filled, steps)
        bar = self._blocks[-1] * whole + (self._blocks[part - 1] if part else "")
        return bar.ljust(columns, "·" if steps > 1 else ".")


def _age(seconds: float) -> str:
    """Coarse on purpose: a number that changes with every drawing is not calm."""
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds / 60)} min"
    return f"{int(seconds / 3600)} h"


def _speaks(stream: TextIO, characters: str) -> bool:
    try:
        characters.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
