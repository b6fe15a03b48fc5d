"""Counters: every loss has exactly one owner and one name."""

from __future__ import annotations

import msgspec

__all__ = ["CaptureStats", "EngineStats", "WorkerStats"]


class CaptureStats(msgspec.Struct, kw_only=True):
    """What a source knows about itself. Sample counts are at the ring's rate."""

    written_samples: int = 0
    dropped_samples: int = 0
    """Ring full: the newest block was lost."""
    device_overflows: int = 0
    """Times the audio system flagged a loss of unknown length."""
    reopens: int = 0
    high_water_samples: int = 0
    """Most samples that ever waited in the ring."""


class WorkerStats(msgspec.Struct, kw_only=True):
    """What the caption worker knows about itself."""

    lag_samples: int = 0
    """Audio whose frames already waited when the newest block came."""
    high_water_samples: int = 0
    """Most audio that ever waited."""
    skipped_samples: int = 0
    """It lagged more than ``max_caption_lag_ms``, and captions jumped forward; nothing else did."""
    shed_level: int = 0
    """How many measures of the profile's ``shed`` are taken, until the lag is worked off."""
    busy_s: float = 0.0
    """Time spent computing, of the worker's thread."""


class EngineStats(msgspec.Struct, kw_only=True):
    """A snapshot of a running or finished engine."""

    capture: CaptureStats
    processed_samples: int = 0
    skipped_samples: int = 0
    """The consumer lagged more than ``max_lag_ms`` and jumped forward."""
    events: int = 0
    events_dropped: int = 0
    """The caller was slow and the event queue full."""
    nonfinite_samples: int = 0
    """NaN or Inf samples replaced by zero."""
    level_dbfs: float = -120.0
    """RMS level of the latest block."""
    busy_s: float = 0.0
    """Time spent computing, of the engine's threads together."""
    captions: WorkerStats | None = None
    """The caption worker; None where there is none, as in a replay."""
