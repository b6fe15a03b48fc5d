"""A measurement as one page: no scripts, nothing from the network, readable on a telephone and on paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeaudio.profiling.blocks import costs
from edgeaudio.profiling.charts import Axis, scale, spread
from edgeaudio.profiling.files import write_whole
from edgeaudio.profiling.gate import Verdict
from edgeaudio.profiling.html_facts import device, losses, meanings, start_up, what_and_where
from edgeaudio.profiling.markup import Html, document, figure_cell, join, name_cell, picture_cell, table, tag
from edgeaudio.profiling.measurement import Measurement, Stage
from edgeaudio.profiling.pictures import bullet, colour, distribution, durations_axis, swatch, waterfalls
from edgeaudio.profiling.timeline import timeline
from edgeaudio.profiling.wording import (
    audio_said,
    date_said,
    interval_said,
    judgement,
    losses_said,
    lost_s,
    ms,
    number,
    percent,
)

__all__ = ["page", "write_page"]


def write_page(path: Path, measurement: Measurement, verdicts: Sequence[Verdict] = ()) -> None:
    """Write the page of `page` to a file.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    write_whole(path, page(measurement, verdicts))


def page(measurement: Measurement, verdicts: Sequence[Verdict] = ()) -> str:
    """Return a measurement as a page of HTML that needs no other file.

    Parameters
    ----------
    measurement : Measurement
        What to show.
    verdicts : sequence of Verdict, optional
        What became of the profile's budgets, from `edgeaudio.profiling.gate.check`.
    """
    sections = (
        _head(measurement, verdicts),
        _budgets(verdicts),
        _stages(measurement),
        timeline(measurement),
        waterfalls(measurement),
        device(measurement),
        start_up(measurement),
        losses(measurement),
        what_and_where(measurement),
        meanings(measurement),
    )
    return document(f"Latency on {measurement.machine.model}", *sections)


def _head(measurement: Measurement, verdicts: Sequence[Verdict]) -> Html:
    kept = all(verdict.kept for verdict in verdicts)
    sign, mood = ("✓ ", "good") if kept else ("✗ ", "bad")
    models = ", ".join(task.model for task in measurement.tasks) or "no task"
    facts = (
        f"{models} with profile {measurement.profile}",
        audio_said(measurement),
        date_said(measurement.made),
    )
    words = (tag("b", sign), judgement(verdicts)) if verdicts else (judgement(verdicts),)
    return join(
        (
            tag("h1", f"Latency on {measurement.machine.model}"),
            tag("p", " · ".join(facts), class_="facts"),
            tag("p", *words, class_=f"verdict {mood}" if verdicts else "verdict"),
            tag("dl", *_tiles(measurement), class_="tiles"),
        )
    )


def _tiles(measurement: Measurement) -> Iterator[Html]:
    cost, stalls = measurement.cost, measurement.stalls
    words = {stage.task: stage for stage in measurement.stages if stage.group == "word"}
    for stage in measurement.stages:
        if stage.group == "end to end":
            interval = f"{interval_said(stage.p95_interval_ms)} ms by {stage.count} events"
            word = words.get(stage.task)
            more = f"; {ms(word.p95_ms)} from the end of the word" if word else ""
            yield _tile(f"p95 {stage.name}", ms(stage.p95_ms), interval + more, class_="lead")
    yield _tile("CPU", percent(cost.cpu_share), f"of one core, of {measurement.machine.cores}")
    yield _tile("real-time factor", number(cost.real_time_factor), "computing / audio")
    yield _tile("memory", f"{number(cost.rss_mb)} MB", f"at most {number(cost.peak_rss_mb)} MB")
    longest = max((stall.duration_ms for stall in stalls), default=None)
    yield _tile("stalls", str(len(stalls)), "" if longest is None else f"longest {ms(longest)}")
    lost = lost_s(measurement)
    causes = "; ".join(f"{what} {amount}" for what, amount, any_ in losses_said(measurement) if any_)
    yield _tile("audio lost", f"{lost:.2f} s" if lost else "none", causes)


def _tile(name: str, value: str, more: str, class_: str | None = None) -> Html:
    return tag("div", tag("dt", name), tag("dd", value), tag("dd", more, class_="more"), class_=class_)


def _budgets(verdicts: Sequence[Verdict]) -> Html:
    if not verdicts:
        return Html()
    header = ("budget", "", "measured", "at most", Html("part of it"), "what did it")
    return join((tag("h2", "Budgets"), table("Budgets", header, map(_budget_row, verdicts), right=(2, 3))))


def _budget_row(verdict: Verdict) -> tuple[Html, ...]:
    state = tag("b", "✓ kept", class_="good") if verdict.kept else tag("b", "✗ broken", class_="bad")
    value, picture = "not measured", Html()
    if verdict.value is not None:
        value = f"{number(verdict.value)} {verdict.unit}"
        if verdict.limit > 0:
            part = verdict.value / verdict.limit
            picture = bullet(part, f"{number(100 * part)} % of the budget", kept=verdict.kept)
    return (
        name_cell(verdict.name),
        tag("td", state, class_="w"),
        figure_cell(value),
        figure_cell(f"{number(verdict.limit)} {verdict.unit}"),
        picture_cell(picture),
        tag("td", verdict.detail, class_="long"),
    )


def _stages(measurement: Measurement) -> Html:
    stages = [stage for stage in measurement.stages if stage.count]
    if not stages:
        return join((tag("h2", "Stages"), tag("p", "None was passed: the run was too short.")))
    axis = durations_axis(stages)
    header = ("stage", "passes", "mean", "p50", "p95", "p99", "longest", "cost", scale(axis, "ms"))
    note = (
        "Milliseconds of one pass, in small letters the 95 % interval. Cost: time in the stage as a part of "
        "the audio's length. Bar: from p50 to p95; tick: p99; dot: the longest pass; on a logarithmic scale."
    )
    rows = [_stage_row(measurement, stage, axis) for stage in stages]
    histograms = (distribution(measurement, stage) for stage in stages)
    return join(
        (
            tag("h2", "Stages"),
            tag("p", note, class_="note"),
            table("Stages", header, rows, right=range(1, 8)),
            tag("h3", "How often which duration came"),
            tag("div", *histograms, class_="histograms"),
        )
    )


def _stage_row(measurement: Measurement, stage: Stage, axis: Axis) -> tuple[Html, ...]:
    colours = colour(measurement, stage)
    body, tick = (stage.p50_ms, stage.p95_ms), stage.p99_ms
    return (
        name_cell(swatch(colours), stage.name),
        figure_cell(str(stage.count)),
        figure_cell(number(stage.mean_ms), interval_said(stage.mean_interval_ms)),
        figure_cell(number(stage.p50_ms)),
        figure_cell(number(stage.p95_ms), interval_said(stage.p95_interval_ms)),
        figure_cell(number(stage.p99_ms)),
        figure_cell(number(stage.max_ms)),
        figure_cell(percent(stage.share) if costs(stage) else "-"),
        picture_cell(spread(axis, body, tick, stage.max_ms, colours)),
    )
