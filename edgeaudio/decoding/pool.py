"""Back-pointers of a beam: a tree of what the surviving hypotheses have behind them.

Nodes live in arrays made once. A node that no hypothesis and no other node refers to is free again at
once. The root is where all hypotheses meet: as soon as everything goes through one child of the root,
that child becomes the root and what it says is *stable*, written to a short queue for Python to read.
So memory holds what is still undecided, however long the stream is.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "NODE",
    "Mark",
    "Pool",
    "advance_root",
    "ancestor",
    "clear",
    "grow",
    "keep_below",
    "new_pool",
    "path",
    "release",
    "stable",
    "witness",
]

_STABLE = 1024
"""Nodes that may wait for Python to read them; the root stays where it is when they are too many."""


class Mark(IntEnum):
    """Fields of ``Pool.marks``."""

    FREE = 0  # entries of ``free`` that are valid
    ROOT = 1
    STABLE = 2  # stable nodes that wait


NODE = np.dtype(
    [
        ("parent", np.int32),
        ("label", np.int32),  # the word or token that it adds
        ("start", np.int32),  # its first frame
        ("end", np.int32),  # the frame behind its last
        ("evidence", np.float64),
        ("users", np.int32),  # hypotheses that end here, and children
        ("children", np.int32),
        ("child_sum", np.int64),  # sum of the children's numbers: while there is one, its number
        ("mass", np.float64),  # sum over frames of the probability of the hypotheses that go through it
        ("frames", np.int32),  # of how many
        ("visited", np.int32),  # the last of these
    ],
    align=True,
)


class Pool(NamedTuple):
    """The arrays of a tree of back-pointers."""

    nodes: NDArray[np.void]
    """Of :data:`NODE`."""
    free: NDArray[np.int32]
    marks: NDArray[np.int64]
    stable: NDArray[np.void]
    """Stable nodes, the oldest first."""


def new_pool(n_nodes: int) -> Pool:
    """Return a pool with room for `n_nodes`; it holds the root alone, used by one hypothesis."""
    pool = Pool(
        nodes=np.zeros(n_nodes, NODE),
        free=np.zeros(n_nodes, np.int32),
        marks=np.zeros(len(Mark), np.int64),
        stable=np.zeros(_STABLE, NODE),
    )
    clear(pool)
    return pool


def clear(pool: Pool) -> None:
    """Give all nodes back but the root, used by one hypothesis."""
    n = len(pool.nodes)
    pool.free[: n - 1] = np.arange(n - 1, 0, -1)
    pool.nodes[0] = 0
    pool.nodes[0]["users"] = 1
    pool.marks[:] = 0
    pool.marks[Mark.FREE] = n - 1


def path(pool: Pool, node: int) -> list[int]:
    """Return the nodes from below the root down to `node`."""
    found = []
    while node != pool.marks[Mark.ROOT]:
        found.append(node)
        node = int(pool.nodes[node]["parent"])
    return found[::-1]


def stable(pool: Pool) -> NDArray[np.void]:
    """Take the stable nodes that wait: a view, valid until the next frame."""
    n = int(pool.marks[Mark.STABLE])
    pool.marks[Mark.STABLE] = 0
    return pool.stable[:n]


_inner: Any = njit(nogil=True, error_model="numpy")


@_inner
def grow(pool, parent, label, start, end, evidence):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Return a new node below `parent`, used by one hypothesis."""
    pool.marks[Mark.FREE] -= 1
    node = pool.free[pool.marks[Mark.FREE]]
    new = pool.nodes[node]
    new.parent = parent
    new.label = label
    new.start = start
    new.end = end
    new.evidence = evidence
    new.users = 1
    new.children = 0
    new.child_sum = 0
    new.mass = 0.0
    new.frames = 0
    new.visited = start - 1
    above = pool.nodes[parent]
    above.users += 1
    above.children += 1
    above.child_sum += node
    return node


@_inner
def witness(pool, node, share, frame):  # type: ignore[no-untyped-def]
    """A hypothesis with this share of all probability goes through `node` in this frame."""
    while node != pool.marks[Mark.ROOT]:
        at = pool.nodes[node]
        at.mass += share
        if at.visited != frame:
            at.visited = frame
            at.frames += 1
        node = at.parent


@_inner
def release(pool, node):  # type: ignore[no-untyped-def]
    """One hypothesis less ends at `node`."""
    pool.nodes[node].users -= 1
    while pool.nodes[node].users == 0 and node != pool.marks[Mark.ROOT]:
        pool.free[pool.marks[Mark.FREE]] = node
        pool.marks[Mark.FREE] += 1
        parent = pool.nodes[node].parent
        above = pool.nodes[parent]
        above.children -= 1
        above.child_sum -= node
        above.users -= 1
        node = parent


@_inner
def advance_root(pool):  # type: ignore[no-untyped-def]
    """Move the root on to where hypotheses part; what lies before is stable."""
    root = pool.marks[Mark.ROOT]
    while pool.nodes[root].users == 1 and pool.nodes[root].children == 1:
        n = pool.marks[Mark.STABLE]
        if n == pool.stable.size:
            break
        child = pool.nodes[root].child_sum
        pool.stable[n] = pool.nodes[child]
        pool.marks[Mark.STABLE] = n + 1
        pool.free[pool.marks[Mark.FREE]] = root
        pool.marks[Mark.FREE] += 1
        root = child
    pool.marks[Mark.ROOT] = root


@_inner
def ancestor(pool, node, wanted):  # type: ignore[no-untyped-def]
    """Say whether `node` is `wanted` or lies below it."""
    root = pool.marks[Mark.ROOT]
    while node != wanted:
        if node == root:
            return False
        node = pool.nodes[node].parent
    return True


@_inner
def keep_below(pool, here, n, best, node):  # type: ignore[no-untyped-def]
    """Give up those of the `n` places whose past does not include `node`.

    Returns how many are left and where the best of them, formerly at `best`, is now.
    """
    kept = 0
    for i in range(n):
        if not ancestor(pool, here[i].back, node):
            release(pool, here[i].back)
            continue
        if i == best:
            best = kept
        if kept != i:
            here[kept] = here[i]
        kept += 1
    advance_root(pool)
    return kept, best
