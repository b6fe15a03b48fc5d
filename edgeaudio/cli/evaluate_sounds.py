"""``edgeaudio evaluate sounds``: how well a classifier tells sounds apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.common import harmless, json_option, log_level_option, print_json
from edgeaudio.cli.confusion import print_accuracy, print_confusion
from edgeaudio.cli.listening import backend_option, profile_option, settle_profile
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.startup import load_numba

if TYPE_CHECKING:
    from edgeaudio.backends import Runtime
    from edgeaudio.evaluation.sounds import SoundsResult

__all__ = ["sounds"]


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--model", default="sounds-home", show_default=True, help="Name or folder of the model.")
@click.option("--split", help="Only the recordings of this split, such as a fold.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many recordings, evenly spread.")
@profile_option
@backend_option
@json_option("Print one JSON object: accuracy, interval, per_class, confusion, clips, events, …")
@log_level_option
def sounds(
    *,
    manifest: Path,
    model: str,
    split: str | None,
    limit: int | None,
    backend: Runtime | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Accuracy on recordings of one sound each, and what a device would tell of them.

    Each recording is streamed through the model from a fresh state. Its sound is the one with the
    highest score among those that the manifest names; thresholds play no part. The events are those of
    edgeaudio sounds. Recordings of sounds that the model does not know are left out.
    """
    load_numba()
    from edgeaudio.evaluation.commands import select_rows
    from edgeaudio.evaluation.manifest import read_manifest
    from edgeaudio.evaluation.scoring import Scorer
    from edgeaudio.evaluation.sounds import evaluate_sounds
    from edgeaudio.tasks.classifier import Classifier

    whole = read_manifest(manifest, require=["label"])
    rows = select_rows(whole, split=split, limit=limit)
    classifier = Classifier.load(model, backend=backend, profile=settle_profile(profile))
    with progress_bar("evaluating") as progress:
        result = evaluate_sounds(rows, Scorer(classifier), among=whole, progress=progress)
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)


def _print(result: SoundsResult) -> None:
    print_accuracy(result.accuracy, result.interval, result.correct, result.clips)
    print_confusion(result.among, result.confusion, result.per_class, result.per_class_interval)
    right, (low, high) = result.told_right / result.clips, result.told_right_interval
    per_hour, (least, most) = result.wrong_per_hour, result.wrong_per_hour_interval
    click.echo(
        f"\nright sound told   {100 * right:.2f} %  "
        f"(95 % interval {100 * low:.2f} to {100 * high:.2f} %), "
        f"in {result.told_right} of {result.clips} recordings\n"
        f"wrong sounds told  {per_hour:.1f} an hour  (95 % interval {least:.1f} to {most:.1f}), "
        f"{_listed(result.wrong)} in {result.hours:.2f} h"
    )
    if result.background:
        click.echo(f"{result.background} recordings of none of its sounds count for the wrong ones only")
    if result.skipped:
        click.echo(f"left out, since it does not know them: {_listed(result.skipped)}")


def _listed(counts: dict[str, int]) -> str:
    return harmless(", ".join(f"{name} {n}" for name, n in counts.items())) or "none"
