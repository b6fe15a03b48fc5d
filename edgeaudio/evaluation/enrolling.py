"""Make a word out of a few recordings of it: Fisher's discriminant against what ordinary speech looks like.

``w = C^-1 (m - m0)`` with the mean `m` of the recordings' pooled embeddings and mean `m0` and shrunken
covariance `C` of the background's: everything that few recordings cannot tell comes from the background.
The threshold is where the background would wake it `max_false_alarms` times an hour: beyond the
highest scores that so little background reached, they fall off exponentially.

How sure one can be is told by leaving each recording out once, with all it is needed for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import StreamingGraph, stream_embedded
from edgeaudio.evaluation.intervals import wilson_interval
from edgeaudio.evaluation.mixing import in_quiet
from edgeaudio.evaluation.spoken import Spoken
from edgeaudio.frontend import Frontend
from edgeaudio.models.background import Background
from edgeaudio.models.enrolments import Estimate, WordNumbers
from edgeaudio.tasks.enrolled import word_scores
from edgeaudio.types import SAMPLE_RATE_HZ, Frames

__all__ = ["HeardWord", "WordFit", "fit_word", "hear_word"]

_SHRINKAGE = 0.1
_SHIFTS = (0, 2, 4, 6)
"""Output frames behind the word's end at which it is enrolled: the network knows it a little later."""
_SPEEDS = (0.86, 0.93, 1.07, 1.15)
_LEAD_S, _TAIL_S = 1.2, 0.4
"""What is played around a recording: the network comes to rest before it, and hears the end of the word."""
_LEAST_SEGMENTS, _MOST_SEGMENTS = 3, 8
_PEAKS = 40
"""Highest scores of the background, one a second at most, that tell how the tail falls off."""
_OFTENER = 2.5
"""A stream is looked at every 20 ms, the background every 140 ms: so much oftener it exceeds a score."""

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class HeardWord:
    """A recording of the word as the network heard it.

    ``embeddings`` is ``[n, width]``, output frames with a second of quiet before and after;
    the word lies in its frames ``[start, end)``. ``variants`` are the same recording faster and slower.
    """

    embeddings: Frames
    start: int
    end: int
    variants: tuple[HeardWord, ...] = ()


def hear_word(spoken: Spoken, graph: StreamingGraph, frontend: Frontend) -> HeardWord:
    """Stream a recording, and variants of it, through a network that gives out its embedding."""
    variants = [_hear(_at_speed(spoken, speed), graph, frontend) for speed in _SPEEDS]
    return replace(_hear(spoken, graph, frontend), variants=tuple(variants))


