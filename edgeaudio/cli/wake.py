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
    quiet_libraries,
    seconds,
    size,
    stdout_bytes,
)
from edgeaudio.cli.enrolled import attach_verifiers
from edgeaudio.cli.keeping import (
    KeepingOptions,
    keeping_options,
    open_ledger,
    set_apart,
    settle_decision,
)
from edgeaudio.cli.listening import (
    HookOptions,
    SourceOptions,
    backend_option,
    check_source,
    hook_options,
    open_hook,
    open_source,
    profile_option,
    settle_profile,
    source_options,
)
from edgeaudio.cli.several import Choice, Threshold, check_names, choose_models, sharing, threshold
from edgeaudio.cli.startup import load_numba

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.sinks import Sink
    from edgeaudio.sinks.clips import ClipSaver
    from edgeaudio.sinks.cutter import Tape
    from edgeaudio.tasks.spotter import Spotter

__all__ = ["wake"]

_DEFAULT_MODEL = "wake-computer"


@dataclass(frozen=True, kw_only=True)
class _Options(SourceOptions, HookOptions, KeepingOptions):
    models: tuple[str, ...]
    thresholds: tuple[Threshold, ...]
    verifiers: tuple[str, ...]
    backend: Runtime | None
    profile: str | None
    as_json: bool
    clips_dir: Path | None
    pre_roll_s: float
    post_roll_s: float
    clips_limit_bytes: int


@click.command()
@source_options
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME|PATH",
    help="Model to listen with; repeatable.  [default: wake-computer]",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    type=threshold,
    metavar="[MODEL=]NUMBER",
    help="Score at which a word counts, instead of the models' own or of one's own; repeatable.",
)
@click.option(
    "--verifier",
    "verifiers",
    multiple=True,
    metavar="NAME",
    help="Report a word only if this enrolled voice says it; repeatable, any of them will do.",
)
@profile_option
@backend_option
@json_option("Print one JSON object an event.")
@hook_options("detection")
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
@keeping_options
@log_level_option
def wake(**options: Any) -> None:
    """Listen for wake words and spoken commands.

    SOURCE is a file (WAV, FLAC, Ogg, MP3), or - for raw 16 kHz mono s16le on standard input; without
    it the microphone is used. Detections go to standard output, everything else to standard error.
    Ctrl-C or SIGTERM ends it with a summary.
    """
    _run(_Options(**options))


def _run(options: _Options) -> None:
    from edgeaudio.sinks.hook import is_detection

    check_source(options, "wake")
    signals = StopSignals()
    with signals.caught(), quiet_libraries(), contextlib.ExitStack() as stack:
        # What is cheap to get wrong is checked before what is slow to load.
        hook = open_hook(options, is_detection, wait=options.fast)
        if hook is not None:
            stack.callback(hook.close, discard=True)
            signals.on_second = hook.kill
        tape = _tape(options)
        clips = _open_clips(options, tape)
        ledger = open_ledger(options, tape, wait=options.fast)
        profile = settle_profile(options.profile)
        load_numba()
        source = open_source(options, profile)
        choices = choose_models(options.models or (_DEFAULT_MODEL,), options.thresholds)
        tasks = [_load(choice, options, profile) for choice in choices]
        check_names(tasks)
        attach_verifiers(options.verifiers, tasks, [choice.folder for choice in choices])
        for task, choice in zip(tasks, choices, strict=True):
            settle_decision(task, choice.threshold, options.near_ratio)
        if ledger is not None:
            ledger.know(tasks)
        several = len(tasks) > 1
        if several:
            click.echo(f"models    {sharing(tasks)}", err=True)

        from edgeaudio.cli.session import Session
        from edgeaudio.cli.summary import Tally
        from edgeaudio.engine import Engine

        engine = Engine(source, *tasks, profile=profile, history=tape)
        # Only a clock cannot wait for the reader of events; what does not go by one needs no queue.
        events = (
            stack.enter_context(engine)
            if source.live
            else stack.enter_context(contextlib.closing(engine.replay(clocked=options.source == "-")))
        )
        others: list[Sink] = [sink for sink in (clips, ledger) if sink is not None]
        Session(
            engine,
            events if options.near_misses else set_apart(events, ledger),
            signals,
            _output(as_json=options.as_json, models=several),
            Tally(models=several),
            hook=hook,
            others=others,
        ).listen()


def _output(*, as_json: bool, models: bool) -> Sink:
    from edgeaudio.cli.session import is_terminal
    from edgeaudio.sinks.lines import JsonLines, PlainLines

    lines: Sink = JsonLines(stdout_bytes()) if as_json else PlainLines(stdout_bytes(), models=models)
    # Both must be the terminal: where a program reads the events, its own output is on the screen.
    if as_json or not (is_terminal(sys.stdout) and is_terminal(sys.stderr)):
        return lines
    from edgeaudio.sinks.live import LiveLine

    return LiveLine(sys.stderr, lines, models=models)


def _tape(options: _Options) -> Tape | None:
    """Return what clips are cut from, as long as any of them needs it."""
    lengths = []
    if options.clips_dir is not None:
        lengths.append(options.pre_roll_s + options.post_roll_s)
    if options.ledger_dir is not None:
        from edgeaudio.sinks.ledger import CLIP_S

        lengths.append(CLIP_S)
    if not lengths:
        return None
    from edgeaudio.sinks.cutter import Tape

    return Tape(max(lengths))


def _open_clips(options: _Options, tape: Tape | None) -> ClipSaver | None:
    if options.clips_dir is None:
        return None
    from edgeaudio.sinks.clips import ClipSaver

    return ClipSaver(
        options.clips_dir,
        pre_roll_s=options.pre_roll_s,
        post_roll_s=options.post_roll_s,
        limit_bytes=options.clips_limit_bytes,
        wait=options.fast,
        tape=tape,
    )


def _load(choice: Choice, options: _Options, profile: Profile) -> Spotter:
    from edgeaudio.models.enrolments import holds_enrolment
    from edgeaudio.tasks.spotter import Spotter

    if holds_enrolment(choice.folder):
        from edgeaudio.tasks.enrolled import enrolled_spotter

        return enrolled_spotter(
            choice.folder, backend=options.backend, threshold=choice.threshold, profile=profile
        )
    return Spotter.load(choice.folder, backend=options.backend, threshold=choice.threshold, profile=profile)
