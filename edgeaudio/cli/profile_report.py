"""``edgeaudio profile report``, and how every measurement is told: tables, pages, traces, verdicts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeaudio.cli.common import json_option, log_level_option
from edgeaudio.errors import BudgetError, ConfigError, UsageError

if TYPE_CHECKING:
    from edgeaudio.profiling.gate import Verdict
    from edgeaudio.profiling.measurement import Measurement

__all__ = ["ReportOptions", "check_files", "report", "report_options", "tell"]

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What `report_options` yields."""

    as_json: bool
    output: Path | None
    html: Path | None
    trace: Path | None
    gate: bool

    @property
    def files(self) -> dict[str, Path]:
        """What is to be written, by its option."""
        named = {"--output": self.output, "--html": self.html, "--trace": self.trace}
        return {option: path for option, path in named.items() if path is not None}


def report_options(command: _COMMAND) -> _COMMAND:
    """Add the options of `ReportOptions`."""
    for decorate in reversed(
        (
            click.option("--output", type=_FILE, metavar="FILE", help="Write what was measured as JSON."),
            click.option(
                "--html", type=_FILE, metavar="FILE", help="Write a page with pictures, complete in itself."
            ),
            click.option(
                "--trace",
                type=_FILE,
                metavar="FILE",
                help="Write all passes for Perfetto or chrome://tracing.",
            ),
            click.option(
                "--gate", is_flag=True, help="End with code 9 when a budget of the profile is broken."
            ),
            json_option("Print what was measured as one JSON object instead of tables."),
        )
    ):
        command = decorate(command)
    return command


@click.command()
@click.argument("file", type=_FILE)
@report_options
@log_level_option
def report(file: Path, **options: Any) -> None:
    """Tell once more what was measured: FILE is what `edgeaudio profile --output` wrote.

    A device without a browser measures, and another one draws.
    """
    from edgeaudio.profiling.files import read_measurement

    chosen = ReportOptions(**options)
    check_files(chosen, str(file))
    measurement = read_measurement(file)
    tell(measurement, chosen)


def check_files(options: ReportOptions, source: str | None) -> None:
    """Find out before the work what could not be written after it.

    Raises
    ------
    UsageError
        Two files are one, or one is `source`, which is read.
    OutputError
        One cannot be written.
    """
    from edgeaudio.profiling.files import check_writable

    taken = {Path(source).resolve(): "what is read"} if source is not None else {}
    for option, path in options.files.items():
        check_writable(path)
        known = taken.setdefault(path.resolve(), option)
        if known != option:
            raise UsageError(f"{option} {path}: the same file is {known}", hint="Name another one.")


def tell(measurement: Measurement, options: ReportOptions) -> None:
    """Print and write a measurement as was asked for.

    Raises
    ------
    ConfigError
        Its profile has no budgets, and the gate was asked for.
    BudgetError
        One is broken.
    """
    from edgeaudio.profiling.files import encode, write_whole
    from edgeaudio.profiling.gate import check

    verdicts = check(measurement)
    if options.gate and not verdicts:
        raise no_budgets(measurement.profile)
    if options.as_json:
        click.echo(encode(measurement), nl=False)
    else:
        from edgeaudio.profiling.table import render

        click.echo(render(measurement, verdicts, width=shutil.get_terminal_size((100, 24)).columns))
    if options.output is not None:
        write_whole(options.output, encode(measurement))
    if options.html is not None:
        from edgeaudio.profiling.html import write_page

        write_page(options.html, measurement, verdicts)
    if options.trace is not None:
        from edgeaudio.profiling.trace import write_trace

        write_trace(options.trace, measurement)
    if options.gate:
        _judge(verdicts)


def no_budgets(profile: str) -> ConfigError:
    """Return the error for a gate that has nothing to hold."""
    return ConfigError(
        f"profile '{profile}' has no budgets, so that --gate has nothing to check",
        hint="Write budgets into a profile of yours: edgeaudio profiles show NAME",
    )


def _judge(verdicts: list[Verdict]) -> None:
    broken = [verdict for verdict in verdicts if not verdict.kept]
    if broken:
        lines = (f"{v.name}: {v.detail} (budget {v.limit:g} {v.unit})" for v in broken)
        raise BudgetError("\n  ".join((f"{len(broken)} of {len(verdicts)} budgets broken", *lines)))
