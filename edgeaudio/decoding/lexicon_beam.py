"""The lexicon search's hypotheses: what each of them is, and how they meet at their places.

The places of the next frame lie in one array, and a hash table finds them by language model's state, node
and hotwords' state. It is emptied by beginning a new epoch.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edgeaudio.decoding.selection import keep_best, least_to_survive

__all__ = ["NOTHING", "PLACE", "Beam", "Count", "Scale", "arrive", "prune", "raise_least"]

NOTHING = -1


PLACE = np.dtype(
    [
        ("state", np.int32),
        ("node", np.int32),
        ("hot", np.int32),
        ("blank", np.float64),  # probability that the last frame was blank
        ("token", np.float64),  # probability that it was the last token
        ("strength", np.float64),  # of the strongest that was merged into this one: its past is kept
        ("back", np.int32),  # back-pointer: the last complete word
        ("word", np.int32),  # a word that ended in this frame and has no back-pointer yet
        ("start", np.int32),  # first frame of the unfinished word, or of `word`
        ("seen", np.int32),  # the frame behind the last one that was no blank
        ("gap", np.float64),  # ln of how much less probable its tokens were than each frame's best
        ("gap_before", np.float64),  # the same, at the end of the word before
    ],
    align=True,
)
"""A hypothesis. The search holds two arrays of them: the survivors, and the next frame's."""


class Count(IntEnum):
    """Fields of ``Beam.counts``."""

    ACTIVE = 0  # survivors
    BEST = 1  # the best of them
    NEXT = 2  # places of the next frame
    FRAME = 3  # frames read
    EPOCH = 4  # marks the entries of the table that are valid
    WIDTH = 5
    N_TOKENS = 6
    BLANK = 7
    SPACE = 8  # the token between words, NOTHING where there is none
    ADD = 9  # 1: probabilities are added where hypotheses meet; 0: the larger is taken


class Scale(IntEnum):
    """Fields of ``Beam.scales``."""

    TOTAL = 0  # logarithm of what all probabilities were divided by
    BEAM = 1  # how much smaller than the best a survivor may be
    BLANK = 2  # multiplies the probability of blank
    WEIGHT = 3  # of the language model
    LEAST = 4  # during a frame: below this nothing can survive
    TOP = 5  # during a frame: the largest so far


class Beam(NamedTuple):
    """All that changes while the search runs, except for back-pointers."""

    here: NDArray[np.void]
    """Survivors, of :data:`PLACE`."""
    there: NDArray[np.void]
    """Places of the next frame."""
    coming: NDArray[np.void]
    """One hypothesis on its way to a place."""
    table: NDArray[np.int64]
    """Hash table of the places in `there`: epoch and number."""
    counts: NDArray[np.int64]
    scales: NDArray[np.float64]
    frame: NDArray[np.float64]
    """``[n_tokens]``: probabilities of this frame."""
    scratch: NDArray[np.float64]


_inner: Any = njit(nogil=True, error_model="numpy")
_SLOT_BITS = 24


@_inner
def _slot(places, table, epoch, state, node, hot):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Return where in the table a place is, or would be."""
    mask = table.size - 1
    key = np.uint64(state) * np.uint64(0x9E3779B97F4A7C15)
    key ^= np.uint64(node) * np.uint64(0xC2B2AE3D27D4EB4F)
    key ^= np.uint64(hot) * np.uint64(0x165667B19E3779F9)
    key ^= key >> np.uint64(31)
    slot = np.int64(key & np.uint64(mask))
    while table[slot] >> _SLOT_BITS == epoch:
        i = table[slot] & ((1 << _SLOT_BITS) - 1)
        if places[i].node == node and places[i].state == state and places[i].hot == hot:
            break
        slot = (slot + 1) & mask
    return slot


@_inner
def raise_least(beam):  # type: ignore[no-untyped-def]
    """Where the beam is full already, nothing below its last can survive."""
    counts, scales = beam.counts, beam.scales
    scales[Scale.LEAST] = least_to_survive(
        beam.there, counts[Count.NEXT], counts[Count.WIDTH], scales[Scale.LEAST], beam.scratch
    )


@_inner
def prune(beam):  # type: ignore[no-untyped-def]
    """Keep of the next frame's places those within the beam: its width and its score."""
    counts, scales = beam.counts, beam.scales
    least = scales[Scale.TOP] * scales[Scale.BEAM]
    counts[Count.NEXT], scales[Scale.LEAST] = keep_best(
        beam.there, counts[Count.NEXT], counts[Count.WIDTH], least, beam.scratch
    )


@_inner
def _make_room(beam):  # type: ignore[no-untyped-def]
    """Prune in the midst of a frame, and fill the table anew."""
    there, counts = beam.there, beam.counts
    prune(beam)
    counts[Count.EPOCH] += 1
    epoch = counts[Count.EPOCH]
    for i in range(counts[Count.NEXT]):
        slot = _slot(there, beam.table, epoch, there[i].state, there[i].node, there[i].hot)
        beam.table[slot] = epoch << _SLOT_BITS | i


@_inner
def arrive(beam):  # type: ignore[no-untyped-def]
    """Let what is in ``beam.coming`` arrive at its place of the next frame."""
    there, counts, scales = beam.there, beam.counts, beam.scales
    coming = beam.coming[0]
    strength = coming.blank + coming.token
    if strength <= 0.0 or strength < scales[Scale.LEAST]:
        return
    if counts[Count.NEXT] == there.size:
        _make_room(beam)
    epoch = counts[Count.EPOCH]
    slot = _slot(there, beam.table, epoch, coming.state, coming.node, coming.hot)
    if beam.table[slot] >> _SLOT_BITS == epoch:
        i = beam.table[slot] & ((1 << _SLOT_BITS) - 1)
        if counts[Count.ADD]:
            blank, token = there[i].blank + coming.blank, there[i].token + coming.token
        else:
            blank, token = max(there[i].blank, coming.blank), max(there[i].token, coming.token)
        if strength > there[i].strength:
            there[i] = coming
            there[i].strength = strength
        there[i].blank, there[i].token = blank, token
    else:
        i = counts[Count.NEXT]
        counts[Count.NEXT] = i + 1
        beam.table[slot] = epoch << _SLOT_BITS | i
        there[i] = coming
        there[i].strength = strength
    total = there[i].blank + there[i].token
    if total > scales[Scale.TOP]:
        scales[Scale.TOP] = total
        scales[Scale.LEAST] = max(scales[Scale.LEAST], total * scales[Scale.BEAM])
