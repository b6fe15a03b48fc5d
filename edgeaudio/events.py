"""What the engine tells its caller: frozen records, one JSON line each.

Positions are absolute sample indices since the source's start, counted at ``sample_rate_hz``
and including lost samples, so that two events are always comparable. Seconds are derived here,
at the edge, and nowhere else.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias, Union

import msgspec

from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = [
    "Caption",
    "CaptionWord",
    "Clipping",
    "Detection",
    "DeviceLost",
    "DeviceRestored",
    "DigitalSilence",
    "Event",
    "Gap",
    "GapCause",
    "NearMiss",
    "SoundEvent",
    "SoundStart",
    "SpeakerTurn",
    "SpeechEnd",
    "SpeechStart",
    "encode_event",
]

GapCause: TypeAlias = Literal["device_overflow", "ring_full", "consumer_lag", "device_lost", "paused"]


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    sample_rate_hz: int = SAMPLE_RATE_HZ


class Detection(_Record, frozen=True, kw_only=True, tag_field="type", tag="detection"):
    """A word was spoken.

    ``start_sample`` and ``end_sample`` bound the word as the model saw it; ``score`` is the
    smoothed posterior in 0..1 that crossed the threshold; ``snr_db`` compares the word's level
    with the background before it and ``level_dbfs`` is the word's RMS level; ``latency_s`` runs
    from the capture of the last sample the decision needed to the event's emission.
    """

    model: str
    name: str
    score: float
    start_sample: int
    end_sample: int
    snr_db: float | None
    level_dbfs: float
    latency_s: float


class NearMiss(_Record, frozen=True, kw_only=True, tag_field="type", tag="near_miss"):
    """Something sounded like a word, but not enough: its peak ``score`` stayed below ``threshold``.

    Told when the peak is over, and only by a spotter that was asked for near misses. The rest is as in
    `Detection`; ``end_sample`` is where the score was highest.
    """

    model: str
    name: str
    score: float
    threshold: float
    start_sample: int
    end_sample: int
    snr_db: float | None
    level_dbfs: float


class CaptionWord(msgspec.Struct, frozen=True, kw_only=True):
    """One committed word: it never changes again.

    ``confidence`` is the estimated probability, 0..1, that the word is right.
    """

    text: str
    start_sample: int
    end_sample: int
    confidence: float


class Caption(_Record, frozen=True, kw_only=True, tag_field="type", tag="caption"):
    """What has been said since the last pause.

    All events of one utterance carry the same ``caption_id``, and each repeats the words of the one
    before it and may append to them. ``tentative`` is what probably follows; it may change. The last
    event of a caption is ``final``, has no tentative text and comes exactly once; a caption of which
    nothing remains ends with no words. ``end_sample`` is the newest sample that the text needed, and
    ``latency_s`` runs from its capture to the event's emission. ``command`` and ``slots`` are set on
    final captions that a grammar understood.
    """

    model: str
    caption_id: int
    words: tuple[CaptionWord, ...]
    tentative: str
    final: bool
    start_sample: int
    end_sample: int
    latency_s: float
    command: str | None = None
    slots: dict[str, str] = {}

    @property
    def text(self) -> str:
        """The committed words, joined by blanks."""
        return " ".join(word.text for word in self.words)


class SoundStart(_Record, frozen=True, kw_only=True, tag_field="type", tag="sound_start"):
    """A sound has begun: told as soon as it is sure, and only by a classifier that was asked for onsets.

    ``start_sample`` is the onset, ``end_sample`` the newest sample that the decision needed, and
    ``latency_s`` runs from its capture to the event's emission. `SoundEvent` follows when the sound is over.
    """

    model: str
    name: str
    score: float
    start_sample: int
    end_sample: int
    latency_s: float


class SoundEvent(_Record, frozen=True, kw_only=True, tag_field="type", tag="sound"):
    """A sound was heard from ``start_sample`` to ``end_sample``: one event a sound, told at its end.

    ``score`` is the highest smoothed posterior in between; level and signal-to-noise ratio are as in
    `Detection`, of a sound of several parts those of the last. ``latency_s`` runs from the capture of
    its last sample to the event's emission.
    """

    model: str
    name: str
    score: float
    start_sample: int
    end_sample: int
    snr_db: float | None
    level_dbfs: float
    latency_s: float


class SpeechStart(_Record, frozen=True, kw_only=True, tag_field="type", tag="speech_start"):
    """Somebody has begun to speak.

    ``start_sample`` is the onset less the pre-roll, never before the end of the speech before it;
    ``end_sample`` is the newest sample that the decision needed, and ``latency_s`` runs from its capture
    to the event's emission.
    """

    model: str
    score: float
    start_sample: int
    end_sample: int
    latency_s: float


class SpeechEnd(_Record, frozen=True, kw_only=True, tag_field="type", tag="speech_end"):
    """Nobody speaks any more: speech lasted from ``start_sample``, as told at its start, to ``end_sample``.

    ``score`` is its highest smoothed posterior. ``latency_s`` runs from the capture of its last sample to the
    event's emission.
    """

    model: str
    score: float
    start_sample: int
    end_sample: int
    latency_s: float


class SpeakerTurn(_Record, frozen=True, kw_only=True, tag_field="type", tag="speaker"):
    """Who spoke from ``start_sample`` to ``end_sample``: ``name`` is None for nobody known.

    ``score`` is the calibrated score of the best match, None where nobody is enrolled.
    """

    model: str
    name: str | None
    score: float | None
    start_sample: int
    end_sample: int
    latency_s: float


class Gap(_Record, frozen=True, kw_only=True, tag_field="type", tag="gap"):
    """Audio was lost: ``n_samples`` from ``start_sample`` on never reached the models.

    ``n_samples`` is 0 where the device reports a loss but not its length.
    """

    start_sample: int
    n_samples: int
    cause: GapCause


class DeviceLost(_Record, frozen=True, kw_only=True, tag_field="type", tag="device_lost"):
    """The microphone went away; it is being re-opened by name."""

    start_sample: int
    device: str
    reason: str


class DeviceRestored(_Record, frozen=True, kw_only=True, tag_field="type", tag="device_restored"):
    """The microphone is back after ``away_s`` seconds and ``attempts`` attempts."""

    start_sample: int
    device: str
    away_s: float
    attempts: int


class DigitalSilence(_Record, frozen=True, kw_only=True, tag_field="type", tag="digital_silence"):
    """The input has been exactly constant for ``n_samples``: a muted or dead microphone.

    Sent once when it begins (``ended=False``, after the hold time) and once when sound returns.
    """

    start_sample: int
    n_samples: int
    ended: bool


class Clipping(_Record, frozen=True, kw_only=True, tag_field="type", tag="clipping"):
    """``n_samples`` of the last second sat at full scale: the gain is too high."""

    start_sample: int
    n_samples: int


Event: TypeAlias = Union[
    Detection,
    NearMiss,
    Caption,
    SoundStart,
    SoundEvent,
    SpeechStart,
    SpeechEnd,
    SpeakerTurn,
    Gap,
    DeviceLost,
    DeviceRestored,
    DigitalSilence,
    Clipping,
]


def encode_event(event: Event) -> bytes:
    """Encode one event as one line of JSON, without the newline.

    Every ``*_sample`` field gains a sibling in seconds (``start_sample`` → ``start_s``) and a caption its
    ``text``, so that ``jq`` users need no arithmetic. Floats are rounded to what they can mean.

    Examples
    --------
    >>> encode_event(Gap(start_sample=16000, n_samples=160, cause="ring_full"))
    b'{"type":"gap","sample_rate_hz":16000,"start_sample":16000,"n_samples":160,"cause":"ring_full","start_s":1.0}'
    """
    record: dict[str, Any] = msgspec.to_builtins(event)
    _complete(record, event.sample_rate_hz)
    if isinstance(event, Caption):
        record["text"] = event.text
        for word in record["words"]:
            _complete(word, event.sample_rate_hz)
    return msgspec.json.encode(record)


def _complete(record: dict[str, Any], rate_hz: int) -> None:
    """Round floats and add seconds, in place."""
    for key, value in list(record.items()):
        if isinstance(value, float):
            record[key] = round(value, 4) if math.isfinite(value) else None
        if key.endswith("_sample"):
            record[f"{key.removesuffix('_sample')}_s"] = round(value / rate_hz, 4)
