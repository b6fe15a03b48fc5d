"""``edgeaudio wake``: listen, and tell what was heard."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import (
    json_option,
    log_level_option,
    probability,
    quiet_libraries,
    seconds,
    size,
)
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.backends.base import Runtime
    from edgeaudio.sinks.clips import ClipSaver
    from edgeaudio.sinks.hook import CommandHook
    from edgeaudio.sources.base import Source
    from edgeaudio.tasks.spotter import Spotter

__all__ = ["wake"]

_DEFAULT_MODEL = "wake-computer"


@dataclass(frozen=True, kw_only=True)
class _Options:
    source: str | None
    models: tuple[str, ...]
    threshold: float | None
    backend: Runtime | None
    as_json: bool
    fast: bool
    device: str | None
    channel: int | None
    give_up_s: float | None
    command: str | None
    command_timeout_s: float
    clips_dir: Path | None
    pre_roll_s: float
    post_roll_s: float
    clips_limit_bytes: int


@click.command()
@click.argument("source", required=False)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME|PATH",
    help="Model to listen with; repeatable.  [default: wake-computer]",
)
@click.option(
    "--threshold",
    type=probability,
    metavar="NUMBER",
    help="Score at which a word counts, instead of the model's own.",
)
@click.option(
    "--backend", type=click.Choice(["onnx", "litert"]), help="Runtime  [default: litert, else onnx]"
)
@json_option("Print one JSON object an event.")
@click.option("--fast", is_flag=True, help="Read a file as fast as possible instead of in real time.")
@click.option("--device", metavar="INDEX|NAME", help="Microphone: its index or part of its name.")
@click.option(
    "--channel",
    type=click.IntRange(min=0),
    help="Listen to this channel only, from 0.  [default: mean of all]",
)
@click.option(
    "--give-up",
    "give_up_s",
    metavar="SECONDS",
    type=seconds(0, 1e9),
    help="End when the microphone has been gone for so many seconds.  [default: never]",
)
@click.option(
    "--exec",
    "command",
    metavar="COMMAND",
    help="Run this for each detection, with the event as JSON on its input.",
)
@click.option(
    "--exec-timeout",
    "command_timeout_s",
    metavar="SECONDS",
    type=seconds(0.1, 3600),
    default=10.0,
    show_default=True,
    help="Kill the command after so many seconds.",
)
@click.option(
    "--save-clips",
    "clips_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep a WAV file of each detection in this folder.",
)
@click.option(
    "--pre-roll",
    "pre_roll_s",
    metavar="SECONDS",
    type=seconds(0, 60),
    default=1.0,
    show_default=True,
    help="Seconds in a clip before the word.",
)
@click.option(
    "--post-roll",
    "post_roll_s",
    metavar="SECONDS",
    type=seconds(0, 60),
    default=0.5,
    show_default=True,
    help="Seconds in a clip after the word.",
)
@click.option(
    "--clips-limit",
    "clips_limit_bytes",
    type=size,
    metavar="SIZE",
    default="100MB",
    show_default=True,
    help="The most that all clips may take; the oldest go first.",
)
@log_level_option
def wake(**options: Any) -> None:
    """Listen for wake words and spoken commands.

    SOURCE is a file (WAV, FLAC, Ogg, MP3), or - for raw 16 kHz mono s16le on standard input; without
    it the microphone is used. Detections go to standard output, everything else to standard error.
    Ctrl-C or SIGTERM ends it with a summary.
    """
    _run(_Options(**options))


def _run(options: _Options) -> None:
    _check(options)
    signals = StopSignals()
    with signals.caught(), quiet_libraries(), contextlib.ExitStack() as stack:
        # What is cheap to get wrong is checked before what is slow to load.
        hook = _open_hook(options)
        if hook is not None:
            stack.callback(hook.close, discard=True)
            signals.on_second = hook.kill
        clips = _open_clips(options)
        load_numba()
        source = _open_source(options)
        tasks = [_load(folder, options) for folder in _model_folders(options)]

        from edgeaudio.cli.session import Session
        from edgeaudio.engine import Engine

        engine = Engine(source, *tasks, history=clips.history if clips else None)
        # Only a clock cannot wait for the reader of events; what does not go by one needs no queue.
        events = (
            stack.enter_context(engine)
            if source.live
            else stack.enter_context(contextlib.closing(engine.replay(clocked=options.source == "-")))
        )
        Session(engine, events, signals, as_json=options.as_json, hook=hook, clips=clips).listen()


def _check(options: _Options) -> None:
    """Refuse options that contradict each other."""
    if options.source == "":
        raise UsageError("SOURCE is empty", hint="Give a file or -, or nothing at all for the microphone.")
    if options.source is not None and options.device is not None:
        raise UsageError("both a source and --device were given", hint="Give one of them.")
    if options.source is not None and options.give_up_s is not None:
        raise UsageError("--give-up is for microphones", hint="Leave it out.")
    if options.fast and options.source in (None, "-"):
        raise UsageError("--fast needs a file; live audio comes at its own pace", hint="Leave it out.")
    if options.source == "-":
        if options.channel is not None:
            raise UsageError("raw audio on standard input has one channel", hint="Leave --channel out.")
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "standard input is no audio",
                hint="For example: arecord -t raw -r 16000 -f S16_LE -c 1 | edgeaudio wake -",
            )


def _open_hook(options: _Options) -> CommandHook | None:
    if options.command is None:
        return None
    from edgeaudio.sinks.hook import CommandHook, parse_command

    return CommandHook(parse_command(options.command), timeout_s=options.command_timeout_s, wait=options.fast)


def _open_source(options: _Options) -> Source:
    if options.source is None:
        from edgeaudio.sources.microphone import Microphone

        return Microphone(options.device, channel=options.channel, give_up_s=options.give_up_s)
    if options.source == "-":
        from edgeaudio.sources.stdin import StdinSource

        return StdinSource(sys.stdin.buffer)
    from edgeaudio.sources.file import FileSource

    return FileSource(options.source, paced=not options.fast, channel=options.channel)


def _open_clips(options: _Options) -> ClipSaver | None:
    if options.clips_dir is None:
        return None
    from edgeaudio.sinks.clips import ClipSaver

    return ClipSaver(
        options.clips_dir,
        pre_roll_s=options.pre_roll_s,
        post_roll_s=options.post_roll_s,
        limit_bytes=options.clips_limit_bytes,
        wait=options.fast,
    )


def _model_folders(options: _Options) -> list[Path]:
    """Find the models, each once: under a name and a path it would report every word twice."""
    from edgeaudio.models.catalogue import find_model

    found = (find_model(name) for name in options.models or (_DEFAULT_MODEL,))
    return list({folder.resolve(): folder for folder in found}.values())


def _load(folder: Path, options: _Options) -> Spotter:
    from edgeaudio.tasks.spotter import Spotter

    return Spotter.load(folder, backend=options.backend, threshold=options.threshold)
