"""Events as lines: JSON for programs, plain words for people and logs."""

from __future__ import annotations

from typing import BinaryIO

from edgeaudio.errors import OutputError
from edgeaudio.events import (
    Caption,
    Clipping,
    Detection,
    DeviceLost,
    DeviceRestored,
    DigitalSilence,
    Event,
    Gap,
    NearMiss,
    SoundEvent,
    SoundStart,
    SpeakerTurn,
    SpeechEnd,
    SpeechStart,
    encode_event,
)

__all__ = ["CAUSES", "JsonLines", "PlainLines", "describe", "printable", "write_record"]

CAUSES = {
    "device_overflow": "the device overflowed",
    "ring_full": "the ring was full",
    "consumer_lag": "the computer was too slow",
    "device_lost": "the device was away",
    "paused": "listening was paused",
}
"""Each `GapCause` in words."""


def describe(event: Event, *, models: bool = False) -> str:
    """Say in one line what happened, beginning with the second at which it did.

    Parameters
    ----------
    event : Event
    models : bool
        Say of a word which model has heard it, too: where there are several.

    Examples
    --------
    >>> from edgeaudio.events import Detection
    >>> describe(Detection(model="wake-computer", name="computer", score=0.973, start_sample=190_000,
    ...     end_sample=199_680, snr_db=14.2, level_dbfs=-23.0, latency_s=0.118))
    '12.48 s  computer  0.97  SNR 14 dB  latency 0.12 s'
    """
    if isinstance(event, Detection):
        snr = "" if event.snr_db is None else f"  SNR {event.snr_db:.0f} dB"
        # A replay goes by no clock: its latency is exactly 0 and means nothing.
        latency = f"  latency {event.latency_s:.2f} s" if event.latency_s else ""
        name = f"{event.name} ({event.model})" if models else event.name
        text = f"{name}  {event.score:.2f}{snr}{latency}"
        at_s = event.end_sample / event.sample_rate_hz
    elif isinstance(event, NearMiss):
        text = f"almost {event.name}  {event.score:.2f} of {event.threshold:.2f}"
        at_s = event.end_sample / event.sample_rate_hz
    elif isinstance(event, SoundStart | SoundEvent | SpeechStart | SpeechEnd | SpeakerTurn):
        text = _describe_stretch(event)
        at = event.end_sample if isinstance(event, SpeechEnd) else event.start_sample
        at_s = at / event.sample_rate_hz
    elif isinstance(event, Caption):
        text = event.text if event.final else f"{event.text} {event.tentative}".strip() + " …"
        at_s = event.start_sample / event.sample_rate_hz
    else:
        text = _describe_trouble(event)
        at_s = event.start_sample / event.sample_rate_hz
        if isinstance(event, DigitalSilence) and event.ended:
            at_s += event.n_samples / event.sample_rate_hz
    return f"{at_s:.2f} s  {printable(text)}"


def _describe_stretch(event: SoundStart | SoundEvent | SpeechStart | SpeechEnd | SpeakerTurn) -> str:
    """What went on for a while; the moments at which it begins and ends are told without its length."""
    lasted_s = (event.end_sample - event.start_sample) / event.sample_rate_hz
    if isinstance(event, SoundStart):
        return f"{event.name} …  {event.score:.2f}"
    if isinstance(event, SoundEvent):
        return f"{event.name}  {event.score:.2f}  for {lasted_s:.1f} s"
    if isinstance(event, SpeechStart):
        return "speech …"
    if isinstance(event, SpeechEnd):
        return f"end of {lasted_s:.1f} s of speech"
    name = event.name or "somebody unknown"
    score = "" if event.score is None else f"  {event.score:.2f}"
    return f"{name}{score}  for {lasted_s:.1f} s"


def printable(text: str) -> str:
    """Replace what would steer a terminal or begin a line: names come from models and devices."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _describe_trouble(event: Gap | DeviceLost | DeviceRestored | DigitalSilence | Clipping) -> str:
    if isinstance(event, Gap) and event.cause == "paused":
        return f"not listening for {event.n_samples / event.sample_rate_hz:.1f} s"
    if isinstance(event, Gap):
        lost = f"{event.n_samples / event.sample_rate_hz:.2f} s" if event.n_samples else "some audio"
        return f"lost {lost}: {CAUSES[event.cause]}"
    if isinstance(event, DeviceLost):
        return f"microphone {event.device} is gone ({event.reason}); trying to open it again"
    if isinstance(event, DeviceRestored):
        return f"microphone {event.device} is back after {event.away_s:.1f} s"
    if isinstance(event, DigitalSilence):
        quiet_s = event.n_samples / event.sample_rate_hz
        if event.ended:
            return f"sound is back after {quiet_s:.1f} s of digital silence"
        return f"digital silence for {quiet_s:.1f} s: is the microphone muted?"
    return f"clipping: {event.n_samples} samples at full scale; turn the gain down"


class JsonLines:
    """Write each event as one line of JSON and flush it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def emit(self, event: Event) -> None:
        """Write one event.

        Raises
        ------
        BrokenPipeError
            If the reader has gone.
        OutputError
            If the line cannot be written for another reason, such as a full disk.
        """
        write_record(self._stream, encode_event(event) + b"\n")

    def close(self) -> None:
        """Every line was flushed already."""


class PlainLines:
    """Write each event as one line of plain text (UTF-8) and flush it; with `models`, see `describe`."""

    def __init__(self, stream: BinaryIO, *, models: bool = False) -> None:
        self._stream = stream
        self._models = models

    def emit(self, event: Event) -> None:
        """Write one event; raises as `JsonLines.emit` does."""
        write_record(self._stream, describe(event, models=self._models).encode() + b"\n")

    def close(self) -> None:
        """Every line was flushed already."""


def write_record(stream: BinaryIO, record: bytes) -> None:
    """Write to standard output and flush; raises as `JsonLines.emit` does."""
    try:
        stream.write(record)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"an event could not be written to standard output: {error.strerror}",
            hint="Make room, or send the output somewhere else.",
        ) from None
