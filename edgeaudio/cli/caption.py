"""``edgeaudio caption``: write down what is said, as it is said."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import (
    is_same_file,
    json_option,
    log_level_option,
    quiet_libraries,
    seconds,
    stdout_bytes,
)
from edgeaudio.cli.gating import gate_facts, gate_speech, settle_vad, vad_option
from edgeaudio.cli.listening import (
    DenoiseOptions,
    HookOptions,
    SourceOptions,
    attach_hook,
    check_source,
    denoise_option,
    hook_options,
    open_denoiser,
    open_source,
    settle_denoise,
    settle_profile,
    source_options,
)
from edgeaudio.cli.recognition import (
    RecognizerOptions,
    check_recognizer,
    load_recognizer,
    make_endpoint,
    recognizer_options,
)
from edgeaudio.cli.startup import load_numba
from edgeaudio.cli.web import Page, WebOptions, first_source, settle_web, web_options
from edgeaudio.errors import OutputError, UsageError

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile
    from edgeaudio.sinks import Sink
    from edgeaudio.sinks.transcript_file import TranscriptFile
    from edgeaudio.sources.base import Source
    from edgeaudio.tasks.base import Task
    from edgeaudio.tasks.endpoint import Endpoint
    from edgeaudio.tasks.recognizer import Recognizer

__all__ = ["caption"]


@dataclass(frozen=True, kw_only=True)
class _Options(SourceOptions, DenoiseOptions, RecognizerOptions, HookOptions, WebOptions):
    form: Literal["live", "text", "json", "srt", "vtt"] | None
    as_json: bool
    output: Path | None
    end_silence_s: float | None
    end_complete_s: float | None
    max_length_s: float | None
    vad: str | None


@click.command()
@source_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["live", "text", "json", "srt", "vtt"]),
    help="What is printed.  [default: live on a terminal, else text]",
)
@json_option("The same as --format json.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append to this file too; its name tells the format (.txt .json .srt .vtt), else --format.",
)
@recognizer_options
@click.option(
    "--end-silence",
    "end_silence_s",
    metavar="SECONDS",
    type=seconds(0.1, 30),
    help="Silence that ends a caption.  [default: 0.8]",
)
@click.option(
    "--end-complete",
    "end_complete_s",
    metavar="SECONDS",
    type=seconds(0.1, 30),
    help="Silence that ends one that is a whole order of the --grammar.  [default: 0.4]",
)
@click.option(
    "--max-length",
    "max_length_s",
    metavar="SECONDS",
    type=seconds(2, 120),
    help="Longest caption; what follows is the next one.  [default: 20]",
)
@denoise_option
@vad_option("Let the recogniser hear only speech, as this model tells it.  [default model: vad-small]")
@web_options
@hook_options("final caption")
@log_level_option
def caption(**options: Any) -> None:
    """Write down what is said, live.

    SOURCE is a file (WAV, FLAC, Ogg, MP3), or - for raw 16 kHz mono s16le on standard input; without
    it the microphone is used. Captions go to standard output, everything else to standard error.
    Ctrl-C or SIGTERM ends it with a summary.
    """
    if options["as_json"] and options["form"] is None:
        options["form"] = "json"
    settle_vad(options)
    settle_denoise(options)
    settle_web(options)
    _run(_Options(**options))


def _run(options: _Options) -> None:
    from edgeaudio.sinks.hook import is_final_caption

    _check(options)
    signals = StopSignals()
    with signals.caught(), quiet_libraries(), contextlib.ExitStack() as stack:
        # What is cheap to get wrong is checked before what is slow to load.
        hook = attach_hook(options, is_final_caption, signals, stack, wait=options.fast)
        file = _open_file(options)
        if file is not None:
            stack.callback(file.close)
        profile = settle_profile(options.profile)
        load_numba()
        others: list[Sink] = [file] if file is not None else []
        source, tasks, page = _listeners(options, profile)
        if options.vad is not None:
            others += gate_facts(tasks)
        if page is not None:
            stack.callback(page.server.close)
            others.append(page.server)

        from edgeaudio.cli.session import Session, open_events
        from edgeaudio.cli.summary import Tally
        from edgeaudio.engine import Engine

        engine = Engine(source, *tasks, profile=profile, denoise=open_denoiser(options))
        if page is not None:
            page.start(engine)
        events = open_events(engine, stack, clocked=options.source == "-")
        output, tally = _output(options), Tally(captions=True)
        Session(engine, events, signals, output, tally, hook=hook, others=others).listen()
        if file is not None and file.unwritten:
            raise OutputError(
                f"captions could not be written: {file.fact()[1]}",
                hint="Make room on the disk.",
            )


def _listeners(options: _Options, profile: Profile) -> tuple[Source, list[Task], Page | None]:
    """Return what is listened to and what listens; on a page, both are more than the source and the model."""
    opener = partial(open_source, options, profile)
    if options.web is None:
        return opener(), [_gated(_load(options, profile), options, profile)], None
    first = first_source(opener, optional=options.source is None and options.device is None)
    recognizer = _load(options, profile)
    page = Page(options, first, opener, recognizer)
    return page.server.source, [_gated(recognizer, options, profile), page.tap], page


def _gated(recognizer: Recognizer, options: _Options, profile: Profile) -> Task:
    if options.vad is None:
        return recognizer
    return gate_speech(recognizer, options.vad, options.backend, profile)


def _check(options: _Options) -> None:
    """Refuse options that contradict each other."""
    check_source(options, "caption")
    if options.as_json and options.form not in (None, "json"):
        raise UsageError(f"both --json and --format {options.form} were given", hint="Give one of them.")
    check_recognizer(options)
    if options.end_complete_s is not None and options.grammar is None:
        raise UsageError("--end-complete is for orders of a --grammar", hint="Leave it out.")
    if (
        options.output is not None
        and options.source is not None
        and is_same_file(options.output, options.source)
    ):
        raise UsageError(f"{options.output} is what is listened to", hint="Name another --output.")


def _open_file(options: _Options) -> TranscriptFile | None:
    if options.output is None:
        return None
    from edgeaudio.sinks.transcript_file import TranscriptFile, format_of

    form = options.form
    if form is None or form == "live":
        form = "text"
    return TranscriptFile(options.output, format_of(options.output) or form)


def _load(options: _Options, profile: Profile) -> Recognizer:
    return load_recognizer(options, profile, _endpoint(options))


def _endpoint(options: _Options) -> Endpoint:
    return make_endpoint(options.end_silence_s, options.end_complete_s, options.max_length_s)


def _output(options: _Options) -> Sink:
    from edgeaudio.cli.session import is_terminal

    form = options.form
    if form is None:
        watched = is_terminal(sys.stdout) and os.environ.get("TERM") != "dumb"
        form = "live" if watched else "text"
    if form == "live" and sys.stdout is not None:
        from edgeaudio.sinks.captions import LiveCaptions

        return LiveCaptions(sys.stdout, status=is_terminal(sys.stdout))
    from edgeaudio.sinks.transcript import TranscriptStream

    return TranscriptStream(stdout_bytes(), "text" if form == "live" else form)
