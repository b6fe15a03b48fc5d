"""What each further task costs: runs with each task alone, and with one more at a time."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgeaudio.profiling.figures import Estimate, computing_percent, difference
from edgeaudio.profiling.measurement import Measurement, Stage

__all__ = ["Matrix", "Row", "combinations", "matrix"]

FORMAT = 1


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One task, beside those of the rows above it. Computing is in % of a core, with 95 % intervals."""

    model: str
    kind: str
    frontends: int
    """How many there are with it: tasks that hear the same features share one."""
    alone: Estimate
    further: Estimate
    """More than without it."""
    memory_mb: float
    """Most resident memory of the process, all together."""
    further_memory_mb: float
    first_p95_ms: float | None
    """How late events of the first task are now; None if there were none."""
    lost_samples: int


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgeaudio profile --tasks-matrix`` found, and in which runs."""

    format: int = FORMAT
    made: str
    machine: str
    profile: str
    audio: str
    seconds: float
    """Of each run."""
    rows: list[Row]
    apart: Estimate
    """Sum of all tasks, each in a process of its own."""
    together: Estimate


def combinations(n_tasks: int) -> list[tuple[int, ...]]:
    """Return which tasks are run together: each alone, and each with all before it.

    They are in an order in which the first ones already say something.

    Examples
    --------
    >>> combinations(3)
    [(0,), (1,), (0, 1), (2,), (0, 1, 2)]
    """
    chosen: list[tuple[int, ...]] = []
    for n in range(n_tasks):
        chosen += [(n,), tuple(range(n + 1))] if n else [(0,)]
    return chosen


def matrix(runs: dict[tuple[int, ...], Measurement]) -> Matrix:
    """Compare runs of the `combinations` of one task or more, in the order in which they were made."""
    n_tasks = sum(len(chosen) == 1 and tuple(range(chosen[0] + 1)) in runs for chosen in runs)
    chain = [runs[tuple(range(n + 1))] for n in range(n_tasks)]
    alone = [computing_percent(runs[n,]) for n in range(n_tasks)]
    rows = [_row(alone[n], chain[n], chain[n - 1] if n else None) for n in range(n_tasks)]
    last = chain[-1]
    return Matrix(
        made=last.made,
        machine=last.machine.model,
        profile=last.profile,
        audio=last.audio,
        seconds=min(run.seconds for run in runs.values()),
        rows=rows,
        apart=Estimate(*(sum(ends) for ends in zip(*alone, strict=True))),
        together=computing_percent(last),
    )


def _row(alone: Estimate, run: Measurement, before: Measurement | None) -> Row:
    cost = computing_percent(run)
    losses = run.losses
    return Row(
        model=run.tasks[-1].model,
        kind=run.tasks[-1].kind,
        frontends=sum(stage.group == "frontend" for stage in run.stages),
        alone=alone,
        further=cost if before is None else difference(computing_percent(before), cost),
        memory_mb=run.cost.peak_rss_mb,
        further_memory_mb=run.cost.peak_rss_mb - (before.cost.peak_rss_mb if before else 0.0),
        first_p95_ms=_first_p95_ms(run.stages, run.tasks[0].model),
        lost_samples=losses.dropped_samples + losses.skipped_samples + losses.caption_skipped_samples,
    )


def _first_p95_ms(stages: Sequence[Stage], model: str) -> float | None:
    ends = (stage.p95_ms for stage in stages if stage.group == "end to end" and stage.task == model)
    return next(ends, None)
