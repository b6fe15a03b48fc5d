"""What changed between two runs, beyond noise.

Each run states its own 95 % intervals, found by a block bootstrap over time; the interval of a difference
follows from both. Many figures are compared at once, so that intervals are widened (Bonferroni): two runs of
one thing differ nowhere, in 95 of 100 comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Literal

import msgspec

from edgeaudio.evaluation.intervals import poisson_interval
from edgeaudio.profiling.figures import Estimate, computing_percent, difference
from edgeaudio.profiling.measurement import Measurement

__all__ = ["Change", "Comparison", "compare"]

_LEAST_MS = 0.1
"""Nobody notices a change of less, and no core: it is 0.13 % of an 80 ms hop."""
_LEAST_CPU = 1.0
_LEAST_MB = 5.0
_LEAST_START_MS = 500.0
"""Start-up is measured once, and a disk that is busy makes half a second."""
_NO_SETTINGS = ("name", "description", "match", "measured")
"""Keys of a profile that say what it is, not how anything runs."""
_FEWEST = 5
"""Passes in a run. Of one or two the interval is next to nothing, so that chance would look like a change."""
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
    before: Estimate
    after: Estimate
    least: float
    """A smaller change does not matter to anybody."""
    measured_once: bool = False
    """A count of the whole run, of which nobody knows how it would vary."""


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
    widening = _widening(sum(not figure.measured_once for figure in figures))
    changes = [_judge(figure, allowed_percent, widening) for figure in figures]
    return Comparison(allowed_percent=allowed_percent, changes=changes, notes=_notes(before, after))


def _latencies(before: Measurement, after: Measurement) -> Iterator[_Figure]:
    """Yield p95 and mean of each stage, the whole way first."""
    earlier = {stage.name: stage for stage in before.stages}
    for stage in sorted(after.stages, key=lambda stage: stage.group not in ("end to end", "word")):
        old = earlier.get(stage.name)
        if old is None or stage.group == "wait" or min(old.count, stage.count) < _FEWEST:
            continue
        yield _Figure(
            name=f"{stage.name} p95",
            unit="ms",
            before=Estimate(old.p95_ms, *old.p95_interval_ms),
            after=Estimate(stage.p95_ms, *stage.p95_interval_ms),
            least=_LEAST_MS,
        )
        yield _Figure(
            name=f"{stage.name} mean",
            unit="ms",
            before=Estimate(old.mean_ms, *old.mean_interval_ms),
            after=Estimate(stage.mean_ms, *stage.mean_interval_ms),
            least=_LEAST_MS,
        )


def _costs(before: Measurement, after: Measurement) -> Iterator[_Figure]:
    a, b = before.cost, after.cost
    yield _Figure(
        name="computing",
        unit="% of a core",
        before=computing_percent(before),
        after=computing_percent(after),
        least=_LEAST_CPU,
    )
    yield _once("CPU share", "% of a core", 100 * a.cpu_share, 100 * b.cpu_share, _LEAST_CPU)
    yield _once("memory at its peak", "MB", a.peak_rss_mb, b.peak_rss_mb, _LEAST_MB)
    if before.start_up is not None and after.start_up is not None:
        yield _once(
            "start-up", "ms", before.start_up.total_ms, after.start_up.total_ms, least=_LEAST_START_MS
        )
    yield _stalls(before, after)


def _stalls(before: Measurement, after: Measurement) -> _Figure:
    rates = [
        Estimate(len(run.stalls) * 60 / run.seconds, *poisson_interval(len(run.stalls), run.seconds / 60))
        for run in (before, after)
    ]
    return _Figure(name="stalls", unit="a minute", before=rates[0], after=rates[1], least=_LEAST_STALLS)


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
            yield _once(name, "a minute", 60 * old / before.seconds, 60 * new / after.seconds, least=0.0)
    if a.device_away_s or b.device_away_s:
        rates = 60 * a.device_away_s / before.seconds, 60 * b.device_away_s / after.seconds
        yield _once("microphone gone", "s a minute", *rates, least=0.0)
    old_s, new_s = sum(a.shed_seconds.values()), sum(b.shed_seconds.values())
    if old_s or new_s:
        rates = 60 * old_s / before.seconds, 60 * new_s / after.seconds
        yield _once("work shed", "s a minute", *rates, least=_LEAST_SHED_S)


def _once(name: str, unit: str, before: float, after: float, least: float) -> _Figure:
    a, b = (Estimate(value, value, value) for value in (before, after))
    return _Figure(name=name, unit=unit, before=a, after=b, least=least, measured_once=True)


def _widening(n_intervals: int) -> float:
    """Return by how much intervals grow so that all of them hold at once with 95 %."""
    normal = NormalDist()
    return normal.inv_cdf(1 - 0.025 / max(1, n_intervals)) / normal.inv_cdf(0.975)


def _judge(figure: _Figure, allowed_percent: float, widening: float) -> Change:
    before, after = figure.before.value, figure.after.value
    gain, low, high = difference(figure.before, figure.after, widening=widening)
    interval = None if figure.measured_once else (low, high)
    beyond_noise = interval is None or interval[0] > 0 or interval[1] < 0
    verdict: Literal["same", "better", "worse", "regression"] = "same"
    if beyond_noise and abs(gain) > figure.least:
        allowed = before * allowed_percent / 100
        verdict = "better" if gain < 0 else "worse" if gain <= allowed else "regression"
    return Change(
        name=figure.name,
        unit=figure.unit,
        before=before,
        after=after,
        change_percent=100 * gain / before if before else None,
        interval=interval,
        verdict=verdict,
    )


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
    settings = (
        {key: value for key, value in run.profile_settings.items() if key not in _NO_SETTINGS}
        for run in (before, after)
    )
    notes += _mapping_notes("profile ", *settings)
    mine, theirs = ({stage.name: stage.count for stage in run.stages} for run in (before, after))
    notes += [f"stage {name}: only before" for name in sorted(mine.keys() - theirs)]
    notes += [f"stage {name}: only after" for name in sorted(theirs.keys() - mine)]
    notes += [
        f"stage {name}: {mine[name]} passes before, {theirs[name]} after, too few to be compared"
        for name in sorted(mine.keys() & theirs)
        if min(mine[name], theirs[name]) < _FEWEST
    ]
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
