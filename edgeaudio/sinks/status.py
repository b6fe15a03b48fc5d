"""The line that says how listening goes: level, what was heard last, and what is wrong."""

from __future__ import annotations

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
    SoundEvent,
    SoundStart,
    SpeakerTurn,
    SpeechEnd,
    SpeechStart,
)
from edgeaudio.sinks.lines import printable

__all__ = ["Status", "speaks"]

_FLOOR_DBFS = -60.0
_WARNING_AGE_S = 10.0
_Heard = Detection | SoundStart | SoundEvent | SpeechStart | SpeechEnd | SpeakerTurn


class Status:
    """Remembers what its line has to tell, and puts it into words.

    Parameters
    ----------
    stream : TextIO
        The terminal; one that knows no block characters gets ASCII.
    clock : callable, optional
        Monotonic seconds.
    models : bool
        Say which model has heard a word.
    """

    def __init__(
        self, stream: TextIO, clock: Callable[[], float] = time.monotonic, *, models: bool = False
    ) -> None:
        self._clock = clock
        self._models = models
        self._last: tuple[_Heard, float] | None = None
        self._lost_s = 0.0
        self._warning: tuple[str, float] | None = None
        self._lasting_warning = ""
        self._blocks = "▏▎▍▌▋▊▉█" if speaks(stream, "▏▎▍▌▋▊▉█") else "#"

    def note(self, event: Event) -> None:
        """Remember an event."""
        now = self._clock()
        if isinstance(event, _Heard):
            self._last = (event, now)
        elif isinstance(event, Gap) and event.cause != "paused":
            self._lost_s += event.n_samples / event.sample_rate_hz
            self._warning = (f"lost audio, {self._lost_s:.1f} s in all", now)
        elif isinstance(event, Clipping):
            self._warning = ("clipping", now)
        elif isinstance(event, DeviceLost):
            self._lasting_warning = "microphone gone, trying again"
        elif isinstance(event, DeviceRestored) or (isinstance(event, DigitalSilence) and event.ended):
            self._lasting_warning = ""
        elif isinstance(event, DigitalSilence):
            self._lasting_warning = "digital silence: muted?"

    def text(self, level_dbfs: float, heard_s: float, width: int) -> str:
        """Put the parts together, the most telling first, as many as fit into `width` columns."""
        now = self._clock()
        level = f"{level_dbfs:4.0f} dBFS"
        warning = self._lasting_warning
        if not warning and self._warning and now - self._warning[1] < _WARNING_AGE_S:
            warning = self._warning[0]
        parts = [f"! {warning}"] if warning else []
        if self._last:
            parts.append(self._latest(*self._last, now))
        else:
            parts.append(f"listening {_age(heard_s)}")
        text = "  ".join([level, *parts])
        # One column stays free: a character in the last one makes some terminals wrap.
        bar_columns = min(20, width - 1 - len(text) - 2)
        if bar_columns >= 4:
            return f"{self._bar(level_dbfs, bar_columns)}  {text}"
        return text[: max(width - 1, 0)]

    def _latest(self, event: _Heard, at: float, now: float) -> str:
        if isinstance(event, SpeechStart):
            return f"speech, {_age(now - at)}"
        if isinstance(event, SpeechEnd):
            return f"speech until {_age(now - at)} ago"
        if isinstance(event, SpeakerTurn):
            return f"{printable(event.name or 'somebody unknown')}, {_age(now - at)} ago"
        name = f"{event.name} ({event.model})" if self._models else event.name
        return f"{printable(name)} {event.score:.2f}, {_age(now - at)} ago"

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


def speaks(stream: TextIO, characters: str) -> bool:
    """Say whether the stream's encoding has all of `characters`."""
    try:
        characters.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