def _hear(spoken: Spoken, graph: StreamingGraph, frontend: Frontend) -> HeardWord:
    lead, tail = round(_LEAD_S * SAMPLE_RATE_HZ), round(_TAIL_S * SAMPLE_RATE_HZ)
    frontend.reset()
    graph.reset()
    _, embeddings = stream_embedded(graph, frontend.process(in_quiet(spoken.samples, lead, tail)))
    spec, signature = frontend.spec, graph.signature
    hop = spec.hop_samples * signature.step_frames // signature.n_out
    start, end = ((lead + sample) // hop for sample in (spoken.start, spoken.end))
    return HeardWord(embeddings, min(start, len(embeddings) - 1), min(end, len(embeddings)))


def _at_speed(spoken: Spoken, speed: float) -> Spoken:
    """The recording as on a tape that runs faster: pitch, formants and tempo move as between people."""
    n = len(spoken.samples)
    at = np.arange(round(n / speed)) * speed
    samples = np.interp(at, np.arange(n), spoken.samples).astype(np.float32)
    return replace(spoken, samples=samples, start=round(spoken.start / speed), end=round(spoken.end / speed))


@dataclass(frozen=True)
class WordFit:
    """The word's numbers, what can be said of them, and each recording's score when it was left out."""

    numbers: WordNumbers
    estimate: Estimate
    scores: tuple[float, ...]


class _Space:
    """The background in segments as long as the word, normalised, with its discriminant."""

    def __init__(self, background: Background, negatives: Sequence[Frames], n_segments: int) -> None:
        self.n_segments, self.segment_frames = n_segments, background.segment_frames
        pooled, excerpt = background.stretches(n_segments)
        self.mean = pooled.mean(axis=0, dtype=np.float64)
        # A value that never changes in the background may tell a word, but not by how much.
        deviation = pooled.std(axis=0, dtype=np.float64)
        self.deviation = np.maximum(deviation, 0.05 * float(deviation.mean()) + 1e-6)
        self.others = self.normalised(pooled)
        a_second = max(1, round(len(background.segments) / background.seconds))
        self.seconds = excerpt * 1_000_000 + np.arange(len(excerpt)) // a_second
        self.hours = background.seconds / 3600.0
        self.negatives = [self.normalised(self.pooled(frames, range(len(frames)))) for frames in negatives]
        cloud = np.concatenate([self.others, *self.negatives])
        self.centre = cloud.mean(axis=0)
        covariance = np.cov(cloud.T)
        covariance *= 1.0 - _SHRINKAGE
        covariance[np.diag_indices_from(covariance)] += _SHRINKAGE * covariance.trace() / len(covariance)
        self.precision = np.linalg.inv(covariance)

    def pooled(self, embeddings: Frames, ends: Sequence[int]) -> Vectors:
        """Means ``[n, segments * width]`` of stretches that end with these frames, as far as they go."""
        length = self.n_segments * self.segment_frames
        sums = np.vstack(
            (np.zeros((1, embeddings.shape[1])), np.cumsum(embeddings, axis=0, dtype=np.float64))
        )
        at = np.array([end + 1 for end in ends if length <= end + 1 <= len(embeddings)], np.int64)
        edges = at[:, None] - length + self.segment_frames * np.arange(self.n_segments + 1)
        means: Vectors = np.diff(sums[edges], axis=1) / self.segment_frames
        return means.reshape(len(at), -1)

    def normalised(self, pooled: Frames | Vectors) -> Vectors:
        z = (pooled - self.mean) / self.deviation
        unit: Vectors = z / np.maximum(np.sqrt(np.square(z).sum(axis=1, keepdims=True)), 1e-12)
        return unit

    def weights(self, words: Vectors) -> Vectors:
        w = self.precision @ (words.mean(axis=0) - self.centre)
        return np.asarray(w / np.sqrt(np.square(w).sum()))

    def peaks(self, weights: Vectors) -> Vectors:
        """The highest score of each second of background, falling."""
        scores = self.others @ weights
        starts = np.flatnonzero(np.diff(self.seconds, prepend=-1))
        return np.sort(np.maximum.reduceat(scores, starts))[::-1]


def fit_word(
    words: Sequence[HeardWord],
    background: Background,
    *,
    negatives: Sequence[Frames] = (),
    max_false_alarms: float = 0.5,
) -> WordFit:
    """Enrol a word.

    Parameters
    ----------
    words : sequence of HeardWord
        Two recordings or more.
    background : Background
        Of the same network.
    negatives : sequence of Frames
        Embeddings ``[n, width]`` of further recordings of what is not the word.
    max_false_alarms : float
        How often an hour ordinary speech may wake it.
    """
    frames = float(np.median([word.end - word.start for word in words])) + _SHIFTS[-1] / 2
    n_segments = min(max(round(frames / background.segment_frames), _LEAST_SEGMENTS), _MOST_SEGMENTS)
    space = _Space(background, negatives, n_segments)
    spoken = [_vectors(space, word) for word in words]
    numbers = _numbers(space, spoken, max_false_alarms)
    missed, scores = 0, []
    for left_out, word in enumerate(words):
        others = spoken[:left_out] + spoken[left_out + 1 :]
        trial = _numbers(space, others, max_false_alarms)
        score = _best(trial, word)
        missed += score < trial.threshold
        scores.append((score - trial.threshold) * trial.slope)
    estimate = Estimate(
        missed=missed,
        of=len(words),
        interval=wilson_interval(missed, len(words)),
        false_alarms_per_hour=_rate(space.peaks(np.asarray(numbers.weights)), space.hours, numbers.threshold),
        background_hours=round(space.hours, 2),
    )
    return WordFit(numbers, estimate, tuple(scores))


def _vectors(space: _Space, word: HeardWord) -> Vectors:
    """The word with its variants, at each of the shifts."""
    found = [
        space.pooled(heard.embeddings, [heard.end - 1 + shift for shift in _SHIFTS])
        for heard in (word, *word.variants)
    ]
    return space.normalised(np.concatenate(found))


def _numbers(space: _Space, spoken: Sequence[Vectors], max_false_alarms: float) -> WordNumbers:
    weights = space.weights(np.concatenate(spoken))
    peaks = space.peaks(weights)
    threshold = _threshold(peaks, space.hours, max_false_alarms)
    if space.negatives:
        threshold = max(
            threshold, *(float((frames @ weights).max(initial=-1.0)) for frames in space.negatives)
        )
    reached = float(np.median([(vectors @ weights).max() for vectors in spoken]))
    return WordNumbers(
        segments=space.n_segments,
        segment_frames=space.segment_frames,
        mean=_plain(space.mean),
        deviation=_plain(space.deviation),
        weights=_plain(weights),
        threshold=threshold,
        slope=4.0 / max(reached - threshold, 0.02),
    )


def _threshold(peaks: Vectors, hours: float, rate: float) -> float:
    """The score that `rate` peaks an hour exceed."""
    tail = min(_PEAKS, len(peaks) - 1)
    base = float(peaks[tail])
    excess = float((peaks[:tail] - base).mean())
    return base + excess * math.log(_OFTENER * tail / (rate * hours))


def _rate(peaks: Vectors, hours: float, threshold: float) -> float:
    """How many peaks an hour exceed `threshold`: the inverse of `_threshold`."""
    tail = min(_PEAKS, len(peaks) - 1)
    base = float(peaks[tail])
    excess = float((peaks[:tail] - base).mean())
    return float(
        f"{_OFTENER * tail / hours * math.exp(min((base - threshold) / max(excess, 1e-9), 0.0)):.3g}"
    )


def _best(numbers: WordNumbers, word: HeardWord) -> float:
    """The highest score from the word's beginning on."""
    scores = word_scores(numbers, word.embeddings)[word.start :]
    return float(np.max(scores, initial=-1.0, where=np.isfinite(scores)))


def _plain(values: Vectors) -> tuple[float, ...]:
    """As plain numbers of six digits, more than the embedding's eight bits can tell."""
    return tuple(float(f"{value:.6g}") for value in values)
