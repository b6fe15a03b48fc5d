"""What is found of many streams at once, as it is written to JSON."""

from __future__ import annotations

import msgspec

from edgeaudio.profiling.measurement import Machine

__all__ = ["StreamsFound", "StreamsRun"]


class StreamsRun(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A number of streams, and how late they were answered."""

    streams: int
    way: str
    runtime: str
    provider: str
    precision: str
    threads: int
    rounds: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    """From the capture of the last sample that a decision needed, of all streams together."""
    frontend_share: float
    model_share: float
    decision_share: float
    """Time spent in each, as a part of the audio's length; together 1.0 is a thread that never rests."""
    keeps: bool
    """Whether p95 is within the budget and the thread is not busier than it can be for long."""


class StreamsFound(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `measure_streams` finds."""

    made: str
    model: str
    profile: str
    budget_ms: float
    """p95 of a stream's answers, the profile's p95_word_to_event_ms."""
    round_ms: float
    compared: list[StreamsRun]
    """The number asked for, in each way that there is."""
    left_out: dict[str, str]
    """Ways that could not be measured, and why."""
    tried: list[StreamsRun]
    """On the search for the limit."""
    largest: StreamsRun | None
    """The most streams that kept the budget for the whole time; None if not even one did."""
    more: bool
    """Whether more than were tried might be possible."""
    gpu: str
    """Which GPU's provider was measured, or that none was."""
    complete: bool = True
    """False if somebody ended it early."""
    machine: Machine
