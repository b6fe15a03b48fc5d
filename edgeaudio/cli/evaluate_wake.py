"""``edgeaudio evaluate wake``: how often a wake word is missed, and how often it fires by mistake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import Number, json_option, log_level_option, print_json, print_table
from edgeaudio.cli.listening import backend_option, profile_option, settle_profile
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.backends import Runtime
    from edgeaudio.evaluation.benchmark import Benchmark
    from edgeaudio.evaluation.manifest import Row
    from edgeaudio.evaluation.mixing import NoiseBank
    from edgeaudio.evaluation.scoring import Scorer
    from edgeaudio.evaluation.wake import WakeResult

__all__ = ["load_scorer", "wake"]

_PATH = click.Path(path_type=Path)
_PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True, kw_only=True)
class _Options:
    positives: Path
    negatives: Path
    benchmark: bool
    snr_db: float | None
    noise: Path | None
    labels: tuple[str, ...]
    model: str
    false_alarms_per_hour: tuple[float, ...]
    plot: Path | None
    backend: Runtime | None
    profile: str | None
    as_json: bool


@click.command()
@click.option("--positives", type=_PATH, required=True, help="MANIFEST of recordings of the wake word.")
@click.option("--negatives", type=_PATH, required=True, help="MANIFEST of anything else, hours if possible.")
@click.option(
    "--benchmark",
    is_flag=True,
    help="As the public benchmark: clean, and all in noise at 10 dB, at one false alarm in ten hours.",
)
@click.option("--snr", "snr_db", type=Number(-30, 60), help="Mix noise in, this many dB below.")
@click.option("--noise", type=_PATH, help="MANIFEST of the noise for --snr and --benchmark.")
@click.option("--label", "labels", multiple=True, help="Label of the positives; the model's word by default.")
@click.option("--model", default="wake-computer", show_default=True, help="Name or folder of the model.")
@click.option(
    "--false-alarms-per-hour",
    type=Number(min=0),
    multiple=True,
    help="Operating point by its rate, instead of by the model's threshold. Repeatable.",
)
@click.option("--plot", type=_PATH, help="Draw the curve into this file (.png, .svg, .pdf).")
@profile_option
@backend_option
@json_option("Print one JSON object: the operating points, their intervals, the curve, what was counted.")
@log_level_option
def wake(**options: Any) -> None:
    """Miss rate against false alarms per hour.

    Each positive is streamed with a second of quiet (or noise) before and after it; all negatives are
    streamed back to back, without those that are labelled with the wake word or whose text holds it.
    """
    _run(_Options(**options))


def _run(options: _Options) -> None:
    load_numba()
    from edgeaudio.evaluation.manifest import read_manifest
    from edgeaudio.evaluation.mixing import NoiseBank

    _check(options)
    bank = None if options.noise is None else NoiseBank(read_manifest(options.noise))
    positives = read_manifest(options.positives, require=["label"])
    negatives = read_manifest(options.negatives)
    scorer = load_scorer(options.model, options.backend, options.profile)
    if options.benchmark and bank is not None:
        _run_benchmark(options, positives, negatives, scorer, bank)
    else:
        _run_one(options, positives, negatives, scorer, bank)


def _run_one(
    options: _Options, positives: list[Row], negatives: list[Row], scorer: Scorer, bank: NoiseBank | None
) -> None:
    from edgeaudio.evaluation.wake import Mixture, evaluate_wake

    mixture = None if bank is None or options.snr_db is None else Mixture(bank, options.snr_db)
    with progress_bar("evaluating") as progress:
        result = evaluate_wake(
            positives,
            negatives,
            scorer,
            labels=options.labels,
            mixture=mixture,
            false_alarms_per_hour=options.false_alarms_per_hour,
            progress=progress,
        )
    _draw(options, result, scorer.manifest.name, options.snr_db)
    if options.as_json:
        print_json(result.to_json())
        return
    _print_points(result)
    _print_curve(result)


def _run_benchmark(
    options: _Options, positives: list[Row], negatives: list[Row], scorer: Scorer, bank: NoiseBank
) -> None:
    from edgeaudio.evaluation.benchmark import SNR_DB, run_benchmark

    with progress_bar("evaluating") as progress:
        found = run_benchmark(
            positives,
            negatives,
            scorer,
            bank,
            labels=options.labels,
            snr_db=SNR_DB if options.snr_db is None else options.snr_db,
            false_alarms_per_hour=options.false_alarms_per_hour,
            progress=progress,
        )
    _draw(options, found.noisy, found.model, found.snr_db)
    if options.as_json:
        print_json(found.to_json())
    else:
        _print_benchmark(found)


def load_scorer(model: str, backend: Runtime | None, profile: str | None) -> Scorer:
    """Load a spotter to be measured."""
    from edgeaudio.evaluation.scoring import Scorer
    from edgeaudio.tasks.spotter import Spotter

    return Scorer(Spotter.load(model, backend=backend, profile=settle_profile(profile)))


def _check(options: _Options) -> None:
    """Find out before the work, not after it, what cannot be."""
    if options.benchmark and options.noise is None:
        raise UsageError("--benchmark without --noise", hint="It is measured in noise: --noise MANIFEST")
    if not options.benchmark and (options.snr_db is None) != (options.noise is None):
        given, missing = ("--noise", "--snr") if options.snr_db is None else ("--snr", "--noise")
        raise UsageError(f"{given} without {missing}", hint="Mixing needs both: --snr 10 --noise MANIFEST")
    if options.plot is not None:
        _check_plot(options.plot)


def _check_plot(path: Path) -> None:
    from importlib.util import find_spec

    from edgeaudio.errors import MissingDependencyError, OutputError

    if find_spec("matplotlib") is None:
        raise MissingDependencyError("--plot needs matplotlib", hint='pip install "edgeaudio[report]"')
    if path.suffix.lower() not in _PICTURES:
        raise OutputError(
            f"{path}: cannot draw a picture of that kind", hint="Give a name that ends in .png, .svg or .pdf."
        )
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: the folder {path.absolute().parent} does not exist")


def _draw(options: _Options, result: WakeResult, model: str, snr_db: float | None) -> None:
    if options.plot is None:
        return
    from edgeaudio.evaluation.plots import plot_det

    conditions = "" if snr_db is None else f", {snr_db:g} dB SNR"
    plot_det(result, options.plot, title=f"{model}{conditions}")


def _print_points(result: WakeResult) -> None:
    for one in result.operating_points:
        point = one.point
        low_miss, high_miss = result.miss_interval(point)
        low_rate, high_rate = result.false_alarm_interval(point)
        wanted = "" if one.false_alarms_per_hour is None else f", for {one.false_alarms_per_hour:g} per hour"
        click.echo(
            f"{' '.join(result.words)} at threshold {point.threshold:.4g}{wanted}\n"
            f"  missed                 {100 * result.miss_rate(point):.2f} %  "
            f"(95 % interval {100 * low_miss:.2f} to {100 * high_miss:.2f} %), "
            f"{point.misses} of {result.positives} recordings\n"
            f"  false alarms per hour  {result.false_alarms_per_hour(point):.3f}  "
            f"(95 % interval {low_rate:.3f} to {high_rate:.3f}), "
            f"{point.false_alarms} in {result.hours:.2f} h\n"
        )


def _print_curve(result: WakeResult) -> None:
    step = max(1, len(result.curve) // 20)
    rows = [
        [
            f"{point.threshold:.4f}",
            f"{100 * result.miss_rate(point):.2f}",
            f"{result.false_alarms_per_hour(point):.2f}",
        ]
        for point in result.curve[::step]
    ]
    print_table(["threshold", "missed %", "false alarms/h"], rows)


def _print_benchmark(found: Benchmark) -> None:
    click.echo(f"{found.heading}\n{found.row}\n\n{found.claim}\n")
    for name, result in (("clean", found.clean), (f"noise, {found.snr_db:g} dB", found.noisy)):
        click.echo(f"{name}\n")
        _print_points(result)
