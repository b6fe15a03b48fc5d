"""What ``edgeaudio calibrate`` prints: the threshold and how sure it is, and those that were set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgeaudio.cli.common import harmless, print_json, print_table
from edgeaudio.cli.rates import length, rate_text

if TYPE_CHECKING:
    from edgeaudio.cli.calibrate import Options
    from edgeaudio.evaluation.room import RoomPoint, RoomResult
    from edgeaudio.evaluation.room_log import Listened
    from edgeaudio.models.manifest import ModelManifest

__all__ = ["peaks_text", "print_result", "show", "why_not"]

_SHOWN, _NAMED = 10, 3


def why_not(options: Options, result: RoomResult) -> str | None:
    """Say why what was found must not be set: it keeps not to the rate, or nobody would be heard any more."""
    threshold, rate = result.chosen.threshold, options.rate.text
    if not result.usable:
        return (
            f"at most {rate} would take more than {result.highest_usable:.4g} here, "
            "at which the word is hardly heard any more"
        )
    if result.reached:
        return None
    if result.chosen.method == "bounded":
        return (
            f"{length(result.hours)} are too little to tell what keeps to at most {rate}; "
            f"what was heard would take {threshold:.4f} or more"
        )
    return f"no threshold of this model keeps to at most {rate} here"


def peaks_text(listened: Listened) -> str:
    """Name the highest peaks with their times, as the end of a sentence."""
    peaks = [
        f"{heard.score:.3f} at {heard.at}{f' of {heard.source}' if heard.source else ''}"
        for heard in listened.highest(_NAMED)
    ]
    return f". The highest peaks: {', '.join(peaks)}" if peaks else ""


def print_result(
    options: Options, manifest: ModelManifest, listened: Listened, result: RoomResult, *, refused: bool
) -> None:
    """Print what was found, how sure that is, and what was heard."""
    point, own = result.chosen, result.own
    found = f"{'no ' if refused else ''}threshold {'' if refused else f'{point.threshold:.4f} '}"
    click.echo(
        f"{manifest.name}: {found}for at most {options.rate.text} (the model's own is {own.threshold:.4f})"
    )
    if refused:
        click.echo(f"  tried     {point.threshold:.4f}")
    click.echo(f"  expected  {_expected(point, result)}")
    click.echo(f"  counted   {point.counted} in {length(result.hours)}; {_bound(point, result)}")
    click.echo(f"  own       {_expected(own, result)}")
    if point.missed is not None and own.missed is not None:
        click.echo(
            f"  missed    {_missed(point.missed, result)}; at the model's own {_missed(own.missed, result)}"
        )
    if point.method == "bounded":
        click.echo(
            "  too little sounded like the word to extrapolate from: the threshold is "
            + ("just above what was heard" if point.threshold > own.threshold else "the model's own")
        )
    if point.method != "counted":
        click.echo(f"  to count such a rate, listen for {result.hours_to_count:.0f} h")
    _print_curve(result)
    if listened.heard:
        click.echo("\nsounded like the word:")
        for heard in listened.highest(_SHOWN):
            click.echo(harmless(f"  {heard.score:.3f}  {heard.name}  {heard.at}  {heard.source}".rstrip()))
        if len(listened.heard) > _SHOWN:
            click.echo(f"  … and {len(listened.heard) - _SHOWN} that were less like it")
        sure = sum(heard.score >= own.threshold for heard in listened.heard)
        if sure:
            click.echo(
                f"{sure} of these reach the model's own threshold. Did somebody say the word? "
                "Then that threshold is too high: calibrate without it."
            )


def _expected(point: RoomPoint, result: RoomResult) -> str:
    low, high = (rate_text(limit) for limit in point.interval)
    text = f"{rate_text(point.per_hour)} (95 % interval {low} to {high})"
    if point.method == "fitted" and result.tail is not None:
        n, above = result.tail
        return f"{text}, extrapolated from {n} peaks above {above:.3f}"
    return text if point.method == "counted" else f"no more than {high} (95 % sure; {point.counted} counted)"


def _bound(point: RoomPoint, result: RoomResult) -> str:
    from edgeaudio.evaluation.intervals import poisson_interval

    _, high = poisson_interval(point.counted, result.hours)
    return f"that alone rules out more than {rate_text(high)}"


def _missed(missed: int, result: RoomResult) -> str:
    from edgeaudio.evaluation.intervals import wilson_interval

    low, high = wilson_interval(missed, result.positives)
    return (
        f"{100 * missed / result.positives:.1f} % of {result.positives} "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def _print_curve(result: RoomResult) -> None:
    if not result.positives:
        return
    click.echo()
    step = max(1, len(result.curve) // 15)
    rows = [
        [
            f"{point.threshold:.4f}",
            rate_text(point.per_hour),
            f"{100 * (point.missed or 0) / result.positives:.1f}",
        ]
        for point in result.curve[::step]
    ]
    print_table(["threshold", "false alarms", "missed %"], rows)


def show(*, as_json: bool) -> None:
    """Print which thresholds were set."""
    import msgspec

    from edgeaudio.models.calibrated import calibrations_folder, load_calibrated

    folder = calibrations_folder()
    names = sorted(path.stem for path in folder.glob("*.yaml")) if folder.is_dir() else []
    for found in filter(None, map(load_calibrated, names)):
        if as_json:
            print_json(msgspec.to_builtins(found))
            continue
        low, high = (rate_text(limit / 24) for limit in found.per_day_interval)
        click.echo(
            harmless(
                f"{found.model}  {found.threshold:.4f}  {'for' if found.reached else 'wanted:'} at most "
                f"{found.max_false_alarms}; expected "
                f"{rate_text(found.per_day / 24)} (95 % interval {low} to {high}), {found.method}; "
                f"{length(found.hours)} heard until {found.calibrated_at[:16].replace('T', ' ')}"
            )
        )
    if not names and not as_json:
        click.echo("no threshold was set: each model has its own")
