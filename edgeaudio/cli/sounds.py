"""``edgeaudio sounds``: listen, and tell which sounds there were, from when to when."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.clips import ClipOptions, clip_options, open_clips
from edgeaudio.cli.common import json_option, log_level_option, quiet_libraries
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
from edgeaudio.cli.several import Threshold, threshold
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.models.manifest import ModelManifest
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.sinks.cutter import Tape
    from edgeaudio.tasks.classifier import Classifier

__all__ = ["sounds"]

_LONGEST_CLIP_S = 30.0


@dataclass(frozen=True, kw_only=True)
class _Options(SourceOptions, DenoiseOptions, HookOptions, ClipOptions):
    model: str
    thresholds: tuple[Threshold, ...]
    only: tuple[str, ...]
    ignored: tuple[str, ...]
    onsets: bool
    backend: Runtime | None
    profile: str | None
    as_json: bool


@click.command()
@source_options
@click.option(
    "--model", metavar="NAME|PATH", default="sounds-home", show_default=True, help="Model to listen with."
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    type=threshold,
    metavar="[SOUND=]NUMBER",
    help="Score at which a sound counts, instead of the model's own; repeatable.",
)
@click.option("--only", multiple=True, metavar="SOUND", help="Tell only of this sound; repeatable.")
@click.option("--ignore", "ignored", multiple=True, metavar="SOUND", help="Tell not of it; repeatable.")
@click.option("--onsets", is_flag=True, help="Also tell that a sound has begun, as soon as it is sure.")
@denoise_option
@profile_option
@backend_option
@json_option("Print one JSON object an event.")
@hook_options("sound")
@clip_options("sound", "sound")
@log_level_option
def sounds(**options: Any) -> None:
    """Tell which sounds there are, from when to when.

    SOURCE is a file (WAV, FLAC, Ogg, MP3), or - for raw 16 kHz mono s16le on standard input; without
    it the microphone is used. Sounds go to standard output, each at its end, everything else to standard
    error. Ctrl-C or SIGTERM ends it with a summary.
    """
    settle_denoise(options)
    _run(_Options(**options))


def _run(options: _Options) -> None:
    from edgeaudio.sinks.hook import is_sound

    check_source(options, "sounds")
    if options.only and options.ignored:
        raise UsageError("both --only and --ignore were given", hint="Give one of them.")
    signals = StopSignals()
    with signals.caught(), quiet_libraries(), contextlib.ExitStack() as stack:
        # What is cheap to get wrong is checked before what is slow to load.
        hook = attach_hook(options, is_sound, signals, stack, wait=options.fast)
        tape = _tape(options)
        clips = open_clips(options, tape, wait=options.fast)
        profile = settle_profile(options.profile)
        load_numba()
        source = open_source(options, profile)
        task = _load(options, profile)

        from edgeaudio.cli.session import Session, line_output, open_events
        from edgeaudio.cli.summary import Tally
        from edgeaudio.engine import Engine

        engine = Engine(source, task, profile=profile, history=tape, denoise=open_denoiser(options))
        events = open_events(engine, stack, clocked=options.source == "-")
        output = line_output(as_json=options.as_json)
        others = [clips] if clips is not None else []
        Session(engine, events, signals, output, Tally(sounds=True), hook=hook, others=others).listen()


def _tape(options: _Options) -> Tape | None:
    """Return what clips are cut from, if there shall be any."""
    if options.clips_dir is None:
        return None
    from edgeaudio.sinks.cutter import Tape

    return Tape(options.pre_roll_s + _LONGEST_CLIP_S + options.post_roll_s)


def _load(options: _Options, profile: Profile) -> Classifier:
    from edgeaudio.models.catalogue import find_model
    from edgeaudio.models.manifest import MANIFEST_FILE, load_manifest
    from edgeaudio.tasks.classifier import Classifier

    folder = find_model(options.model)
    manifest = load_manifest(folder / MANIFEST_FILE)
    return Classifier.load(
        folder,
        backend=options.backend,
        threshold=settle_thresholds(options.thresholds, manifest),
        names=settle_names(options.only, options.ignored, manifest),
        onsets=options.onsets,
        profile=profile,
    )


def settle_thresholds(
    thresholds: tuple[Threshold, ...], manifest: ModelManifest
) -> float | dict[str, float] | None:
    """Return the scores at which sounds count, as `Classifier` takes them; None for the model's own.

    Raises
    ------
    UsageError
        Two are for the same sound.
    """
    scores: dict[str | None, float] = {}
    for name, score in thresholds:
        if name in scores:
            raise UsageError(f"--threshold was given twice for {name or 'all sounds'}", hint="Give it once.")
        scores[name] = score
    general = scores.pop(None, None)
    named = {str(name): score for name, score in scores.items()}
    if not named:
        return general
    return named if general is None else {**dict.fromkeys(manifest.spotted, general), **named}


def settle_names(
    only: tuple[str, ...], ignored: tuple[str, ...], manifest: ModelManifest
) -> tuple[str, ...] | None:
    """Return the sounds to tell of, as `Classifier` takes them; None for all.

    Raises
    ------
    UsageError
        An ignored one is not among those that the model tells of, or none is left.
    """
    if only:
        return only
    if not ignored:
        return None
    from edgeaudio.tasks.classifier import check_sound

    unwanted = {check_sound(name, manifest) for name in ignored}
    left = tuple(name for name in manifest.spotted if name not in unwanted)
    if not left:
        raise UsageError("--ignore leaves no sound to listen for", hint="Leave one of them out.")
    return left
