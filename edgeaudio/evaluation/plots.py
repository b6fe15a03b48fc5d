"""The detection error trade-off of a wake word as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeaudio.errors import MissingDependencyError, OutputError
from edgeaudio.evaluation.wake import WakeResult

__all__ = ["plot_det"]

_MISS_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def plot_det(result: WakeResult, path: Path, *, title: str) -> None:
    """Draw miss rate against false alarms per hour, both logarithmic, and save it.

    Zero has no place on a logarithmic axis: a count of zero is drawn as half an event, where the axis
    says "none".

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    OutputError
        The picture cannot be written, or its suffix names no known format.
    """
    try:
        # Figure alone, without pyplot: nothing global, and no display is looked for.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "drawing needs matplotlib", hint='pip install "edgeaudio[report]"'
        ) from error
    figure = Figure(figsize=(7.0, 5.5), layout="constrained")
    axes = figure.add_subplot()
    least_rate, least_miss = 0.5 / result.hours, 0.5 / result.positives
    # Below the threshold with most false alarms the word is never released: no trade-off any more.
    most = max(range(len(result.curve)), key=lambda i: result.curve[i].false_alarms)
    axes.plot(
        [max(result.false_alarms_per_hour(point), least_rate) for point in result.curve[most:]],
        [max(result.miss_rate(point), least_miss) for point in result.curve[most:]],
        color="tab:blue",
        drawstyle="steps-post",
    )
    _mark_operating_point(axes, result, least_rate, least_miss)
    axes.set_xscale("log")
    axes.set_yscale("log")
    rates = [10.0**decade for decade in range(-4, 6)]
    highest = max(result.false_alarms_per_hour(point) for point in result.curve)
    _ticks(axes.xaxis, least_rate, [rate for rate in rates if rate <= highest], "{:g}")
    _ticks(axes.yaxis, least_miss, _MISS_TICKS, "{:.3g} %", scale=100)
    axes.set_xlim(left=least_rate / 1.5)
    axes.set_ylim(least_miss / 1.5, 1.2)
    axes.set_xlabel(f"false alarms per hour, over {result.hours:.2f} h")
    axes.set_ylabel(f"missed, of {result.positives} recordings")
    axes.set_title(title)
    axes.grid(visible=True, color="0.9")
    axes.legend(loc="upper right")
    _save(figure, path)


def _ticks(axis: Any, none: float, values: Sequence[float], label: str, scale: float = 1.0) -> None:
    """Put ``"none"`` where zero is drawn, and those values that leave room for it."""
    shown = [value for value in values if value > 1.5 * none]
    axis.set_ticks([none, *shown], ["none", *(label.format(scale * value) for value in shown)])
    axis.set_ticks([], minor=True)


def _mark_operating_point(axes: Any, result: WakeResult, least_rate: float, least_miss: float) -> None:
    point = result.operating
    rate, miss = result.false_alarms_per_hour(point), result.miss_rate(point)
    x, y = max(rate, least_rate), max(miss, least_miss)
    low_x, high_x = result.false_alarm_interval(point)
    low_y, high_y = result.miss_interval(point)
    axes.errorbar(
        [x],
        [y],
        xerr=[[x - max(low_x, least_rate)], [high_x - x]],
        yerr=[[max(y - max(low_y, least_miss / 2), 0.0)], [max(high_y - y, 0.0)]],
        fmt="o",
        color="tab:red",
        capsize=3,
        label=f"threshold {point.threshold:.3f}: {100 * miss:.1f} % missed, {rate:.2f} per hour",
    )


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise OutputError(f"{path}: cannot write the plot: {error.strerror or error}") from error
    except ValueError as error:  # an unknown suffix
        raise OutputError(f"{path}: {error}", hint="Give a name that ends in .png, .svg or .pdf.") from error
