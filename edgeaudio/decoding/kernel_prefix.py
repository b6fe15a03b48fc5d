"""The compiled prefix beam search: the most probable sequences of tokens, each summed over its alignments.

A prefix holds two probabilities, that the last frame was blank and that it was the prefix's last token
(Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent
DNNs", 2014). They are plain ones, scaled so that the best prefix has 1. A prefix is known by a 64-bit
rolling hash of its tokens; only those that survive a frame get a back-pointer.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.decoding import pool as pool_module
from edgeaudio.decoding import selection as selection_module
from edgeaudio.decoding.pool import Mark, advance_root, grow, keep_below, release
from edgeaudio.decoding.selection import keep_best, least_to_survive

__all__ = ["NOTHING", "PREFIX", "Beam", "Count", "Scale", "advance", "keep"]

NOTHING = -1

PREFIX = np.dtype(
    [
        ("hash", np.uint64),
        ("before", np.uint64),  # the hash without the last token
        ("last", np.int32),
        ("hot", np.int32),  # state of the hotwords
        ("back", np.int32),
        ("seen", np.int32),  # the frame behind the last that was no blank
        ("blank", np.float64),
        ("token", np.float64),
        ("origin", np.int32),  # of a candidate: the prefix that it continues
        ("new", np.int32),  # of a candidate: by which token, NOTHING if it is that prefix itself
        ("renewed", np.int32),  # of a candidate: its last token is more probably heard only now
    ],
    align=True,
)
"""A prefix. The search holds two arrays of them: the survivors, and the next frame's candidates."""


class Count(IntEnum):
    """Fields of ``Beam.counts``."""

    ACTIVE = 0  # survivors
    BEST = 1  # the best of them
    NEXT = 2  # candidates
    FRAME = 3  # frames read
    WIDTH = 4
    BLANK = 5
    SPACE = 6  # the token between words, NOTHING where there is none


class Scale(IntEnum):
    """Fields of ``Beam.scales``."""

    TOTAL = 0  # logarithm of what all probabilities were divided by
    BEAM = 1  # how much smaller than the best a survivor may be
    LEAST = 2  # during a frame: below this nothing can survive
    TOP = 3  # during a frame: the largest so far


class Beam(NamedTuple):
    """All that changes while the search runs, except for back-pointers; and the hotwords."""

    here: NDArray[np.void]
    """Survivors, of :data:`PREFIX`."""
    there: NDArray[np.void]
    """Candidates."""
    counts: NDArray[np.int64]
    scales: NDArray[np.float64]
    frame: NDArray[np.float64]
    """``[n_tokens]``: probabilities of this frame."""
    scratch: NDArray[np.float64]
    taken: NDArray[np.uint8]
    """``[width, n_tokens]``: continuations that are survivors already."""
    hot_next: NDArray[np.int32]
    """``[n_hot_states, n_tokens]``"""
    hot_gain: NDArray[np.float64]
    """``[n_hot_states, n_tokens]``"""


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_inner: Any = njit(**_OPTIONS)
_CALLS = (pool_module, selection_module)


@_inner
def _prune(beam):  # type: ignore[no-untyped-def]
    """Keep of the candidates those within the beam: its width and its score."""
    counts, scales = beam.counts, beam.scales
    least = scales[Scale.TOP] * scales[Scale.BEAM]
    counts[Count.NEXT], scales[Scale.LEAST] = keep_best(
        beam.there, counts[Count.NEXT], counts[Count.WIDTH], least, beam.scratch
    )


@_inner
def _raise_least(beam):  # type: ignore[no-untyped-def]
    """Where the beam is full already, nothing below its last can survive."""
    counts, scales = beam.counts, beam.scales
    scales[Scale.LEAST] = least_to_survive(
        beam.there, counts[Count.NEXT], counts[Count.WIDTH], scales[Scale.LEAST], beam.scratch
    )


@_inner
def _add(beam, origin, new, blank, token, renewed):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Note a candidate."""
    there, counts, scales = beam.there, beam.counts, beam.scales
    if counts[Count.NEXT] == there.size:
        _prune(beam)
    total = blank + token
    if total <= 0.0 or total < scales[Scale.LEAST]:
        return
    candidate = there[counts[Count.NEXT]]
    counts[Count.NEXT] += 1
    candidate.origin = origin
    candidate.new = new
    candidate.blank = blank
    candidate.token = token
    candidate.renewed = renewed
    if total > scales[Scale.TOP]:
        scales[Scale.TOP] = total
        scales[Scale.LEAST] = max(scales[Scale.LEAST], total * scales[Scale.BEAM])


@_inner
def _gained(beam, i, c):  # type: ignore[no-untyped-def]
    """The probability that prefix `i` continues with token `c` in this frame."""
    prefix = beam.here[i]
    token = prefix.blank if prefix.last == c else prefix.blank + prefix.token
    token *= beam.frame[c]
    if beam.hot_gain.size:
        token *= beam.hot_gain[prefix.hot, c]
    return token


@_inner
def _stay(beam):  # type: ignore[no-untyped-def]
    """Let all survivors hear blank or their last token, or be reached by a shorter survivor."""
    here, counts = beam.here, beam.counts
    n = counts[Count.ACTIVE]
    for j in range(n):
        prefix = here[j]
        blank = (prefix.blank + prefix.token) * beam.frame[counts[Count.BLANK]]
        token, arrived, stayed = 0.0, 0.0, blank
        if prefix.last != NOTHING:
            token = prefix.token * beam.frame[prefix.last]
            stayed += token
            for i in range(n):
                if here[i].hash == prefix.before:
                    arrived = _gained(beam, i, prefix.last)
                    token += arrived
                    beam.taken[i, prefix.last] = 1
        _add(beam, j, NOTHING, blank, token, arrived > stayed)


@_inner
def _extend(beam, i, c):  # type: ignore[no-untyped-def]
    """Let a survivor hear a token that makes it longer, unless that is a survivor already."""
    if c != beam.counts[Count.BLANK] and not beam.taken[i, c]:
        _add(beam, i, c, 0.0, _gained(beam, i, c), True)


@_inner
def _extend_all(beam, likely):  # type: ignore[no-untyped-def]
    """Let all survivors hear each token; the frame's likeliest first, as it says what can survive."""
    counts, frame = beam.counts, beam.frame
    for i in range(counts[Count.ACTIVE]):
        _extend(beam, i, likely)
    _raise_least(beam)
    for i in range(counts[Count.ACTIVE]):
        both = beam.here[i].blank + beam.here[i].token
        for c in range(frame.size):
            # Hotwords multiply by more than 1 at times; whoever has none skips most tokens here.
            if beam.hot_gain.size == 0 and both * frame[c] < beam.scales[Scale.LEAST]:
                continue
            if c != likely:
                _extend(beam, i, c)
    for i in range(counts[Count.ACTIVE]):
        for c in range(frame.size):
            beam.taken[i, c] = 0


