"""What `wake` keeps of what it almost heard, and the thresholds that were set for this room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeaudio.cli.common import probability
from edgeaudio.cli.ledger import limit_options, limits
from edgeaudio.events import NearMiss

if TYPE_CHECKING:
    from edgeaudio.events import Event
    from edgeaudio.sinks.cutter import Tape
    from edgeaudio.sinks.ledger import LedgerSink
    from edgeaudio.tasks.spotter import Spotter

__all__ = ["KeepingOptions", "keeping_options", "open_ledger", "set_apart", "settle_decision"]

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class KeepingOptions:
    """What `keeping_options` yields."""

    near_misses: bool
    near_from: float
    ledger_dir: Path | None
    ledger_clips: int
    ledger_bytes: int
    ledger_days: float

    @property
    def near_ratio(self) -> float | None:
        """From which part of the threshold on a peak is a near miss, or None where nobody asked."""
        return self.near_from if self.near_misses or self.ledger_dir is not None else None


def keeping_options(command: _COMMAND) -> _COMMAND:
    """Add the options of `KeepingOptions`."""
    command = limit_options("ledger-")(command)
    for decorate in (
        click.option(
            "--ledger",
            "ledger_dir",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Keep clips of detections and near misses in this folder, to review and learn from.",
        ),
        click.option(
            "--near-from",
            type=probability,
            metavar="NUMBER",
            default=0.5,
            show_default=True,
            help="Which part of the threshold a near miss reaches.",
        ),
        click.option("--near-misses", is_flag=True, help="Also print what sounded almost like a word."),
    ):
        command = decorate(command)
    return command


def open_ledger(options: KeepingOptions, tape: Tape | None, *, wait: bool) -> LedgerSink | None:
    """Return the ledger that was asked for, and say that recordings are kept."""
    if options.ledger_dir is None:
        return None
    from edgeaudio.sinks.ledger import LedgerSink

    bounds = limits(options.ledger_clips, options.ledger_bytes, options.ledger_days)
    sink = LedgerSink(options.ledger_dir, limits=bounds, wait=wait, tape=tape)
    click.echo(
        f"{'ledger':<10}what sounds like a word is recorded in {options.ledger_dir} "
        f"and kept for {options.ledger_days:g} days",
        err=True,
    )
    return sink


def settle_decision(spotter: Spotter, threshold: float | None, near_ratio: float | None) -> None:
    """Let a spotter decide as was asked for on the command line, or else in a calibration for this room."""
    if threshold is None:
        from edgeaudio.models.calibrated import find_calibrated

        found = find_calibrated(spotter.manifest)
        if found is not None:
            threshold = found.threshold
            promise = "for" if found.reached else "without a promise of"
            click.echo(
                f"{'threshold':<10}{spotter.name} {threshold:.4f}, set for this room on "
                f"{found.calibrated_at[:10]} {promise} at most {found.max_false_alarms}",
                err=True,
            )
    if threshold is not None or near_ratio is not None:
        spotter.decide_at(threshold, near_ratio=near_ratio)


def set_apart(events: Iterable[Event], ledger: LedgerSink | None) -> Iterator[Event]:
    """Pass events on, but near misses to the ledger alone."""
    for event in events:
        if not isinstance(event, NearMiss):
            yield event
        elif ledger is not None:
            ledger.emit(event)
