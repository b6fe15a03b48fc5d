"""A model's results as Markdown: lines, and tables where there are many of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["PICTURE", "figures", "result_lines"]

PICTURE = "det.svg"
"""Beside the card: misses against false alarms."""

_POINTS, _RECALL, _CONFUSED = "operating points", "recall, ", "confused, "
_FACTS = {
    "measured with": "What it was measured with",
    "int8": "What eight bits cost",
    "costs": "Size and time",
    "training": "Training",
}


def figures(results: Mapping[str, Any]) -> list[str]:
    """The figures that stand alone, a line each."""
    return [f"{name}: {_phrase(value)}" for name, value in results.items() if not _is_apart(name)]


def result_lines(results: Mapping[str, Any]) -> list[str]:
    """Everything a manifest says under ``results``, figures that stand alone first."""
    if not results:
        return ["Nothing yet."]
    lines = [f"- {line}" for line in figures(results)]
    for name, value in results.items():
        if name == _POINTS:
            lines += ["", *_operating_points(value)]
        elif name.startswith(_RECALL):
            lines += ["", *_recalls(name.removeprefix(_RECALL), value)]
        elif name.startswith(_CONFUSED):
            lines += ["", f"Taken for another: {', '.join(f'{pair} {n}' for pair, n in value.items())}."]
        elif name in _FACTS:
            lines += ["", f"### {_FACTS[name]}", "", *_facts(value)]
    return lines


def _is_apart(name: str) -> bool:
    return name == _POINTS or name in _FACTS or name.startswith((_RECALL, _CONFUSED))


def _operating_points(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    groups = list(points[0]["missed"]) if points else []
    yield "### Operating points"
    yield ""
    heads = ["wanted", "threshold", "false alarms per hour", *(f"missed, {name}" for name in groups)]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * (3 + len(groups)) + "|"
    for point in points:
        cells = [
            f"{point['wanted']:g}/h",
            f"{point['threshold']:.4f}",
            _phrase(point["false alarms per hour"]),
        ]
        cells += [_part(point["missed"][name], "missed") for name in groups]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield (
        "Thresholds are chosen for the wanted rate. False alarms are counted crosswise: in each half of the "
        "recordings with the threshold chosen on the other half. A rate below one in all the hours cannot be "
        "told from none; the interval says what it may be."
    )
    if groups:
        yield ""
        yield f"![Misses against false alarms]({PICTURE})"


def _recalls(name: str, recalls: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield f"| {name}, int8 | right |"
    yield "|---|---|"
    for label, value in recalls.items():
        yield f"| {label} | {_part(value, 'right')} |"


def _part(value: Mapping[str, Any], what: str) -> str:
    low, high = value["interval"]
    return f"{value[what] / value['of']:.1%} ({low:.1%} to {high:.1%}) of {value['of']}"


def _facts(value: Mapping[str, Any]) -> Iterator[str]:
    for name, inner in value.items():
        shown = _phrase(inner) if not isinstance(inner, float) else f"{inner:g}"
        yield f"- {name}: {shown}"


def _phrase(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    if {"float", "int8"} <= set(value):
        return f"{_phrase(value['int8'])}, before quantization {value['float']['accuracy']:.2%}"
    if "accuracy" in value:
        low, high = value["interval"]
        return f"{value['accuracy']:.2%} ({low:.2%} to {high:.2%}) of {value['clips']} recordings"
    if "rate" in value:
        low, high = value["interval"]
        return f"{value['rate']:g} ({low:g} to {high:g}) in {value['hours']:g} h"
    if "of" in value:
        low, high = value["interval"]
        return f"{value.get('missed', value.get('woken'))} of {value['of']} ({low:.1%} to {high:.1%})"
    return ", ".join(f"{name} {_phrase(inner)}" for name, inner in value.items())
