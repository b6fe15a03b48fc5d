"""Pictures of stages, of single blocks and of budgets, for the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeaudio.profiling.blocks import Block, Pass, typical_and_worst
from edgeaudio.profiling.charts import Axis, bars, drawing, histogram, scale
from edgeaudio.profiling.markup import Html, join, tag
from edgeaudio.profiling.measurement import Measurement, Stage
from edgeaudio.profiling.wording import ms

__all__ = ["bullet", "colour", "distribution", "durations_axis", "swatch", "waterfalls"]

_SHADES = ("", " second", " third")


def colour(measurement: Measurement, stage: Stage) -> str:
    """Return the class of a stage's colour: its group's, paler for the second of a group, and for others."""
    same = [one.name for one in measurement.stages if one.group == stage.group]
    return stage.group.replace(" ", "-") + _SHADES[min(same.index(stage.name), len(_SHADES) - 1)]


def swatch(class_: str) -> Html:
    """Return a small square of a colour."""
    return tag("span", class_=f"swatch {class_}", aria_hidden="true")


def bullet(part: float, words: str, *, kept: bool) -> Html:
    """Draw which part of a limit was used, and the limit."""
    axis = Axis(0.0, max(1.25, 1.1 * part))
    end = f"{100 * axis.at(1.0):.2f}%"
    mark = tag("line", x1=end, x2=end, y1=-2, y2=16, class_="end")
    used = bars(axis, [(0.0, part, words)], "frontend" if kept else "stall")
    return drawing(14, "part of the budget", words, used, mark)


def durations_axis(stages: Sequence[Stage]) -> Axis:
    """Return the axis that the stages of one measurement share."""
    least = min((stage.p50_ms for stage in stages if stage.p50_ms > 0), default=0.01)
    most = max(stage.max_ms for stage in stages)
    return Axis(least / 1.5, max(most, 10 * least) * 1.2, logarithmic=True)


def distribution(measurement: Measurement, stage: Stage) -> Html:
    """Draw a stage's histogram, with its caption."""
    values = np.array([duration for _, duration in stage.samples])
    if not len(values):
        return Html()
    kept = "" if len(values) == stage.count else f" ({len(values)} of them drawn)"
    summary = f"{stage.count} passes{kept}; longest {ms(stage.max_ms)}"
    words = f"Half took at most {ms(stage.p50_ms)}, 95 % at most {ms(stage.p95_ms)}; {summary}."
    colours = colour(measurement, stage)
    caption = tag("figcaption", swatch(colours), tag("b", stage.name), tag("small", summary))
    points = {"p50": stage.p50_ms, "p95": stage.p95_ms}
    picture = histogram(values, f"Histogram of {stage.name}", words, points)
    return tag("figure", caption, tag("div", picture, class_=colours))


def waterfalls(measurement: Measurement) -> Html:
    """Draw what happened to a typical block, and to the worst one."""
    blocks = typical_and_worst(measurement)
    if blocks is None:
        return Html()
    note = (
        "From the capture of a block's newest sample to the end of what it set off. What the caption worker "
        "does stands with the block that was the newest when it began. Each picture has its own scale."
    )
    titles = ("A typical block", "The worst block")
    drawn = (_waterfall(measurement, title, block) for title, block in zip(titles, blocks, strict=True))
    return join((tag("h2", "One block's way"), tag("p", note, class_="note"), *drawn))


def _waterfall(measurement: Measurement, title: str, block: Block) -> Html:
    axis = Axis(0.0, block.done_ms or 1e-3)
    passes: dict[str, list[Pass]] = {}
    for one in block.passes:
        passes.setdefault(one.stage.name, []).append(one)
    rows = [_waterfall_row(measurement, axis, block, of_stage) for of_stage in passes.values()]
    ruler = tag("li", tag("span"), tag("div", scale(axis, "ms")), class_="ruler", aria_hidden="true")
    hop_ms = measurement.profile_settings.get("hop_ms")
    due = f"; the next one comes after {hop_ms:g} ms" if isinstance(hop_ms, (int, float)) else ""
    when = f", captured at {block.captured_s:.2f} s: done after {ms(block.done_ms)}{due}."
    caption = tag("figcaption", tag("b", title), when)
    return tag("figure", caption, tag("ol", *rows, ruler, class_="waterfall"))


def _waterfall_row(measurement: Measurement, axis: Axis, block: Block, passes: list[Pass]) -> Html:
    stage = passes[0].stage
    spans = []
    for one in passes:
        begun_ms = 1000 * (one.start_s - block.captured_s)
        words = f"{stage.name}: {ms(one.duration_ms)}, begun after {ms(begun_ms)}"
        spans.append((begun_ms, begun_ms + one.duration_ms, words))
    times = f" in {len(passes)} passes" if len(passes) > 1 else ""
    told = tag("b", ms(sum(one.duration_ms for one in passes)), tag("small", times))
    picture = bars(axis, spans, colour(measurement, stage))
    return tag("li", tag("span", stage.name, told), tag("div", picture))
