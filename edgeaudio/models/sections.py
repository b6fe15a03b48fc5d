"""Sections of ``model.yaml`` that say how a network's answers are used, one for each kind of model."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from edgeaudio.errors import UsageError

__all__ = ["Activity", "Captions", "ClipDecision", "Decision", "Search", "Voices", "Window"]

Probability = Annotated[float, Meta(gt=0.0, lt=1.0)]
Milliseconds = Annotated[float, Meta(ge=0.0, le=60_000.0)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ClipDecision(_Strict, frozen=True, kw_only=True):
    """How a whole short recording is decided, see :func:`edgeaudio.tasks.clip.clip_decision`."""

    word_threshold: Probability
    silence_threshold: Probability


class Decision(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """How posteriors become events, see :class:`edgeaudio.tasks.trigger.Trigger`.

    ``thresholds`` overrides ``threshold`` for some labels. ``silent_labels`` (such as unknown and
    silence) never become events. ``clip`` is for models tested on recordings of one word each.
    """

    threshold: Probability
    smoothing_ms: Milliseconds
    refractory_ms: Milliseconds
    guard_ms: Milliseconds = 0.0
    release_ratio: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    silent_labels: tuple[str, ...] = ()
    thresholds: dict[str, Probability] = {}
    clip: ClipDecision | None = None


class Activity(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """How posteriors become stretches of time, see :class:`edgeaudio.tasks.hysteresis.Hysteresis`.

    A stretch begins where the smoothed posterior reaches ``threshold`` and stays at least at
    ``threshold * release_ratio`` for ``least_on_ms``; it ends where it has been below that for
    ``least_off_ms``. Its start is told ``pre_roll_ms`` earlier. ``thresholds`` overrides ``threshold`` for
    some labels, ``silent_labels`` never become events.
    """

    threshold: Probability
    release_ratio: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    smoothing_ms: Milliseconds = 0.0
    least_on_ms: Milliseconds = 0.0
    least_off_ms: Milliseconds = 0.0
    pre_roll_ms: Milliseconds = 0.0
    thresholds: dict[str, Probability] = {}
    silent_labels: tuple[str, ...] = ()


class Window(_Strict, frozen=True, kw_only=True):
    """How a network that is not streaming is run over a stream: in overlapping windows.

    Each run sees ``left_ms`` of what was decided before, ``chunk_ms`` of what is decided now, and
    ``lookahead_ms`` of what comes after it. A graph with states remembers the past and needs no
    ``left_ms`` of it.
    """

    left_ms: Milliseconds
    chunk_ms: Milliseconds
    lookahead_ms: Milliseconds


class Search(_Strict, frozen=True, kw_only=True):
    """How log-probabilities become words, see :mod:`edgeaudio.decoding`.

    ``language_weight`` multiplies the language model's natural logarithms, ``word_bonus`` is added for
    each word, ``beam_width`` hypotheses survive that are at most ``beam_score`` behind the best.
    """

    beam_width: Annotated[int, Meta(ge=1, le=5000)] = 400
    beam_score: Annotated[float, Meta(gt=0.0, le=1000.0)] = 14.0
    language_weight: Annotated[float, Meta(ge=0.0, le=20.0)] = 1.0
    word_bonus: Annotated[float, Meta(ge=-20.0, le=20.0)] = 0.0
    blank_scale: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0


class Captions(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """What a recogniser needs besides its graph; the manifest's ``labels`` are its tokens.

    ``blank`` is CTC's blank among the labels. ``language`` names the lexicon and language model used
    by default. Word times are moved back by ``delay_ms``, the network's mean lateness. A word's
    confidence is ``1 / (1 + exp(-(scale * x + offset)))`` of what the search says about it.
    """

    units: Literal["phones", "characters", "pieces"]
    blank: str = "<blank>"
    language: str | None = None
    delay_ms: Annotated[float, Meta(ge=-1000.0, le=2000.0)] = 0.0
    normalise: Literal["none", "running"] = "none"
    window: Window | None = None
    search: Search = Search()
    confidence_scale: float = 1.0
    confidence_offset: float = 0.0

    def confidence(self, evidence: float) -> float:
        """Return the probability that a word is right, from what the search says about it."""
        odds = self.confidence_scale * evidence + self.confidence_offset
        # Bounded, since the exponential of what is absurdly certain overflows.
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, odds))))


class Voices(_Strict, frozen=True, kw_only=True):
    """How what two voices have in common becomes a decision, see :class:`edgeaudio.tasks.speaker.Speaker`.

    A score is ``scale * x + offset`` of the logarithmic ratio ``x`` that the space of voices gives: how
    many times more probable one person is than two, as a natural logarithm. ``false_accepts`` lists parts of
    other people who pass, rising, each with the score from which one passes, falling; both measured
    on people whom the network has never heard, by pieces of ``seconds``. Less speech than ``least_speech_ms``
    tells nothing.
    """

    scale: Annotated[float, Meta(gt=0.0, le=1e6)]
    offset: float
    seconds: Annotated[float, Meta(gt=0.0, le=600.0)]
    least_speech_ms: Milliseconds
    false_accepts: Annotated[tuple[tuple[Probability, float], ...], Meta(min_length=2, max_length=100)]

    def __post_init__(self) -> None:
        numbers = (self.offset, *(score for _, score in self.false_accepts))
        if not all(map(math.isfinite, numbers)):
            raise ValueError("a score is not finite")
        for (rate, score), (next_rate, next_score) in pairwise(self.false_accepts):
            if not (rate < next_rate and score > next_score):
                raise ValueError("false_accepts must rise, and their scores fall")

    def threshold(self, false_accepts: float) -> float:
        """Return the score that so many other people reach, a part of 1.

        Between two known parts it is a straight line over the quantiles of the normal distribution.

        Raises
        ------
        UsageError
            If that was not measured.
        """
        rates, scores = zip(*self.false_accepts, strict=True)
        if not rates[0] <= false_accepts <= rates[-1]:
            raise UsageError(
                f"the model does not know which score {false_accepts:.3%} of other voices reach",
                hint=f"It was measured from {rates[0]:.1%} to {rates[-1]:.0%}.",
            )
        from statistics import NormalDist  # milliseconds at the start of every command otherwise

        place = NormalDist().inv_cdf
        return float(np.interp(place(false_accepts), [place(rate) for rate in rates], scores))
