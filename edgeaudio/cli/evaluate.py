"""``edgeaudio evaluate``: measure a model on recordings whose contents are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.common import json_option, log_level_option, print_json, print_table
from edgeaudio.cli.evaluate_captions import captions
from edgeaudio.cli.listening import backend_option, profile_option, settle_profile
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.backends import Runtime
    from edgeaudio.evaluation.commands import CommandsResult
    from edgeaudio.evaluation.scoring import Scorer
    from edgeaudio.evaluation.wake import Mixture, WakeResult

__all__ = ["evaluate"]

_PATH = click.Path(path_type=Path)
_PICTURES = (".png", ".svg", ".pdf")


@click.group()
def evaluate() -> None:
    """Measure a model on recordings.

    A MANIFEST is a tab-separated file whose first line names its columns: path (relative to the file),
    label, and if known seconds, speaker, split and text.
    """


evaluate.add_command(captions)


@evaluate.command()
@click.argument("manifest", type=_PATH)
@click.option("--model", default="commands-12", show_default=True, help="Name or folder of the model.")
@click.option("--split", help="Only the recordings of this split.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many recordings, evenly spread.")
@profile_option
@backend_option
@json_option("Print one JSON object: accuracy, interval, per_class, confusion, clips.")
@log_level_option
def commands(
    *,
    manifest: Path,
    model: str,
    split: str | None,
    limit: int | None,
    backend: Runtime | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Accuracy on recordings of one word each, with recall and confusions.

    Each recording is streamed through the model from a fresh state. A label that the model does not
    know counts as "unknown".
    """
    load_numba()
    from edgeaudio.evaluation.commands import evaluate_commands, select_rows
    from edgeaudio.evaluation.manifest import read_manifest

    rows = select_rows(read_manifest(manifest, require=["label"]), split=split, limit=limit)
    with progress_bar("evaluating") as progress:
        result = evaluate_commands(rows, _scorer(model, backend, profile), progress=progress)
    if as_json:
        print_json(result.to_json())
    else:
        _print_commands(result)


@evaluate.command()
@click.option("--positives", type=_PATH, required=True, help="MANIFEST of recordings of the wake word.")
@click.option("--negatives", type=_PATH, required=True, help="MANIFEST of anything else, hours if possible.")
@click.option("--snr", "snr_db", type=click.FloatRange(-30, 60), help="Mix noise in, this many dB below.")
@click.option("--noise", type=_PATH, help="MANIFEST of the noise for --snr.")
@click.option("--label", "labels", multiple=True, help="Label of the positives; the model's word by default.")
@click.option("--model", default="wake-computer", show_default=True, help="Name or folder of the model.")
@click.option(
    "--false-alarms-per-hour",
    type=click.FloatRange(min=0),
    help="Operating point by its rate, instead of by the model's threshold.",
)
@click.option("--plot", type=_PATH, help="Draw the curve into this file (.png, .svg, .pdf).")
@profile_option
@backend_option
@json_option("Print one JSON object: the operating point, its intervals, the curve, and what was counted.")
@log_level_option
def wake(
    *,
    positives: Path,
    negatives: Path,
    snr_db: float | None,
    noise: Path | None,
    labels: tuple[str, ...],
    model: str,
    false_alarms_per_hour: float | None,
    plot: Path | None,
    backend: Runtime | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Miss rate against false alarms per hour.

    Each positive is streamed with a second of quiet (or noise) before and after it; all negatives are
    streamed back to back, without those that are labelled with the wake word or whose text holds it.
    """
    load_numba()
    from edgeaudio.evaluation.manifest import read_manifest
    from edgeaudio.evaluation.wake import evaluate_wake

    mixture = _mixture(snr_db, noise)
    if plot is not None:
        _check_plot(plot)
    spoken, other = read_manifest(positives, require=["label"]), read_manifest(negatives)
    scorer = _scorer(model, backend, profile)
    with progress_bar("evaluating") as progress:
        result = evaluate_wake(
            spoken,
            other,
            scorer,
            labels=labels,
            mixture=mixture,
            false_alarms_per_hour=false_alarms_per_hour,
            progress=progress,
        )
    if plot is not None:
        from edgeaudio.evaluation.plots import plot_det

        conditions = "" if snr_db is None else f", {snr_db:g} dB SNR"
        plot_det(result, plot, title=f"{scorer.manifest.name}{conditions}")
    if as_json:
        print_json(result.to_json())
    else:
        _print_wake(result)


def _scorer(model: str, backend: Runtime | None, profile: str | None) -> Scorer:
    from edgeaudio.evaluation.scoring import Scorer
    from edgeaudio.tasks.spotter import Spotter

    return Scorer(Spotter.load(model, backend=backend, profile=settle_profile(profile)))


def _mixture(snr_db: float | None, noise: Path | None) -> Mixture | None:
    if (snr_db is None) != (noise is None):
        given, missing = ("--noise", "--snr") if snr_db is None else ("--snr", "--noise")
        raise UsageError(f"{given} without {missing}", hint="Mixing needs both: --snr 10 --noise MANIFEST")
    if snr_db is None or noise is None:
        return None
    from edgeaudio.evaluation.manifest import read_manifest
    from edgeaudio.evaluation.mixing import NoiseBank
    from edgeaudio.evaluation.wake import Mixture

    return Mixture(NoiseBank(read_manifest(noise)), snr_db)


def _check_plot(path: Path) -> None:
    """Find out before the work, not after it, that the picture cannot be drawn."""
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


def _print_commands(result: CommandsResult) -> None:
    low, high = result.interval
    click.echo(
        f"accuracy {100 * result.accuracy:.2f} %  (95 % interval {100 * low:.2f} to {100 * high:.2f} %), "
        f"{result.correct} of {result.clips} recordings\n"
    )
    predicted = sorted({label for row in result.confusion.values() for label in row})
    columns = [label for label in result.labels if label in predicted]
    header = ["true \\ heard", *columns, "recall"]
    recall = result.per_class
    rows = [
        [label, *(str(row.get(column) or "-") for column in columns), f"{100 * recall[label]:.1f}"]
        for label, row in result.confusion.items()
    ]
    print_table(header, rows)


def _print_wake(result: WakeResult) -> None:
    point = result.operating
    (low_miss, high_miss), (low_rate, high_rate) = result.miss_interval, result.false_alarm_interval
    click.echo(
        f"{' '.join(result.words)} at threshold {point.threshold:.4g}\n"
        f"  missed                 {100 * result.miss_rate(point):.2f} %  "
        f"(95 % interval {100 * low_miss:.2f} to {100 * high_miss:.2f} %), "
        f"{point.misses} of {result.positives} recordings\n"
        f"  false alarms per hour  {result.false_alarms_per_hour(point):.3f}  "
        f"(95 % interval {low_rate:.3f} to {high_rate:.3f}), {point.false_alarms} in {result.hours:.2f} h\n"
    )
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
