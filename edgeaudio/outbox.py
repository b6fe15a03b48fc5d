"""Events on their way from the engine's threads to the caller: a bounded queue."""

from __future__ import annotations

import threading
from collections import deque

from edgeaudio.events import (
    Caption,
    Detection,
    Event,
    NearMiss,
    SoundEvent,
    SoundStart,
    SpeakerTurn,
    SpeechEnd,
    SpeechStart,
)

__all__ = ["Outbox"]

_COMMON = (Detection, NearMiss, SoundStart, SoundEvent, SpeechStart, SpeechEnd, SpeakerTurn)
_RESERVED = 64
"""Places that what is heard all the time and unfinished captions cannot take from the news of losses and
devices, and from final captions."""


class Outbox:
    """Takes events from any thread and hands them to one caller, in order.

    When it is full, the oldest unfinished caption gives way: the next event of the same caption repeats
    its words, so that a slow caller sees captions grow in larger steps and loses no text. Where there
    is none, the new event is lost. Both are counted.

    Parameters
    ----------
    max_events : int
        Events that wait for the caller. 64 further places are kept for final captions and the news of
        losses and devices.
    """

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.accepted = 0
        """Events that the caller got, or will get if it goes on."""
        self.dropped = 0

    def put(self, event: Event) -> None:
        """Append an event, as far as there is room. Never waits for the caller."""
        common = isinstance(event, _COMMON) or _is_unfinished(event)
        limit = self._max_events + (0 if common else _RESERVED)
        with self._changed:
            if len(self._events) >= self._max_events and self._give_way():
                self.accepted -= 1
                self.dropped += 1
            if len(self._events) >= limit:
                self.dropped += 1
                return
            self._events.append(event)
            self.accepted += 1
            self._changed.notify()

    def close(self) -> None:
        """Say that no further event will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(self) -> Event | None:
        """Wait for the next event; None when all were handed out and none will come."""
        with self._changed:
            while not self._events and not self._closed:
                self._changed.wait()
            return self._events.popleft() if self._events else None

    def _give_way(self) -> bool:
        """Remove the oldest unfinished caption; False if there is none."""
        for place, event in enumerate(self._events):
            if _is_unfinished(event):
                del self._events[place]
                return True
        return False


def _is_unfinished(event: Event) -> bool:
    return isinstance(event, Caption) and not event.final
