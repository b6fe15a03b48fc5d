"""Captions that grow on a terminal: committed words solid, the tentative tail dim.

Only the end of the text can still change, so only that is ever drawn again: a row that is full of
committed words is left to the terminal and its scroll-back. Each change is written in one piece and
begins at the first row that differs, so nothing flickers.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import NamedTuple, TextIO

from edgeaudio.events import Caption, Event
from edgeaudio.sinks.lines import describe, printable
from edgeaudio.sinks.status import Status

__all__ = ["LiveCaptions"]

_DIM, _PLAIN = "\x1b[2m", "\x1b[22m"
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"


class _Row(NamedTuple):
    text: str
    n_columns: int
    n_committed: int
    """Committed words in it."""


class LiveCaptions:
    """Draws the running caption and a status line at the bottom; what was said scrolls away above.

    Parameters
    ----------
    stream : TextIO
        The terminal.
    status : bool, optional
        Draw the status line; leave it out where nobody watches.
    size : callable, optional
        Columns and rows of the terminal right now.
    clock : callable, optional
        Monotonic seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        status: bool = True,
        size: Callable[[], tuple[int, int]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._size = size or (lambda: _size_of(stream))
        self._status = Status(stream, clock)
        self._shows_status = status
        self._status_text = ""
        self._lock = threading.RLock()
        self._caption: Caption | None = None
        self._n_above = 0
        """Words of the running caption in rows that are not drawn any more."""
        self._shown: list[_Row] = []
        self._drawn_columns = 0

    def emit(self, event: Event) -> None:
        """Draw what is new in a caption; tell of trouble in a line above it."""
        with self._lock:
            self._status.note(event)
            if not isinstance(event, Caption):
                self._draw([self._row(describe(event))], self._caption_rows())
                return
            if self._caption is None or event.caption_id != self._caption.caption_id:
                self._n_above = 0
            self._caption = event
            rows = self._caption_rows()
            n_done = len(rows) if event.final else _n_settled(rows, len(event.words) - self._n_above)
            self._n_above += sum(row.n_committed for row in rows[:n_done])
            if event.final:
                self._caption = None
            self._draw(rows[:n_done], rows[n_done:])

    def draw(self, level_dbfs: float, heard_s: float) -> None:
        """Bring the status line up to date, and everything after a change of the terminal's size."""
        with self._lock:
            if self._shows_status:
                self._status_text = self._status.text(level_dbfs, heard_s, self._size()[0])
            self._draw([], self._caption_rows())

    def write(self, text: str) -> int:
        """Write text such as a log record above the running caption."""
        with self._lock:
            lines = text.split("\n")
            whole, rest = lines[:-1], lines[-1]
            done = [self._row(line) for line in whole + ([rest] if rest else [])]
            if done:
                self._draw(done, self._caption_rows())
            return len(text)

    def flush(self) -> None:
        """Flush the terminal."""
        self._stream.flush()

    def close(self) -> None:
        """Leave the text and take the status line away; idempotent."""
        with self._lock:
            if self._shown:
                self._status_text = ""
                self._draw(self._caption_rows(), [])
                self._shown = []

    def _caption_rows(self) -> list[_Row]:
        """Break what is still drawn of the running caption into rows."""
        if self._caption is None:
            return []
        columns = max(self._size()[0] - 1, 1)
        committed = [self._safe(word.text) for word in self._caption.words[self._n_above :]]
        return _wrap(committed, self._safe(self._caption.tentative).split(), columns)

    def _row(self, text: str) -> _Row:
        text = self._safe(text)
        return _Row(text, _columns(text), 0)

    def _safe(self, text: str) -> str:
        """Replace what would steer the terminal, or what it cannot show."""
        encoding = self._stream.encoding or "ascii"
        return printable(text).encode(encoding, "replace").decode(encoding)

    def _draw(self, done: list[_Row], rows: list[_Row]) -> None:
        """Show `done`, which is left alone from now on, then `rows` and the status line."""
        columns, height = self._size()
        status = self._row(self._status_text)
        # What is taller than the screen cannot be reached again: its beginning is left out.
        rows = [*done, *[*rows, status][-max(height - 1, 1) :]]
        resized = columns != self._drawn_columns
        if rows != self._shown or resized:
            first = 0 if resized else _n_same(self._shown, rows)
            out = self._to_row(first, columns) + f"{_ERASE_LINE}\n".join(row.text for row in rows[first:])
            self._stream.write(f"{out}{_ERASE_BELOW}")
            self._stream.flush()
        self._shown = rows[len(done) :]
        self._drawn_columns = columns

    def _to_row(self, first: int, columns: int) -> str:
        """Move to the beginning of a row that is shown, from the end of the last one."""
        # Terminals that have become narrower have broken our rows anew.
        below = [1 + max(row.n_columns - 1, 0) // max(columns, 1) for row in self._shown[first:]]
        n_up = sum(below) - 1
        return f"\r\x1b[{n_up}A" if n_up > 0 else "\r"


def _n_settled(rows: list[_Row], n_committed: int) -> int:
    """How many rows cannot change any more: those full of committed words, with another behind them."""
    n_words = n_rows = 0
    for row in rows:
        n_words += row.n_committed
        if n_words >= n_committed:
            break
        n_rows += 1
    return n_rows


def _n_same(shown: list[_Row], rows: list[_Row]) -> int:
    """How many rows stay as they are; the last one is always drawn, to leave the cursor behind it."""
    most = max(min(len(shown), len(rows)) - 1, 0)
    return next((i for i in range(most) if shown[i] != rows[i]), most)


def _wrap(committed: list[str], tentative: list[str], columns: int) -> list[_Row]:
    """Break words into rows of at most `columns`, the tentative ones dim."""
    rows: list[_Row] = []
    words: list[tuple[str, bool]] = []
    used = 0
    for word, solid in [*((word, True) for word in committed), *((word, False) for word in tentative)]:
        n = _columns(word)
        if words and used + 1 + n > columns:
            rows.append(_styled(words, used))
            words, used = [], 0
        # A word that is longer than a row is cut off rather than broken.
        short = word if n <= columns else word[:columns]
        used += _columns(short) + bool(words)
        words.append((short, solid))
    if words:
        rows.append(_styled(words, used))
    return rows


def _styled(words: list[tuple[str, bool]], n_columns: int) -> _Row:
    solid = [word for word, is_solid in words if is_solid]
    dim = [word for word, is_solid in words if not is_solid]
    tail = f"{_DIM}{' '.join(dim)}{_PLAIN}" if dim else ""
    return _Row(" ".join([*solid, tail] if tail else solid), n_columns, len(solid))


def _columns(text: str) -> int:
    """How many columns a text takes: East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)


def _size_of(stream: TextIO) -> tuple[int, int]:
    """Return columns and rows of a terminal, as it tells them now."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        size = os.terminal_size((0, 0))
    if size.columns > 0 and size.lines > 0:
        return size.columns, size.lines
    columns, lines = shutil.get_terminal_size()
    return columns, lines
