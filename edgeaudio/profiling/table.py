"""A measurement as text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from edgeaudio.profiling.blocks import costs
from edgeaudio.profiling.gate import Verdict
from edgeaudio.profiling.measurement import Measurement, Sensor, Stage
from edgeaudio.profiling.wording import (
    audio_said,
    date_said,
    interval_said,
    judgement,
    losses_said,
    ms,
    number,
    percent,
    range_of,
    start_up_said,
    tasks_said,
)
from edgeaudio.sinks.lines import printable

__all__ = ["render"]

_HEADER = ("passes", "mean", "p50", "p95", "p99", "longest", "cost")
_WIDTHS = (7, 7, 7, 7, 7, 8, 8)
_INDENT = 11
_SINGLE = 4
"""More sensors of one unit than that share a line."""


def render(measurement: Measurement, verdicts: Sequence[Verdict] = (), *, width: int = 80) -> str:
    """Return a measurement as lines of text, without one that ends them.

    Parameters
    ----------
    measurement : Measurement
        What to tell.
    verdicts : sequence of Verdict, optional
        What became of the profile's budgets, from `edgeaudio.profiling.gate.check`.
    width : int, optional
        Columns of the terminal, of which no more than 100 are used. Names of stages are cut before numbers.
    """
    width = min(max(width, 60), 100)
    facts = [*_head(measurement), ("", ""), *_device(measurement), *_run(measurement), *_budgets(verdicts)]
    told = [_fact(name, fact, width) for name, fact in facts]
    split = told.index("")
    lines = [*told[:split], "", *_stages(measurement, width), "", *told[split + 1 :]]
    return "\n".join(printable(line) for text in lines for line in text.split("\n"))


def _fact(name: str, fact: str, width: int) -> str:
    # What lies in names is not ours: no line of theirs ends before we end it.
    flat = " ".join(fact.split())
    return textwrap.fill(
        flat,
        width,
        initial_indent=f"{name:<{_INDENT}}",
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
    ).rstrip()


def _head(measurement: Measurement) -> Iterator[tuple[str, str]]:
    machine = measurement.machine
    quota = "" if machine.quota_cores is None else f", of which a quota allows {number(machine.quota_cores)}"
    yield "machine", f"{machine.model}, {machine.architecture}, {machine.cores} cores{quota}"
    for i, said in enumerate(tasks_said(measurement)):
        yield "" if i else "tasks", said
    yield "profile", measurement.profile
    yield "audio", f"{audio_said(measurement)}; {date_said(measurement.made)}"


def _stages(measurement: Measurement, width: int) -> Iterator[str]:
    room = width - sum(_WIDTHS)
    yield _row("ms a pass", _HEADER, room)
    for stage in measurement.stages:
        figures = (stage.mean_ms, stage.p50_ms, stage.p95_ms, stage.p99_ms, stage.max_ms)
        cost = percent(stage.share) if costs(stage) else "-"
        yield _row(stage.name, (str(stage.count), *map(number, figures), cost), room)


def _row(name: str, cells: Sequence[str], room: int) -> str:
    cut = name if len(name) <= room else f"{name[: room - 1]}…"
    return f"{cut:<{room}}" + "".join(f"{cell:>{wide}}" for cell, wide in zip(cells, _WIDTHS, strict=True))


def _device(measurement: Measurement) -> Iterator[tuple[str, str]]:
    cost = measurement.cost
    ends = [stage for stage in measurement.stages if stage.group == "end to end"]
    for i, stage in enumerate(ends):
        yield "" if i else "delay", _delay(stage)
    yield "CPU", f"{percent(cost.cpu_share)} of one core, real-time factor {number(cost.real_time_factor)}"
    if cost.cores:
        busy = ", ".join(f"{core.core}: {percent(core.busy)}" for core in cost.cores)
        yield "cores", f"busy by everything: {busy}"
    yield "memory", f"{number(cost.rss_mb)} MB at the end, {number(cost.peak_rss_mb)} MB at most"
    faults = f"page faults {cost.major_faults} from disk, {cost.minor_faults} others"
    yield "", f"{faults}; switches {cost.voluntary_switches} own, {cost.involuntary_switches} forced"
    for i, said in enumerate(_sensors(measurement.sensors)):
        yield "" if i else "sensors", said


def _delay(stage: Stage) -> str:
    interval = f"95 % interval {interval_said(stage.p95_interval_ms)} ms"
    return f"{stage.name}: p95 {ms(stage.p95_ms)}, {interval}"


def _sensors(sensors: Sequence[Sensor]) -> Iterator[str]:
    measured = [sensor for sensor in sensors if sensor.status == "measured" and sensor.samples]
    for unit, group in groupby(measured, key=lambda sensor: sensor.unit):
        same = list(group)
        if unit and len(same) > _SINGLE:
            values = [value for sensor in same for _, value in sensor.samples]
            mean = number(sum(values) / len(values))
            yield f"{len(same)} of {unit}: {number(min(values))} to {number(max(values))} {unit}, mean {mean}"
        else:
            yield from map(_sensor, same)
    for sensor in sensors:
        if sensor not in measured:
            yield f"{sensor.name}: unavailable{f', {sensor.reason}' if sensor.reason else ''}"


def _sensor(sensor: Sensor) -> str:
    values = range_of(sensor)
    if values is None:
        return f"{sensor.name}: unavailable"
    if not sensor.unit:
        return f"{sensor.name}: {number(100 * values.mean)} % of the time"
    least, mean, most = map(number, values)
    return f"{sensor.name}: {least} to {most} {sensor.unit}, mean {mean}"


def _run(measurement: Measurement) -> Iterator[tuple[str, str]]:
    stalls = measurement.stalls
    longest = max(stalls, key=lambda stall: stall.duration_ms, default=None)
    if longest is None:
        yield "stalls", "none"
    else:
        where = f"at {longest.at_s:.2f} s, {longest.stage}"
        yield "stalls", f"{len(stalls)}, the longest {ms(longest.duration_ms)} {where}"
    lost = "; ".join(f"{what}: {amount}" for what, amount, any_ in losses_said(measurement) if any_)
    yield "lost", lost or "nothing"
    if measurement.start_up is not None:
        parts = ", ".join(f"{name} {ms(part)}" for name, part in start_up_said(measurement.start_up))
        yield "start-up", f"{ms(measurement.start_up.total_ms)}: {parts}"
    overhead = measurement.overhead
    each = f"{number(overhead.timestamp_ns)} ns a time stamp"
    sensors = f"sensors {percent(overhead.sensors_share)} of a core"
    yield "measuring", f"{percent(overhead.share_of_busy)} of the engine's computing, {each}; {sensors}"


def _budgets(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, str]]:
    if not verdicts:
        return
    yield "budgets", judgement(verdicts)
    for verdict in verdicts:
        limit = f"{number(verdict.limit)} {verdict.unit}"
        value = "not measured" if verdict.value is None else number(verdict.value)
        state = "kept" if verdict.kept else "BROKEN"
        told = f"{verdict.name} {state}: {value}, at most {limit}"
        yield "", told if verdict.kept else f"{told}; {verdict.detail}"
