"""The trade between misses and false alarms as a small picture, without a drawing library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from edgeaudio.errors import OutputError
from edgeaudio.training.wake_tests import NOISY, Point

__all__ = ["write_det"]

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 34, 48
_COLOURS = ("#0b62a4", "#b3470b", "#2b7a3f")
_RATES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
_MISSES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class _Axes:
    """Logarithmic both ways: false alarms an hour to the right, part missed upwards."""

    def __init__(self, rates: tuple[float, float], misses: tuple[float, float]) -> None:
        self.rates, self.misses = rates, misses

    def x(self, per_hour: float) -> float:
        low, high = self.rates
        part = math.log(max(per_hour, low) / low) / math.log(high / low)
        return _LEFT + min(part, 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, missed: float) -> float:
        low, high = self.misses
        part = math.log(max(missed, low) / low) / math.log(high / low)
        return _HEIGHT - _BOTTOM - min(part, 1.0) * (_HEIGHT - _TOP - _BOTTOM)


def write_det(curve: Sequence[Point], hours: float, path: Path, *, title: str) -> None:
    """Draw the curve of each group of recordings; dashed where noise was mixed in.

    Zero has no place on a logarithmic axis: no false alarms in all the hours are drawn as half of one.

    Raises
    ------
    OutputError
        The picture cannot be written.
    """
    try:
        path.write_text("\n".join(_lines(curve, hours, title)) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _lines(curve: Sequence[Point], hours: float, title: str) -> Iterator[str]:
    least = 0.5 / hours
    most = max([1.0, *(point.false_alarms_per_hour for point in curve)])
    axes = _Axes((least, 1.2 * max(most, 2 * least)), (0.003, 1.1))
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}">'
    yield "<style>text{font:12px sans-serif;fill:#222}.g{stroke:#ddd}</style>"
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
    yield f'<text x="{_LEFT}" y="20" style="font-weight:bold">{escape(title)}</text>'
    yield from _grid(axes)
    groups = list(curve[0].missed) if curve else []
    clean = [name for name in groups if not name.endswith(NOISY)]
    for number, name in enumerate(groups):
        colour = _COLOURS[clean.index(name.removesuffix(NOISY)) % len(_COLOURS)]
        dash = ' stroke-dasharray="6 4"' if name.endswith(NOISY) else ""
        points = " ".join(
            f"{axes.x(p.false_alarms_per_hour):.1f},{axes.y(p.missed[name]):.1f}" for p in curve
        )
        style = f'fill="none" stroke="{colour}" stroke-width="2"{dash}'
        yield f'<polyline points="{points}" {style}/>'
        y = _TOP + 16 * number + 10
        yield f'<path d="M{_WIDTH - 320} {y - 4}h28" {style}/>'
        yield f'<text x="{_WIDTH - 284}" y="{y}">{escape(name)}</text>'
    yield f'<text x="{_LEFT}" y="{_HEIGHT - 10}">false alarms per hour, counted over {hours:.1f} h</text>'
    yield f'<text transform="translate(14 {_HEIGHT - _BOTTOM}) rotate(-90)">part of recordings missed</text>'
    yield "</svg>"


def _grid(axes: _Axes) -> Iterator[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for per_hour in (rate for rate in _RATES if axes.rates[0] < rate < axes.rates[1]):
        x = axes.x(per_hour)
        yield f'<path class="g" d="M{x:.1f} {_TOP}V{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{per_hour:g}</text>'
    yield f'<text x="{_LEFT}" y="{bottom + 16}" text-anchor="middle">none</text>'
    for missed in (miss for miss in _MISSES if axes.misses[0] < miss < axes.misses[1]):
        y = axes.y(missed)
        yield f'<path class="g" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * missed:g} %</text>'
