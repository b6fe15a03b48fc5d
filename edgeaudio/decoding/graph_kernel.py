"""The exact search through a token graph, compiled: Viterbi's algorithm over CTC's topology.

Each node is in two variants: its token was the last thing heard, or a blank came after it. A token may
follow another one directly unless they are the same; after a blank it always may. So each junction
keeps its best arrival after a blank, its best arrival without, and the best of these whose token is
another one: with them no successor loses its best way in.

Scores are relative to the most probable token of each frame, so that 0 is perfect agreement, a score
says by how much a reading disagrees with what was heard, and nothing ever drifts. No token costs
more than a limit: one sound amiss must not outweigh a whole order.

What lies behind a node is a chain of records, one for each word. They are appended to a table; when it
is full those that no living node needs are dropped and the rest moved together.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.decoding.token_graph import Graph

__all__ = ["Field", "Mark", "Search", "Sum", "clear", "new_search", "read"]

_inner: Any = njit(nogil=True, error_model="numpy")
_NEVER = np.float32(-np.inf)
_MIN_RECORDS = 1 << 14
_REMEMBERED = 1 << 12
_ATTEMPTS = 12


class Mark(IntEnum):
    """Fields of ``Search.marks``, the int64 array."""

    FRAME = 0  # frames read
    LOUD = 1  # the frame behind the last whose best token is no blank
    RECORDS = 2  # records in use
    TOKEN = 3  # the best token of the latest frame
    TAIL = 4  # record behind which something else was heard, -1 for none


class Sum(IntEnum):
    """Fields of ``Search.sums``."""

    OTHER = 0  # score of having heard nothing but other sounds so far
    TAIL = 1  # score of a whole sentence with other sounds behind it
    AHEAD = 2  # best score of a node


class Field(IntEnum):
    """Columns of a word's record."""

    BEFORE = 0  # the record of the word before, -1 for none
    NODE = 1  # where the word ended
    START = 2  # its first frame
    END = 3  # the frame behind that of its last token


class Search(NamedTuple):
    """The state of a search; column 0 is "its token was the last", 1 "a blank was the last"."""

    score: NDArray[np.float32]
    """``[n_nodes, 2]``"""
    record: NDArray[np.int32]
    """``[n_nodes, 2]``: the words before the one that the node belongs to, -1 for none."""
    start: NDArray[np.int32]
    """``[n_nodes, 2]``: the frame in which this word began."""
    last: NDArray[np.int32]
    """``[n_nodes]``: the frame behind that of the token, of the variant after a blank."""
    arrival: NDArray[np.float32]
    """``[n_junctions, 3]``: after a blank, without, and without after another token."""
    arrival_word: NDArray[np.int32]
    """``[n_junctions, 3, 4]``: the word that has arrived, as a row of `table`; its node is -1 for none."""
    arrival_record: NDArray[np.int32]
    """``[n_junctions, 3]``: the word's place in the table, -1 while nobody has followed it."""
    table: NDArray[np.int32]
    """``[n_records, 4]``: see `Field`."""
    table_score: NDArray[np.float32]
    """``[n_records]``: of everything up to the word's end."""
    kept: NDArray[np.int32]
    """``[n_records]``: for moving the table together."""
    other: NDArray[np.float32]
    """``[n]``: what ``Sum.OTHER`` was before frame i, at i modulo n."""
    sums: NDArray[np.float64]
    """See `Sum`."""
    marks: NDArray[np.int64]


def new_search(graph: Graph, n_records: int = _MIN_RECORDS) -> Search:
    """Make the state for `graph`, to be cleared before use, with room for at least `n_records` words."""
    n_nodes, n_junctions = len(graph.token), len(graph.ending)
    n_records = max(n_records, 16 * n_junctions)
    return Search(
        score=np.empty((n_nodes, 2), np.float32),
        record=np.empty((n_nodes, 2), np.int32),
        start=np.empty((n_nodes, 2), np.int32),
        last=np.empty(n_nodes, np.int32),
        arrival=np.empty((n_junctions, 3), np.float32),
        arrival_word=np.empty((n_junctions, 3, len(Field)), np.int32),
        arrival_record=np.empty((n_junctions, 3), np.int32),
        table=np.empty((n_records, len(Field)), np.int32),
        table_score=np.empty(n_records, np.float32),
        kept=np.empty(n_records, np.int32),
        other=np.zeros(_REMEMBERED, np.float32),
        sums=np.zeros(len(Sum)),
        marks=np.zeros(len(Mark), np.int64),
    )


