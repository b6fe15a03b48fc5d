"""Where a phrase is really said in recordings that were made for something else.

The captions model hears each recording once. Where a transcript has the phrase, its words are aligned
with what was heard; elsewhere the phrase's sounds are looked for against all others.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from edgeaudio.backends.base import Runtime
from edgeaudio.decoding.base import LogProbs
from edgeaudio.decoding.spotting import PhraseSearch
from edgeaudio.errors import InputError
from edgeaudio.evaluation.labels import Aligner
from edgeaudio.evaluation.manifest import Row, iter_clip
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.loading import DEFAULT_MODEL
from edgeaudio.training.phrases import check_phrase
from edgeaudio.training.utterances import spoken_words

__all__ = ["Find", "Finder", "Verdict"]

Verdict: TypeAlias = Literal["said", "near", "doubtful"]
_Transcript: TypeAlias = Literal["unknown", "has it", "lacks it"]

_SLOPE, _PERFECT = 4.4, 2.8
"""Logarithm of the odds that a spot is the phrase: lost per unit of disagreement per sound, and without any.
Fitted to 40 words and phrases of 5 to 16 sounds, said 574 times by speakers that the model never heard."""
_SAID = 0.6
"""The least confidence with which the phrase is taken to be said."""
_ALIGNED = 0.8
"""The same of each word where the transcript has the phrase; below, the transcript is taken for wrong."""
_DOUBTFUL = 0.02
"""What is likelier than that to be the phrase is no near miss, unless a transcript says so."""
_RUNNING_S = 10.0
"""A shorter recording may be of nothing but the phrase, said in a way that is hardly recognised: without a
transcript nothing in it is a near miss. Up to one in seven of foreign speakers' single words would be."""
_NEAR = 0.002
"""What is less likely does not sound like the phrase."""
_MOST_MISMATCH = (_PERFECT + math.log((1 - _NEAR) / _NEAR)) / _SLOPE

