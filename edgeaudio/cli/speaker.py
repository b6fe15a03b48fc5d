"""``edgeaudio speaker``: tell by the voice who speaks, among people who were enrolled."""

from __future__ import annotations

import contextlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import (
    harmless,
    json_option,
    log_level_option,
    print_json,
    print_table,
    quiet_libraries,
)
from edgeaudio.cli.listening import (
    HookOptions,
    SourceOptions,
    attach_hook,
    backend_option,
    check_source,
    hook_options,
    open_source,
    profile_option,
    settle_profile,
    source_options,
)
from edgeaudio.cli.speaker_enrol import enrol, facts, read_speech
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import InputError, ModelError, UsageError

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.tasks.turns import SpeakerTask
    from edgeaudio.types import Samples

__all__ = ["part", "speaker"]

NOT_ACCEPTED = 9
_LONGEST_INPUT_S = 600


def part(text: str | float) -> float:
    """Read a part of one such as ``1%`` or ``0.01``, as an option's type."""
    if isinstance(text, float):
        return text
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(%?)\s*", text)
    number = float(match[1]) / (100.0 if match[2] else 1.0) if match else 0.0
    if not 0.0 < number < 1.0:
        raise click.BadParameter(f"{text!r} is no part of all: write for example 1% or 0.01.")
    return number


model_option = click.option(
    "--model", metavar="NAME|PATH", default="speaker-small", show_default=True, help="Whose ear it is."
)
false_accepts_option = click.option(
    "--max-false-accepts",
    "false_accepts",
    type=part,
    default="1%",
    show_default=True,
    metavar="PART",
    help="The part of strangers who may pass, by the model's measures: 0.1% to 20%.",
)


@click.group()
def speaker() -> None:
    """Tell by the voice who speaks, among people who were enrolled.

    This is no authentication: a recording of a voice passes as the voice does, and a part of all
    strangers, which you choose, passes too. Let nothing depend on it that somebody might want to get at.
    """


speaker.add_command(enrol)


@speaker.command()
@click.argument("name")
@click.argument("clip")
@model_option
@false_accepts_option
@backend_option
@json_option("Print one JSON object: accepted, score, threshold, speech_s, …")
@log_level_option
def verify(
    *, name: str, clip: str, model: str, false_accepts: float, backend: Runtime | None, as_json: bool
) -> None:
    """Say whether a recording sounds like somebody who was enrolled; exit code 9 if not.

    CLIP is a file (WAV, FLAC, Ogg, MP3), or - for raw 16 kHz mono s16le on standard input, all of it
    spoken by one person. The score is the natural logarithm of how many times more probable it is if NAME
    speaks than if a stranger does. This is no authentication.
    """
    with quiet_libraries():
        from edgeaudio.tasks.speaker import Speaker, enrolled_voices

        ear = Speaker.load(model, backend=backend)
        voice = enrolled_voices(ear, [name])[name]
        threshold = ear.threshold(false_accepts)
        heard = ear.hear(_raw_input() if clip == "-" else read_speech(Path(clip)))
    least_s = ear.voices.least_speech_ms / 1000
    if heard.speech_s < least_s:
        raise InputError(
            f"{heard.speech_s:.1f} s of speech tell nothing about who speaks",
            hint=f"Give {ear.voices.seconds:g} s; {least_s:g} s are the least.",
        )
    score = float(ear.score(voice, heard.vector[None])[0])
    accepted = score >= threshold
    if as_json:
        print_json(
            {
                "name": name,
                "accepted": accepted,
                "score": round(score, 4),
                "threshold": threshold,
                "max_false_accepts": false_accepts,
                "speech_s": heard.speech_s,
                "model": ear.manifest.name,
            }
        )
    else:
        verdict = "accepted" if accepted else "not accepted"
        click.echo(
            harmless(
                f"{name}: {verdict}, score {score:.2f}; {100 * false_accepts:.3g} % of strangers reach "
                f"{threshold:.2f}"
            )
        )
        if heard.speech_s < ear.voices.seconds / 2:
            click.echo(
                f"{heard.speech_s:.1f} s of speech are little: it errs more often than promised", err=True
            )
    if not accepted:
        click.get_current_context().exit(NOT_ACCEPTED)


