"""Which words were written for which: alignments with the fewest errors (Levenshtein)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pair", "align", "distance"]

Pair: TypeAlias = tuple[str, str]
"""A word that was said and the word that was written for it; empty where there is none."""

_GAP = 2**20
_SUBSTITUTION = _GAP + 1
"""Of alignments with equally few errors, that with the fewest substitutions has the most words right."""


def align(said: Sequence[str], written: Sequence[str]) -> list[Pair]:
    """Pair the words with the fewest errors, and of such pairings with the most words right.

    Examples
    --------
    >>> align("turn on the light".split(), "turn the lights please".split())
    [('turn', 'turn'), ('on', ''), ('the', 'the'), ('light', 'lights'), ('', 'please')]
    """
    codes, other = _codes(said, written)
    rows = [_first_row(other)]
    for code in codes:
        rows.append(_next_row(rows[-1], code, other))
    pairs: list[Pair] = []
    i, j = len(said), len(written)
    while i or j:
        if j and rows[i][j] == rows[i][j - 1] + _GAP:
            j -= 1
            pairs.append(("", written[j]))
        elif i and rows[i][j] == rows[i - 1][j] + _GAP:
            i -= 1
            pairs.append((said[i], ""))
        else:
            i, j = i - 1, j - 1
            pairs.append((said[i], written[j]))
    return pairs[::-1]


def distance(said: Sequence[Hashable], written: Sequence[Hashable]) -> int:
    """Return the fewest substitutions, deletions and insertions of units: characters, phones, tokens.

    Examples
    --------
    >>> distance("turn on", "turn off")
    2
    """
    codes, other = _codes(said, written)
    row = _first_row(other)
    for code in codes:
        row = _next_row(row, code, other)
    return int(row[-1] // _GAP)


def _codes(
    said: Sequence[Hashable], written: Sequence[Hashable]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the units, so that they compare quickly."""
    number = {unit: i for i, unit in enumerate(dict.fromkeys([*said, *written]))}
    first, second = (np.array([number[unit] for unit in units], np.int64) for units in (said, written))
    return first, second


def _first_row(other: NDArray[np.int64]) -> NDArray[np.int64]:
    return _GAP * np.arange(len(other) + 1, dtype=np.int64)


def _next_row(row: NDArray[np.int64], code: np.int64, other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Costs up to the next unit that was said, for each number of units written.

    A run of insertions costs one gap each, ``next[j] = min over k <= j of without[k] + gap * (j - k)``:
    a running minimum of ``without[k] - gap * k``.
    """
    without = row + _GAP
    np.minimum(without[1:], row[:-1] + np.where(other == code, 0, _SUBSTITUTION), out=without[1:])
    steps = _first_row(other)
    following: NDArray[np.int64] = np.minimum.accumulate(without - steps) + steps
    return following
