"""Pictures of a run over time, for the page: lag with its stalls, computing, delays of events, sensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, groupby

import numpy as np

from edgeaudio.profiling.blocks import computing_share, span_s
from edgeaudio.profiling.charts import Axis, Mark, Plot, Values
from edgeaudio.profiling.markup import Html, join, table, tag
from edgeaudio.profiling.measurement import Group, Measurement, Sensor, Stage, Stall
from edgeaudio.profiling.pictures import colour, swatch
from edgeaudio.profiling.wording import MEANING, ms, number, percent

__all__ = ["sensors", "timeline"]

_COLUMNS = 600
"""No telephone and no printer shows more, and a run of a day makes no larger page."""
_NUMBERED = 10
"""Stalls that get a number and a line in the table."""
_MARKED = 1000
"""Stalls or events of a kind that are marked in a picture."""
_TRIANGLE = "M0 -2l-5 -9h10z"
_SHAPES = ("M0 -5l5 5l-5 5l-5 -5z", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "M-4 -4h8v8h-8z")
"""A diamond, a disc and a square: tasks are not told apart by colour alone."""
_WORD = "itself to your program's hands; a model hears on before it is sure"
_QUANTITIES = {"%": "Processor", "MHz": "Frequency", "°C": "Temperature", "W": "Power", "MB": "Memory"}
_FROM_ZERO = frozenset({"%", "MHz", "W", "MB"})
_LINES = ("frontend", "model", "event")
"""Colours of up to three sensors in one picture; more are drawn as a band."""


def timeline(measurement: Measurement) -> Html:
    """Draw lag with its stalls, computing, and the delays of events over the run."""
    x = Axis(*span_s(measurement))
    parts = (
        _lag(measurement, x),
        _stalls(measurement.stalls),
        _load(measurement, x),
        _delays(
            measurement,
            x,
            "end to end",
            "End to end",
            MEANING["end to end"],
            allowed=_allowed_ms(measurement),
        ),
        _delays(measurement, x, "word", "From the end of a word", _WORD),
    )
    note = "Seconds since the first sample was captured; the warm-up is left out."
    return join((tag("h2", "Over time"), tag("p", note, class_="note"), *parts))


def _lag(measurement: Measurement, x: Axis) -> Html:
    ring = next((stage for stage in measurement.stages if stage.group == "ring" and stage.samples), None)
    if ring is None:
        return Html()
    stalls = _by_length(measurement.stalls)
    most = max([ring.max_ms, *(stall.duration_ms for stall in stalls), 0.1])
    hop_ms = measurement.profile_settings.get("hop_ms")
    # A block that waits for half a hop has an oldest sample that waits for a hop and a half.
    held = [hop_ms / 2] if isinstance(hop_ms, (int, float)) and 0 < hop_ms / 2 <= 4 * most else []
    least = max(0.001, 0.8 * min(age for _, age in ring.samples))
    plot = Plot(x, Axis(least, 2 * max(most, *held, 0.1), logarithmic=True), 140)
    ages = _columns(x, ring.samples, np.array(ring.samples)[:, 1] / 1000)
    points = [
        Mark(stall.at_s, stall.duration_ms, _stall_said(stall), str(i + 1) if i < _NUMBERED else "")
        for i, stall in enumerate(stalls[:_MARKED])
    ]
    n = f"{len(stalls)} {'stall' if len(stalls) == 1 else 'stalls'}"
    words = f"Half the time at most {ms(ring.p50_ms)}, never more than {ms(ring.max_ms)}; {n}."
    picture = plot.framed(
        "Lag over time",
        words,
        plot.area(np.full(len(ages), least), ages, "ring"),
        *(plot.limit(value, f"a stall: {value:g} ms or more") for value in held),
        plot.marks(points, _TRIANGLE, "stall"),
        unit="ms",
    )
    what = MEANING["ring"].partition(": ")[2]
    key = "▼ marks a stall; numbers as in the table." if stalls else "There was no stall."
    caption = tag("figcaption", tag("b", "Lag"), f": {what}. Logarithmic scale. {key}")
    return tag("figure", caption, picture)


def _columns(x: Axis, samples: Sequence[tuple[float, float]], lasting_s: Values | float) -> Values:
    """Return the greatest value in each column of a picture, zero where there is none.

    A value holds for as long as it is said to, but at least until the next one usually comes.
    """
    moments, values = np.array(samples).T
    usual_s = float(np.median(np.diff(moments))) if len(moments) > 1 else 0.0
    width_s = (x.most - x.least) / _COLUMNS
    greatest = np.zeros(_COLUMNS)
    first = np.floor((moments - x.least) / width_s).astype(np.int64)
    last = np.floor((moments + np.maximum(lasting_s, usual_s) - x.least) / width_s).astype(np.int64)
    for begin, end, value in zip(np.clip(first, 0, None), last, values, strict=True):
        held = greatest[begin : end + 1]
        np.maximum(held, value, out=held)
    return greatest


def _by_length(stalls: Sequence[Stall]) -> list[Stall]:
    return sorted(stalls, key=lambda stall: -stall.duration_ms)


def _stall_said(stall: Stall) -> str:
    return f"stall at {stall.at_s:.2f} s: {ms(stall.duration_ms)}, mostly {stall.stage}"


def _stalls(stalls: Sequence[Stall]) -> Html:
    if not stalls:
        return Html()
    rows = [
        (
            tag("td", str(i + 1), class_="n"),
            tag("td", f"{stall.at_s:.2f} s", class_="n"),
            tag("td", ms(stall.duration_ms), class_="n"),
            tag("td", stall.stage),
        )
        for i, stall in enumerate(_by_length(stalls)[:_NUMBERED])
    ]
    header = ("stall", "at", "lag", "longest stage")
    more = len(stalls) - _NUMBERED
    rest = tag("p", f"and {more} shorter ones", class_="note") if more > 0 else Html()
    return join((table("Stalls", header, rows, right=(0, 1, 2), narrow=True), rest))


def _load(measurement: Measurement, x: Axis) -> Html:
    n_bins = int(np.clip(round(measurement.seconds), 1, 120))
    layers = computing_share(measurement, n_bins)
    if not layers:
        return Html()
    total = np.sum([share for _, share in layers], axis=0)
    plot = Plot(x, Axis(0.0, 100 * float(total.max()) or 1.0), 110)
    below = np.zeros(n_bins)
    drawn, key = [], []
    for stage, share in layers:
        colours = colour(measurement, stage)
        drawn.append(plot.area(100 * below, 100 * (below + share), f"layer {colours}"))
        key.append(tag("li", swatch(colours), f"{stage.name} {percent(float(share.mean()))}"))
        below = below + share
    said = ", ".join(f"{stage.name} {percent(float(share.mean()))}" for stage, share in layers)
    span = f"{(x.most - x.least) / n_bins:.3g} s"
    how = f": time in stages, of each {span}, upon each other. Their means:"
    caption = tag("figcaption", tag("b", "Computing"), how)
    words = f"Mean time in stages: {said}."
    picture = plot.framed("Computing over time", words, *drawn, unit="%")
    return tag("figure", caption, tag("ul", *key, class_="key"), picture)


def _allowed_ms(measurement: Measurement) -> list[float]:
    """Return the budget of delays, if there is one."""
    budgets = measurement.profile_settings.get("budgets")
    allowed = budgets.get("p95_word_to_event_ms") if isinstance(budgets, dict) else None
    return [float(allowed)] if isinstance(allowed, (int, float)) and allowed > 0 else []


def _delays(
    measurement: Measurement, x: Axis, group: Group, title: str, told: str, *, allowed: Sequence[float] = ()
) -> Html:
    stages = [stage for stage in measurement.stages if stage.group == group and stage.samples]
    if not stages:
        return Html()
    most = max(stage.max_ms for stage in stages)
    held = [value for value in allowed if value <= 4 * most]
    plot = Plot(x, Axis(0.0, 1.15 * max(most, *held, 1e-3)), 90)
    drawn, key = [], []
    for stage, shape in zip(stages, cycle(_SHAPES), strict=False):
        colours = colour(measurement, stage)
        events = [(t, late, f"{stage.name} at {t:.2f} s: {ms(late)}") for t, late in stage.samples[:_MARKED]]
        drawn.append(plot.marks([Mark(*one) for one in events], shape, colours))
        sign = tag("svg", tag("path", d=shape), x=6, y=6, class_=f"mark {colours}")
        drawn_sign = tag("svg", sign, width=12, height=12, class_="sign", aria_hidden="true")
        key.append(tag("li", drawn_sign, _delay_said(stage)))
    limits = (plot.limit(value, f"budget of p95: {value:g} ms") for value in held)
    words = f"{'; '.join(map(_delay_said, stages))}."
    picture = plot.framed(f"{title}, over time", words, *drawn, *limits, unit="ms")
    caption = tag("figcaption", tag("b", title), f": {told}.")
    return tag("figure", caption, tag("ul", *key, class_="key"), picture)


def _delay_said(stage: Stage) -> str:
    events = "event" if stage.count == 1 else "events"
    return f"{stage.task or stage.name}: {stage.count} {events}, p95 {ms(stage.p95_ms)}"


def sensors(measurement: Measurement) -> Html:
    """Draw what sensors read over time, a picture for each unit, and a stripe for each yes or no."""
    x = Axis(*span_s(measurement))
    inside = [(sensor, _inside(sensor, x)) for sensor in measurement.sensors]
    read = [(sensor, samples) for sensor, samples in inside if samples and sensor.status == "measured"]
    order = [*_QUANTITIES, ""]
    read.sort(key=lambda one: order.index(one[0].unit) if one[0].unit in order else len(order))
    stripes = (_stripe(x, sensor, samples) for sensor, samples in read if not sensor.unit)
    quantities = groupby((one for one in read if one[0].unit), key=lambda one: one[0].unit)
    return join((*(_quantity(x, unit, list(group)) for unit, group in quantities), *stripes))


def _inside(sensor: Sensor, x: Axis) -> list[tuple[float, float]]:
    """Return a sensor's readings in the measured part of the run, no more than a picture shows."""
    samples = [(t, value) for t, value in sensor.samples if x.least <= t <= x.most]
    return samples[:: 1 + len(samples) // _COLUMNS]


def _quantity(x: Axis, unit: str, read: list[tuple[Sensor, list[tuple[float, float]]]]) -> Html:
    values = [[value for _, value in samples] for _, samples in read]
    least, most = min(map(min, values)), max(map(max, values))
    room = max(most - least, 0.05 * abs(most), 1e-3)
    low = 0.0 if unit in _FROM_ZERO and least >= 0 else least - 0.3 * room
    plot = Plot(x, Axis(low, most + 0.1 * room), 90)
    said = [
        f"{sensor.name} {number(float(np.mean(v)))} {unit}"
        for (sensor, _), v in zip(read, values, strict=True)
    ]
    if len(read) > len(_LINES):
        drawn, key = _band(plot, unit, [samples for _, samples in read])
    else:
        drawn = [plot.line(samples, line) for (_, samples), line in zip(read, _LINES, strict=False)]
        key = [tag("li", swatch(line), words) for words, line in zip(said, _LINES, strict=False)]
    name = _QUANTITIES.get(unit, unit)
    words = f"Means: {', '.join(said)}; between {number(least)} and {number(most)} {unit}."
    picture = plot.framed(f"{name} over time", words, *drawn, unit=unit)
    caption = tag("figcaption", tag("b", name), "; means:")
    return tag("figure", caption, tag("ul", *key, class_="key"), picture)


def _band(plot: Plot, unit: str, read: list[list[tuple[float, float]]]) -> tuple[list[Html], list[Html]]:
    """Draw many sensors of a kind as the range between the lowest and the highest, and their mean."""
    moments = np.linspace(plot.x.least, plot.x.most, 121)
    rows = np.array([np.interp(moments, *np.array(samples).T) for samples in read])
    mean = rows.mean(axis=0)
    drawn = [
        plot.area(rows.min(axis=0), rows.max(axis=0), "frontend pale"),
        plot.line(zip(moments.tolist(), mean.tolist(), strict=True), "frontend"),
    ]
    words = f"{len(read)} sensors: {number(float(mean.mean()))} {unit}; pale: from the lowest to the highest"
    return drawn, [tag("li", swatch("frontend"), words)]


def _stripe(x: Axis, sensor: Sensor, samples: list[tuple[float, float]]) -> Html:
    plot = Plot(x, Axis(0.0, 1.0), 22)
    states = _columns(x, samples, 0.0)
    words = f"{number(100 * float(np.mean([state for _, state in samples])))} % of the time"
    area = plot.area(np.zeros(len(states)), states, "stall")
    picture = plot.framed(f"{sensor.name} over time", words, area, unit="", named={0.5: "yes"})
    return tag("figure", tag("figcaption", tag("b", sensor.name), f": {words}"), picture)
