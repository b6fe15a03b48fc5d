"""What is done with events: printed, drawn, handed to a command, kept as clips.

Each module stands alone, so that a command loads only what it uses: `lines` (text or JSON, one
line each), `live` (the line on a terminal), `captions` (text that grows on a terminal), `transcript`
(captions as text, JSON, SRT or VTT) and `transcript_file` (the same in a file), `hook` (a command for each
detection or caption), `clips` (WAV files of what was heard).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from edgeaudio.events import Event

__all__ = ["Reporting", "Sink"]


class Sink(Protocol):
    """Takes every event, in order, from one thread; never blocks for long."""

    def emit(self, event: Event) -> None:
        """Do something with one event."""

    def close(self) -> None:
        """Finish what is under way; idempotent."""


@runtime_checkable
class Reporting(Protocol):
    """A sink that has a line in the summary at the end."""

    def fact(self) -> tuple[str, str]:
        """Return what it is about, in one word, and what there is to say."""
