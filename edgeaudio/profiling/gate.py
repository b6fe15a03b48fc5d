"""Whether a run kept the budgets of its profile; where not, by how much and which stage did it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgeaudio.profiling.measurement import COMPUTING, Measurement, Stage, Task

__all__ = ["Verdict", "check"]

_BETWEEN = "capture block and hop"
"""What is in no stage: a sample waits for its block and hop to be full, and in the worker for its turn."""
_OUTSIDE = "outside the engine"
"""Threads of the audio system, sensors, whoever takes the events."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one budget."""

    name: str
    unit: str
    limit: float
    value: float | None
    """None: it could not be measured in this run, and a budget that nobody measured was not kept."""
    kept: bool
    stage: str | None
    """The stage with the greatest part in the value; None where no stage has one."""
    detail: str


def check(measurement: Measurement) -> list[Verdict]:
    """Compare what was measured with the budgets in ``profile_settings``.

    Returns
    -------
    list of Verdict
        One for each budget that the profile has; none if it has none. That of words is not judged
        where nothing listens for any: a sound or a stretch of speech is told when it is over.
    """
    budgets = measurement.profile_settings.get("budgets")
    if not isinstance(budgets, Mapping):
        return []
    verdicts = []
    for key, judge in _JUDGES.items():
        limit = budgets.get(key)
        if isinstance(limit, (int, float)) and (judge is not _judge_latency or _listening(measurement)):
            verdicts.append(judge(measurement, float(limit)))
    return verdicts


def _judge_latency(measurement: Measurement, limit_ms: float) -> Verdict:
    wordless = {task.model for task in measurement.tasks} - {task.model for task in _listening(measurement)}
    ends = [
        stage
        for stage in measurement.stages
        if stage.group == "end to end" and stage.count and stage.task not in wordless
    ]
    silent = _silent_tasks(measurement, ends)
    latest = max(ends, key=lambda stage: stage.p95_ms, default=None)
    if latest is None or silent:
        who = " and ".join(silent) or "any task"
        return Verdict(
            name="p95 word-to-event",
            unit="ms",
            limit=limit_ms,
            value=None,
            kept=False,
            stage=None,
            detail=f"no event of {who} in {measurement.seconds:.0f} s: profile with audio that has its words",
        )
    kept = latest.p95_ms <= limit_ms
    name, part_ms = _latest_stage(measurement.stages, latest)
    detail = f"{latest.name}: {latest.p95_ms:.1f} ms from {latest.count} events"
    if not kept:
        detail += f", {latest.p95_ms - limit_ms:.1f} ms too late; {name} takes {part_ms:.1f} ms of it"
    return Verdict(
        name="p95 word-to-event",
        unit="ms",
        limit=limit_ms,
        value=latest.p95_ms,
        kept=kept,
        stage=name,
        detail=detail,
    )


def _silent_tasks(measurement: Measurement, ends: list[Stage]) -> list[str]:
    heard = {stage.task for stage in ends}
    if None in heard:
        return []  # events are not told apart by their tasks
    return [task.model for task in _listening(measurement) if task.model not in heard]


def _listening(measurement: Measurement) -> list[Task]:
    """Return the tasks that listen for words."""
    return [task for task in measurement.tasks if task.kind in ("wake", "captions")]


def _latest_stage(stages: list[Stage], end: Stage) -> tuple[str, float]:
    """Return the stage that makes most of an event's delay, with its p95."""
    on_the_way = [
        stage
        for stage in stages
        if stage.count
        and stage.group not in ("wait", "end to end", "word")
        and (end.task is None or stage.task in (None, end.task))
    ]
    parts = {stage.name: stage.p95_ms for stage in on_the_way}
    parts[_BETWEEN] = end.p95_ms - sum(stage.p50_ms for stage in on_the_way)
    if any(part > end.p95_ms / 2 for name, part in parts.items() if name != _BETWEEN):
        del parts[_BETWEEN]  # what one stage's slow passes add is no waiting
    name = max(parts, key=lambda key: parts[key])
    return name, parts[name]


def _judge_cpu(measurement: Measurement, limit: float) -> Verdict:
    value, computing = measurement.cost.cpu_share, measurement.cost.real_time_factor
    stages = [stage for stage in measurement.stages if stage.group in COMPUTING]
    # Time in a stage passes also while others have the core: only its part of all stages is the stage's own.
    total = sum(stage.share for stage in stages)
    shares = {stage.name: computing * stage.share / total for stage in stages if total > 0}
    shares[_OUTSIDE] = value - computing
    name = max(shares, key=lambda key: shares[key])
    detail = f"{100 * value:.1f} % of a core"
    if value > limit:
        detail += f", {100 * (value - limit):.1f} points too much; {name} takes {100 * shares[name]:.1f} %"
    return Verdict(
        name="CPU share",
        unit="% of a core",
        limit=100 * limit,
        value=100 * value,
        kept=value <= limit,
        stage=name,
        detail=detail,
    )


def _judge_memory(measurement: Measurement, limit_mb: float) -> Verdict:
    value = measurement.cost.peak_rss_mb
    loads = {task.model: task.memory_mb for task in measurement.tasks if task.memory_mb is not None}
    name = max(loads, key=lambda key: loads[key], default=None)
    detail = f"{value:.0f} MB at its peak"
    if value > limit_mb:
        detail += f", {value - limit_mb:.0f} MB too much"
        if name is not None:
            detail += f"; loading {name} took {loads[name]:.0f} MB"
    return Verdict(
        name="memory",
        unit="MB",
        limit=limit_mb,
        value=value,
        kept=value <= limit_mb,
        stage=None if name is None else f"loading {name}",
        detail=detail,
    )


_JUDGES = {
    "p95_word_to_event_ms": _judge_latency,
    "cpu_share": _judge_cpu,
    "memory_mb": _judge_memory,
}
