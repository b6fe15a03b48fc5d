"""``edgeaudio wake``: listen, and tell what was heard."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.clips import ClipOptions, clip_options, open_clips
from edgeaudio.cli.common import json_option, log_level_option, quiet_libraries
from edgeaudio.cli.enrolled import attach_verifiers
from edgeaudio.cli.gating import only_spoken, settle_vad, vad_option
from edgeaudio.cli.keeping import (
    KeepingOptions,
    keeping_options,
    open_ledger,
    set_apart,
    settle_decision,
)
from edgeaudio.cli.listening import (
    DenoiseOptions,
    HookOptions,
    SourceOptions,
    attach_hook,
    backend_option,
    check_source,
    denoise_option,
    hook_options,
    open_denoiser,
    open_source,
    profile_option,
    settle_denoise,
    settle_profile,
    source_options,
)
from edgeaudio.cli.several import (
    Choice,
    Threshold,
    check_names,
    choose_models,
    load_spotter,
    sharing,
    threshold,
)
from edgeaudio.cli.startup import load_numba

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.sinks import Sink
    from edgeaudio.sinks.cutter import Tape
    from edgeaudio.tasks.base import Task
    from edgeaudio.tasks.spotter import Spotter

__all__ = ["wake"]

_DEFAULT_MODEL = "wake-computer"


@dataclass(frozen=True, kw_only=True)
class _Options(SourceOptions, DenoiseOptions, HookOptions, ClipOptions, KeepingOptions):
    models: tuple[str, ...]
    thresholds: tuple[Threshold, ...]
    verifiers: tuple[str, ...]
    vad: str | None
    backend: Runtime | None
    profile: str | None
    as_json: bool


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
@denoise_option
@vad_option("Report a word only if this model hears speech during it.  [default model: vad-small]")
@profile_option
@backend_option
@json_option("Print one JSON object an event.")
@hook_options("detection")
@clip_options("detection", "word")
@keeping_options
@log_level_option
def wake(**options: Any) -> None:
    """Listen for wake words and spoken commands.

    SOURCE is a file (WAV, FLAC, Ogg, MP3), or - for raw 16 kHz mono s16le on standard input; without
    it the microphone is used. Detections go to standard output, everything else to standard error.
    Ctrl-C or SIGTERM ends it with a summary.
    """
    settle_vad(options)
    settle_denoise(options)
    _run(_Options(**options))


def _run(options: _Options) -> None:
    from edgeaudio.sinks.hook import is_detection

    check_source(options, "wake")
    signals = StopSignals()
    with signals.caught(), quiet_libraries(), contextlib.ExitStack() as stack:
        # What is cheap to get wrong is checked before what is slow to load.
        hook = attach_hook(options, is_detection, signals, stack, wait=options.fast)
        tape = _tape(options)
        clips = open_clips(options, tape, wait=options.fast)
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

        from edgeaudio.cli.session import Session, line_output, open_events
        from edgeaudio.cli.summary import Tally
        from edgeaudio.engine import Engine

        others: list[Sink] = [sink for sink in (clips, ledger) if sink is not None]
        listening: list[Task] = [*tasks]
        if options.vad is not None:
            listening, report = only_spoken(tasks, options.vad, options.backend, profile)
            others.append(report)
        engine = Engine(source, *listening, profile=profile, history=tape, denoise=open_denoiser(options))
        events = open_events(engine, stack, clocked=options.source == "-")
        Session(
            engine,
            events if options.near_misses else set_apart(events, ledger),
            signals,
            line_output(as_json=options.as_json, models=several),
            Tally(models=several),
            hook=hook,
            others=others,
        ).listen()


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


def _load(choice: Choice, options: _Options, profile: Profile) -> Spotter:
    return load_spotter(choice, options.backend, profile)
