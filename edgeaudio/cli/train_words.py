"""``edgeaudio train wake`` and ``train commands``: from typed words to a model of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeaudio.cli.common import Number, json_option, log_level_option, print_json
from edgeaudio.cli.train_options import FOLDER, job_options, make_job, reporting, settle_output
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.training.build import SpotterJob

__all__ = ["commands", "quick", "wake"]

_MINUTES_ON_CPU, _MINUTES_ON_GPU = 50.0, 10.0
_MAX_NAME = 40
_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--output", type=FOLDER, help="Folder of the new model. Default: named after the words, among yours."
    ),
    click.option("--overwrite", is_flag=True, help="Replace a model that is there already."),
    click.option(
        "--positives",
        type=FOLDER,
        multiple=True,
        help="Your recordings of the words: a folder of audio files, or of corpora. Repeatable.",
    ),
    click.option(
        "--negatives",
        type=FOLDER,
        multiple=True,
        help="Your recordings of anything else, as long as you like. Repeatable.",
    ),
    click.option(
        "--from-ledger",
        "ledgers",
        type=FOLDER,
        multiple=True,
        help="Near misses that you have judged with: edgeaudio ledger review. Repeatable.",
    ),
    click.option(
        "--mine",
        "mined",
        type=FOLDER,
        multiple=True,
        help="Recordings of speech in which the words are looked for. Repeatable.",
    ),
    click.option(
        "--synthetic",
        metavar="DIR|generate|none",
        default="generate",
        show_default=True,
        help="What speech engines say: a folder of corpora, made now, or nothing.",
    ),
    click.option(
        "--minutes",
        type=Number(min=0, min_open=True),
        help=f"How long to train. Default: till all took {_MINUTES_ON_CPU:g}, on a GPU {_MINUTES_ON_GPU:g}.",
    ),
    click.option("--epochs", type=click.IntRange(min=1), help="Instead of minutes."),
    click.option(
        "--refit",
        metavar="MINUTES",
        type=Number(min=0, min_open=True),
        help="At last learn for so long from the held-out people, too. Takes this time thrice: they are "
        "measured by halves.",
    ),
)


def _word_options(command: _COMMAND) -> _COMMAND:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("words", nargs=-1)
@click.option("--words", "listed", help="The same, separated by spaces or commas.")
@click.option(
    "--network",
    type=click.Choice(["bands", "frames", "waveform"]),
    default="bands",
    show_default=True,
    help="What it moves over: time and mel bands; time alone, the better ear for other words; raw samples.",
)
@_word_options
@job_options
def commands(
    *, words: tuple[str, ...], listed: str | None, network: Any, as_json: bool, **options: Any
) -> None:
    """A model that tells WORDS apart, by default the ten of commands-12."""
    from edgeaudio.training.phrases import COMMANDS, check_phrase

    given = [word for word in (*words, *re.split(r"[\s,]+", listed or "")) if word]
    chosen = tuple(dict.fromkeys(check_phrase(word, allow_short=True).text for word in given)) or COMMANDS
    if len(chosen) < 2:
        raise UsageError("a command model has two words or more", hint="For one: edgeaudio train wake")
    job = _job(options, chosen)
    from edgeaudio.training.commands import train_commands

    with reporting() as reporter:
        results = train_commands(job, reporter, words=chosen, network=network)
    _show(job, results, as_json=as_json)


@click.command()
@click.argument("phrase", nargs=-1)
@click.option("--phrase", "option", help="The same as the argument.")
@click.option(
    "--false-alarms-per-hour",
    type=Number(min=0),
    default=0.5,
    show_default=True,
    help="Wanted on held-out speech and noise; decides the threshold.",
)
@_word_options
@job_options
def wake(
    *,
    phrase: tuple[str, ...],
    option: str | None,
    false_alarms_per_hour: float,
    as_json: bool,
    **options: Any,
) -> None:
    """A model that wakes at PHRASE, such as "hey computer".

    Nothing else is needed: speech engines say the phrase, what sounds like it, and other sentences.
    Your own recordings make it better. It ends among your models, and is used by its name:

    edgeaudio wake --model hey-computer
    """
    from edgeaudio.training.phrases import check_phrase

    given = " ".join([*phrase, option or ""]).strip()
    if not phrase and option is None:
        raise UsageError("no phrase to wake at", hint='For example: edgeaudio train wake "hey computer"')
    wanted = check_phrase(given).text
    job = _job(options, (wanted,))
    from edgeaudio.training.wake import train_wake

    with reporting() as reporter:
        results = train_wake(job, reporter, phrase=wanted, false_alarms_per_hour=false_alarms_per_hour)
    _show(job, results, as_json=as_json)


@click.command()
@click.argument("phrase", nargs=-1, required=True)
@click.option(
    "--false-alarms-per-hour",
    type=Number(min=0),
    default=0.5,
    show_default=True,
    help="Wanted on the speech of people whom it has not learned from; decides the threshold.",
)
@click.option("--output", type=FOLDER, help="Folder of the new model. Default: named after it, among yours.")
@click.option("--overwrite", is_flag=True, help="Replace a model that is there already.")
@click.option("--data", type=FOLDER, help="Folder of corpora to measure on; nothing is learned from them.")
@click.option("--cache", type=FOLDER, help="For decoded recordings. Default: the user's cache folder.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@json_option("Print the results as one JSON object.")
@log_level_option
def quick(*, phrase: tuple[str, ...], false_alarms_per_hour: float, as_json: bool, **options: Any) -> None:
    """A model that wakes at PHRASE, in two minutes and without a voice.

    A small head on the shipped recogniser, which has heard hours of people, learns from pieces of what they
    said. No speech engine and no recording is needed. It takes two to three times the processor time of a
    model by "train wake", and tells some 0.2 s later.
    """
    from edgeaudio.training.phrases import check_phrase

    wanted = check_phrase(" ".join(phrase)).text
    options["output"] = settle_output(options["output"] or _default_output((wanted,)))
    job: SpotterJob = make_job({**options, "device": "cpu", "workers": 0}, "build.SpotterJob")
    from edgeaudio.training.quick import train_quick

    with reporting() as reporter:
        results = train_quick(job, reporter, phrase=wanted, false_alarms_per_hour=false_alarms_per_hour)
    _show(job, results, as_json=as_json)


def _job(options: dict[str, Any], words: tuple[str, ...]) -> SpotterJob:
    if options["output"] is None:
        options["output"] = _default_output(words)
    options["output"] = settle_output(options["output"])
    if options["synthetic"] == "none":
        options["synthetic"] = None
    if options["epochs"] is not None and options["minutes"] is not None:
        raise UsageError("--minutes and --epochs exclude each other", hint="Give one of them.")
    job: SpotterJob = make_job(options, "build.SpotterJob")
    if options["epochs"] is None and job.minutes is None:
        job = replace(job, budget_minutes=_MINUTES_ON_CPU if job.device == "cpu" else _MINUTES_ON_GPU)
    return job


def _show(job: SpotterJob, results: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(results)
        return
    from edgeaudio.models.catalogue import search_path
    from edgeaudio.training.card_results import figures

    click.echo(f"wrote {job.output}")
    for line in figures(results):
        click.echo(f"  {line}")
    known = job.output.resolve().parent in [folder.resolve() for folder in search_path()]
    name = job.output.name if known else job.output if job.output.is_absolute() else f"./{job.output}"
    click.echo(f"all that was measured: {job.output / 'README.md'}")
    click.echo(f"use it: edgeaudio wake --model {name}")


def _default_output(words: tuple[str, ...]) -> Path:
    """A folder among the user's models, so that the name alone finds it."""
    from edgeaudio.models.catalogue import search_path
    from edgeaudio.models.manifest import holds_model

    name = re.sub(r"[^a-z0-9]+", "-", "-".join(words)).strip("-")
    if len(name) > _MAX_NAME:
        name = f"{name[:_MAX_NAME].rpartition('-')[0] or name[:_MAX_NAME]}-{len(words)}"
    bundled, own = search_path()
    if str(own).startswith("~"):
        raise UsageError("there is no home folder for the model", hint="Name its folder: --output DIR")
    if holds_model(bundled / name):
        raise UsageError(f"'{name}' is the name of a bundled model", hint="Name another folder: --output DIR")
    return own / name