def _raw_input() -> Samples:
    import numpy as np

    from edgeaudio.types import SAMPLE_RATE_HZ

    data = sys.stdin.buffer.read(2 * _LONGEST_INPUT_S * SAMPLE_RATE_HZ + 2)
    if len(data) > 2 * _LONGEST_INPUT_S * SAMPLE_RATE_HZ:
        raise InputError(f"standard input goes on for more than {_LONGEST_INPUT_S} s", hint="Cut it.")
    steps = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
    return np.asarray(steps / np.float32(32768.0), np.float32)


@dataclass(frozen=True, kw_only=True)
class _Options(SourceOptions, HookOptions):
    names: tuple[str, ...]
    model: str
    vad: str
    false_accepts: float
    backend: Runtime | None
    profile: str | None
    as_json: bool


@speaker.command()
@source_options
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="Know these only; repeatable.  [default: all enrolled]",
)
@model_option
@click.option(
    "--vad", metavar="NAME|PATH", default="vad-small", show_default=True, help="What finds the speech."
)
@false_accepts_option
@profile_option
@backend_option
@json_option("Print one JSON object an event.")
@hook_options("turn of a speaker")
@log_level_option
def identify(**options: Any) -> None:
    """Tell who speaks, turn by turn: the names of those who were enrolled, or nobody known.

    SOURCE is a file (WAV, FLAC, Ogg, MP3), or - for raw 16 kHz mono s16le on standard input; without
    it the microphone is used. Turns go to standard output, everything else to standard error. Speech of more
    than six seconds is told in parts. This is no authentication.
    """
    _identify(_Options(**options))


def _identify(options: _Options) -> None:
    from edgeaudio.sinks.hook import is_turn

    check_source(options, "speaker identify")
    signals = StopSignals()
    with signals.caught(), quiet_libraries(), contextlib.ExitStack() as stack:
        hook = attach_hook(options, is_turn, signals, stack, wait=options.fast)
        profile = settle_profile(options.profile)
        load_numba()
        source = open_source(options, profile)
        task = _load(options, profile)

        from edgeaudio.cli.session import Session, line_output, open_events
        from edgeaudio.cli.summary import Tally
        from edgeaudio.engine import Engine

        engine = Engine(source, task, profile=profile)
        events = open_events(engine, stack, clocked=options.source == "-")
        Session(
            engine, events, signals, line_output(as_json=options.as_json), Tally(speakers=True), hook=hook
        ).listen()


def _load(options: _Options, profile: Profile) -> SpeakerTask:
    from edgeaudio.tasks.turns import SpeakerTask

    task = SpeakerTask.load(
        options.model,
        vad=options.vad,
        names=options.names,
        false_accepts=options.false_accepts,
        backend=options.backend,
        profile=profile,
    )
    if not task.names:
        click.echo("nobody is enrolled: every turn is somebody unknown (edgeaudio speaker enrol)", err=True)
    return task


@speaker.command("list")
@json_option("Print one JSON array.")
@log_level_option
def list_voices(*, as_json: bool) -> None:
    """List the voices that are enrolled."""
    from edgeaudio.models.enrolments import enrolments_folder, list_enrolments, load_enrolment

    rows, records = [], []
    for name in list_enrolments():
        try:
            enrolment = load_enrolment(enrolments_folder() / name)
        except ModelError as error:
            records.append({"name": name, "error": str(error)})
            rows.append((name, "broken", "", "", ""))
            continue
        if enrolment.speaker is not None:
            missed = f"{enrolment.estimate.missed} of {enrolment.estimate.of}"
            speech = f"{enrolment.speaker.speech_s:.0f} s"
            rows.append((name, enrolment.model, speech, missed, enrolment.created[:10]))
            records.append(facts(enrolment))
    if as_json:
        print_json(records)
    elif rows:
        print_table(("name", "model", "speech", "missed, left out", "enrolled"), rows)
    else:
        click.echo(f"no voice is enrolled in {enrolments_folder()}")


@speaker.command()
@click.argument("name")
@json_option("Print one JSON object.")
@log_level_option
def remove(*, name: str, as_json: bool) -> None:
    """Delete a voice that was enrolled."""
    from edgeaudio.models.enrolments import find_enrolment, load_enrolment, remove_enrolment

    kept = find_enrolment(name)
    with contextlib.suppress(ModelError):  # what is broken may go as well
        if load_enrolment(kept).speaker is None:
            raise UsageError(f"'{name}' is no voice", hint=f"edgeaudio enrol --remove {name} deletes it.")
    folder = remove_enrolment(name)
    if as_json:
        print_json({"removed": name, "path": str(folder)})
    else:
        click.echo(harmless(f"removed {folder}"))
