"""``edgeaudio train speaker``: a model that tells voices apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import Number
from edgeaudio.cli.train_options import FOLDER, job_options, make_job, reporting, show

if TYPE_CHECKING:
    from edgeaudio.training.speaker_data import SpeakerJob

__all__ = ["speaker"]


@click.command()
@click.option("--output", type=FOLDER, required=True, help="Folder of the new model; names it, too.")
@click.option("--minutes", type=Number(min=0, min_open=True), help="How long to train.")
@click.option("--epochs", type=click.IntRange(min=1), default=60, show_default=True, help="Else so long.")
@click.option(
    "--width",
    type=click.IntRange(8, 1024),
    default=112,
    show_default=True,
    help="Channels of the network; its size and its time grow with the square.",
)
@click.option("--overwrite", is_flag=True, help="Replace a model that stands where the new one goes.")
@job_options
def speaker(*, as_json: bool, **options: Any) -> None:
    """A model that tells voices apart, whatever they say.

    Learns from every corpus in which twenty people or more speak (column speaker); folders whose names
    differ behind the last underscore only hold the same people. A fifth of the people of corpora with a
    hundred and more is only measured on, and gives the thresholds.
    """
    job: SpeakerJob = make_job(options, "speaker_data.SpeakerJob")
    from edgeaudio.training.place import check_place
    from edgeaudio.training.speaker import fit
    from edgeaudio.training.speaker_bundle import finish
    from edgeaudio.training.speaker_data import gather

    check_place(job.output, overwrite=job.overwrite)
    with reporting() as reporter:
        people = gather(job, reporter)
        results = finish(job, people, fit(job, people, reporter), reporter)
    show(job, results, as_json=as_json)
