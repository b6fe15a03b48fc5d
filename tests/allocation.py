"""What code allocates, however busy the process is otherwise."""

from __future__ import annotations

import gc
import statistics
import tracemalloc
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Allocated", "allocated"]

_ROUNDS = 5


class Allocated(NamedTuple):
    """Bytes that were still there afterwards, and the most there were meanwhile."""

    kept: int
    peak: int


def allocated(work: Callable[[], object]) -> Allocated:
    """Return what a call of `work` allocates: the middle of five rounds, none helped by the collector.

    A thread of an earlier test may wind down in one round, a list of the interpreter's grow in another,
    and either be freed in a third; what `work` allocates itself, it allocates in all of them. What it
    compiles or buffers when it is first called is left out in the same way.
    """
    found = []
    gc.collect()  # once: it also empties lists of free objects, which the first round fills again
    collecting = gc.isenabled()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(_ROUNDS):
            tracemalloc.reset_peak()
            before, _peak = tracemalloc.get_traced_memory()
            work()
            after, peak = tracemalloc.get_traced_memory()
            found.append(Allocated(after - before, peak - before))
    finally:
        tracemalloc.stop()
        if collecting:
            gc.enable()
    return Allocated(*(round(statistics.median(column)) for column in zip(*found, strict=True)))
