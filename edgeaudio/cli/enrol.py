"""``edgeaudio enrol``: a word or a voice from a few recordings, on the device."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import (
    Number,
    harmless,
    json_option,
    log_level_option,
    print_json,
    print_table,
    quiet_libraries,
)
from edgeaudio.cli.listening import backend_option
from edgeaudio.errors import InputError, ModelError, UsageError

if TYPE_CHECKING:
    from edgeaudio.evaluation.spoken import Spoken
    from edgeaudio.models.bundle import Bundle
    from edgeaudio.models.enrolments import Enrolment, Estimate
    from edgeaudio.profiles import Runtime

__all__ = ["enrol"]

_DEFAULT_MODEL = "words-small"
_LEAST_RECORDINGS, _GOOD_RECORDINGS = 3, 8
_LONGEST_S, _LONGEST_NEGATIVE_S = 30.0, 3600.0


@dataclass(frozen=True, kw_only=True)
class _Options:
    name: str | None
    clips: tuple[Path, ...]
    n_record: int | None
    model: str | None
    verify: str | None
    negatives: tuple[Path, ...]
    max_false_alarms: float
    keep_dir: Path | None
    device: str | None
    channel: int | None
    backend: Runtime | None
    list_all: bool
    remove: str | None
    replace: bool
    anyway: bool
    as_json: bool


@click.command()
@click.argument("name", required=False)
@click.argument("clips", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--record",
    "n_record",
    type=click.IntRange(_LEAST_RECORDINGS, 50),
    metavar="N",
    help="Record N times through the microphone, besides the clips.",
)
@click.option("--model", metavar="NAME|PATH", help="Model whose ear is borrowed.  [default: words-small]")
@click.option(
    "--verify", metavar="NAME|PATH", help="Enrol a voice behind this wake-word model, instead of a word."
)
@click.option(
    "--negatives",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="CLIP|DIR",
    help="Recordings that must not wake the word; repeatable.",
)
@click.option(
    "--max-false-alarms",
    type=Number(0.001, 100.0),
    default=0.5,
    show_default=True,
    metavar="RATE",
    help="How often an hour other speech may wake the word, as the model's background tells.",
)
@click.option(
    "--keep",
    "keep_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep what --record recorded as WAV files in this folder.",
)
@click.option("--device", metavar="INDEX|NAME", help="Microphone: its index or part of its name.")
@click.option("--channel", type=click.IntRange(min=0), help="Listen to this channel only, from 0.")
@backend_option
@click.option("--replace", is_flag=True, help="Put it in the place of what was enrolled under this name.")
@click.option("--anyway", is_flag=True, help="Keep it even if most of the recordings are unlike the others.")
@click.option("--list", "list_all", is_flag=True, help="List what is enrolled, and do nothing else.")
@click.option("--remove", metavar="NAME", help="Delete an enrolment, and do nothing else.")
@json_option("Print one JSON object, or an array with --list.")
@log_level_option
def enrol(**options: Any) -> None:
    """Enrol a word of your own, or a voice behind a wake word, from a few recordings.

    NAME is what it shall be called, CLIPS are recordings that each hold the word once (WAV, FLAC, Ogg,
    MP3), five or more of them if possible. Only numbers are kept, for your eyes only.
    """
    _run(_Options(**options))


def _run(options: _Options) -> None:
    if options.list_all or options.remove is not None:
        if options.name is not None or (options.list_all and options.remove is not None):
            raise UsageError("--list and --remove stand alone", hint="Leave the rest out.")
        _list(as_json=options.as_json) if options.list_all else _remove(options)
        return
    from edgeaudio.models.catalogue import find_model
    from edgeaudio.models.enrolments import check_name, list_enrolments, save_enrolment

    if options.name is None:
        raise UsageError("NAME is missing", hint="For example: edgeaudio enrol jarvis --record 5")
    name = check_name(options.name)
    if options.verify is not None and (options.model is not None or options.negatives):
        raise UsageError("--verify goes without --model and --negatives", hint="Leave them out.")
    if not options.clips and options.n_record is None:
        raise UsageError("there are no recordings", hint="Name clips, or record some with --record 5.")
    if name in list_enrolments() and not options.replace:
        raise UsageError(
            f"'{name}' is enrolled already", hint="Take another name, or put it in its place with --replace."
        )
    with contextlib.suppress(ModelError):
        taken = find_model(name)
        raise UsageError(f"there is a model '{name}', in {taken}", hint="Take another name.")
    with quiet_libraries():
        from edgeaudio.models.bundle import load_bundle

        bundle = load_bundle(find_model(options.verify or options.model or _DEFAULT_MODEL))
        _ = bundle.manifest.spotting  # refuse a recogniser before anybody is asked to speak
        enrolment = (
            _enrol_voice(name, bundle, options) if options.verify else _enrol_word(name, bundle, options)
        )
        if not options.anyway:
            _refuse_contradictions(enrolment)
        folder = save_enrolment(enrolment)
    if options.as_json:
        print_json({**_facts(enrolment), "path": str(folder)})
    else:
        _tell(enrolment, folder)


def _enrol_word(name: str, bundle: Bundle, options: _Options) -> Enrolment:
    from edgeaudio.backends import open_graph, stream_embedded
    from edgeaudio.evaluation.enrolling import fit_word, hear_word
    from edgeaudio.frontend import Frontend
    from edgeaudio.models.background import load_background

    background = load_background(bundle.path, bundle.manifest)
    graph, frontend = open_graph(bundle, options.backend), Frontend(bundle.manifest.frontend)
    recordings, warnings = _recordings(options)
    words = [hear_word(spoken, graph, frontend) for _, spoken in recordings]
    negatives, hint = [], "Give it in parts."
    for path in _negative_files(options.negatives):
        graph.reset()
        frontend.reset()
        negatives.append(stream_embedded(graph, frontend.process(_read(path, _LONGEST_NEGATIVE_S, hint)))[1])
    fit = fit_word(words, background, negatives=negatives, max_false_alarms=options.max_false_alarms)
    warnings += _disagreeing([label for label, _ in recordings], fit.scores)
    return _made(name, bundle, len(words), fit.estimate, warnings, word=fit.numbers)


def _enrol_voice(name: str, bundle: Bundle, options: _Options) -> Enrolment:
    import numpy as np

    from edgeaudio.evaluation.enrolling_voices import capture_voices, fit_voice
    from edgeaudio.models.voices import load_voices

    space = load_voices(bundle.path, bundle.manifest)
    recordings, warnings = _recordings(options)
    heard = capture_voices([spoken for _, spoken in recordings], bundle, options.backend)
    labels = [capture[0] for capture in heard if capture is not None]
    if not labels:
        raise InputError(
            f"{bundle.name} hears its word in none of the recordings",
            hint=f"They must hold: {', '.join(bundle.manifest.spotted)}.",
        )
    label = max(set(labels), key=labels.count)
    kept, placed = [], []
    for (source, _), capture in zip(recordings, heard, strict=True):
        if capture is None or capture[0] != label:
            warnings.append(f"{source}: {bundle.name} does not hear '{label}' in it; left out")
            continue
        kept.append(source)
        placed.append(space.place(label, capture[1]))
    if len(placed) < 2:
        raise InputError(f"'{label}' was heard in {len(placed)} recording only", hint="Two are the least.")
    fit = fit_voice(np.stack(placed), label, space)
    warnings += _disagreeing(kept, fit.scores)
    return _made(name, bundle, len(placed), fit.estimate, warnings, voice=fit.numbers)


def _made(
    name: str, bundle: Bundle, n: int, estimate: Estimate, warnings: list[str], **numbers: Any
) -> Enrolment:
    from edgeaudio.models.background import embedding_fingerprint
    from edgeaudio.models.enrolments import Enrolment

    if n < _GOOD_RECORDINGS:
        warnings = [*warnings, f"{n} recordings are few: with {_GOOD_RECORDINGS} or more it will miss less"]
    return Enrolment(
        name=name,
        kind="word" if "word" in numbers else "verifier",
        model=bundle.path.name,
        model_version=bundle.manifest.version,
        fingerprint=embedding_fingerprint(bundle.manifest),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        recordings=n,
        estimate=estimate,
        warnings=tuple(warnings),
        **numbers,
    )


def _refuse_contradictions(enrolment: Enrolment) -> None:
    """Keep nothing that would miss most of what it was made of."""
    missed, of = enrolment.estimate.missed, enrolment.estimate.of
    if missed > of / 2:
        told = "".join(f"\n  {warning}" for warning in enrolment.warnings)
        raise InputError(
            f"'{enrolment.name}' was not enrolled: {missed} of {of} recordings would be missed by what the "
            f"others tell{told}",
            hint="Is it the same word, by the same voice, once in each? Record them anew in a quiet place; "
            "--anyway keeps it all the same.",
        )


def _recordings(options: _Options) -> tuple[list[tuple[str, Spoken]], list[str]]:
    """The usable recordings with their names, and what is wrong with them."""
    from edgeaudio.evaluation.spoken import find_word

    hint = "Each recording holds the word once: cut it out, with half a second before and after it."
    found = [(str(path), find_word(_read(path, _LONGEST_S, hint))) for path in options.clips]
    if options.n_record is not None:
        from edgeaudio.cli.recording import record_words

        found += record_words(options.n_record, options.device, options.channel, options.keep_dir)
    warnings: list[str] = []
    good: list[tuple[str, Spoken]] = []
    seen: dict[str, str] = {}
    for label, spoken in found:
        if spoken.digest in seen:
            warnings.append(f"{label} is the same recording as {seen[spoken.digest]}; left out")
            continue
        seen[spoken.digest] = label
        warnings += [f"{label}: {problem}" for problem in spoken.problems]
        if not spoken.unusable:
            good.append((label, spoken))
    if len(good) < 2:
        told = "".join(f"\n  {warning}" for warning in warnings)
        raise InputError(
            f"{len(good)} usable recording{'' if len(good) == 1 else 's'} of {len(found)}{told}",
            hint=f"Two are the least, {_GOOD_RECORDINGS} are good: --record {_GOOD_RECORDINGS} adds them.",
        )
    return good, warnings


def _disagreeing(labels: Sequence[str], scores: Sequence[float]) -> list[str]:
    """Name recordings that what was made of the others does not know."""
    far = [label for label, score in zip(labels, scores, strict=True) if score < 0.0]
    if len(far) > len(labels) / 2:
        return ["the recordings disagree: most of them would be missed by what the others tell"]
    return [f"{label} is unlike the others, which would miss it" for label in far]


def _read(path: Path, longest_s: float, hint: str) -> Any:
    from edgeaudio.evaluation.manifest import Row, read_part
    from edgeaudio.sources.file import FileSource
    from edgeaudio.types import SAMPLE_RATE_HZ

    FileSource(path).stop()  # whose messages say what is wrong with a file
    samples = read_part(Row(path, str(path)), 0.0, longest_s + 0.1)
    if len(samples) > longest_s * SAMPLE_RATE_HZ:
        raise InputError(f"{path} is longer than {longest_s:g} s", hint=hint)
    return samples


def _negative_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, and every sound file in folders."""
    from edgeaudio.sources.file import SUFFIXES

    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not inside:
            raise InputError(f"{path} holds no sound files")
        files += inside
    return files


