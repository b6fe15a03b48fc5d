"""What all trainings of ``edgeaudio train`` share: options, progress, results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeaudio.cli.common import json_option, log_level_option, print_json
from edgeaudio.cli.phases import phases
from edgeaudio.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from edgeaudio.training.build import Job, Reporter

__all__ = ["FOLDER", "general_options", "job_options", "make_job", "reporting", "settle_output", "show"]

FOLDER = click.Path(path_type=Path, file_okay=False)
_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])

_DATA = click.option("--data", type=FOLDER, help="Folder of corpora: a manifest.tsv in each, or in itself.")
_OPTIONS = (
    click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True),
    click.option("--resume", is_flag=True, help="Go on from the checkpoint of an earlier run."),
    click.option("--checkpoint-dir", type=FOLDER, help="Default: in the user's cache folder."),
    click.option("--cache", type=FOLDER, help="For decoded recordings. Default: the user's cache folder."),
    click.option(
        "--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="For the network."
    ),
    click.option(
        "--workers", type=click.IntRange(0, 256), help="For the data. Default: the cores left, up to 8."
    ),
    click.option("--device", help="cpu, cuda, cuda:1 … By default a GPU if there is one."),
    json_option("Print the results as one JSON object."),
    log_level_option,
)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def job_options(command: _COMMAND) -> _COMMAND:
    """Add the options of a training, its folder of corpora included."""
    return _DATA(general_options(command))


def general_options(command: _COMMAND) -> _COMMAND:
    """Add the options that every training has, wherever its recordings are."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settle_output(output: Path) -> Path:
    """Return the folder as a path that ends in its name, which can be a model's; ``.`` does not.

    Raises
    ------
    UsageError
        It cannot.
    """
    named = output.resolve() if output.name in {"", ".."} else output
    if not _NAME.fullmatch(named.name):
        raise UsageError(
            f"--output {output}: the folder's name, '{named.name}', cannot be the name of a model",
            hint="Use lower case letters, digits and hyphens.",
        )
    return named


def make_job(options: dict[str, Any], kind: str) -> Any:
    """What the user has chosen, as ``module.class`` of the training; None leaves a default."""
    options["output"] = settle_output(options["output"])
    module, _, name = kind.partition(".")
    try:
        from edgeaudio.training.build import choose_device, choose_workers

        made = getattr(import_module(f"edgeaudio.training.{module}"), name)
    except ImportError as error:
        raise MissingDependencyError(
            f"training needs {error.name}", hint='pip install "edgeaudio[train]"'
        ) from error
    device = choose_device(options.pop("device"))
    workers = choose_workers(options.pop("workers"), options["threads"])
    given = {name: value for name, value in options.items() if value is not None}
    return made(device=device, workers=workers, **{"data": None, "synthetic": None, **given})


@contextmanager
def reporting() -> Iterator[Reporter]:
    """Yield what tells the user how it goes; an interruption is told, too."""
    from edgeaudio.training.build import Reporter

    with phases() as shown, _interruptions():

        class OnTerminal(Reporter):
            def progress(self, what: str, done: float) -> None:
                shown.progress(what, done)

            def tell(self, line: str) -> None:
                shown.tell(line)

        yield OnTerminal()


@contextmanager
def _interruptions() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted: nothing was written; what is done so far is kept", err=True)
        raise


def show(job: Job, results: dict[str, Any], *, as_json: bool) -> None:
    """Print the results of a finished training."""
    if as_json:
        print_json(results)
        return
    click.echo(f"wrote {job.output}")
    for name, value in results.items():
        click.echo(f"  {name}: {value}")
