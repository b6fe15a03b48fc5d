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

__all__ = ["ClipOptions", "FolderOptions", "clip_options", "folder_options", "open_clips"]

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """What `folder_options` yields."""

    clips_dir: Path | None
    clips_limit_bytes: int


@dataclass(frozen=True, kw_only=True)
class ClipOptions(FolderOptions):
    """What `clip_options` yields."""

    pre_roll_s: float
    post_roll_s: float


def folder_options(each: str) -> Callable[[_COMMAND], _COMMAND]:
    """Add the options of `FolderOptions`: a file of `each`."""

    def add(command: _COMMAND) -> _COMMAND:
        command = click.option(
            "--clips-limit",
            "clips_limit_bytes",
            type=size,
            metavar="SIZE",
            default="100MB",
            show_default=True,
            help="The most that all clips may take; the oldest go first.",
        )(command)
        return click.option(
            "--save-clips",
            "clips_dir",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help=f"Keep a WAV file of each {each} in this folder.",
        )(command)

    return add


def clip_options(each: str, what: str) -> Callable[[_COMMAND], _COMMAND]:
    """Add the options of `ClipOptions`: a file of `each`, which is a word, or whatever `what` says."""

    def add(command: _COMMAND) -> _COMMAND:
        for side, default in (("post", 0.5), ("pre", 1.0)):
            command = click.option(
                f"--{side}-roll",
                f"{side}_roll_s",
                metavar="SECONDS",
                type=seconds(0, 60),
                default=default,
                show_default=True,
                help=f"Seconds in a clip {'before' if side == 'pre' else 'after'} the {what}.",
            )(command)
        return folder_options(each)(command)

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
