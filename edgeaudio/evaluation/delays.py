"""How late captions are: seconds from the end of a word until it stands there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeaudio.evaluation.alignment import align
from edgeaudio.evaluation.word_times import SpokenWord
from edgeaudio.events import Caption, CaptionWord, Event
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["Delays", "Heard", "summarised"]


class Heard:
    """Final captions of a stream, and when each of their words was committed.

    Parameters
    ----------
    events : iterable of (Event, int)
        With the position at which each came, in samples.
    """

    def __init__(self, events: Iterable[tuple[Event, int]]) -> None:
        self.finals: list[Caption] = []
        self.words: list[tuple[CaptionWord, int, bool]] = []
        """Each with the position at which it was committed, and whether it is its caption's first."""
        self.ends: list[tuple[int, int]] = []
        """The number of each caption's last word, and when it was final."""
        caption_id, n_known = -1, 0
        for event, at_sample in events:
            if not isinstance(event, Caption):
                continue
            if event.caption_id != caption_id:
                caption_id, n_known = event.caption_id, 0
            new = enumerate(event.words[n_known:], start=n_known)
            self.words += [(word, at_sample, number == 0) for number, word in new]
            n_known = len(event.words)
            if event.final:
                self.finals.append(event)
                if event.words:
                    self.ends.append((len(self.words) - 1, at_sample))


@dataclass
class Delays:
    """Seconds of audio from the end of a word until it stood there; see `evaluate_captions`."""

    words_s: list[float] = field(default_factory=list)
    first_words_s: list[float] = field(default_factory=list)
    finals_s: list[float] = field(default_factory=list)

    def add(self, heard: Heard, spoken: Sequence[SpokenWord] | None) -> None:
        """Add those of one recording, whose words were spoken so."""
        ends_s = _ends_s([word for word, _, _ in heard.words], spoken)
        for (_, at_sample, is_first), end_s in zip(heard.words, ends_s, strict=True):
            if end_s is not None:
                self.words_s.append(at_sample / SAMPLE_RATE_HZ - end_s)
                self.first_words_s += self.words_s[-1:] if is_first else []
        for number, at_sample in heard.ends:
            end_s = ends_s[number]
            if end_s is not None:
                self.finals_s.append(at_sample / SAMPLE_RATE_HZ - end_s)


def _ends_s(words: list[CaptionWord], spoken: Sequence[SpokenWord] | None) -> list[float | None]:
    """When each word that was written had been spoken; None where it was not spoken at all."""
    if spoken is None:
        return [word.end_sample / SAMPLE_RATE_HZ for word in words]
    ends_s: list[float | None] = []
    reference = iter(spoken)
    for said, written in align([word.word for word in spoken], [word.text for word in words]):
        end_s = next(reference).end_s if said else None
        if written:
            ends_s.append(end_s if said == written else None)
    return ends_s


def summarised(delays_s: Sequence[float]) -> dict[str, float] | None:
    """Return median, 95th percentile and number of delays; None if there are none."""
    if not delays_s:
        return None
    p50, p95 = np.quantile(delays_s, [0.5, 0.95])
    return {"median": float(p50), "p95": float(p95), "count": len(delays_s)}
