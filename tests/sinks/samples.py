"""Events to try sinks with."""

from __future__ import annotations

from edgeaudio.events import Caption, CaptionWord, Detection
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


def caption(
    *words: tuple[str, float, float],
    tentative: str = "",
    final: bool = False,
    caption_id: int = 1,
    heard_s: float | None = None,
) -> Caption:
    """Make a caption of words, each with its start and end in seconds."""
    end_s = max([heard_s or 0.0, *(end for _, _, end in words)])
    return Caption(
        model="captions-en-small",
        caption_id=caption_id,
        words=tuple(
            CaptionWord(
                text=text,
                start_sample=round(start * SAMPLE_RATE_HZ),
                end_sample=round(end * SAMPLE_RATE_HZ),
                confidence=0.9,
            )
            for text, start, end in words
        ),
        tentative=tentative,
        final=final,
        start_sample=round((words[0][1] if words else 0.0) * SAMPLE_RATE_HZ),
        end_sample=round(end_s * SAMPLE_RATE_HZ),
        latency_s=0.1,
    )


def spoken(text: str, *, start_s: float = 0.0, word_s: float = 0.4) -> list[tuple[str, float, float]]:
    """Give the words of a text their times, one behind the other."""
    return [(word, start_s + i * word_s, start_s + (i + 1) * word_s) for i, word in enumerate(text.split())]
