"""How well voices are told apart: pieces of speech, pairs of them, and the errors at every threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import Row, path_text, read_clip
from edgeaudio.tasks.speaker import Speaker, Voiceprint
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = [
    "MOST_PIECES",
    "PIECE_S",
    "PROMISED",
    "Piece",
    "SpeakerResult",
    "Trials",
    "evaluate_speaker",
    "judge",
    "make_trials",
    "pieces",
]

PIECE_S = 3.0
MOST_PIECES = 8
"""Of one person: more of them say the same again."""
PROMISED = (0.01, 0.05)
"""Parts of false accepts whose thresholds are counted at."""
_MOST_DIFFERENT = 100_000
_RESAMPLINGS = 400
_CURVE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """Some seconds of one person, and the recordings that they come from."""

    speaker: str
    recordings: frozenset[str]
    samples: Samples


def pieces(rows: Iterable[Row], *, seconds: float = PIECE_S, most: int = MOST_PIECES) -> Iterator[Piece]:
    """Cut recordings into pieces of equal length, at most so many of each person.

    A recording that is long enough is cut, and its further pieces are taken only where there are too
    few recordings; shorter ones of one person are joined. Recordings of nobody in particular are left out.

    Raises
    ------
    InputError
        A recording cannot be read.
    """
    people: dict[str, list[Row]] = {}
    for row in rows:
        if row.speaker:
            people.setdefault(row.speaker, []).append(row)
    for speaker, own in people.items():
        yield from _of_one(speaker, own, round(seconds * SAMPLE_RATE_HZ), most)


def _of_one(speaker: str, rows: Sequence[Row], n: int, most: int) -> list[Piece]:
    first: list[Piece] = []
    further: list[Piece] = []
    short: list[Samples] = []
    names: set[str] = set()
    # Spread over what there is, the same each time.
    for i in np.random.default_rng(0).permutation(len(rows)):
        name, samples = path_text(rows[i].path), read_clip(rows[i])
        parts = [
            Piece(speaker, frozenset({name}), samples[at : at + n])
            for at in range(0, len(samples) - n + 1, n)
        ]
        first += parts[:1]
        further += parts[1:]
        if not parts:
            short.append(samples)
            names.add(name)
        if sum(map(len, short)) >= n:
            first.append(Piece(speaker, frozenset(names), np.concatenate(short)[:n]))
            short, names = [], set()
        if len(first) >= most:
            break
    return (first + further)[:most]


@dataclass(frozen=True)
class Trials:
    """Pairs of pieces, by their numbers, ``[n]`` each: of one person or of two.

    ``one_recording`` counts those of one person whose pieces come from the same recording.
    """

    first: Indices
    second: Indices
    same: NDArray[np.bool_]
    one_recording: int


def make_trials(found: Sequence[Piece], *, seed: int = 0) -> Trials:
    """All pairs of each person's pieces, and as many as are useful of different people's.

    Pairs from one recording count only for those of whom there is no other pair: microphone, room and
    day would tell who it is.

    Raises
    ------
    InputError
        There are fewer than two people, or nobody has two pieces.
    """
    own: dict[str, list[int]] = {}
    for i, piece in enumerate(found):
        own.setdefault(piece.speaker, []).append(i)
    same: list[tuple[int, int]] = []
    one_recording = 0
    for numbers in own.values():
        pairs = list(combinations(numbers, 2))
        apart = [(a, b) for a, b in pairs if found[a].recordings.isdisjoint(found[b].recordings)]
        same += apart or pairs
        one_recording += 0 if apart else len(pairs)
    if len(own) < 2 or not same:
        raise InputError(
            f"{len(own)} speakers, {len(same)} pairs of one speaker: nothing to compare",
            hint="The manifest needs a column speaker, two speakers, and some seconds of speech of each.",
        )
    who = np.unique([piece.speaker for piece in found], return_inverse=True)[1]
    first, second = np.triu_indices(len(found), 1) if len(found) <= 1000 else _drawn(len(found), seed)
    different = np.flatnonzero(who[first] != who[second])
    if len(different) > _MOST_DIFFERENT:
        different = np.random.default_rng(seed).choice(different, _MOST_DIFFERENT, replace=False)
    pairs_of_one = np.array(same, np.int64)
    return Trials(
        np.concatenate((pairs_of_one[:, 0], first[different])),
        np.concatenate((pairs_of_one[:, 1], second[different])),
        np.arange(len(same) + len(different)) < len(same),
        one_recording,
    )


def _drawn(n: int, seed: int) -> tuple[Indices, Indices]:
    """Pairs of numbers below ``n``, where all of them would be too many."""
    drawn = np.random.default_rng(seed).integers(n, size=(2, 2 * _MOST_DIFFERENT))
    return drawn[0], drawn[1]


@dataclass(frozen=True)
class SpeakerResult:
    """How voices are told apart; intervals are 95 %, by drawing speakers anew.

    Attributes
    ----------
    eer, interval, threshold
        Where as many people are refused as others are accepted, and the score there.
    curve : list of dict
        Misses at fixed parts of false accepts, with the score from which one is accepted.
    promised : list of dict
        The thresholds of the model: what they promise, and what was found.
    """

    eer: float
    interval: tuple[float, float]
    threshold: float
    curve: list[dict[str, float]]
    promised: list[dict[str, Any]]
    same: int
    different: int
    one_recording: int
    pieces: int
    speakers: int
    seconds: float
    model: str

    def to_json(self) -> dict[str, Any]:
        """One plain object."""
        return {
            "model": self.model,
            "eer": self.eer,
            "interval": list(self.interval),
            "threshold": self.threshold,
            "trials": {
                "same": self.same,
                "different": self.different,
                "from_one_recording": self.one_recording,
            },
            "speakers": self.speakers,
            "pieces": self.pieces,
            "seconds": self.seconds,
            "curve": self.curve,
            "calibration": self.promised,
        }


def evaluate_speaker(
    rows: Sequence[Row],
    speaker: Speaker,
    *,
    seconds: float = PIECE_S,
    progress: Callable[[int, int], None] | None = None,
) -> SpeakerResult:
    """Compare the people of a manifest.

    Parameters
    ----------
    rows : sequence of Row
        With speakers.
    speaker : Speaker
    seconds : float
        Length of the pieces.
    progress : callable, optional
        Called with the number of people heard, and of all.

    Raises
    ------
    InputError
        There is nothing to compare, or a recording cannot be read.
    """
    n_people = len({row.speaker for row in rows if row.speaker})
    found: list[Piece] = []
    prints: list[Voiceprint] = []
    heard: set[str] = set()
    for piece in pieces(rows, seconds=seconds):
        heard.add(piece.speaker)
        prints.append(speaker.hear(piece.samples))
        found.append(replace(piece, samples=piece.samples[:0]))
        if progress is not None:
            progress(len(heard), n_people)
    trials = make_trials(found)
    vectors = np.stack([one.vector for one in prints])
    return judge(
        speaker.score(vectors[trials.first], vectors[trials.second]),
        trials,
        found,
        promised={rate: speaker.threshold(rate) for rate in PROMISED},
        model=speaker.manifest.name,
        seconds=seconds,
    )


def judge(
    scores: Numbers,
    trials: Trials,
    found: Sequence[Piece],
    *,
    promised: Mapping[float, float],
    model: str = "",
    seconds: float = PIECE_S,
) -> SpeakerResult:
    """Count errors.

    Parameters
    ----------
    scores : array [n_trials]
    trials, found
        What was compared.
    promised : mapping
        False accepts that the model promises → its threshold.
    """
    names, who = np.unique([piece.speaker for piece in found], return_inverse=True)
    order = np.argsort(scores, kind="stable")[::-1]
    ranked = _Ranked(scores[order], trials.same[order])
    eer, threshold = ranked.equal_error(np.ones(len(order)))
    first, second = who[trials.first][order], who[trials.second][order]
    rng = np.random.default_rng(0)
    eers, shares = [], []
    for _ in range(_RESAMPLINGS):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names)).astype(float)
        # A pair of one person is there as often as the person, one of two as often as both together.
        weights = np.where(ranked.same, drawn[first], drawn[first] * drawn[second])
        if weights[ranked.same].any() and weights[~ranked.same].any():
            eers.append(ranked.equal_error(weights)[0])
            shares.append([ranked.accepted(level, weights)[1] for level in promised.values()])
    low, high = np.quantile(eers, (0.025, 0.975))
    bounds = np.quantile(np.array(shares).reshape(len(shares), -1), (0.025, 0.975), axis=0)
    kept = []
    for i, (rate, level) in enumerate(promised.items()):
        accepted, passed = ranked.accepted(level, np.ones(len(order)))
        kept.append(
            {
                "promised": rate,
                "threshold": level,
                "false_accepts": passed,
                "interval": [float(bounds[0, i]), float(bounds[1, i])],
                "misses": 1.0 - accepted,
            }
        )
    return SpeakerResult(
        eer, (float(low), float(high)), threshold, ranked.curve(), kept,
        int(trials.same.sum()), int((~trials.same).sum()), trials.one_recording,
        len(found), len(names), seconds, model,
    )  # fmt: skip


@dataclass(frozen=True)
class _Ranked:
    """Scores of all trials, the highest first."""

    scores: Numbers
    same: NDArray[np.bool_]

    def equal_error(self, weights: Numbers) -> tuple[float, float]:
        """The error where misses and false accepts are equally frequent, and the score there."""
        accepted = np.cumsum(np.where(self.same, weights, 0.0))
        passed = np.cumsum(np.where(self.same, 0.0, weights))
        misses, false_accepts = 1.0 - accepted / accepted[-1], passed / passed[-1]
        at = int(np.searchsorted(false_accepts - misses, 0.0))
        return float(misses[at] + false_accepts[at]) / 2, float(self.scores[at])

    def accepted(self, threshold: float, weights: Numbers) -> tuple[float, float]:
        """The parts of trials of one person and of two that reach a threshold."""
        n = len(self.scores) - int(np.searchsorted(self.scores[::-1], threshold))
        same, other = np.where(self.same, weights, 0.0), np.where(self.same, 0.0, weights)
        return float(same[:n].sum() / same.sum()), float(other[:n].sum() / other.sum())

    def curve(self) -> list[dict[str, float]]:
        """Misses at some parts of false accepts; only such as the trials can tell."""
        others = self.scores[~self.same]
        points = []
        for rate in _CURVE:
            if rate * len(others) >= 1:
                level = float(others[int(rate * len(others)) - 1])
                missed = float(np.mean(self.scores[self.same] < level))
                points.append({"false_accepts": rate, "misses": missed, "threshold": level})
        return points
