"""``edgeaudio profile compare``: what changed from one run to another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.common import harmless, json_option, log_level_option, print_json, print_table
from edgeaudio.errors import BudgetError

if TYPE_CHECKING:
    from edgeaudio.profiling.compare import Change, Comparison

__all__ = ["compare", "percent"]

_PATH = click.Path(path_type=Path)
_MARKS = {"same": "", "better": "better", "worse": "worse", "regression": "REGRESSION"}


def percent(text: str | float) -> float:
    """Read ``10`` or ``10%``, as an option's type."""
    try:
        number = float(str(text).strip().removesuffix("%"))
    except ValueError:
        number = math.nan
    # Written so that NaN fails too.
    if not 0.0 <= number <= 10_000:
        raise click.BadParameter(f"{text} is no percentage from 0 to 10000.")
    return number


@click.command()
@click.argument("before", type=_PATH)
@click.argument("after", type=_PATH)
@click.option(
    "--allow",
    "allowed_percent",
    metavar="PERCENT",
    type=percent,
    default=10.0,
    show_default=True,
    help="What is worse beyond noise, but by no more than this, is no regression.",
)
@click.option("--all", "everything", is_flag=True, help="Show what did not change, too.")
@json_option("Print one JSON object: allowed_percent, changes, notes.")
@log_level_option
def compare(before: Path, after: Path, allowed_percent: float, everything: bool, as_json: bool) -> None:
    """Say what changed beyond noise from BEFORE to AFTER, files that `edgeaudio profile --output` wrote.

    The exit code is 9 when something is worse than --allow.
    """
    from edgeaudio.profiling.compare import compare as compare_runs
    from edgeaudio.profiling.files import read_measurement

    comparison = compare_runs(
        read_measurement(before), read_measurement(after), allowed_percent=allowed_percent
    )
    if as_json:
        print_json(comparison)
    else:
        _print(comparison, everything=everything)
    worse = comparison.regressions
    if worse:
        what = "1 regression" if len(worse) == 1 else f"{len(worse)} regressions"
        raise BudgetError(f"{what} of more than {allowed_percent:g} %: {', '.join(c.name for c in worse)}")


def _print(comparison: Comparison, *, everything: bool) -> None:
    shown = [change for change in comparison.changes if everything or change.verdict != "same"]
    if shown:
        header = ("", "before", "after", "unit", "change", "95 % interval, in the unit", "")
        print_table(header, [_row(change) for change in shown])
    unchanged = len(comparison.changes) - len(shown)
    if unchanged:
        click.echo(f"{unchanged} of {len(comparison.changes)} figures did not change beyond noise.")
    for note in comparison.notes:
        click.echo(harmless(f"not alike: {note}"))


def _row(change: Change) -> tuple[str, ...]:
    relative = "new" if change.change_percent is None else f"{change.change_percent:+.1f} %"
    if change.before == change.after:
        relative = "none"
    interval = "measured once"
    if change.interval is not None:
        low, high = change.interval
        interval = f"{low:+.3g} to {high:+.3g}"
    return (
        change.name,
        f"{change.before:.4g}",
        f"{change.after:.4g}",
        change.unit,
        relative,
        interval,
        _MARKS[change.verdict],
    )
