"""Events to try sinks with."""

from __future__ import annotations

from edgeaudio.events import Detection
from edgeaudio.types import SAMPLE_RATE_HZ


def detection(
    name: str = "computer",
    *,
    end_s: float,
    length_s: float = 0.5,
    score: float = 0.9,
    snr_db: float | None = 12.0,
    latency_s: float = 0.1,
) -> Detection:
    """Make a detection of `name` that ended at `end_s`."""
    return Detection(
        model="wake-computer",
        name=name,
        score=score,
        start_sample=round((end_s - length_s) * SAMPLE_RATE_HZ),
        end_sample=round(end_s * SAMPLE_RATE_HZ),
        snr_db=snr_db,
        level_dbfs=-24.0,
        latency_s=latency_s,
    )
