"""``edgeaudio train``: make a model from recordings and synthetic speech."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeaudio.cli.common import json_option, log_level_option, print_json
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.train_language import language
from edgeaudio.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeaudio.training.build import Job, Reporter
    from edgeaudio.training.captions import CaptionsJob
    from edgeaudio.training.child import ChildJob

__all__ = ["train"]

_FOLDER = click.Path(path_type=Path, file_okay=False)
_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--data", type=_FOLDER, help="Folder of corpora: a manifest.tsv in each, or in itself."),
    click.option("--synthetic", metavar="DIR|generate", help="Folder of synthetic corpora, or make one."),
    click.option("--output", type=_FOLDER, required=True, help="Folder of the new model; names it, too."),
    click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="How long to train."),
    click.option("--epochs", type=click.IntRange(min=1), default=60, show_default=True, help="Else so long."),
    click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True),
    click.option("--resume", is_flag=True, help="Go on from the checkpoint of an earlier run."),
    click.option("--checkpoint-dir", type=_FOLDER, help="Default: in the user's cache folder."),
    click.option("--cache", type=_FOLDER, help="For decoded recordings. Default: the user's cache folder."),
    click.option(
        "--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="For the network."
    ),
    click.option(
        "--workers", type=click.IntRange(0, 256), default=1, show_default=True, help="For the data."
    ),
    click.option("--device", help="cpu, cuda, cuda:1 … By default a GPU if there is one."),
    json_option("Print the results as one JSON object."),
    log_level_option,
)

_CAPTIONS_ONLY = (
    "lexicon",
    "language",
    "sentences",
    "synthetic_hours",
    "width",
    "batch_seconds",
    "start_from",
)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@click.group()
def train() -> None:
    """Train a model and export it.

    All but "language" need the extra "train": pip install "edgeaudio[train]". Corpora are folders with a
    manifest.tsv: path, label, and if known seconds, speaker, split and text. Speakers are kept apart: a
    quarter of them (half of the recordings of a wake word) is only measured on.
    """


def _job_options(command: _COMMAND) -> _COMMAND:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@train.command()
@click.option("--words", help="The words, separated by spaces or commas. Default: the ten of commands-12.")
@click.option(
    "--features",
    type=click.Choice(["log_mel", "waveform"]),
    default="log_mel",
    show_default=True,
    help="What the network sees: mel bands, or raw samples.",
)
@_job_options
def commands(*, words: str | None, features: Any, as_json: bool, **options: Any) -> None:
    """A model that tells single words apart."""
    job: Job = _job(options)
    from edgeaudio.training.commands import train_commands
    from edgeaudio.training.phrases import COMMANDS

    chosen = [word for word in re.split(r"[\s,]+", words.lower()) if word] if words else COMMANDS
    with _reporter() as reporter:
        results = train_commands(job, reporter, words=tuple(dict.fromkeys(chosen)), features=features)
    _show(job, results, as_json=as_json)


@train.command()
@click.option("--phrase", default="computer", show_default=True, help="What it wakes at.")
@click.option(
    "--false-alarms-per-hour",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    help="Wanted on held-out speech and noise; decides the threshold.",
)
@_job_options
def wake(*, phrase: str, false_alarms_per_hour: float, as_json: bool, **options: Any) -> None:
    """A model that wakes at one word or phrase."""
    job: Job = _job(options)
    from edgeaudio.training.wake import train_wake

    wanted = " ".join(phrase.lower().split())
    if not wanted:
        raise UsageError("--phrase is empty", hint='Say for example --phrase "hey marvin"')
    with _reporter() as reporter:
        results = train_wake(job, reporter, phrase=wanted, false_alarms_per_hour=false_alarms_per_hour)
    _show(job, results, as_json=as_json)


@train.command()
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
    type=click.FloatRange(min=0, min_open=True),
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
    type=click.FloatRange(1, 100_000),
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
@_job_options
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
    job: CaptionsJob = _job({**options, "weights": _weights(weights)}, "captions.CaptionsJob")
    from edgeaudio.training.captions import fit, gather
    from edgeaudio.training.captions_bundle import finish

    with _reporter() as reporter:
        speech = gather(job, reporter)
        results = finish(job, speech, fit(job, speech, reporter), reporter)
    _show(job, results, as_json=as_json)


def _train_child(parent: str, lookahead_s: float | None, *, as_json: bool, options: dict[str, Any]) -> None:
    for name in ("lexicon", "sentences", "synthetic", "start_from"):
        if options[name] is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is of no use to a child", hint="It learns from --data alone."
            )
    general = {name: options[name] for name in options if name not in _CAPTIONS_ONLY}
    job: ChildJob = _job({**general, "parent": parent, "lookahead_s": lookahead_s}, "child.ChildJob")
    from edgeaudio.training.child import train_child

    with _reporter() as reporter:
        results = train_child(job, reporter)
    _show(job, results, as_json=as_json)


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


def _job(options: dict[str, Any], kind: str = "build.Job") -> Any:
    """What the user has chosen, as ``module.class`` of the training."""
    output: Path = options["output"]
    if not _NAME.fullmatch(output.name):
        raise UsageError(
            f"--output {output}: '{output.name}' cannot be the name of a model",
            hint="Use lower case letters, digits and hyphens.",
        )
    module, _, name = kind.partition(".")
    try:
        from edgeaudio.training.build import choose_device

        made = getattr(import_module(f"edgeaudio.training.{module}"), name)
    except ImportError as error:
        raise MissingDependencyError(
            f"training needs {error.name}", hint='pip install "edgeaudio[train]"'
        ) from error
    device = choose_device(options.pop("device"))
    given = {name: value for name, value in options.items() if value is not None}
    return made(device=device, **{"data": None, "synthetic": None, **given})


@contextmanager
def _reporter() -> Iterator[Reporter]:
    from edgeaudio.training.build import Reporter

    with progress_bar("training") as bar:

        class OnTerminal(Reporter):
            def progress(self, what: str, done: float) -> None:
                bar(round(1000 * done), 1000)

            def tell(self, line: str) -> None:
                print(line, file=sys.stderr, flush=True)

        yield OnTerminal()


def _show(job: Job, results: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(results)
        return
    click.echo(f"wrote {job.output}")
    for name, value in results.items():
        click.echo(f"  {name}: {value}")


train.add_command(language)
