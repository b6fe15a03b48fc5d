"""``edgeaudio train vad``: a network that tells when somebody speaks."""

from __future__ import annotations

from typing import Any

import click

from edgeaudio.cli.common import Number
from edgeaudio.cli.train_options import FOLDER, job_options, make_job, reporting, show

__all__ = ["vad"]


@click.command()
@click.option("--output", type=FOLDER, required=True, help="Folder of the new model; names it, too.")
@click.option("--overwrite", is_flag=True, help="Replace a model that is there already.")
@click.option("--minutes", type=Number(min=0, min_open=True), help="How long to train.")
@click.option("--epochs", type=click.IntRange(min=1), default=40, show_default=True, help="Else so long.")
@job_options
def vad(*, as_json: bool, **options: Any) -> None:
    """A network that tells when somebody speaks.

    Learns from clean recordings of speech, in which speech is found by its level, and from recordings of
    anything else: folders named noise, background, esc10, cry or rooms. A fifth of the speakers and three
    tenths of the noises are only measured on.
    """
    job = make_job(options, "vad.VadJob")
    from edgeaudio.training.vad import train_vad

    with reporting() as reporter:
        results = train_vad(job, reporter)
    show(job, results, as_json=as_json)
