"""What all viewers should see, kept once for all of them.

There are no queues. Every change gets a number, each viewer remembers the last number it was sent, and
whoever is ready for more gets what is newer. Of a caption that grew five times meanwhile it gets the newest
form; one that is further behind than the board remembers gets the whole state anew.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from edgeaudio.events import Caption, Event, encode_event
from edgeaudio.sinks.subtitles import Cue, CueMaker, srt_cue, vtt_cue

__all__ = ["PROTOCOL", "Board", "News"]

PROTOCOL = 1
_REMEMBERED = 256
"""Captions and other events that a viewer can be behind."""
_SHOWN = 50
"""Captions in a state: what a late viewer sees of the past."""
_KEPT = 20_000
"""Cues and texts for downloads, about a day of talk."""


class News(NamedTuple):
    """Messages for a viewer, and the number to ask with next time."""

    version: int
    messages: list[str]


class Board:
    """Takes events from one thread and shows them to viewers in others.

    Parameters
    ----------
    facts : dict
        What every state says of the server: model, spectrogram.
    on_change : callable, optional
        Called after every change, from the thread that made it.
    """

    def __init__(self, facts: dict[str, Any], on_change: Callable[[], None] = lambda: None) -> None:
        self._facts = {"type": "state", "protocol": PROTOCOL, "session": secrets.token_hex(8), **facts}
        self._on_change = on_change
        self._lock = threading.Lock()
        self._version = 0
        self._forgotten = 0
        self._entries: dict[object, tuple[int, str]] = {}  # the newest last
        self._captions: deque[tuple[object, str]] = deque(maxlen=_SHOWN)
        self._input: dict[str, Any] = {}
        self._cue_maker = CueMaker()
        self._cues: deque[Cue] = deque(maxlen=_KEPT)
        self._texts: deque[str] = deque(maxlen=_KEPT)

    def post(self, event: Event) -> None:
        """Show an event, in the place of an earlier form of the same caption."""
        message = encode_event(event).decode()
        with self._lock:
            key: object = None
            if isinstance(event, Caption):
                key = (event.model, event.caption_id)
                if self._captions and self._captions[-1][0] == key:
                    self._captions.pop()
                if event.words or not event.final:  # else nothing came of it
                    self._captions.append((key, message))
                self._cues.extend(self._cue_maker.add(event))
                if event.final and event.words:
                    self._texts.append(event.text)
            self._enter(key, message)
        self._on_change()

    def show_input(self, facts: dict[str, Any]) -> None:
        """Show who is listened to."""
        with self._lock:
            self._input = facts
            self._enter("input", _json({"type": "input", **facts}))
        self._on_change()

    def state(self) -> News:
        """Return everything that counts now, as one message."""
        with self._lock:
            head = _json({**self._facts, "input": self._input})
            captions = ",".join(message for _, message in self._captions)
            return News(self._version, [f'{head[:-1]},"captions":[{captions}]}}'])

    def since(self, version: int) -> News:
        """Return what is newer than `version`, oldest first; the whole state where that is forgotten."""
        with self._lock:
            # Looked at under the lock: what a post forgets meanwhile would be missing.
            if version >= self._forgotten:
                messages = []
                for number, message in reversed(self._entries.values()):
                    if number <= version:
                        break
                    messages.append(message)
                return News(self._version, messages[::-1])
        return self.state()

    def srt(self) -> str:
        """Return the captions so far as SubRip."""
        with self._lock:
            cues = list(self._cues)
        return "".join(srt_cue(replace(cue, index=i)) for i, cue in enumerate(cues, 1))

    def vtt(self) -> str:
        """Return the captions so far as WebVTT."""
        with self._lock:
            cues = list(self._cues)
        return "WEBVTT\n\n" + "".join(map(vtt_cue, cues))

    def text(self) -> str:
        """Return the finished captions, one a line."""
        with self._lock:
            texts = list(self._texts)
        return "".join(f"{text}\n" for text in texts)

    def _enter(self, key: object, message: str) -> None:
        """Number a message; without a key it is the only one of its kind."""
        self._version += 1
        key = self._version if key is None else key
        self._entries.pop(key, None)
        self._entries[key] = (self._version, message)
        if len(self._entries) > _REMEMBERED:
            oldest = next(iter(self._entries))
            self._forgotten = self._entries.pop(oldest)[0]


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
