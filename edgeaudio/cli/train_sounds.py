"""``edgeaudio train sounds``: from folders of labelled recordings to a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import Number, print_json
from edgeaudio.cli.train_options import FOLDER, general_options, make_job, reporting
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.training.sounds import SoundsJob

__all__ = ["sounds"]

_NAMELESS = Path("cross-validation")
"""Names the checkpoints where no model is written."""


@click.command()
@click.option(
    "--data",
    "folders",
    type=FOLDER,
    multiple=True,
    help="Folder of recordings, or of folders of them. Repeatable.",
)
@click.option("--output", type=FOLDER, help="Folder of the new model; names it, too.")
@click.option("--overwrite", is_flag=True, help="Replace a model that is there already.")
@click.option(
    "--cross-validate",
    "only_cross_validate",
    is_flag=True,
    help="Only measure: train once for each fold without it, and write no model.",
)
@click.option(
    "--minutes",
    type=Number(min=0, min_open=True),
    help="How long to train each network: one for each fold, and the last one.",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Instead of minutes; 50 batches each. Default: 20."
)
@general_options
def sounds(*, output: Path | None, as_json: bool, **options: Any) -> None:
    """A classifier of sounds, cross-validated by folds.

    Reads ESC-10 and ESC-50 as they are published (meta/*.csv beside audio/), this project's manifests
    (label, and the fold as split), and a folder of recordings for each sound. Manifests without folds give
    what sounds come with: speech, noise that is none of them, rooms, further recordings of a sound.

    edgeaudio train sounds --data ESC-50 --data corpora --output sounds-of-mine
    """
    if options["minutes"] is not None and options["epochs"] is not None:
        raise UsageError("--minutes and --epochs exclude each other", hint="Give one of them.")
    if output is None and not options["only_cross_validate"]:
        raise UsageError("nowhere to write the model", hint="Give --output DIR, or --cross-validate.")
    job: SoundsJob = make_job({**options, "output": output or _NAMELESS}, "sounds.SoundsJob")
    from edgeaudio.training.sounds import train_sounds

    with reporting() as reporter:
        results = train_sounds(job, reporter)
    if as_json:
        print_json(results)
        return
    from edgeaudio.training.card_results import figures

    if not job.only_cross_validate:
        click.echo(f"wrote {job.output}")
    for line in figures(results):
        click.echo(f"  {line}")
    if not job.only_cross_validate:
        click.echo(f"all that was measured: {job.output / 'README.md'}")
        click.echo(f"use it: edgeaudio sounds --model {job.output}")