def clear(search: Search, blank: int) -> None:
    """Forget everything read, in place."""
    search.score[:] = -np.inf
    search.sums[:] = 0.0, -np.inf, 0.0
    search.marks[:] = 0
    search.arrival_record[:] = -1
    search.marks[Mark.TOKEN] = blank
    search.marks[Mark.TAIL] = -1


@cached_njit(nogil=True, error_model="numpy")
def read(graph, search, log_probs, blank, limit, other, beam):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Read ``[n, n_tokens]`` frames.

    Parameters
    ----------
    limit : float
        The most that one token costs in one frame.
    other : float
        What each sound before and behind the sentence costs.
    beam : float
        What is further behind the best is given up.
    """
    cost = np.empty(log_probs.shape[1], np.float32)
    for t in range(log_probs.shape[0]):
        best = 0
        for c in range(log_probs.shape[1]):
            if log_probs[t, c] > log_probs[t, best]:
                best = c
        for c in range(log_probs.shape[1]):
            cost[c] = max(log_probs[t, c] - log_probs[t, best], -limit)
        frame = search.marks[Mark.FRAME]
        other_cost = np.float64(cost[blank])
        if best != blank:
            is_new = best != search.marks[Mark.TOKEN]
            search.marks[Mark.LOUD] = frame + 1
            other_cost = max(other_cost, -other if is_new else 0.0)
        search.marks[Mark.TOKEN] = best

        search.other[frame % search.other.size] = search.sums[Sum.OTHER]
        least = search.sums[Sum.AHEAD] - beam
        _make_room(search, least)
        _arrive(graph, search)
        _leave(graph, search, other_cost)
        search.sums[Sum.OTHER] += other_cost
        _step(graph, search, cost, blank, least, frame)
        search.sums[Sum.AHEAD] = max(search.sums[Sum.AHEAD], search.sums[Sum.OTHER])
        search.marks[Mark.FRAME] = frame + 1


# Arrays are taken out of their tuples before each loop: Numba counts references anew with each access.


@_inner
def _arrive(graph, search):  # type: ignore[no-untyped-def]
    """Find the best ways to all junctions; the beginning, which is the last one, is reached at any time."""
    token, leaving, offsets, word_score = graph.token, graph.leaving, graph.leaving_offsets, graph.word_score
    score, record, start, last = search.score, search.record, search.start, search.last
    arrival, words = search.arrival, search.arrival_word
    frame = search.marks[Mark.FRAME]
    arrival[:] = _NEVER
    words[:] = -1
    search.arrival_record[:] = -1
    arrival[-1, 0] = search.sums[Sum.OTHER]
    for j in range(arrival.shape[0]):
        for i in range(offsets[j], offsets[j + 1]):
            node = leaving[i]
            silent, seen = score[node, 1] + word_score[node], score[node, 0] + word_score[node]
            if silent > arrival[j, 0]:
                arrival[j, 0] = silent
                # Now, since the node's own fields move on before anybody follows.
                words[j, 0, Field.NODE] = node
                words[j, 0, Field.BEFORE] = record[node, 1]
                words[j, 0, Field.START] = start[node, 1]
                words[j, 0, Field.END] = last[node]
            way = 0
            if seen > arrival[j, 1]:
                before = words[j, 1, Field.NODE]
                if before >= 0 and token[before] != token[node]:
                    arrival[j, 2] = arrival[j, 1]
                    words[j, 2] = words[j, 1]
                way = 1
            elif seen > arrival[j, 2] and token[words[j, 1, Field.NODE]] != token[node]:
                way = 2
            if way:
                arrival[j, way] = seen
                words[j, way, Field.NODE] = node
                words[j, way, Field.BEFORE] = record[node, 0]
                words[j, way, Field.START] = start[node, 0]
                words[j, way, Field.END] = frame


@_inner
def _leave(graph, search, other_cost):  # type: ignore[no-untyped-def]
    """Let sentences end here, with other sounds behind them."""
    arrival, words, ending = search.arrival, search.arrival_word, graph.ending
    best, best_junction, best_way = search.sums[Sum.TAIL], -1, 0
    for junction in range(ending.size):
        for way in range(2):
            score = arrival[junction, way] + ending[junction]
            # The latest of equals, since a last sound that goes on is still part of the word.
            if score >= best and score > _NEVER and words[junction, way, Field.NODE] >= 0:
                best, best_junction, best_way = score, junction, way
    if best_junction >= 0:
        search.marks[Mark.TAIL] = _record(search, best_junction, best_way)
    search.sums[Sum.TAIL] = best + other_cost


@_inner
def _step(graph, search, cost, blank, least, frame):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Move all nodes on by a frame, from the last to the first: parents still hold what they held before."""
    tokens, parents = graph.token, graph.parent
    scores, records, starts, last = search.score, search.record, search.start, search.last
    arrival, words = search.arrival, search.arrival_word
    ahead = _NEVER
    for node in range(tokens.size - 1, -1, -1):
        token, parent = tokens[node], parents[node]
        way = 0
        if parent >= 0:
            coming = scores[parent, 1]
            way = 1
            if scores[parent, 0] > coming and tokens[parent] != token:
                coming, way = scores[parent, 0], 0
        else:
            j = -1 - parent
            coming = arrival[j, 0]
            before = words[j, 1, Field.NODE]
            direct = 2 if before >= 0 and tokens[before] == token else 1
            if arrival[j, direct] > coming:
                coming, way = arrival[j, direct], direct
        seen, silent = scores[node, 0], scores[node, 1]
        if max(coming, seen, silent) < least:
            scores[node, 0] = _NEVER
            scores[node, 1] = _NEVER
            continue
        if seen > silent:
            silent = seen
            records[node, 1] = records[node, 0]
            starts[node, 1] = starts[node, 0]
            last[node] = frame
        if coming > seen and coming >= least:
            seen = coming
            if parent >= 0:
                records[node, 0] = records[parent, way]
                starts[node, 0] = starts[parent, way]
            else:
                records[node, 0] = _record(search, j, way)
                starts[node, 0] = frame
        scores[node, 0] = seen + cost[token]
        scores[node, 1] = silent + cost[blank]
        ahead = max(ahead, scores[node, 0], scores[node, 1])
    search.sums[Sum.AHEAD] = ahead


