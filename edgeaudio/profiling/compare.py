"""What changed between two runs, beyond noise.

Each run states its own 95 % intervals, found by a block bootstrap over time. A difference of two independent
figures has the interval

    d - sqrt((b - b_low)² + (a_high - a)²)  to  d + sqrt((b_high - b)² + (a - a_low)²),   d = b - a

which allows for intervals that are not symmetric (Zou and Donner, "Construction of confidence limits about
effect measures", Statistics in Medicine 27, 2008). Many figures are compared at once, so that intervals are
widened (Bonferroni): two runs of one thing differ nowhere, in 95 of 100 comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Literal

import msgspec

from edgeaudio.evaluation.intervals import poisson_interval
from edgeaudio.profiling.measurement import Measurement

__all__ = ["Change", "Comparison", "compare"]

_COMPUTING = ("engine", "frontend", "model", "decode", "task")
_LEAST_MS = 0.1
"""Nobody notices a change of less, and no core: it is 0.13 % of an 80 ms hop."""
_LEAST_CPU = 1.0
_LEAST_MB = 5.0
_LEAST_START_MS = 500.0
"""Start-up is measured once, and a disk that is busy makes half a second."""
_LEAST_STALLS = 1.0
_LEAST_SHED_S = 1.0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One figure in both runs; less is always better."""

    name: str
    unit: str
    before: float
    after: float
    change_percent: float | None
    """Of `before`; None where that is 0."""
    interval: tuple[float, float] | None
    """95 % interval of ``after - before``; None for what is measured once a run."""
    verdict: Literal["same", "better", "worse", "regression"]
    """``worse`` is beyond noise but no more than what was allowed."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All figures that both runs have, and what else is not alike."""

    allowed_percent: float
    changes: list[Change]
    notes: list[str]

    @property
    def regressions(self) -> list[Change]:
        """What became worse by more than was allowed."""
        return [change for change in self.changes if change.verdict == "regression"]


