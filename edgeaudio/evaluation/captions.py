"""Captions against what was really said: word and character errors, delays, orders understood."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from edgeaudio.decoding.grammar import Order
from edgeaudio.decoding.text import normalise
from edgeaudio.engine import Engine
from edgeaudio.errors import InputError
from edgeaudio.evaluation.alignment import Pair, align, distance
from edgeaudio.evaluation.intervals import bootstrap_interval, wilson_interval
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.evaluation.mixing import in_quiet
from edgeaudio.evaluation.scoring import Progress
from edgeaudio.events import Caption, Event
from edgeaudio.sources.array import ArraySource
from edgeaudio.sources.base import Source
from edgeaudio.tasks.base import Task
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["CaptionsResult", "Clip", "Delays", "Understand", "evaluate_captions"]

TAIL_S = 2.5
"""Quiet behind each recording: the model hears that a caption is over, as it does live."""

Understand: TypeAlias = Callable[[Iterable[str]], Order | None]
"""What the words of an order mean; None if they are no order."""


@dataclass(frozen=True)
class Clip:
    """One recording: its words paired with those written, and whether an order was understood."""

    origin: str
    speaker: str
    pairs: tuple[Pair, ...]
    characters: int
    character_errors: int
    order_is_right: bool | None = None

    @property
    def words(self) -> int:
        """Words that were said."""
        return sum(bool(said) for said, _ in self.pairs)

    @property
    def errors(self) -> int:
        """Words that were written wrong, left out or made up."""
        return sum(said != written for said, written in self.pairs)


@dataclass
class Delays:
    """Seconds of audio from the end of a word until it stood there; see `evaluate_captions`."""

    words_s: list[float] = field(default_factory=list)
    first_words_s: list[float] = field(default_factory=list)
    finals_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class CaptionsResult:
    """What was counted over all recordings."""

    clips: tuple[Clip, ...]
    delays: Delays
    heard_s: float
    busy_s: float

    @property
    def words(self) -> int:
        """Words that were said."""
        return sum(clip.words for clip in self.clips)

    @property
    def wer(self) -> float:
        """Word errors per word said."""
        return sum(clip.errors for clip in self.clips) / self.words

    @property
    def cer(self) -> float:
        """Character errors, blanks counted, per character said."""
        characters = sum(clip.characters for clip in self.clips)
        return sum(clip.character_errors for clip in self.clips) / characters

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the word error rate, by a bootstrap over speakers."""
        return bootstrap_interval(
            [clip.errors for clip in self.clips],
            [clip.words for clip in self.clips],
            [clip.speaker for clip in self.clips],
        )

    @property
    def mistakes(self) -> Counter[Pair]:
        """How often which word was written for which."""
        return Counter(pair for clip in self.clips for pair in clip.pairs if pair[0] != pair[1])

    @property
    def substitutions(self) -> int:
        """Words written wrong."""
        return sum(n for (said, written), n in self.mistakes.items() if said and written)

    @property
    def deletions(self) -> int:
        """Words left out."""
        return sum(n for (_, written), n in self.mistakes.items() if not written)

    @property
    def insertions(self) -> int:
        """Words made up."""
        return sum(n for (said, _), n in self.mistakes.items() if not said)

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing, of one thread, per second of audio."""
        return self.busy_s / self.heard_s

    @property
    def orders(self) -> tuple[int, int] | None:
        """Orders understood in full, and how many were given; None without a grammar."""
        judged = [clip.order_is_right for clip in self.clips if clip.order_is_right is not None]
        return (sum(judged), len(judged)) if judged else None

    def to_json(self) -> dict[str, Any]:
        """The result as ``edgeaudio evaluate captions --json`` prints it."""
        result: dict[str, Any] = {
            "wer": self.wer,
            "cer": self.cer,
            "interval": list(self.interval),
            "substitutions": self.substitutions,
            "deletions": self.deletions,
            "insertions": self.insertions,
            "words": self.words,
            "real_time_factor": self.real_time_factor,
            "clips": len(self.clips),
            "speakers": len({clip.speaker for clip in self.clips}),
            "seconds": self.heard_s,
            "word_delay_s": summarised(self.delays.words_s),
            "first_word_delay_s": summarised(self.delays.first_words_s),
            "final_delay_s": summarised(self.delays.finals_s),
        }
        if self.orders is not None:
            right, given = self.orders
            result["orders"] = {
                "right": right,
                "given": given,
                "interval": list(wilson_interval(right, given)),
            }
        return result


def summarised(delays_s: Sequence[float]) -> dict[str, float] | None:
    """Return median, 95th percentile and number of delays; None if there are none."""
    if not delays_s:
        return None
    p50, p95 = np.quantile(delays_s, [0.5, 0.95])
    return {"median": float(p50), "p95": float(p95), "count": len(delays_s)}


def evaluate_captions(
    rows: Sequence[Row],
    recognizer: Task,
    *,
    understand: Understand | None = None,
    paced: bool = False,
    progress: Progress | None = None,
) -> CaptionsResult:
    """Write down every recording, each from a fresh state, and compare with its text.

    Both sides are normalised alike (`edgeaudio.decoding.text.normalise`): lower case, numbers in words, no
    punctuation but apostrophes. A recording without text counts as one in which nothing is said.

    Delays are positions in the stream, so that they do not depend on the machine: how much an engine
    that keeps up has heard, in its blocks of 80 ms, when a word is committed (or a caption is final),
    less the end of that word (or of the last one) according to the recogniser's own times. If `paced`,
    everything is played in real time, and the delays are those of this machine, computing included.

    Raises
    ------
    InputError
        A recording cannot be read, or no text has any word.
    """
    texts = [normalise(row.text) for row in rows]
    if not any(texts):
        raise InputError(
            f"{rows[0].origin.rpartition(':')[0]}: no recording has any word in its text",
            hint="The column text says what is spoken.",
        )
    clips: list[Clip] = []
    delays = Delays()
    heard_s = busy_s = 0.0
    for done, (row, said) in enumerate(zip(rows, texts, strict=True), start=1):
        samples = read_clip(row)
        source = ArraySource(in_quiet(samples, 0, round(TAIL_S * SAMPLE_RATE_HZ)), paced=paced)
        engine = Engine(source, recognizer)
        captions = _listen_live(engine, source, delays) if paced else _listen(engine, delays)
        clips.append(_judge(row, said, captions, understand))
        stats = engine.stats()
        heard_s += stats.processed_samples / SAMPLE_RATE_HZ
        busy_s += stats.busy_s
        if progress is not None:
            progress(done, len(rows))
    return CaptionsResult(tuple(clips), delays, heard_s, busy_s)


def _listen(engine: Engine, delays: Delays) -> list[Caption]:
    """Return the final captions of a stream, and note when each word came."""
    with contextlib.closing(engine.replay()) as events:
        return _note(((event, engine.stats().processed_samples) for event in events), delays)


def _listen_live(engine: Engine, source: Source, delays: Delays) -> list[Caption]:
    def now() -> int:
        return round((time.monotonic() - source.captured_at(0)) * SAMPLE_RATE_HZ)

    with engine:
        return _note(((event, now()) for event in engine), delays)


def _note(events: Iterable[tuple[Event, int]], delays: Delays) -> list[Caption]:
    """Read events, each with the position at which it came."""
    finals: list[Caption] = []
    caption_id, n_known = -1, 0
    for event, at_sample in events:
        if not isinstance(event, Caption):
            continue
        if event.caption_id != caption_id:
            caption_id, n_known = event.caption_id, 0
        late_s = [(at_sample - word.end_sample) / SAMPLE_RATE_HZ for word in event.words]
        if late_s and n_known == 0:
            delays.first_words_s.append(late_s[0])
        delays.words_s += late_s[n_known:]
        n_known = len(late_s)
        if event.final:
            finals.append(event)
            if late_s:
                delays.finals_s.append(late_s[-1])
    return finals


def _judge(row: Row, said: list[str], captions: list[Caption], understand: Understand | None) -> Clip:
    written = normalise(" ".join(caption.text for caption in captions))
    is_right = None
    if understand is not None:
        understood = [Order(c.command, c.slots) for c in captions if c.command is not None]
        expected = understand(said)
        is_right = understood == ([] if expected is None else [expected])
    said_text, written_text = " ".join(said), " ".join(written)
    return Clip(
        origin=row.origin,
        speaker=row.speaker or row.origin,
        pairs=tuple(align(said, written)),
        characters=len(said_text),
        character_errors=distance(said_text, written_text),
        order_is_right=is_right,
    )
