"""How alike two rows of English phones sound: an edit distance with weights from how phones are made.

A substitution costs 0.25 to 1 by place, manner and voice of consonants and by the path of the tongue
in vowels; a vowel for a consonant costs more, unless one is the other's glide. Weights are by ear and
order the words of a lexicon; nothing is learned from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import dist

import numpy as np
from numpy.typing import NDArray

__all__ = ["VOWELS", "Nearness", "n_syllables"]

# Height of the tongue (0 high … 3 low) and its place (0 front … 2 back) at the beginning and at the
# end, and how r-coloured the vowel is.
_TONGUE = {
    "IY": (0.0, 0.0, 0.0, 0.0, 0), "IH": (0.6, 0.3, 0.6, 0.3, 0), "EH": (1.5, 0.2, 1.5, 0.2, 0),
    "EY": (1.2, 0.0, 0.2, 0.0, 0), "AE": (2.5, 0.2, 2.5, 0.2, 0), "AA": (3.0, 1.8, 3.0, 1.8, 0),
    "AO": (2.2, 2.0, 2.2, 2.0, 0), "AH": (1.8, 1.2, 1.8, 1.2, 0), "UH": (0.6, 1.7, 0.6, 1.7, 0),
    "UW": (0.0, 2.0, 0.0, 2.0, 0), "OW": (1.4, 2.0, 0.5, 2.0, 0), "ER": (1.6, 1.0, 1.6, 1.0, 2),
    "AY": (2.8, 1.2, 0.4, 0.1, 0), "AW": (2.8, 1.0, 0.5, 1.8, 0), "OY": (2.0, 2.0, 0.4, 0.1, 0),
}  # fmt: skip
VOWELS = frozenset(_TONGUE)

# Place from the lips (0) to the glottis (4.5), manner, and whether voiced.
_MADE = {
    "P": (0.0, "stop", 0), "B": (0.0, "stop", 1), "T": (1.5, "stop", 0), "D": (1.5, "stop", 1),
    "K": (3.5, "stop", 0), "G": (3.5, "stop", 1), "CH": (2.2, "affricate", 0), "JH": (2.2, "affricate", 1),
    "F": (0.4, "fricative", 0), "V": (0.4, "fricative", 1), "TH": (1.0, "fricative", 0),
    "DH": (1.0, "fricative", 1), "S": (1.5, "fricative", 0), "Z": (1.5, "fricative", 1),
    "SH": (2.2, "fricative", 0), "ZH": (2.2, "fricative", 1), "HH": (4.5, "fricative", 0),
    "M": (0.0, "nasal", 1), "N": (1.5, "nasal", 1), "NG": (3.5, "nasal", 1),
    "L": (1.5, "liquid", 1), "R": (2.0, "liquid", 1), "W": (0.3, "glide", 1), "Y": (2.6, "glide", 1),
}  # fmt: skip
_MANNERS = {
    frozenset({"stop", "affricate"}): 0.35, frozenset({"affricate", "fricative"}): 0.3,
    frozenset({"stop", "fricative"}): 0.45, frozenset({"stop", "nasal"}): 0.45,
    frozenset({"liquid", "glide"}): 0.35, frozenset({"liquid", "nasal"}): 0.5,
}  # fmt: skip
_OTHER_MANNER = 0.7
_GLIDES = {("Y", "IY"): 0.5, ("Y", "IH"): 0.6, ("W", "UW"): 0.5, ("W", "UH"): 0.6, ("R", "ER"): 0.4}

_LEAST, _MOST, _VOWEL_FOR_CONSONANT = 0.25, 1.0, 1.3
# Weak sounds come and go unnoticed.
_DROPPED = {"HH": 0.45, "Y": 0.45, "W": 0.5, "T": 0.5, "D": 0.5, "AH": 0.6, "IH": 0.6}
_DROPPED_CONSONANT, _DROPPED_VOWEL = 0.6, 0.9


def n_syllables(phones: Sequence[str]) -> int:
    """Vowels in a row of phones."""
    return sum(phone in VOWELS for phone in phones)


def _for(one: str, other: str) -> float:
    """What it costs to hear one phone for another."""
    if one == other:
        return 0.0
    if one in _TONGUE and other in _TONGUE:
        cost = 0.12 + 0.2 * dist(_TONGUE[one], _TONGUE[other])
    elif one in _MADE and other in _MADE:
        (place, manner, voiced), (its_place, its_manner, its_voiced) = _MADE[one], _MADE[other]
        apart = 0.0 if manner == its_manner else _MANNERS.get(frozenset({manner, its_manner}), _OTHER_MANNER)
        cost = apart + 0.25 * (voiced != its_voiced) + min(0.45, 0.2 * abs(place - its_place))
    else:
        return _GLIDES.get((one, other), _GLIDES.get((other, one), _VOWEL_FOR_CONSONANT))
    return min(_MOST, max(_LEAST, cost))


def _without(phone: str) -> float:
    return _DROPPED.get(phone, _DROPPED_VOWEL if phone in VOWELS else _DROPPED_CONSONANT)


class Nearness:
    """Distances from any row of phones to each of many.

    Parameters
    ----------
    names : sequence of str
        Phones of the lexicon.
    codes : array ``[n_rows, longest] uint8``
        Rows of places in `names`, filled up with any number.
    lengths : array ``[n_rows] int``
        Phones in each row.
    """

    def __init__(self, names: Sequence[str], codes: NDArray[np.uint8], lengths: NDArray[np.intp]) -> None:
        self._place = {name: number for number, name in enumerate(names)}
        self._costs = np.array([[_for(one, other) for other in names] for one in names], np.float32)
        self._gaps = np.array([_without(name) for name in names], np.float32)
        self._columns = np.ascontiguousarray(codes.T)
        self._column_gaps = self._gaps[self._columns]
        self._lengths = lengths

    def changed(self, one: str, other: str) -> float:
        """What it costs to hear one phone for another."""
        return float(self._costs[self._place[one], self._place[other]])

    def dropped(self, phone: str) -> float:
        """What it costs to hear a phone too many or too few."""
        return float(self._gaps[self._place[phone]])

    def distances(self, phones: Sequence[str]) -> NDArray[np.float32]:
        """Distance of every beginning of `phones` to every row: ``[len(phones) + 1, n_rows] float32``."""
        longest, n_rows = self._columns.shape
        row = np.zeros((longest + 1, n_rows), np.float32)
        np.cumsum(self._column_gaps, axis=0, out=row[1:])
        every = np.arange(n_rows)
        found = [row[self._lengths, every]]
        for phone in phones:
            code = self._place[phone]
            above, row = row, np.empty_like(row)
            shorter = above + self._gaps[code]
            row[0] = shorter[0]
            for i, column in enumerate(self._columns):
                changed = self._costs[code].take(column)
                changed += above[i]
                np.minimum(changed, shorter[i + 1], out=changed)
                np.minimum(changed, row[i] + self._column_gaps[i], out=row[i + 1])
            found.append(row[self._lengths, every])
        return np.array(found)