@_inner
def _settle(beam, pool, row, candidate):  # type: ignore[no-untyped-def]
    """Make a candidate a prefix, with a back-pointer where it is a new one."""
    frame = beam.counts[Count.FRAME]
    past = beam.here[candidate.origin]
    new = candidate.new
    candidate.seen = past.seen
    if new == NOTHING:
        candidate.hash = past.hash
        candidate.before = past.before
        candidate.last = past.last
        candidate.hot = past.hot
        candidate.back = past.back
        pool.nodes[past.back].users += 1
        if candidate.token > candidate.blank:
            node = pool.nodes[past.back]
            if candidate.renewed:
                node.start = frame
                node.evidence = row[past.last]
            node.end = frame + 1
            node.evidence = max(node.evidence, row[past.last])
            if past.last != beam.counts[Count.SPACE]:
                candidate.seen = frame + 1
        return
    candidate.hash = past.hash * np.uint64(0x9E3779B97F4A7C15) + np.uint64(new + 1)
    candidate.before = past.hash
    candidate.last = new
    candidate.hot = beam.hot_next[past.hot, new] if beam.hot_next.size else 0
    candidate.back = grow(pool, past.back, new, frame, frame + 1, row[new])
    if new != beam.counts[Count.SPACE]:
        candidate.seen = frame + 1


@_inner
def _survive(beam, pool, row):  # type: ignore[no-untyped-def]
    """Make the best candidates the survivors."""
    here, there, counts, scales = beam.here, beam.there, beam.counts, beam.scales
    _prune(beam)
    n_before, n = counts[Count.ACTIVE], counts[Count.NEXT]
    for i in range(n):
        _settle(beam, pool, row, there[i])
    for i in range(n_before):
        release(pool, here[i].back)
    scale = 1.0 / scales[Scale.TOP]
    best = 0
    for i in range(n):
        here[i] = there[i]
        here[i].blank *= scale
        here[i].token *= scale
        if here[i].blank + here[i].token > here[best].blank + here[best].token:
            best = i
    counts[Count.ACTIVE] = n
    counts[Count.BEST] = best
    scales[Scale.TOTAL] += np.log(scales[Scale.TOP])
    advance_root(pool)


@_inner
def _keep(beam, pool, node):  # type: ignore[no-untyped-def]
    """Give up the survivors whose past does not include `node`."""
    counts = beam.counts
    counts[Count.ACTIVE], counts[Count.BEST] = keep_below(
        pool, beam.here, counts[Count.ACTIVE], counts[Count.BEST], node
    )


@cached_njit(calls=_CALLS, **_OPTIONS)
def advance(log_probs, beam, pool):  # type: ignore[no-untyped-def]
    """Read frames until all are read, or more is stable than Python has fetched; return their number."""
    counts, scales = beam.counts, beam.scales
    for t in range(log_probs.shape[0]):
        while pool.marks[Mark.FREE] < counts[Count.WIDTH]:
            if pool.marks[Mark.STABLE] == pool.stable.size:
                return t
            # Too much is undecided for the pool: the best prefix decides.
            _keep(beam, pool, beam.here[counts[Count.BEST]].back)
        row = log_probs[t]
        likely = 1 if counts[Count.BLANK] == 0 else 0
        for c in range(row.size):
            # What is no number is no probability.
            beam.frame[c] = np.exp(row[c]) if row[c] > -np.inf else 0.0
            if beam.frame[c] > beam.frame[likely] and c != counts[Count.BLANK]:
                likely = c
        counts[Count.NEXT] = 0
        scales[Scale.TOP] = scales[Scale.LEAST] = 0.0
        _stay(beam)
        _extend_all(beam, likely)
        # A frame in which nothing is possible says nothing.
        if scales[Scale.TOP] > 0.0:
            _survive(beam, pool, row)
        counts[Count.FRAME] += 1
    return log_probs.shape[0]


@cached_njit(calls=_CALLS, **_OPTIONS)
def keep(beam, pool, node):  # type: ignore[no-untyped-def]
    """Give up the survivors whose past does not include `node`."""
    _keep(beam, pool, node)