@_inner
def _record(search, junction, way):  # type: ignore[no-untyped-def]
    """Return the record of the word that has arrived at a junction in this way; -1 at the beginning."""
    if search.arrival_word[junction, way, Field.NODE] < 0:
        return np.int32(-1)
    if search.arrival_record[junction, way] < 0:
        number = search.marks[Mark.RECORDS]
        search.marks[Mark.RECORDS] += 1
        search.table[number] = search.arrival_word[junction, way]
        search.table_score[number] = search.arrival[junction, way]
        search.arrival_record[junction, way] = number
    return search.arrival_record[junction, way]


@_inner
def _make_room(search, least):  # type: ignore[no-untyped-def]
    """Make sure that one frame's records fit; in need, give up what is furthest behind."""
    needed = search.arrival.size
    for _ in range(_ATTEMPTS):
        if search.marks[Mark.RECORDS] + needed <= search.table.shape[0]:
            return
        for node in range(search.score.shape[0]):
            for variant in range(2):
                if search.score[node, variant] < least:
                    search.score[node, variant] = _NEVER
        _compact(search)
        least = (least + search.sums[Sum.AHEAD]) / 2
    # One sentence alone fills the table: its beginning is as good as forgotten.
    search.record[:] = -1
    search.marks[Mark.TAIL] = -1
    search.marks[Mark.RECORDS] = 0


@_inner
def _compact(search):  # type: ignore[no-untyped-def]
    """Keep the records of living nodes only. A record comes behind those it refers to."""
    n = search.marks[Mark.RECORDS]
    kept, table = search.kept, search.table
    kept[:n] = 0
    for node in range(search.score.shape[0]):
        for variant in range(2):
            if search.score[node, variant] > _NEVER and search.record[node, variant] >= 0:
                kept[search.record[node, variant]] = 1
    if search.marks[Mark.TAIL] >= 0:
        kept[search.marks[Mark.TAIL]] = 1
    for number in range(n - 1, -1, -1):
        if kept[number] and table[number, Field.BEFORE] >= 0:
            kept[table[number, Field.BEFORE]] = 1
    n_kept = 0
    for number in range(n):
        if kept[number]:
            before = table[number, Field.BEFORE]
            table[n_kept] = table[number]
            table[n_kept, Field.BEFORE] = kept[before] if before >= 0 else -1
            search.table_score[n_kept] = search.table_score[number]
            kept[number] = n_kept
            n_kept += 1
    for node in range(search.score.shape[0]):
        for variant in range(2):
            if search.score[node, variant] > _NEVER and search.record[node, variant] >= 0:
                search.record[node, variant] = kept[search.record[node, variant]]
    if search.marks[Mark.TAIL] >= 0:
        search.marks[Mark.TAIL] = kept[search.marks[Mark.TAIL]]
    search.marks[Mark.RECORDS] = n_kept
