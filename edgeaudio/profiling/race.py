"""Who is best, found in turns: a race in which the slower half gives up again and again.

Successive halving (Karnin, Koren and Somekh, "Almost optimal exploration in multi-armed bandits", ICML
2013), with one addition: everybody is compared with one that never gives up, in the same lap. What else
the machine does meanwhile then hits both alike, and slow changes, of a clock that cools down, cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

__all__ = ["Race", "Result", "paired_interval", "planned_turns", "race"]

Runner = TypeVar("Runner", bound=Hashable)
Turn = TypeVar("Turn")

_LAPS = (1, 1, 2, 3)
"""Laps of the first rounds; later ones are as long as the last. The fewer are left, the closer they are."""


class Result(NamedTuple):
    """What came of a race."""

    score: float
    """Median over all laps; less is better, and 1 is as good as the reference."""
    laps: int
    given_up: int | None
    """In which round; None for the winner."""


class Race(NamedTuple, Generic[Runner]):
    """How it went."""

    results: dict[Runner, Result]
    """Without the reference."""
    complete: bool

    @property
    def order(self) -> list[Runner]:
        """The best first: whoever ran longer, and of those who ran alike the one with the lower score."""
        return sorted(self.results, key=lambda runner: _rank(self.results[runner]))


def race(
    runners: Sequence[Runner],
    reference: Runner,
    take_turn: Callable[[Runner], Turn | None],
    score: Callable[[Turn, Turn], float],
    *,
    ended: Callable[[int], None] = lambda turns_left: None,
) -> Race[Runner]:
    """Let runners take turns until one is left.

    Parameters
    ----------
    runners : sequence
        Without `reference`; each takes part once.
    reference : Runner
        Whom all are compared with.
    take_turn : callable
        Lets a runner take a turn; None ends the race with what is known.
    score : callable
        Compares a turn with the reference's in the same lap: less is better, and 1 is as good.
    ended : callable
        Called after each turn with how many are left to do.
    """
    turns: dict[Runner, list[Turn]] = {runner: [] for runner in (*runners, reference)}
    left = planned_turns(len(runners))

    def run_lap(order: Iterable[Runner]) -> bool:
        nonlocal left
        for runner in order:
            turn = take_turn(runner)
            if turn is None:
                return False
            turns[runner].append(turn)
            left -= 1
            ended(left)
        return True

    def scored(runner: Runner) -> float:
        return float(np.median([score(*pair) for pair in zip(turns[runner], turns[reference], strict=False)]))

    alive = list(runners)
    gave_up: dict[Runner, int] = {}
    complete = True
    for n in range(_rounds(len(runners))):
        for lap in range(_laps(n)):
            # Back and forth, so that nobody always follows the same one; the reference in the middle.
            order = [*alive[: len(alive) // 2], reference, *alive[len(alive) // 2 :]]
            complete = complete and run_lap(order if (lap + n) % 2 else order[::-1])
        if not complete:
            break
        alive.sort(key=scored)
        kept = math.ceil(len(alive) / 2)
        gave_up.update(dict.fromkeys(alive[kept:], n))
        alive = alive[:kept]
    known = [runner for runner in runners if turns[runner] and turns[reference]]
    results = {runner: Result(scored(runner), len(turns[runner]), gave_up.get(runner)) for runner in known}
    return Race(results, complete)


def planned_turns(n_runners: int) -> int:
    """Return how many turns a race takes, those of the reference included.

    Examples
    --------
    >>> planned_turns(0), planned_turns(1), planned_turns(6)
    (0, 2, 17)
    """
    turns = 0
    alive = n_runners
    for n in range(_rounds(n_runners)):
        turns += (alive + 1) * _laps(n)
        alive = math.ceil(alive / 2)
    return turns


def paired_interval(
    values: Sequence[float], references: Sequence[float], *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the ratio of two means, and a bootstrap interval that draws pairs: both of a turn together."""
    pairs = np.array([values, references])
    drawn = np.random.default_rng(20261121).integers(0, pairs.shape[1], (2000, pairs.shape[1]))
    means = pairs[:, drawn].mean(axis=2)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means[0] / means[1], (tail, 1 - tail))
    whole = pairs.mean(axis=1)
    return float(whole[0] / whole[1]), float(low), float(high)


def _rounds(n_runners: int) -> int:
    """Return after how many rounds one is left; a single one runs a round to be known at all."""
    return max(1, math.ceil(math.log2(n_runners))) if n_runners else 0


def _laps(n: int) -> int:
    return _LAPS[min(n, len(_LAPS) - 1)]


def _rank(result: Result) -> tuple[float, float]:
    return (-math.inf if result.given_up is None else -result.given_up, result.score)
