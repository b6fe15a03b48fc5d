"""``edgeaudio vad``: listen, and tell when somebody speaks."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.clips import FolderOptions, folder_options
from edgeaudio.cli.common import (
    json_option,
    log_level_option,
    probability,
    quiet_libraries,
    seconds,
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
from edgeaudio.cli.startup import load_numba

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.sinks.speech_clips import SpeechClips
    from edgeaudio.tasks.vad import Vad

__all__ = ["load_vad", "vad"]


@dataclass(frozen=True, kw_only=True)
class _Options(SourceOptions, DenoiseOptions, HookOptions, FolderOptions):
    model: str
    threshold: float | None
    pre_roll_s: float | None
    hangover_s: float | None
    backend: Runtime | None
    profile: str | None
    as_json: bool


@click.command()
@source_options
@click.option(
    "--model", metavar="NAME|PATH", default="vad-small", show_default=True, help="Model to listen with."
)
@click.option(
    "--threshold",
    type=probability,
    metavar="NUMBER",
    help="Probability from which on somebody speaks, instead of the model's own.",
)
@click.option(
    "--pre-roll",
    "pre_roll_s",
    metavar="SECONDS",
    type=seconds(0, 60),
    help="How much before its onset speech is told to begin, instead of the model's own.",
)
@click.option(
    "--hangover",
    "hangover_s",
    metavar="SECONDS",
    type=seconds(0, 60),
    help="Silence that ends a stretch of speech, instead of the model's own; shorter pauses belong to it.",
)
@denoise_option
@profile_option
@backend_option
@json_option("Print one JSON object an event.")
@hook_options("start and end of speech")
@folder_options("stretch of speech")
@log_level_option
def vad(**options: Any) -> None:
    """Tell when somebody speaks, and when nobody does any more.

    SOURCE is a file (WAV, FLAC, Ogg, MP3), or - for raw 16 kHz mono s16le on standard input; without
    it the microphone is used. Starts and ends go to standard output, everything else to standard error.
    Ctrl-C or SIGTERM ends it with a summary.
    """
    settle_denoise(options)
    _run(_Options(**options))


def _run(options: _Options) -> None:
    from edgeaudio.sinks.hook import is_speech

    check_source(options, "vad")
    signals = StopSignals()
    with signals.caught(), quiet_libraries(), contextlib.ExitStack() as stack:
        # What is cheap to get wrong is checked before what is slow to load.
        hook = attach_hook(options, is_speech, signals, stack, wait=options.fast)
        clips = _open_clips(options)
        profile = settle_profile(options.profile)
        load_numba()
        source = open_source(options, profile)
        task = _load(options, profile)

        from edgeaudio.cli.session import Session, line_output, open_events
        from edgeaudio.cli.summary import Tally
        from edgeaudio.engine import Engine

        history = clips.history if clips is not None else None
        engine = Engine(source, task, profile=profile, history=history, denoise=open_denoiser(options))
        events = open_events(engine, stack, clocked=options.source == "-")
        output, tally = line_output(as_json=options.as_json), Tally(speech=True)
        others = [clips] if clips is not None else []
        Session(engine, events, signals, output, tally, hook=hook, others=others).listen()


def load_vad(
    name: str,
    profile: Profile,
    *,
    backend: Runtime | None = None,
    threshold: float | None = None,
    pre_roll_s: float | None = None,
    hangover_s: float | None = None,
) -> Vad:
    """Load what was asked for; the model's own where nothing was."""
    from edgeaudio.tasks.vad import Vad

    return Vad.load(
        name,
        backend=backend,
        threshold=threshold,
        pre_roll_ms=None if pre_roll_s is None else 1000 * pre_roll_s,
        least_off_ms=None if hangover_s is None else 1000 * hangover_s,
        profile=profile,
    )


def _load(options: _Options, profile: Profile) -> Vad:
    return load_vad(
        options.model,
        profile,
        backend=options.backend,
        threshold=options.threshold,
        pre_roll_s=options.pre_roll_s,
        hangover_s=options.hangover_s,
    )


def _open_clips(options: _Options) -> SpeechClips | None:
    if options.clips_dir is None:
        return None
    from edgeaudio.sinks.speech_clips import SpeechClips

    return SpeechClips(options.clips_dir, limit_bytes=options.clips_limit_bytes, wait=options.fast)
