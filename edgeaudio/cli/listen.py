"""``edgeaudio listen``: any tasks on one source, as a file says."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from edgeaudio.cli.background import HangUps, StopSignals
from edgeaudio.cli.common import log_level_option, quiet_libraries, stdout_bytes
from edgeaudio.cli.listening import SourceOptions, open_source, settle_profile
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from edgeaudio.cli.listen_config import Config
    from edgeaudio.cli.listen_outputs import Lines
    from edgeaudio.cli.listen_reload import Reloader
    from edgeaudio.cli.listen_tasks import Place
    from edgeaudio.cli.summary import Tally
    from edgeaudio.profiles import Profile
    from edgeaudio.sinks import Sink
    from edgeaudio.sinks.cutter import Tape
    from edgeaudio.sources.base import Source

__all__ = ["listen"]

_FILE = "listen.yaml"


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
@click.option(
    "--init", is_flag=True, help=f"Write a FILE that explains every key, and end.  [default: {_FILE}]"
)
@click.option("--check", is_flag=True, help="Say whether the FILE is good, without listening.")
@log_level_option
def listen(*, config: Path | None, init: bool, check: bool) -> None:
    """Listen with any set of tasks on one source, as a FILE says.

    Begin with --init. Events go where the FILE says, everything else to standard error. SIGHUP has it
    read the FILE again, without losing a sample. Ctrl-C or SIGTERM ends it with a summary.
    """
    if init and check:
        raise UsageError("--init writes a file, --check reads one", hint="Leave one out.")
    if init:
        _write(config or Path(_FILE))
        return
    if config is None:
        raise UsageError(
            "no FILE was named", hint=f"Name one, such as {_FILE}; edgeaudio listen --init writes it."
        )
    if check:
        _check(config)
    else:
        _run(config)


def _write(path: Path) -> None:
    from edgeaudio.cli.listen_example import example

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(example())
    except FileExistsError:
        raise OutputError(
            f"{path} is there already", hint="Name another FILE, or take that one away."
        ) from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"{path} written; listen with: edgeaudio listen {path}", err=True)


def _check(path: Path) -> None:
    """Load all models, and touch neither the source nor any output."""
    from edgeaudio.cli.listen_config import load_config
    from edgeaudio.cli.listen_outputs import check_outputs
    from edgeaudio.cli.listen_tasks import Place, TaskSet
    from edgeaudio.cli.several import sharing

    config = load_config(path)
    with quiet_libraries():
        profile = settle_profile(_profile(config, path.parent))
        place = Place(path.parent, profile, config.backend)
        options = _source(config, place)
        if options.source not in (None, "-") and not Path(options.source or "").is_file():
            raise InputError(f"there is no file {options.source}")
        check_outputs(config, place)
        load_numba()
        tasks = TaskSet(config, place).told
    click.echo(f"{path} is good: {sharing(tasks)}")


class _Ready(NamedTuple):
    """All that listens, loaded and opened."""

    config: Config
    options: SourceOptions
    profile: Profile
    source: Source
    tape: Tape
    reloader: Reloader


def _run(path: Path) -> None:
    signals, hang_ups = StopSignals(hang_up=False), HangUps()
    with signals.caught(), hang_ups.caught(), quiet_libraries(), contextlib.ExitStack() as stack:
        ready = _prepare(path, stack)
        config, reloader, source = ready.config, ready.reloader, ready.source
        signals.on_second = reloader.kill

        from edgeaudio.cli.listen_outputs import Lines, stdout_form
        from edgeaudio.cli.session import Session, open_events
        from edgeaudio.dsp.denoise import Denoiser
        from edgeaudio.engine import Engine

        tasks, outputs = reloader.running.tasks, reloader.running.outputs
        denoiser = Denoiser(config.denoise) if config.denoise is not None else None
        engine = Engine(source, *tasks.tasks, profile=ready.profile, history=ready.tape, denoise=denoiser)
        events = open_events(engine, stack, clocked=ready.options.source == "-")
        lines = Lines(stdout_bytes(), stdout_form(config))
        session = Session(engine, events, signals, _output(lines), _tally(config), others=outputs.sinks)
        hang_ups.watch(partial(reloader.reload, engine, session, lines))
        stack.callback(hang_ups.close)  # before the outputs of the last reload are closed
        session.listen()
        reloader.running.outputs.check_written()


def _prepare(path: Path, stack: contextlib.ExitStack) -> _Ready:
    """Open what a file asks for; `stack` closes it."""
    from edgeaudio.cli.listen_config import load_config
    from edgeaudio.cli.listen_outputs import OutputSet, clip_seconds
    from edgeaudio.cli.listen_reload import Reloader, Running
    from edgeaudio.cli.listen_tasks import Place, TaskSet
    from edgeaudio.cli.several import sharing
    from edgeaudio.sinks.cutter import Tape

    config = load_config(path)
    profile = settle_profile(_profile(config, path.parent))
    place = Place(path.parent, profile, config.backend)
    options = _source(config, place)
    if options.source == "-" and (sys.stdin is None or sys.stdin.isatty()):
        example = f"arecord -t raw -r 16000 -f S16_LE -c 1 | edgeaudio listen {path}"
        raise UsageError("standard input is no audio", hint=f"For example: {example}")
    load_numba()
    # What is cheap to get wrong is checked before what is slow to load.
    clip_s = clip_seconds(config)
    tape = Tape(clip_s)
    outputs = OutputSet(config, place, tape, wait=options.fast)
    stack.callback(outputs.close_all_but, None, discard=True)
    source = open_source(options, profile)
    tasks = TaskSet(config, place)
    outputs.know(tasks.spotters)
    click.echo(f"{'tasks':<10}{sharing(tasks.told)}", err=True)
    running = Running(config, tasks, outputs)
    reloader = Reloader(path, running, profile, tape, clip_s=clip_s, wait=options.fast)
    stack.callback(reloader.close)
    return _Ready(config, options, profile, source, tape, reloader)


def _profile(config: Config, folder: Path) -> str | None:
    if config.profile is not None and ("/" in config.profile or config.profile.endswith((".yaml", ".yml"))):
        return str(folder / Path(config.profile).expanduser())
    return config.profile


def _source(config: Config, place: Place) -> SourceOptions:
    """Return the options that ask other commands for this source."""
    source = config.source
    device = getattr(source.value, "device", None)
    path = {"microphone": None, "stdin": "-", "file": str(place.path(getattr(source.value, "path", "")))}
    return SourceOptions(
        source=path[source.kind],
        fast=getattr(source.value, "fast", False),
        device=None if device is None else str(device),
        channel=getattr(source.value, "channel", None),
        give_up_s=getattr(source.value, "give_up_s", None),
    )


def _tally(config: Config) -> Tally:
    """Return what counts for the summary: what was asked for is told even if there was none of it."""
    from edgeaudio.cli.summary import Tally

    kinds = {entry.kind for entry in config.tasks}
    if "wake" in kinds:
        return Tally(models=True)
    return Tally(
        captions="caption" in kinds,
        sounds="sounds" in kinds,
        speech="vad" in kinds,
        speakers="speaker" in kinds,
    )


def _output(lines: Lines) -> Sink:
    from edgeaudio.cli.session import is_terminal

    if lines.form == "text" and is_terminal(sys.stdout) and is_terminal(sys.stderr):
        from edgeaudio.sinks.live import LiveLine

        return LiveLine(sys.stderr, lines, models=True)
    return lines
