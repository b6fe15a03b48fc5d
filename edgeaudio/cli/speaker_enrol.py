"""``edgeaudio speaker enrol``: a voice from a few recordings, kept as numbers on the device."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import harmless, json_option, log_level_option, print_json, quiet_libraries, seconds
from edgeaudio.cli.listening import backend_option
from edgeaudio.errors import InputError, UsageError

if TYPE_CHECKING:
    from edgeaudio.models.enrolments import Enrolment
    from edgeaudio.profiles import Runtime
    from edgeaudio.tasks.speaker import Speaker, Voiceprint
    from edgeaudio.types import Samples

__all__ = ["enrol", "facts", "read_speech"]

_PART_S = 5.0
"""Recordings are heard in parts of about this length: each may be found unlike the others."""
_GOOD_S, _LEAST_S = 15.0, 3.0
_RATE = 0.01
_BLOCK_S = 0.25


@dataclass(frozen=True, kw_only=True)
class _Options:
    name: str
    clips: tuple[Path, ...]
    record_s: float | None
    model: str
    device: str | None
    channel: int | None
    backend: Runtime | None
    replace: bool
    as_json: bool


@click.command()
@click.argument("name")
@click.argument("clips", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--record",
    "record_s",
    type=seconds(_LEAST_S, 300),
    metavar="SECONDS",
    help="Record so long through the microphone, besides the clips.",
)
@click.option(
    "--model", metavar="NAME|PATH", default="speaker-small", show_default=True, help="Whose ear it is."
)
@click.option("--device", metavar="INDEX|NAME", help="Microphone: its index or part of its name.")
@click.option("--channel", type=click.IntRange(min=0), help="Listen to this channel only, from 0.")
@backend_option
@click.option("--replace", is_flag=True, help="Put it in the place of what was enrolled under this name.")
@json_option("Print one JSON object.")
@log_level_option
def enrol(**options: Any) -> None:
    """Enrol a voice from recordings of one person.

    NAME is what the person shall be called, CLIPS are recordings of nobody else (WAV, FLAC, Ogg, MP3),
    fifteen seconds of speech or more if possible. Only numbers are kept, for your eyes only.
    """
    _run(_Options(**options))


def _run(options: _Options) -> None:
    from edgeaudio.models.enrolments import check_name, list_enrolments, save_enrolment

    name = check_name(options.name)
    if not options.clips and options.record_s is None:
        raise UsageError("there are no recordings", hint="Name clips, or record some with --record 20.")
    if name in list_enrolments() and not options.replace:
        raise UsageError(
            f"'{name}' is enrolled already", hint="Take another name, or put it in its place with --replace."
        )
    with quiet_libraries():
        from edgeaudio.tasks.speaker import Speaker

        speaker = Speaker.load(options.model, backend=options.backend)
        # One that is given twice would seem to be met again: in the parts that are left out, too.
        clips = {os.path.realpath(path): path for path in options.clips}.values()
        heard = [(str(path), read_speech(path)) for path in clips]
        if options.record_s is not None:
            heard.append(("what was recorded", _record(options.record_s, options.device, options.channel)))
        enrolment = _enrolled(name, speaker, heard)
        folder = save_enrolment(enrolment)
    if options.as_json:
        print_json({**facts(enrolment), "path": str(folder)})
    else:
        _tell(enrolment, folder)


def read_speech(path: Path) -> Samples:
    """Decode a recording of at most ten minutes.

    Raises
    ------
    InputError
        It is longer, or no recording.
    """
    from edgeaudio.evaluation.manifest import Row, read_clip
    from edgeaudio.sources.file import FileSource

    FileSource(path).stop()  # whose messages say what is wrong with a file
    return read_clip(Row(path, str(path)))


def _enrolled(name: str, speaker: Speaker, heard: Sequence[tuple[str, Samples]]) -> Enrolment:
    from edgeaudio.evaluation.intervals import wilson_interval
    from edgeaudio.models.background import embedding_fingerprint
    from edgeaudio.models.enrolments import Enrolment, Estimate, SpeakerNumbers
    from edgeaudio.tasks.speaker import mean_voice

    parts: list[tuple[str, Voiceprint]] = []
    warnings: list[str] = []
    for source, samples in heard:
        own = [one for one in _parts(speaker, samples) if one.speech_s >= _least_s(speaker)]
        parts += [(source, one) for one in own]
        if not own:
            warnings.append(f"{source}: too little speech in it; left out")
    speech_s = sum(one.speech_s for _, one in parts)
    if speech_s < _LEAST_S:
        told = "".join(f"\n  {warning}" for warning in warnings)
        raise InputError(
            f"only {speech_s:.1f} s of speech to enrol '{name}' from{told}",
            hint=f"{_LEAST_S:g} s are the least, {_GOOD_S:g} s are good: --record 20 adds them.",
        )
    missed = _unlike(speaker, parts)
    warnings += [f"a part of {source} is unlike the rest: is it the same person?" for source in missed]
    if speech_s < _GOOD_S:
        warnings.append(
            f"{speech_s:.0f} s of speech are little: with {_GOOD_S:g} s or more it will miss less"
        )
    tried = len(parts) if len(parts) > 1 else 0
    manifest = speaker.manifest
    return Enrolment(
        name=name,
        kind="speaker",
        model=manifest.name,
        model_version=manifest.version,
        fingerprint=embedding_fingerprint(manifest),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        recordings=len({source for source, _ in parts}),
        estimate=Estimate(missed=len(missed), of=tried, interval=wilson_interval(len(missed), tried)),
        speaker=SpeakerNumbers(
            voice=tuple(float(f"{value:.6g}") for value in mean_voice([one for _, one in parts])),
            speech_s=round(speech_s, 2),
        ),
        warnings=tuple(warnings),
    )


def _parts(speaker: Speaker, samples: Samples) -> list[Voiceprint]:
    import numpy as np

    from edgeaudio.types import SAMPLE_RATE_HZ

    n = max(1, round(len(samples) / (_PART_S * SAMPLE_RATE_HZ)))
    shortest = _least_s(speaker) * SAMPLE_RATE_HZ
    return [speaker.hear(part) for part in np.array_split(samples, n) if len(part) >= shortest]


def _least_s(speaker: Speaker) -> float:
    return speaker.voices.least_speech_ms / 1000


def _unlike(speaker: Speaker, parts: Sequence[tuple[str, Voiceprint]]) -> list[str]:
    """Where the parts come from that what the others tell would not accept."""
    from edgeaudio.tasks.speaker import mean_voice

    prints = [one for _, one in parts]
    threshold, found = speaker.threshold(_RATE), []
    for i, (source, one) in enumerate(parts):
        others = prints[:i] + prints[i + 1 :]
        if others and speaker.score(mean_voice(others), one.vector[None])[0] < threshold:
            found.append(source)
    return found


def _record(wanted_s: float, device: str | None, channel: int | None) -> Samples:
    """What the microphone hears in so many seconds; what is lost in between does not count."""
    import numpy as np

    from edgeaudio.cli.background import StopSignals
    from edgeaudio.cli.startup import load_numba
    from edgeaudio.types import SAMPLE_RATE_HZ

    load_numba()
    from edgeaudio.sources.microphone import Microphone

    source, signals = Microphone(device, channel=channel, give_up_s=15.0), StopSignals()
    blocks, missing = [], round(wanted_s * SAMPLE_RATE_HZ)
    with signals.caught(), contextlib.ExitStack() as stack:
        signals.watch(source.stop)
        source.start()
        stack.callback(source.stop)
        click.echo(f"speak now, for {wanted_s:g} s, as you always do", err=True)
        deadline = time.monotonic() + 2 * wanted_s + 15.0
        while missing > 0 and not source.finished and time.monotonic() < deadline:
            source.wait(round(_BLOCK_S * SAMPLE_RATE_HZ), 1.0)
            source.ring.take_gap()
            block = source.ring.peek(min(missing, source.ring.available))
            if block is not None and len(block):
                blocks.append(block.copy())
                missing -= len(block)
                source.ring.advance(len(block))
    if missing > 0:
        raise InputError("the recording was ended; nothing was enrolled")
    return np.concatenate(blocks)


def facts(enrolment: Enrolment) -> dict[str, Any]:
    """All but the numbers themselves."""
    import msgspec

    told: dict[str, Any] = msgspec.to_builtins(enrolment)
    numbers = told.pop("speaker", None) or {}
    return {**told, "speech_s": numbers.get("speech_s"), "warnings": list(enrolment.warnings)}


def _tell(enrolment: Enrolment, folder: Path) -> None:
    estimate, (low, high) = enrolment.estimate, enrolment.estimate.interval
    speech_s = 0.0 if enrolment.speaker is None else enrolment.speaker.speech_s
    for warning in enrolment.warnings:
        click.echo(harmless(f"warning   {warning}"), err=True)
    lines = [
        f"enrolled  {enrolment.name}, from {speech_s:.0f} s of speech, with {enrolment.model}"
        f" {enrolment.model_version}",
        f"missed    {estimate.missed} of {estimate.of} parts when each was left out once: between {low:.0%}"
        f" and {high:.0%} of what is spoken like this (95 %)",
        "passed by 1 % of strangers, as the model was measured; more at home, where families sound alike",
        "          This is no authentication: a recording of the voice passes as well.",
        f"kept in   {folder}",
        "use it    edgeaudio speaker identify",
    ]
    for line in lines:
        click.echo(harmless(line))
