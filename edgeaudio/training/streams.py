"""Training streams: two seconds of words, other speech and silence, and what to answer when.

A spotter that runs on a live stream has to answer shortly after a word's end, to see a word that
is still being said as *not yet*, and to be silent afterwards. So it never sees single clips: each
is laid at a random place into a stream, and every output frame gets a target and a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeaudio.training.corpus import Clip, Hints, word_bounds
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = [
    "OTHER",
    "FrameTargets",
    "Pools",
    "Recipe",
    "Spoken",
    "StreamMaker",
    "frame_targets",
    "hint_targets",
]

OTHER = -1
"""Label index of speech that is none of the words."""

_FADE_SAMPLES = SAMPLE_RATE_HZ // 100


@dataclass(frozen=True)
class Spoken:
    """One stretch of speech in a stream: word index or :data:`OTHER`, first and last sample.

    ``end`` may lie behind the end of the stream: the word is cut off. ``hints`` tell about the clip that
    was laid in from ``laid`` on; its first sample would lie at ``origin``, and ``factor`` samples of it
    go by while one of the stream does.
    """

    word: int
    start: int
    end: int
    hints: Hints | None = None
    laid: int = 0
    origin: float = 0.0
    factor: float = 1.0


@dataclass(frozen=True)
class Pools:
    """Where streams take their sounds from.

    ``real[w]`` and ``synthetic[w]`` are recordings of word ``w``; either may be empty.
    ``confusable`` holds short clips grouped by what is said, each group equally likely; ``speech``
    longer utterances; ``hard`` parts of them that were mistaken for a word.
    """

    real: Sequence[Sequence[Clip]]
    synthetic: Sequence[Sequence[Clip]]
    confusable: Sequence[Sequence[Clip]]
    speech: Sequence[Clip]
    hard: Sequence[Clip] = ()


@dataclass(frozen=True)
class Recipe:
    """How often what is laid into a stream.

    ``word, confusable, speech, pause`` are relative frequencies of the next item; ``synthetic`` is
    the share of synthetic recordings of a word that has real ones too; ``bare`` the share of
    streams that hold one whole clip and nothing else, like those of a test set; ``empty`` of
    streams in which nobody speaks; ``hard`` the share of hard parts, where there are any, in speech.
    """

    word: float = 0.5
    confusable: float = 0.28
    speech: float = 0.12
    pause: float = 0.1
    synthetic: float = 0.35
    bare: float = 0.3
    empty: float = 0.08
    hard: float = 0.4
    speed: tuple[float, float] = (0.87, 1.15)


@dataclass(frozen=True)
class FrameTargets:
    """What to answer in each output frame.

    ``label`` and ``weight`` have shape ``[n_out]``; ``said`` and ``judged`` ``[n_words]``: whether
    the word was said, and whether the stream's highest posterior of that word is to be judged at
    all (not if it was cut off).
    """

    label: NDArray[np.int64]
    weight: NDArray[np.float32]
    said: NDArray[np.float32]
    judged: NDArray[np.float32]


@dataclass
class StreamMaker:
    """Lays clips into streams of ``n_samples``."""

    pools: Pools
    recipe: Recipe
    n_samples: int
    _bounds: dict[int, tuple[int, int]] = field(default_factory=dict, repr=False)

    def __call__(self, rng: np.random.Generator) -> tuple[Samples, list[Spoken]]:
        """One stream, speech around -26 dBFS, no noise yet, and who says what when."""
        stream = np.zeros(self.n_samples, np.float32)
        kind = rng.random()
        if kind < self.recipe.empty:
            return stream, []
        if kind < self.recipe.empty + self.recipe.bare:
            return stream, self._bare(stream, rng)
        spoken: list[Spoken] = []
        at = int(rng.uniform(0.0, 0.6 * self.n_samples))
        while at < self.n_samples:
            item = self._lay_next(stream, at, rng)
            if item is None:
                at += int(rng.uniform(0.2, 0.8) * SAMPLE_RATE_HZ)
            else:
                spoken.append(item)
                at = item.end + int(rng.uniform(0.08, 0.7) * SAMPLE_RATE_HZ)
        return stream, spoken

    def _bare(self, stream: Samples, rng: np.random.Generator) -> list[Spoken]:
        word, clip = self._pick_word(rng) if rng.random() < 0.8 else self._pick_confusable(rng)
        samples, start, end, factor = self._prepared(clip, rng)
        at = int(rng.uniform(0.0, 0.5) * SAMPLE_RATE_HZ)
        _add(stream, samples, at)
        return [Spoken(word, at + start, at + end, clip.hints, at, at, factor)]

    def _lay_next(self, stream: Samples, at: int, rng: np.random.Generator) -> Spoken | None:
        recipe = self.recipe
        weights = np.array([recipe.word, recipe.confusable, recipe.speech, recipe.pause])
        kind = int(rng.choice(4, p=weights / weights.sum()))
        if kind == 3 or (kind == 2 and not self.pools.speech):
            return None
        if kind == 2:
            samples, hints, first, factor = self._utterance(rng)
            _add(stream, samples, at)
            return Spoken(OTHER, at, at + len(samples), hints, at, at - first / factor, factor)
        word, clip = self._pick_word(rng) if kind == 0 else self._pick_confusable(rng)
        samples, start, end, factor = self._prepared(clip, rng)
        # The recording's own noise before and after the word: some of it, seldom all.
        before = min(start, int(rng.uniform(0.02, 0.2) * SAMPLE_RATE_HZ))
        after = min(len(samples) - end, int(rng.uniform(0.06, 0.3) * SAMPLE_RATE_HZ))
        cut = _faded(samples[start - before : end + after])
        _add(stream, cut, at)
        first = at - (start - before)
        return Spoken(word, at + before, at + before + end - start, clip.hints, at, first, factor)

    def _pick_word(self, rng: np.random.Generator) -> tuple[int, Clip]:
        word = int(rng.integers(len(self.pools.real)))
        real, synthetic = self.pools.real[word], self.pools.synthetic[word]
        use_synthetic = not real or (bool(synthetic) and rng.random() < self.recipe.synthetic)
        pool = synthetic if use_synthetic else real
        return word, pool[int(rng.integers(len(pool)))]

    def _pick_confusable(self, rng: np.random.Generator) -> tuple[int, Clip]:
        group = self.pools.confusable[int(rng.integers(len(self.pools.confusable)))]
        return OTHER, group[int(rng.integers(len(group)))]

    def _prepared(self, clip: Clip, rng: np.random.Generator) -> tuple[Samples, int, int, float]:
        """A clip at a random speed and level, where in it the word begins and ends, and how fast it is."""
        bounds = self._bounds.get(id(clip))
        if bounds is None:
            bounds = self._bounds[id(clip)] = word_bounds(clip.pcm)
        samples, factor = _respeeded(_level(clip.pcm, bounds, rng), self.recipe.speed, rng)
        start, end = (round(edge / factor) for edge in bounds)
        return samples, start, min(end, len(samples)), factor

    def _utterance(self, rng: np.random.Generator) -> tuple[Samples, Hints | None, int, float]:
        """A piece of other speech, what was heard in its recording, where that begins, and how fast it is."""
        hard = self.pools.hard
        if hard and rng.random() < self.recipe.hard:
            clip = hard[int(rng.integers(len(hard)))]
            n = len(clip.pcm)
        else:
            clip = self.pools.speech[int(rng.integers(len(self.pools.speech)))]
            n = min(len(clip.pcm), int(rng.uniform(0.4, 2.0) * SAMPLE_RATE_HZ))
        start = int(rng.integers(len(clip.pcm) - n + 1))
        part = clip.pcm[start : start + n]
        samples, factor = _respeeded(_level(part, (0, n), rng), self.recipe.speed, rng)
        return _faded(samples), clip.hints, start, factor


def _level(pcm: NDArray[np.int16], bounds: tuple[int, int], rng: np.random.Generator) -> Samples:
    """Float samples whose speech lies at -26 dBFS, give or take 8 dB."""
    samples = pcm.astype(np.float32)
    rms = float(np.sqrt(np.mean(np.square(samples[bounds[0] : bounds[1]])))) + 1.0
    leveled: Samples = samples * np.float32(0.05 * 10.0 ** rng.uniform(-0.4, 0.4) / rms)
    return leveled


def _respeeded(
    samples: Samples, limits: tuple[float, float], rng: np.random.Generator
) -> tuple[Samples, float]:
    """Played faster or slower; linear interpolation is transparent beside what else is done to it."""
    factor = float(rng.uniform(*limits))
    positions = np.arange(int(len(samples) / factor), dtype=np.float32) * np.float32(factor)
    index = positions.astype(np.int32)
    np.minimum(index, max(len(samples) - 2, 0), out=index)
    fraction = positions - index
    out = samples[index] + fraction * (samples[np.minimum(index + 1, len(samples) - 1)] - samples[index])
    return out, factor


def _faded(samples: Samples) -> Samples:
    n = min(_FADE_SAMPLES, len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, n, dtype=np.float32)
    samples = samples.copy()
    samples[:n] *= ramp
    samples[len(samples) - n :] *= ramp[::-1]
    return samples


def _add(stream: Samples, samples: Samples, at: int) -> None:
    n = min(len(samples), len(stream) - at)
    if n > 0:
        stream[at : at + n] += samples[:n]


# Distances from a word's end, in seconds: when to answer, and how long not to be judged.
ANSWER_FROM_S, ANSWER_TO_S = -0.04, 0.20
LOOSE_BEFORE_S, LOOSE_AFTER_S = 0.15, 0.25
NOT_YET_WEIGHT, SILENCE_WEIGHT, OTHER_WEIGHT = 0.15, 0.3, 0.5


def frame_targets(
    spoken: Sequence[Spoken], newest: NDArray[np.int64], n_words: int, n_samples: int
) -> FrameTargets:
    """Targets for output frames whose newest input sample is ``newest`` (``[n_out]``).

    Labels are the words, then ``n_words`` for unknown speech and ``n_words + 1`` for silence. ::

        word            start ................... end
        target   silence | unknown, light | loose | WORD      | loose | silence
                                      -150 ms  -40 ms  +200 ms  +450 ms
    """
    unknown, silence = n_words, n_words + 1
    label = np.full(len(newest), silence, np.int64)
    weight = np.full(len(newest), SILENCE_WEIGHT, np.float32)
    said, judged = np.zeros(n_words, np.float32), np.ones(n_words, np.float32)
    rate = SAMPLE_RATE_HZ
    for s in spoken:
        from_end = (newest - s.end) / rate
        inside = newest >= s.start
        label[inside & (from_end < ANSWER_TO_S)] = unknown
        weight[inside & (from_end < ANSWER_TO_S)] = OTHER_WEIGHT if s.word == OTHER else NOT_YET_WEIGHT
        loose_from = ANSWER_TO_S if s.word == OTHER else -LOOSE_BEFORE_S
        weight[inside & (from_end >= loose_from) & (from_end < ANSWER_TO_S + LOOSE_AFTER_S)] = 0.0
        if s.word == OTHER:
            # The first syllable cannot be told from silence or a word yet.
            weight[inside & (newest < s.start + 0.1 * rate)] = 0.0
            continue
        answer = inside & (from_end >= ANSWER_FROM_S) & (from_end < ANSWER_TO_S)
        label[answer], weight[answer] = s.word, 1.0
        if s.end + 0.1 * rate < n_samples:
            said[s.word] = 1.0
        else:
            judged[s.word] = 0.0
    judged[said > 0.0] = 1.0
    return FrameTargets(label, weight, said, judged)


# Seconds. A recogniser answers late: so long after a word's end it still tells about it. Where speech is
# cut into, it knows what was before the cut, which nobody else can.
HINTED_AFTER_S, UNHINTED_S = 0.15, 0.1


def hint_targets(
    spoken: Sequence[Spoken], newest: NDArray[np.int64], n_tokens: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What a recogniser heard at output frames whose newest input sample is ``newest`` (``[n_out]``).

    Returns
    -------
    tuple of arrays
        ``[n_out, n_tokens]`` as in :class:`~edgeaudio.training.corpus.Hints`, and ``[n_out]``: 1 where it is
        known, else 0.
    """
    heard = np.zeros((len(newest), n_tokens), np.uint8)
    known = np.zeros(len(newest), np.float32)
    for s in spoken:
        if s.hints is None:
            continue
        at = ((newest - s.origin) * s.factor - s.hints.newest) / s.hints.frame_samples
        frame = np.rint(at).astype(np.int64)
        inside = newest >= s.laid + UNHINTED_S * SAMPLE_RATE_HZ
        inside &= newest < s.end + HINTED_AFTER_S * SAMPLE_RATE_HZ
        inside &= (frame >= 0) & (frame < len(s.hints.log_probs))
        heard[inside] = s.hints.log_probs[frame[inside]]
        known[inside] = 1.0
    return heard, known
