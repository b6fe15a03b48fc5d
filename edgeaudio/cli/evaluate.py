"""``edgeaudio evaluate``: measure a model on recordings whose contents are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.common import json_option, log_level_option, print_json
from edgeaudio.cli.confusion import print_accuracy, print_confusion
from edgeaudio.cli.evaluate_captions import captions
from edgeaudio.cli.evaluate_sounds import sounds
from edgeaudio.cli.evaluate_speaker import speaker
from edgeaudio.cli.evaluate_vad import vad
from edgeaudio.cli.evaluate_wake import load_scorer, wake
from edgeaudio.cli.listening import backend_option, profile_option
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.startup import load_numba

if TYPE_CHECKING:
    from edgeaudio.backends import Runtime
    from edgeaudio.evaluation.commands import CommandsResult

__all__ = ["evaluate"]

_PATH = click.Path(path_type=Path)


@click.group()
def evaluate() -> None:
    """Measure a model on recordings.

    A MANIFEST is a tab-separated file whose first line names its columns: path (relative to the file),
    label, and if known seconds, speaker, split and text.
    """


evaluate.add_command(captions)
evaluate.add_command(sounds)
evaluate.add_command(speaker)
evaluate.add_command(vad)
evaluate.add_command(wake)


@evaluate.command()
@click.argument("manifest", type=_PATH)
@click.option("--model", default="commands-12", show_default=True, help="Name or folder of the model.")
@click.option("--split", help="Only the recordings of this split.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many recordings, evenly spread.")
@profile_option
@backend_option
@json_option("Print one JSON object: accuracy, interval, per_class, per_class_interval, confusion, clips, …")
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
    """Accuracy on recordings of one word each, with the recall of each and confusions.

    Each recording is streamed through the model from a fresh state. A label that the model does not
    know counts as "unknown".
    """
    load_numba()
    from edgeaudio.evaluation.commands import evaluate_commands, select_rows
    from edgeaudio.evaluation.manifest import read_manifest

    rows = select_rows(read_manifest(manifest, require=["label"]), split=split, limit=limit)
    with progress_bar("evaluating") as progress:
        result = evaluate_commands(rows, load_scorer(model, backend, profile), progress=progress)
    if as_json:
        print_json(result.to_json())
    else:
        _print_commands(result)


def _print_commands(result: CommandsResult) -> None:
    print_accuracy(result.accuracy, result.interval, result.correct, result.clips)
    print_confusion(result.labels, result.confusion, result.per_class, result.per_class_interval)
