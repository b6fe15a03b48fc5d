"""Captions as plain text, JSON, SRT or WebVTT, on standard output."""

from __future__ import annotations

import logging
from typing import BinaryIO, Literal, Protocol

from edgeaudio.events import Caption, Event, encode_event
from edgeaudio.sinks.lines import describe, printable, write_record
from edgeaudio.sinks.subtitles import Cue, CueMaker, end_of_last_cue, srt_cue, vtt_cue

__all__ = ["FORMATS", "TranscriptFormat", "TranscriptStream", "TranscriptWriter", "make_writer"]

_LOG = logging.getLogger(__name__)

TranscriptFormat = Literal["text", "json", "srt", "vtt"]
FORMATS: tuple[TranscriptFormat, ...] = ("text", "json", "srt", "vtt")


class TranscriptWriter(Protocol):
    """Turns events into records, lines or cues, each complete in itself."""

    record_name: str
    """What a record is to its reader."""

    def begin(self) -> bytes:
        """Return what stands before the first record."""

    def write(self, event: Event) -> list[bytes]:
        """Return the records that the event completes."""

    def finish(self) -> list[bytes]:
        """Return the pending records."""


class _Text:
    record_name = "caption"

    def begin(self) -> bytes:
        return b""

    def write(self, event: Event) -> list[bytes]:
        if not (isinstance(event, Caption) and event.final and event.words):
            return []
        return [printable(event.text).encode() + b"\n"]

    def finish(self) -> list[bytes]:
        return []


class _Json(_Text):
    record_name = "event"

    def write(self, event: Event) -> list[bytes]:
        return [encode_event(event) + b"\n"]


class _Srt:
    record_name = "cue"

    def __init__(self, tail: str) -> None:
        index, end_ms = end_of_last_cue(tail)
        self._cues = CueMaker(offset_ms=end_ms, n_before=index)

    def begin(self) -> bytes:
        return b""

    def write(self, event: Event) -> list[bytes]:
        return [self._encode(cue) for cue in self._cues.add(event)]

    def finish(self) -> list[bytes]:
        return [self._encode(cue) for cue in self._cues.finish()]

    def _encode(self, cue: Cue) -> bytes:
        return srt_cue(cue).encode()


class _Vtt(_Srt):
    def begin(self) -> bytes:
        return b"WEBVTT\n\n"

    def _encode(self, cue: Cue) -> bytes:
        return vtt_cue(cue).encode()


def make_writer(form: TranscriptFormat, tail: str = "") -> TranscriptWriter:
    """Return a writer that goes on behind `tail`, the end of what there is already."""
    if form == "text":
        return _Text()
    if form == "json":
        return _Json()
    return _Srt(tail) if form == "srt" else _Vtt(tail)


class TranscriptStream:
    """Writes each record to a stream and flushes it.

    Where the format has no place for news of losses and devices, these are logged.

    Parameters
    ----------
    stream : BinaryIO
        Standard output.
    form : {"text", "json", "srt", "vtt"}
        ``text`` is one line a final caption, ``json`` one line an event.
    """

    def __init__(self, stream: BinaryIO, form: TranscriptFormat) -> None:
        self._stream = stream
        self._writer = make_writer(form)
        self._tells_all = form == "json"
        self._begun = False

    def emit(self, event: Event) -> None:
        """Write what the event completes; raises as `JsonLines.emit` does."""
        if not (self._tells_all or isinstance(event, Caption)):
            _LOG.warning("%s", describe(event))
        self._begin()
        self._put(self._writer.write(event))

    def close(self) -> None:
        """Write what is pending; raises as `emit` does."""
        self._begin()
        self._put(self._writer.finish())

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._put([self._writer.begin()])

    def _put(self, records: list[bytes]) -> None:
        if text := b"".join(records):
            write_record(self._stream, text)
