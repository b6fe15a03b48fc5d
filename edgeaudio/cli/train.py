"""``edgeaudio train``: make a model from recordings and synthetic speech."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import Number
from edgeaudio.cli.train_language import language
from edgeaudio.cli.train_options import FOLDER, job_options, make_job, reporting, show
from edgeaudio.cli.train_sounds import sounds
from edgeaudio.cli.train_speaker import speaker
from edgeaudio.cli.train_vad import vad
from edgeaudio.cli.train_words import commands, quick, wake
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.training.captions import CaptionsJob
    from edgeaudio.training.child import ChildJob

__all__ = ["train"]

_CAPTIONS_ONLY = (
    "lexicon",
    "language",
    "sentences",
    "synthetic_hours",
    "width",
    "batch_seconds",
    "start_from",
)


@click.group()
def train() -> None:
    """Train a model and export it.

    All but "language" need the extra "train": pip install "edgeaudio[train]". Corpora are folders with a
    manifest.tsv: path, label, and if known seconds, speaker, split and text. Speakers are kept apart: a
    quarter of them (half of the recordings of a wake word) is only measured on.

    A wake word of your own:  edgeaudio train quick "hey computer"  in two minutes, or better and lighter:
    edgeaudio train wake "hey computer"
    """


@train.command()
@click.option("--output", type=FOLDER, required=True, help="Folder of the new model; names it, too.")
@click.option("--synthetic", metavar="DIR|generate", help="Folder of synthetic corpora, or make one.")
@click.option("--minutes", type=Number(min=0, min_open=True), help="How long to train.")
@click.option("--epochs", type=click.IntRange(min=1), default=60, show_default=True, help="Else so long.")
@click.option(
    "--lexicon",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Pronouncing dictionary in CMUdict's format, plain or gzipped. Needed without --from.",
)
@click.option(
    "--language",
    metavar="NAME|PATH",
    default="english-small",
    show_default=True,
    help="Lexicon and language model that the recogniser will use.",
)
@click.option(
    "--sentences",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Text for --synthetic generate: one sentence a line, or a TSV with a column text.",
)
@click.option(
    "--synthetic-hours",
    type=Number(min=0, min_open=True),
    default=15.0,
    show_default=True,
    help="How much of it to speak.",
)
@click.option(
    "--weight",
    "weights",
    metavar="CORPUS=NUMBER",
    multiple=True,
    help="Draw recordings of this folder so many times as often as synthetic ones; repeatable.",
)
@click.option(
    "--width",
    type=click.IntRange(8, 2048),
    default=256,
    show_default=True,
    help="Channels of the network; its size and its time grow with the square.",
)
@click.option(
    "--batch-seconds",
    type=Number(1, 100_000),
    default=120.0,
    show_default=True,
    help="Speech in a batch; more on a GPU.",
)
@click.option(
    "--start-from",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CHECKPOINT",
    help="Begin with the weights of an earlier training, to go on with other recordings.",
)
@click.option(
    "--from",
    "parent",
    metavar="PARENT",
    help="Instead make a child of a network added with: edgeaudio models add. Its name, or its ONNX file.",
)
@click.option(
    "--lookahead",
    metavar="SECONDS",
    type=float,
    help="With --from: what the child may hear behind a chunk of 0.64 s. Default: 0.5.",
)
@job_options
def captions(
    *,
    weights: tuple[str, ...],
    parent: str | None,
    lookahead: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """A streaming recogniser of English.

    Reads this project's manifests and the folders of LibriSpeech, Common Voice and LJSpeech as they are.
    Speech is learned by its transcripts, a label without text counts as a spoken word. The splits test and
    dev, and 15 % of the speakers of corpora with a hundred or more, are only measured on.

    With --from it learns from another network's posteriors and the transcripts of --data to do with less
    look-ahead; it needs no lexicon then. Its licence is a matter between its parent's publisher and you.
    """
    if parent is not None:
        _train_child(parent, lookahead, as_json=as_json, options=options)
        return
    if lookahead is not None:
        raise UsageError(
            "--lookahead is for children of another network", hint="Name the parent with --from."
        )
    if options["lexicon"] is None:
        raise UsageError("--lexicon is missing", hint="A pronouncing dictionary in CMUdict's format.")
    job: CaptionsJob = make_job({**options, "weights": _weights(weights)}, "captions.CaptionsJob")
    from edgeaudio.training.captions import fit, gather
    from edgeaudio.training.captions_bundle import finish

    with reporting() as reporter:
        speech = gather(job, reporter)
        results = finish(job, speech, fit(job, speech, reporter), reporter)
    show(job, results, as_json=as_json)


def _train_child(parent: str, lookahead_s: float | None, *, as_json: bool, options: dict[str, Any]) -> None:
    for name in ("lexicon", "sentences", "synthetic", "start_from"):
        if options[name] is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is of no use to a child", hint="It learns from --data alone."
            )
    general = {name: options[name] for name in options if name not in _CAPTIONS_ONLY}
    job: ChildJob = make_job({**general, "parent": parent, "lookahead_s": lookahead_s}, "child.ChildJob")
    from edgeaudio.training.child import train_child

    with reporting() as reporter:
        results = train_child(job, reporter)
    show(job, results, as_json=as_json)


def _weights(given: tuple[str, ...]) -> dict[str, float]:
    weights = {}
    for item in given:
        corpus, _, number = item.rpartition("=")
        try:
            weights[corpus] = float(number)
        except ValueError:
            weights[corpus] = -1.0
        if not corpus or not 0.0 <= weights[corpus] < 1000.0:
            raise UsageError(f"--weight {item}: not a corpus and a number", hint="Say for example digits=0.5")
    return weights


for _command in (wake, quick, commands, sounds, language, vad, speaker):
    train.add_command(_command)