def _facts(enrolment: Enrolment) -> dict[str, Any]:
    """All but the numbers themselves."""
    import msgspec

    facts: dict[str, Any] = msgspec.to_builtins(enrolment)
    facts.pop("word", None)
    facts.pop("voice", None)
    facts.pop("speaker", None)
    facts["warnings"] = list(enrolment.warnings)
    return facts


def _tell(enrolment: Enrolment, folder: Path) -> None:
    estimate = enrolment.estimate
    for warning in enrolment.warnings:
        click.echo(harmless(f"warning   {warning}"), err=True)
    low, high = estimate.interval
    lines = [
        f"enrolled  {enrolment.name}, {'a word' if enrolment.kind == 'word' else 'a voice'} from"
        f" {enrolment.recordings} recordings, with {enrolment.model} {enrolment.model_version}",
        f"missed    {estimate.missed} of {estimate.of} when each was left out once: between {low:.0%} and"
        f" {high:.0%} of what is spoken like these recordings (95 %)",
    ]
    if estimate.false_alarms_per_hour is not None:
        lines.append(
            f"wakes by  other speech about {estimate.false_alarms_per_hour:.2g} times an hour, extrapolated"
            f" from {estimate.background_hours:.1f} h of it"
        )
    if estimate.strangers is not None and estimate.strangers_interval is not None:
        few, many = estimate.strangers_interval
        lines.append(
            f"passed by {estimate.passed} of {estimate.strangers} strangers: {few:.0%} to {many:.0%} (95 %),"
            " fewer than at home, where all use one microphone and families sound alike"
        )
    used = (
        f"edgeaudio wake --model {enrolment.name}"
        if enrolment.kind == "word"
        else f"edgeaudio wake --model {enrolment.model} --verifier {enrolment.name}"
    )
    for line in (*lines, f"kept in   {folder}", f"use it    {used}"):
        click.echo(harmless(line))


def _list(*, as_json: bool) -> None:
    from edgeaudio.models.enrolments import enrolments_folder, list_enrolments, load_enrolment

    rows, records = [], []
    for name in list_enrolments():
        try:
            enrolment = load_enrolment(enrolments_folder() / name)
        except ModelError as error:
            rows.append((name, "broken", "", "", ""))
            records.append({"name": name, "error": str(error)})
            continue
        estimate = enrolment.estimate
        missed = f"{estimate.missed} of {estimate.of}"
        rows.append((name, enrolment.kind, enrolment.model, missed, enrolment.created[:10]))
        records.append(_facts(enrolment))
    if as_json:
        print_json(records)
    elif rows:
        print_table(("name", "kind", "model", "missed, left out", "enrolled"), rows)
    else:
        click.echo(f"nothing is enrolled in {enrolments_folder()}")


def _remove(options: _Options) -> None:
    from edgeaudio.models.enrolments import remove_enrolment

    folder = remove_enrolment(options.remove or "")
    if options.as_json:
        print_json({"removed": options.remove, "path": str(folder)})
    else:
        click.echo(harmless(f"removed {folder}"))