_LONGEST_S, _LONGEST_SOUND_S = 0.24, 0.16
"""A phrase takes no longer than the first and the second for each sound: 99 of 100 are said faster."""
_MOST_ALIGNED_S = 600.0
_MOST_WAYS = 32
_EDGE_S = 0.05
"""So much earlier than its first sound shows a word begins, and later than its last one it ends: medians of
344 words whose bounds people had marked."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Find:
    """A place where the phrase is said, or something that sounds like it.

    ``start_s`` and ``end_s`` are its bounds in the recording, ``confidence`` is the probability that
    it is the phrase.
    """

    row: Row
    start_s: float
    end_s: float
    confidence: float
    verdict: Verdict

    def overlaps(self, other: Find) -> bool:
        """Whether both are in part the same speech of one recording."""
        return self.start_s < other.end_s and other.start_s < self.end_s


class Finder:
    """Finds a phrase in recordings of any length.

    Parameters
    ----------
    aligner : Aligner
        It belongs to the finder from now on.
    phrase : str

    Raises
    ------
    UsageError
        The phrase is nothing that can be said.
    """

    def __init__(self, aligner: Aligner, phrase: str) -> None:
        checked = check_phrase(phrase, allow_short=True)
        self.phrase = checked.text
        self._words = list(checked.words)
        self._aligner = aligner
        ways = _ways([aligner.tokens(word, "the phrase") for word in self._words], aligner.separator)
        self._heard_s = 0.0
        self._most_s = _LONGEST_S + _LONGEST_SOUND_S * max(map(len, ways))
        self._search = PhraseSearch(
            ways,
            blank=aligner.blank,
            most_frames=math.ceil(self._most_s / aligner.frame_s),
            most_mismatch=_MOST_MISMATCH,
        )

    @classmethod
    def load(
        cls,
        phrase: str,
        *,
        model: str | Path = DEFAULT_MODEL,
        language: str | Path | None = None,
        backend: Runtime | None = None,
        profile: Profile | None = None,
    ) -> Finder:
        """Load a captions model; see :meth:`edgeaudio.tasks.recognizer.Recognizer.load`."""
        check_phrase(phrase, allow_short=True)  # before what is slow
        return cls(Aligner.load(model, language=language, backend=backend, profile=profile), phrase)

    def __call__(self, row: Row) -> list[Find]:
        """Find all places in one recording where the phrase is said, and what sounds like it.

        Raises
        ------
        InputError
            It cannot be read.
        """
        words = self._transcript(row)
        places = self._places(words or [])
        log_probs = self._hear(row, keep=bool(places))
        said = [] if words is None or log_probs is None else self._align(row, words, places, log_probs)
        transcript: _Transcript = "unknown" if words is None else "lacks it"
        if len(said) < len(places):
            # It may be said anywhere, so that nothing is known not to be the phrase.
            said, transcript = [], "has it"
        spotted = []
        for spot in self._search.flush():
            bounds = self._aligner.spoken_s(spot.start_frame), self._aligner.spoken_s(spot.end_frame)
            confidence = 1.0 / (1.0 + math.exp(_SLOPE * spot.mismatch - _PERFECT))
            spotted.append(self._find(row, bounds, confidence, _verdict(confidence, transcript)))
        if transcript == "unknown":
            spotted = self._in_doubt(spotted)
        return said + [find for find in spotted if not any(map(find.overlaps, said))]

    def _in_doubt(self, spotted: list[Find]) -> list[Find]:
        """Near misses without a transcript: who has said it once may say it again, less clearly."""
        if self._heard_s >= _RUNNING_S and all(find.verdict == "near" for find in spotted):
            return spotted
        return [replace(find, verdict="doubtful") if find.verdict == "near" else find for find in spotted]

    def _transcript(self, row: Row) -> list[str] | None:
        """The words that are said; None where that is unknown."""
        if row.label.replace("_", " ").lower().split() == self._words:
            return self._words
        return spoken_words(row.text) if row.text else None

    def _places(self, words: Sequence[str]) -> list[int]:
        """Where in a transcript the phrase begins."""
        n = len(self._words)
        return [i for i in range(len(words)) if words[i : i + n] == self._words]

    def _hear(self, row: Row, *, keep: bool) -> LogProbs | None:
        """Hear a recording, and keep what was heard if that is wanted and not too much to be aligned."""
        self._search.reset()
        kept: list[LogProbs] = []
        n_frames = 0
        for log_probs in self._aligner.hear(iter_clip(row)):
            self._search.process(log_probs)
            n_frames += len(log_probs)
            keep = keep and n_frames * self._aligner.frame_s <= _MOST_ALIGNED_S
            if keep:
                kept.append(log_probs)
        self._heard_s = n_frames * self._aligner.frame_s
        return np.concatenate(kept) if keep else None

    def _align(
        self, row: Row, words: Sequence[str], places: Sequence[int], log_probs: LogProbs
    ) -> list[Find]:
        """The places where the transcript has the phrase and agrees with what was heard."""
        seconds = len(log_probs) * self._aligner.frame_s
        try:
            aligned = self._aligner.align(log_probs, words, seconds, origin=row.origin).words
        except InputError as error:
            _LOG.info("%s", error.message)
            return []
        said = []
        for place in places:
            part = aligned[place : place + len(self._words)]
            bounds = part[0].start_s, part[-1].end_s
            confidence = min(word.confidence for word in part)
            if confidence >= _ALIGNED and bounds[1] - bounds[0] <= self._most_s:
                said.append(self._find(row, bounds, confidence, "said"))
        return said

    @staticmethod
    def _find(row: Row, shown_s: tuple[float, float], confidence: float, verdict: Verdict) -> Find:
        """A find whose first sound shows at the one and whose last sound at the other time."""
        return Find(row, max(0.0, shown_s[0] - _EDGE_S), shown_s[1] + _EDGE_S, confidence, verdict)


def _verdict(confidence: float, transcript: _Transcript) -> Verdict:
    """What to make of a spot that was not aligned."""
    if confidence >= _SAID:
        # Other words may sound exactly like the phrase: those are neither the one nor the other.
        return "doubtful" if transcript == "lacks it" else "said"
    if transcript == "unknown":
        return "near" if confidence < _DOUBTFUL else "doubtful"
    return "near" if transcript == "lacks it" else "doubtful"


def _ways(words: Sequence[Sequence[Sequence[int]]], separator: int | None) -> list[list[int]]:
    """All ways to say a phrase whose words have these pronunciations."""
    between = [] if separator is None else [separator]
    return [
        [token for word in way for token in (*between, *word)][len(between) :]
        for way in itertools.islice(itertools.product(*words), _MOST_WAYS)
    ]
