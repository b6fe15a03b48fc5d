"""Puts the passes of all stages together again: what happened to one block, and what each second cost."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgeaudio.profiling.measurement import COMPUTING, Measurement, Stage

__all__ = [
    "Block",
    "Pass",
    "background",
    "computing_share",
    "costs",
    "find_blocks",
    "span_s",
    "typical_and_worst",
]

_BLOCK = COMPUTING | {"event"}


class Pass(NamedTuple):
    """One pass of a stage."""

    stage: Stage
    start_s: float
    duration_ms: float

    @property
    def end_s(self) -> float:
        """When it was done."""
        return self.start_s + self.duration_ms / 1000


class Block(NamedTuple):
    """A block of audio: from the capture of its newest sample to the end of what it set off."""

    captured_s: float
    passes: list[Pass]
    """In the order of their beginning; the first is the wait in the ring."""

    @property
    def done_ms(self) -> float:
        """From its capture to the end of the last pass."""
        return 1000 * (max(one.end_s for one in self.passes) - self.captured_s)


def costs(stage: Stage) -> bool:
    """Say whether the stage computes, and does not only wait."""
    return stage.group in COMPUTING


def background(measurement: Measurement, stage: Stage) -> bool:
    """Say whether the stage runs in the caption worker's thread."""
    kinds = {task.model: task.kind for task in measurement.tasks}
    return kinds.get(stage.task or "") == "captions"


def find_blocks(measurement: Measurement) -> list[Block]:
    """Assign each pass to the block after whose reading it began.

    A pass of the caption worker counts to the block that was the newest then.
    """
    ring = next((stage for stage in measurement.stages if stage.group == "ring"), None)
    if ring is None or not ring.samples:
        return []
    found = [Block(moment, [Pass(ring, moment, age)]) for moment, age in sorted(ring.samples)]
    read_s = [block.passes[0].end_s for block in found]
    others = [
        Pass(stage, moment, duration)
        for stage in measurement.stages
        if stage.group in _BLOCK
        for moment, duration in stage.samples
    ]
    for one in sorted(others, key=lambda one: one.start_s):
        # What begins at the moment of reading belongs to this block; clocks are good to a microsecond.
        i = bisect_left(read_s, one.start_s + 1e-6) - 1
        if i >= 0:
            found[i].passes.append(one)
    return found


def typical_and_worst(measurement: Measurement) -> tuple[Block, Block] | None:
    """Return the block in the middle and the last one of all, ordered by how long they took.

    The typical one is looked for among those of which each stage that hears every block was kept.
    """
    ordered = sorted(
        (block for block in find_blocks(measurement) if len(block.passes) > 1),
        key=lambda block: block.done_ms,
    )
    if not ordered:
        return None
    n_blocks = ordered[0].passes[0].stage.count
    steady = {
        stage.name
        for stage in measurement.stages
        if stage.group in _BLOCK and 0.9 * n_blocks <= stage.count <= 1.1 * n_blocks
    }
    whole = [block for block in ordered if steady <= {one.stage.name for one in block.passes}] or ordered
    return whole[(len(whole) - 1) // 2], ordered[-1]


def span_s(measurement: Measurement) -> tuple[float, float]:
    """Return when the run's measured part began and ended; the warm-up lies before it."""
    ends = [
        moment + duration / 1000
        for stage in measurement.stages
        if stage.group == "ring" or costs(stage)
        for moment, duration in stage.samples
    ]
    begin = min(ends, default=0.0)
    return begin, begin + max(measurement.seconds, 1e-3)


def computing_share(measurement: Measurement, n_bins: int) -> list[tuple[Stage, npt.NDArray[np.float64]]]:
    """Return for each stage which part of each of `n_bins` equal spans of the run was spent in it.

    What the system took from the thread meanwhile is in it. A stage of which the measurement keeps only
    some passes is left out: the kept ones are the longest.
    """
    begin, end = span_s(measurement)
    edges_s = np.linspace(begin, end, n_bins + 1)
    shares = []
    for stage in filter(costs, measurement.stages):
        if stage.samples and len(stage.samples) == stage.count:
            moments, durations = np.array(stage.samples).T
            spent_s = np.clip(edges_s[:, None] - moments, 0.0, durations / 1000).sum(axis=1)
            shares.append((stage, np.diff(spent_s) / np.diff(edges_s)))
    return shares
