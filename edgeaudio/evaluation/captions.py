"""Captions against what was really said: word and character errors, delays, orders understood."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgeaudio.decoding.grammar import Order
from edgeaudio.decoding.text import normalise
from edgeaudio.engine import Engine
from edgeaudio.errors import InputError
from edgeaudio.evaluation.alignment import Pair, align, distance
from edgeaudio.evaluation.calibration import ScoredWords
from edgeaudio.evaluation.delays import Delays, Heard, summarised
from edgeaudio.evaluation.intervals import bootstrap_interval, wilson_interval
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.evaluation.mixing import in_quiet
from edgeaudio.evaluation.scoring import Progress
from edgeaudio.evaluation.word_times import SpokenWord, WordTimes
from edgeaudio.events import Caption
from edgeaudio.sources.array import ArraySource
from edgeaudio.sources.base import Source
from edgeaudio.tasks.base import Task
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["CaptionsResult", "Clip", "Understand", "evaluate_captions"]

TAIL_S = 2.5
"""Quiet behind each recording: the model hears that a caption is over, as it does live."""

Understand: TypeAlias = Callable[[Iterable[str]], Order | None]
"""What the words of an order mean; None if they are no order."""


@dataclass(frozen=True)
class Clip:
    """One recording: its words paired with those written.

    With a grammar, ``is_order`` says whether its text is one, and ``is_understood`` whether just what the
    text means was understood: for a text that is no order, nothing.
    """

    origin: str
    speaker: str
    pairs: tuple[Pair, ...]
    characters: int
    character_errors: int
    is_order: bool = False
    is_understood: bool = False

    @property
    def words(self) -> int:
        """Words that were said."""
        return sum(bool(said) for said, _ in self.pairs)

    @property
    def errors(self) -> int:
        """Words that were written wrong, left out or made up."""
        return sum(said != written for said, written in self.pairs)


@dataclass(frozen=True)
class CaptionsResult:
    """What was counted over all recordings; with or without a grammar."""

    clips: tuple[Clip, ...]
    has_grammar: bool
    delays: Delays
    heard_s: float
    busy_s: float
    confidence_error: float
    """Expected calibration error: by how much confidences and the words that are right differ."""

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
    def orders(self) -> tuple[int, int]:
        """Orders understood in full, and how many were given."""
        given = [clip.is_understood for clip in self.clips if clip.is_order]
        return sum(given), len(given)

    @property
    def false_orders(self) -> tuple[int, int]:
        """Recordings of something else that were taken for an order, and how many there are."""
        others = [clip.is_understood for clip in self.clips if not clip.is_order]
        return len(others) - sum(others), len(others)

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
            "confidence_error": self.confidence_error,
        }
        if self.has_grammar:
            (right, given), (false, others) = self.orders, self.false_orders
            result["orders"] = {
                "right": right,
                "given": given,
                "interval": list(wilson_interval(right, given)),
                "false": false,
                "others": others,
            }
        return result


def evaluate_captions(
    rows: Sequence[Row],
    recognizer: Task,
    *,
    understand: Understand | None = None,
    times: WordTimes | None = None,
    paced: bool = False,
    progress: Progress | None = None,
) -> CaptionsResult:
    """Write down every recording, each from a fresh state, and compare with its text.

    Both sides are normalised alike (`edgeaudio.decoding.text.normalise`): lower case, numbers in words, no
    punctuation but apostrophes. A recording without text counts as one in which nothing is said.

    Delays are positions in the stream, so that they do not depend on the machine: how much an engine
    that keeps up has heard, in its blocks of 80 ms, when a word is committed (or a caption is final),
    less the end of that word (or of the last one). That end is by `times` where they are given, for words
    that were written right, and else by the recogniser's own times. If `paced`, everything is played in
    real time, and the delays are those of this machine, computing included.

    Raises
    ------
    InputError
        A recording cannot be read or is not in `times`, or no text has any word.
    """
    texts = [normalise(row.text) for row in rows]
    if not any(texts):
        raise InputError(
            f"{rows[0].origin.rpartition(':')[0]}: no recording has any word in its text",
            hint="The column text says what is spoken.",
        )
    spoken = [_times_of(row, times) for row in rows]
    clips: list[Clip] = []
    delays = Delays()
    scored = ScoredWords()
    heard_s = busy_s = 0.0
    for done, (row, said) in enumerate(zip(rows, texts, strict=True), start=1):
        samples = in_quiet(read_clip(row), 0, round(TAIL_S * SAMPLE_RATE_HZ))
        source = ArraySource(samples, paced=paced)
        engine = Engine(source, recognizer)
        heard = _listen_live(engine, source) if paced else _listen(engine)
        delays.add(heard, spoken[done - 1])
        clips.append(_judge(row, said, heard.finals, understand))
        scored.add(heard.finals, said)
        stats = engine.stats()
        heard_s += stats.processed_samples / SAMPLE_RATE_HZ
        busy_s += stats.busy_s
        if progress is not None:
            progress(done, len(rows))
    return CaptionsResult(tuple(clips), understand is not None, delays, heard_s, busy_s, scored.error)


def _times_of(row: Row, times: WordTimes | None) -> Sequence[SpokenWord] | None:
    if times is None:
        return None
    words = times.get(row.path.resolve())
    if words is None:
        raise InputError(f"{row.origin}: {row.path} has no word times", hint="Label it, too.")
    return words


def _listen(engine: Engine) -> Heard:
    """Hear a stream to its end; events come when so much of it was heard."""
    with contextlib.closing(engine.replay()) as events:
        return Heard((event, engine.stats().processed_samples) for event in events)


def _listen_live(engine: Engine, source: Source) -> Heard:
    """Hear a stream as it goes by; events come when the clock says so."""

    def now() -> int:
        return round((time.monotonic() - source.captured_at(0)) * SAMPLE_RATE_HZ)

    with engine:
        return Heard((event, now()) for event in engine)


def _judge(row: Row, said: list[str], captions: list[Caption], understand: Understand | None) -> Clip:
    written = normalise(" ".join(caption.text for caption in captions))
    expected = understand(said) if understand is not None else None
    understood = [Order(c.command, c.slots) for c in captions if c.command is not None]
    said_text, written_text = " ".join(said), " ".join(written)
    return Clip(
        origin=row.origin,
        speaker=row.speaker or row.origin,
        pairs=tuple(align(said, written)),
        characters=len(said_text),
        character_errors=distance(said_text, written_text),
        is_order=expected is not None,
        is_understood=understood == ([] if expected is None else [expected]),
    )
