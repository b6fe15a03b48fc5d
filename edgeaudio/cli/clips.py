"""``--save-clips``: what commands that listen share about keeping what was heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeaudio.cli.common import seconds, size

if TYPE_CHECKING:
    from edgeaudio.sinks.clips import ClipSaver
    from edgeaudio.sinks.cutter import Tape

__all__ = ["ClipOptions", "clip_options", "open_clips"]

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """What `clip_options` yields."""

    clips_dir: Path | None
    pre_roll_s: float
    post_roll_s: float
    clips_limit_bytes: int


def clip_options(each: str, what: str) -> Callable[[_COMMAND], _COMMAND]:
    """Add the options of `ClipOptions`: a file of `each`, which is a word, or whatever `what` says."""

    def add(command: _COMMAND) -> _COMMAND:
        for decorate in reversed(
            (
                click.option(
                    "--save-clips",
                    "clips_dir",
                    type=click.Path(path_type=Path),
                    metavar="DIR",
                    help=f"Keep a WAV file of each {each} in this folder.",
                ),
                click.option(
                    "--pre-roll",
                    "pre_roll_s",
                    metavar="SECONDS",
                    type=seconds(0, 60),
                    default=1.0,
                    show_default=True,
                    help=f"Seconds in a clip before the {what}.",
                ),
                click.option(
                    "--post-roll",
                    "post_roll_s",
                    metavar="SECONDS",
                    type=seconds(0, 60),
                    default=0.5,
                    show_default=True,
                    help=f"Seconds in a clip after the {what}.",
                ),
                click.option(
                    "--clips-limit",
                    "clips_limit_bytes",
                    type=size,
                    metavar="SIZE",
                    default="100MB",
                    show_default=True,
                    help="The most that all clips may take; the oldest go first.",
                ),
            )
        ):
            command = decorate(command)
        return command

    return add


def open_clips(options: ClipOptions, tape: Tape | None, *, wait: bool) -> ClipSaver | None:
    """Return what saves the clips that were asked for, or None if there are none."""
    if options.clips_dir is None:
        return None
    from edgeaudio.sinks.clips import ClipSaver

    return ClipSaver(
        options.clips_dir,
        pre_roll_s=options.pre_roll_s,
        post_roll_s=options.post_roll_s,
        limit_bytes=options.clips_limit_bytes,
        wait=wait,
        tape=tape,
    )
