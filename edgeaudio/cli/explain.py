"""``edgeaudio explain``: draw why a model heard what it heard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import (
    harmless,
    is_same_file,
    json_option,
    log_level_option,
    print_json,
    quiet_libraries,
    seconds,
)
from edgeaudio.cli.listening import backend_option, profile_option, settle_profile
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.backends import Runtime
    from edgeaudio.explaining.explanation import Explanation
    from edgeaudio.explaining.saliency import Method

__all__ = ["explain"]

_DRAWN = (".png", ".html")


@dataclass(frozen=True, kw_only=True)
class _Options:
    clip: Path
    model: str
    label: str | None
    at_s: float | None
    method: Method | None
    output: Path | None
    overwrite: bool
    channel: int | None
    backend: Runtime | None
    profile: str | None
    as_json: bool


@click.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="NAME|PATH", help="Name or folder of the model.")
@click.option("--label", help="Explain this label's score.  [default: what the model told, or the highest]")
@click.option(
    "--at",
    "at_s",
    metavar="SECONDS",
    type=seconds(0, 1e9),
    help="Explain the peak near this second.  [default: the highest]",
)
@click.option(
    "--method",
    type=click.Choice(["gradients", "grad-cam", "occlusion"]),
    help="How to find what mattered.  [default: gradients; occlusion where there are none]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw it into this file (.png, .html).  [default: only words]",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there already.")
@click.option(
    "--channel",
    type=click.IntRange(min=0),
    help="Listen to this channel only, from 0.  [default: mean of all]",
)
@profile_option
@backend_option
@json_option("Print one JSON object: what is explained, what mattered, how faithful the map is, …")
@log_level_option
def explain(**options: Any) -> None:
    """Show which moment and which frequencies a model's answer came from.

    CLIP is a recording of at most ten minutes, of which one moment is explained: for any model that spots
    words, tells sounds apart or whether somebody speaks.
    """
    _run(_Options(**options))


def _run(options: _Options) -> None:
    _check(options)
    load_numba()
    from edgeaudio.explaining.explanation import explain as explain_clip
    from edgeaudio.explaining.hearing import check_explainable, load_clip
    from edgeaudio.models.bundle import load_bundle
    from edgeaudio.models.catalogue import find_model

    bundle = load_bundle(find_model(options.model))
    check_explainable(bundle.manifest)
    samples = load_clip(options.clip, options.channel)
    profile = settle_profile(options.profile)
    with quiet_libraries(), progress_bar("explaining") as progress:
        explanation = explain_clip(
            samples,
            bundle,
            clip=options.clip.name,
            label=options.label,
            at_s=options.at_s,
            method=options.method,
            backend=options.backend,
            profile=profile,
            progress=progress,
        )
    _tell(explanation, options)


def _check(options: _Options) -> None:
    """Find out before the work what could not be drawn after it."""
    from edgeaudio.profiling.files import check_writable

    output = options.output
    if output is None:
        if options.overwrite:
            raise UsageError("--overwrite without --output has nothing to replace", hint="Leave it out.")
        return
    if output.suffix.lower() not in _DRAWN:
        raise UsageError(
            f"--output {output}: no picture is drawn into a file called so",
            hint=f"Its name must end in {' or '.join(_DRAWN)}.",
        )
    if is_same_file(output, options.clip):
        raise UsageError(f"--output {output} is what is read", hint="Name another file.")
    check_writable(output)
    if output.exists() and not options.overwrite:
        raise UsageError(f"--output {output} is there already", hint="Name another file, or add --overwrite.")


def _tell(explanation: Explanation, options: _Options) -> None:
    from edgeaudio.explaining.view import sentences
    from edgeaudio.profiling.files import write_whole

    if options.output is not None:
        write_whole(options.output, _drawn(explanation, options.output))
    if options.as_json:
        print_json(
            {**explanation.to_json(), "output": None if options.output is None else str(options.output)}
        )
    else:
        click.echo(harmless("\n".join(sentences(explanation))))


def _drawn(explanation: Explanation, output: Path) -> bytes | str:
    if output.suffix.lower() == ".html":
        from edgeaudio.explaining.page import page

        return page(explanation)
    from edgeaudio.explaining.picture import picture

    return picture(explanation)
