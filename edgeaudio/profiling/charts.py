"""Pictures for the page, in SVG that takes the width it is given.

Places along the width are percentages and letters have the page's own size, so that nothing shrinks on a
telephone; only paths are stretched. Colours come from the page's style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgeaudio.profiling.markup import Html, join, tag
from edgeaudio.profiling.wording import number

__all__ = ["Axis", "Mark", "Plot", "Values", "bars", "drawing", "histogram", "scale", "spread"]

Values = npt.NDArray[np.float64]

_WIDE = 1000
"""Units of a stretched path's width."""
_TICK_ROOM = 18
_HISTOGRAM_BINS = 48
_SHARED_TICKS = 4


class Axis(NamedTuple):
    """From values to parts of a length."""

    least: float
    most: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return where the value lies, between 0 and 1."""
        least, most = self.least, self.most
        if self.logarithmic:
            least, most, value = math.log(least), math.log(most), math.log(max(value, least))
        return min(1.0, max(0.0, (value - least) / (most - least)))

    def ticks(self, n: int) -> list[float]:
        """Return about `n` round values within the axis."""
        if self.logarithmic and self.most / self.least > 8:
            decades = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
            factors = (1,) if len(decades) > 3 else (1, 3) if len(decades) > 2 else (1, 2, 5)
            candidates = [factor * 10.0**decade for decade in decades for factor in factors]
            inside = [value for value in candidates if self.least <= value <= self.most]
            return inside[:: max(1, math.ceil(len(inside) / n))]
        step = _round_step((self.most - self.least) / n)
        first, last = math.ceil(self.least / step - 1e-9), math.floor(self.most / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


class Mark(NamedTuple):
    """Something at one point of a plot."""

    x: float
    y: float
    words: str
    """Said when it is pointed at."""
    label: str = ""
    """Stands over it."""


class Plot(NamedTuple):
    """A frame with an axis along and one upright."""

    x: Axis
    y: Axis
    height: int

    def framed(
        self, title: str, description: str, *content: str, unit: str, named: dict[float, str] | None = None
    ) -> Html:
        """Draw ticks around what lies in the frame; `named` replaces those of the upright axis."""
        ticks = named or {value: f"{_round(value)} {unit}".rstrip() for value in self.y.ticks(4)}
        levels = (_level(self._down(value), "grid") for value in ticks if value > self.y.least)
        labels = (
            tag("text", words, x=-8, y=self._down(value) + 4, text_anchor="end", class_="tick")
            for value, words in ticks.items()
        )
        base = _level(float(self.height), "base")
        body = (*levels, *content, base, *labels, _x_labels(self.x, self.height, 6, "s"))
        return tag("div", drawing(self.height + _TICK_ROOM, title, description, *body), class_="plot")

    def area(self, lower: Values, upper: Values, class_: str) -> Html:
        """Fill between two rows of equally wide steps that take the whole width."""
        width = _WIDE / len(upper)
        over = "".join(f"V{self._down(value):.1f}H{(i + 1) * width:.1f}" for i, value in enumerate(upper))
        back = "".join(f"V{self._down(lower[i]):.1f}H{i * width:.1f}" for i in reversed(range(len(lower))))
        return _stretched(0, self.height, f"M0 {self._down(lower[0]):.1f}{over}{back}z", f"fill {class_}")

    def line(self, points: Iterable[tuple[float, float]], class_: str) -> Html:
        """Draw a line through points."""
        path = "L".join(f"{_WIDE * self.x.at(x):.1f} {self._down(y):.1f}" for x, y in points)
        return _stretched(0, self.height, f"M{path}", f"stroke {class_}")

    def marks(self, points: Iterable[Mark], shape: str, class_: str) -> Html:
        """Put a shape, a path around its own origin, at each point."""
        drawn = []
        for point in points:
            along, down = self.x.at(point.x), self._down(point.y)
            path = tag("path", tag("title", point.words), d=shape)
            drawn.append(tag("svg", path, x=_share(along), y=down, class_=f"mark {class_}"))
            if point.label:
                drawn.append(_text(along, down - 13, point.label, "label", middle=True))
        return join(drawn)

    def limit(self, value: float, words: str) -> Html:
        """Draw a limit across the frame, and say what it is."""
        down = self._down(value)
        return join((_level(down, "limit"), _text(1.0, down - 5, words, "limit")))

    def _down(self, value: float) -> float:
        """Return how far below the upper edge a value is."""
        return self.height * (1 - self.y.at(value))


def drawing(height: int, title: str, description: str, *content: str) -> Html:
    """Make a picture of the whole width, with what a screen reader says instead of it."""
    texts = (tag("title", title), tag("desc", description))
    return tag("svg", *texts, *content, class_="chart", role="img", width="100%", height=height)


def histogram(values_ms: Values, title: str, description: str, points: dict[str, float]) -> Html:
    """Draw how often which duration came, with some points of it named.

    Bars are at least 2 units high, so that a single pass among thousands is seen.
    """
    least, most = float(values_ms.min()), float(values_ms.max())
    if least > 0 and most > 4 * least:
        axis = Axis(least / 1.05, most * 1.05, logarithmic=True)
        edges = np.geomspace(axis.least, axis.most, _HISTOGRAM_BINS + 1)
    else:
        room = 0.02 * (most - least) or 0.05 * abs(most) or 1.0
        # Not below zero, but where a clock that was estimated says so.
        axis = Axis(max(min(0.0, least), least - room), most + room)
        edges = np.linspace(axis.least, axis.most, _HISTOGRAM_BINS + 1)
    counts, _ = np.histogram(values_ms, edges)
    height, top = 56, 30
    width = _WIDE / _HISTOGRAM_BINS
    highs = np.maximum(2.0, height * counts / counts.max())
    columns = "".join(
        f"M{i * width + 0.6:.1f} {height}V{height - high:.1f}h{width - 1.2:.1f}V{height}z"
        for i, high in enumerate(highs)
        if counts[i]
    )
    named = []
    for row, (name, value) in enumerate(points.items()):
        along = axis.at(value)
        named.append(_rule(along, 14 * row + 12, top + height, "point"))
        named.append(_text(along, 14 * row + 11, f"{name} {number(value)}", "point"))
    ground = join((_level(top + height, "base"), _x_labels(axis, top + height, 4, "ms")))
    body = (_stretched(top, height, columns, "fill"), *named, ground)
    return drawing(top + height + _TICK_ROOM, title, description, *body)


def bars(axis: Axis, spans: Iterable[tuple[float, float, str]], class_: str) -> Html:
    """Draw bars on one line: each from where to where, and what is said when it is pointed at."""
    shapes = (
        tag(
            "rect",
            tag("title", words),
            x=_share(axis.at(start)),
            width=_share(axis.at(end) - axis.at(start)),
            y=2,
            height=10,
            class_=class_,
        )
        for start, end, words in spans
    )
    return tag("svg", *shapes, class_="track", width="100%", height=14, aria_hidden="true")


def spread(axis: Axis, body: tuple[float, float], tick: float, most: float, class_: str) -> Html:
    """Draw a thick bar, a line from its end to a dot at the greatest value, and a tick on the line."""
    left, right, far = axis.at(body[0]), axis.at(body[1]), axis.at(most)
    shapes = (
        *(_rule(axis.at(value), 0, 16, "grid") for value in axis.ticks(_SHARED_TICKS)),
        tag("line", x1=_share(right), x2=_share(far), y1=8, y2=8, class_="reach"),
        tag("rect", x=_share(left), width=_share(right - left), y=4, height=8, class_="body"),
        _rule(axis.at(tick), 3, 13, "tick"),
        tag("circle", cx=_share(far), cy=8, r=2.5, class_="body"),
    )
    return tag("svg", *shapes, class_=f"spread {class_}", width="100%", height=16, aria_hidden="true")


def scale(axis: Axis, unit: str) -> Html:
    """Draw an axis alone, to stand by lines that share it."""
    labels = _x_labels(axis, -4, _SHARED_TICKS, unit)
    return tag("svg", labels, class_="chart", width="100%", height=14, aria_hidden="true")


def _stretched(top: int, height: int, path: str, class_: str) -> Html:
    view = f"0 0 {_WIDE} {height}"
    shape = tag("path", d=path, class_=class_)
    return tag("svg", shape, y=top, width="100%", height=height, viewBox=view, preserveAspectRatio="none")


def _rule(x: float, top: float, bottom: float, class_: str) -> Html:
    return tag("line", x1=_share(x), x2=_share(x), y1=top, y2=bottom, class_=class_)


def _level(y: float, class_: str) -> Html:
    return tag("line", x1="0", x2="100%", y1=y, y2=y, class_=class_)


def _x_labels(axis: Axis, y: int, n: int, unit: str) -> Html:
    """Write ticks below a line; the last one tells the unit."""
    values = axis.ticks(n)
    words = [*map(_round, values[:-1]), *(f"{_round(value)} {unit}" for value in values[-1:])]
    return join(
        _text(axis.at(value), y + 14, said, "tick", middle=True)
        for value, said in zip(values, words, strict=True)
    )


def _text(x: float, y: float, words: str, class_: str, *, middle: bool = False) -> Html:
    """Write at a place, or beside it: left of it where there is no room to its right."""
    if middle:
        anchor, moved = ("start" if x < 0.03 else "end" if x > 0.9 else "middle"), None
    else:
        anchor, moved = ("start", 4) if x < 0.6 else ("end", -4)
    return tag("text", words, x=_share(x), y=float(y), dx=moved, text_anchor=anchor, class_=class_)


def _share(part: float) -> str:
    return f"{100 * part:.2f}%"


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, … that is not below `least`."""
    decade = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= least * (1 - 1e-9))


def _round(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