class _Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared."""

    name: str
    unit: str
    before: float
    after: float
    least: float
    """A smaller change does not matter to anybody."""
    before_interval: tuple[float, float] | None = None
    after_interval: tuple[float, float] | None = None


def compare(before: Measurement, after: Measurement, *, allowed_percent: float = 10.0) -> Comparison:
    """Find what changed from one run to another.

    Parameters
    ----------
    before, after : Measurement
        Runs of any length.
    allowed_percent : float
        A figure that is worse beyond noise by more than this is a regression. Losses of audio that were
        not there before always are.
    """
    figures = [*_latencies(before, after), *_costs(before, after), *_losses(before, after)]
    widening = _widening(sum(figure.before_interval is not None for figure in figures))
    changes = [_judge(figure, allowed_percent, widening) for figure in figures]
    return Comparison(allowed_percent=allowed_percent, changes=changes, notes=_notes(before, after))


def _latencies(before: Measurement, after: Measurement) -> Iterator[_Figure]:
    """Yield p95 and mean of each stage, the whole way first."""
    earlier = {stage.name: stage for stage in before.stages}
    for stage in sorted(after.stages, key=lambda stage: stage.group not in ("end to end", "word")):
        old = earlier.get(stage.name)
        if old is None or stage.group == "wait" or not (old.count and stage.count):
            continue
        yield _Figure(
            name=f"{stage.name} p95",
            unit="ms",
            before=old.p95_ms,
            after=stage.p95_ms,
            least=_LEAST_MS,
            before_interval=old.p95_interval_ms,
            after_interval=stage.p95_interval_ms,
        )
        yield _Figure(
            name=f"{stage.name} mean",
            unit="ms",
            before=old.mean_ms,
            after=stage.mean_ms,
            least=_LEAST_MS,
            before_interval=old.mean_interval_ms,
            after_interval=stage.mean_interval_ms,
        )


def _costs(before: Measurement, after: Measurement) -> Iterator[_Figure]:
    a, b = before.cost, after.cost
    yield _Figure(
        name="time in stages",
        unit="% of a core",
        before=_share(before, 0),
        after=_share(after, 0),
        least=_LEAST_CPU,
        before_interval=(_share(before, 1), _share(before, 2)),
        after_interval=(_share(after, 1), _share(after, 2)),
    )
    yield _Figure(
        name="CPU share",
        unit="% of a core",
        before=100 * a.cpu_share,
        after=100 * b.cpu_share,
        least=_LEAST_CPU,
    )
    yield _Figure(
        name="memory at its peak", unit="MB", before=a.peak_rss_mb, after=b.peak_rss_mb, least=_LEAST_MB
    )
    if before.start_up is not None and after.start_up is not None:
        yield _Figure(
            name="start-up",
            unit="ms",
            before=before.start_up.total_ms,
            after=after.start_up.total_ms,
            least=_LEAST_START_MS,
        )
    yield _stalls(before, after)


def _share(measurement: Measurement, which: int) -> float:
    """Return the computing time of all stages in % of the audio; 1 and 2 are ends of its interval.

    The ends are sums of the stages' own: a slow moment slows all of them, so they do not even out.
    """
    total = 0.0
    for stage in measurement.stages:
        if stage.group in _COMPUTING and stage.mean_ms > 0:
            value = (stage.mean_ms, *stage.mean_interval_ms)[which]
            total += 100 * stage.share * value / stage.mean_ms
    return total


def _stalls(before: Measurement, after: Measurement) -> _Figure:
    minutes = before.seconds / 60, after.seconds / 60
    return _Figure(
        name="stalls",
        unit="a minute",
        before=len(before.stalls) / minutes[0],
        after=len(after.stalls) / minutes[1],
        least=_LEAST_STALLS,
        before_interval=poisson_interval(len(before.stalls), minutes[0]),
        after_interval=poisson_interval(len(after.stalls), minutes[1]),
    )


def _losses(before: Measurement, after: Measurement) -> Iterator[_Figure]:
    """Yield how much was lost a minute; what neither run lost is not told."""
    a, b = before.losses, after.losses
    counts = [
        ("lost samples", a.dropped_samples + a.skipped_samples, b.dropped_samples + b.skipped_samples),
        ("samples lost to captions", a.caption_skipped_samples, b.caption_skipped_samples),
        ("overflows of the device", a.device_overflows, b.device_overflows),
        ("lost events", a.events_dropped, b.events_dropped),
    ]
    for name, old, new in counts:
        if old or new:
            yield _a_minute(name, "a minute", old / before.seconds, new / after.seconds, 0.0)
    shed = sum(a.shed_seconds.values()), sum(b.shed_seconds.values())
    if any(shed):
        yield _a_minute(
            "work shed", "s a minute", shed[0] / before.seconds, shed[1] / after.seconds, _LEAST_SHED_S
        )


def _a_minute(name: str, unit: str, before_a_second: float, after_a_second: float, least: float) -> _Figure:
    return _Figure(name=name, unit=unit, before=60 * before_a_second, after=60 * after_a_second, least=least)


def _widening(n_intervals: int) -> float:
    """Return by how much intervals grow so that all of them hold at once with 95 %."""
    normal = NormalDist()
    return normal.inv_cdf(1 - 0.025 / max(1, n_intervals)) / normal.inv_cdf(0.975)


def _judge(figure: _Figure, allowed_percent: float, widening: float) -> Change:
    difference = figure.after - figure.before
    interval = None
    if figure.before_interval is not None and figure.after_interval is not None:
        interval = _difference_interval(figure, widening)
    beyond_noise = interval is None or interval[0] > 0 or interval[1] < 0
    verdict: Literal["same", "better", "worse", "regression"] = "same"
    if beyond_noise and abs(difference) > figure.least:
        allowed = figure.before * allowed_percent / 100
        verdict = "better" if difference < 0 else "worse" if difference <= allowed else "regression"
    return Change(
        name=figure.name,
        unit=figure.unit,
        before=figure.before,
        after=figure.after,
        change_percent=100 * difference / figure.before if figure.before else None,
        interval=interval,
        verdict=verdict,
    )


def _difference_interval(figure: _Figure, widening: float) -> tuple[float, float]:
    a, (a_low, a_high) = figure.before, figure.before_interval or (0.0, 0.0)
    b, (b_low, b_high) = figure.after, figure.after_interval or (0.0, 0.0)
    difference = b - a
    down = widening * math.hypot(max(0.0, b - b_low), max(0.0, a_high - a))
    up = widening * math.hypot(max(0.0, b_high - b), max(0.0, a - a_low))
    return difference - down, difference + up


def _notes(before: Measurement, after: Measurement) -> list[str]:
    """Say what else is not alike: changes may come from there."""
    pairs = [
        ("device", before.machine.model, after.machine.model),
        ("cores", before.machine.cores, after.machine.cores),
        ("CPU quota", before.machine.quota_cores, after.machine.quota_cores),
        ("system", before.machine.system, after.machine.system),
        ("Python", before.machine.python, after.machine.python),
        ("profile", before.profile, after.profile),
        ("audio", before.audio, after.audio),
        ("tasks", _tasks(before), _tasks(after)),
    ]
    notes = [f"{name}: {old} before, {new} after" for name, old, new in pairs if old != new]
    notes += _mapping_notes("", before.machine.versions, after.machine.versions)
    notes += _mapping_notes("profile ", before.profile_settings, after.profile_settings)
    mine, theirs = ({stage.name for stage in run.stages} for run in (before, after))
    notes += [f"stage {name}: only before" for name in sorted(mine - theirs)]
    notes += [f"stage {name}: only after" for name in sorted(theirs - mine)]
    for when, run in (("before", before), ("after", after)):
        load = run.machine.load_before
        if load is not None and load > run.machine.cores / 2:
            notes.append(f"the machine was busy with something else {when} (load {load:.1f})")
    return notes


def _mapping_notes(prefix: str, before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [
        f"{prefix}{key}: {before.get(key, 'nothing')} before, {after.get(key, 'nothing')} after"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _tasks(measurement: Measurement) -> str:
    """Name what ran: model, runtime, provider, precision, threads."""
    return ", ".join(
        f"{task.model} ({task.runtime} {task.provider} {task.precision}, {task.threads} threads)"
        for task in measurement.tasks
    )
