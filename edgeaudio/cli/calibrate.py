"""``edgeaudio calibrate``: set a threshold for this room."""

from __future__ import annotations

import contextlib
import logging
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.calibrate_result import peaks_text, print_result, show, why_not
from edgeaudio.cli.common import (
    Number,
    json_option,
    log_level_option,
    print_json,
    quiet_libraries,
    seconds,
)
from edgeaudio.cli.listening import (
    SourceOptions,
    backend_option,
    check_source,
    profile_option,
    settle_profile,
)
from edgeaudio.cli.rates import Rate, length, rate
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import BudgetError, InputError, UsageError

if TYPE_CHECKING:
    from edgeaudio.evaluation.manifest import Row
    from edgeaudio.evaluation.room import RoomResult
    from edgeaudio.evaluation.room_log import Listened
    from edgeaudio.evaluation.room_task import RoomTask
    from edgeaudio.models.manifest import ModelManifest
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.tasks.spotter import Spotter

__all__ = ["calibrate"]

_LOG = logging.getLogger(__name__)
_DEFAULT_MODEL = "wake-computer"
_NEAR_RATIO = 0.5
_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command was asked for."""

    recordings: tuple[str, ...]
    model: str
    hours: float | None
    rate: Rate
    positives: Path | None
    keep: Path | None
    fast: bool
    device: str | None
    channel: int | None
    give_up_s: float | None
    fresh: bool
    dry_run: bool
    show: bool
    reset: bool
    profile: str | None
    backend: Runtime | None
    as_json: bool

    @property
    def in_room(self) -> bool:
        """Whether what is heard is this room, now, and not recordings."""
        return self.recordings in {(), ("-",)}


@click.command()
@click.argument("recordings", nargs=-1, metavar="[SOURCE|RECORDING|MANIFEST...]")
@click.option("--model", default=_DEFAULT_MODEL, show_default=True, metavar="NAME|PATH", help="The model.")
@click.option(
    "--hours",
    type=Number(min=0, min_open=True, max=8760),
    help="How long to listen; of recordings, how much to read.",
)
@click.option(
    "--max-false-alarms",
    "rate",
    type=rate,
    default="0.5/day",
    show_default=True,
    metavar="RATE",
    help="How often the word may be heard that nobody said: 0.5/day, 1/hour, 2/week.",
)
@click.option(
    "--positives",
    type=_PATH,
    metavar="MANIFEST|DIR",
    help="Recordings of the word, to say what a threshold misses.",
)
@click.option(
    "--keep", type=_PATH, metavar="DIR", help="Keep clips of what sounded like the word, as a ledger."
)
@click.option("--fast", is_flag=True, help="Recordings are always read as fast as possible.")
@click.option("--device", metavar="INDEX|NAME", help="Microphone: its index or part of its name.")
@click.option("--channel", type=click.IntRange(min=0), help="Listen to this channel only, from 0.")
@click.option(
    "--give-up",
    "give_up_s",
    metavar="SECONDS",
    type=seconds(0, 1e9),
    help="End when the microphone has been gone for so many seconds.  [default: never]",
)
@click.option("--fresh", is_flag=True, help="Forget what was heard before, instead of going on.")
@click.option("--dry-run", is_flag=True, help="Say the threshold, but do not set it.")
@click.option("--show", is_flag=True, help="Say which thresholds were set.")
@click.option("--reset", is_flag=True, help="Go back to the model's own threshold.")
@profile_option
@backend_option
@json_option("Print one JSON object: threshold, rate, interval, curve, and what was heard.")
@log_level_option
def calibrate(**options: Any) -> None:
    """Set a model's threshold for this room.

    Listens for --hours while nobody says the word, and sets the threshold at which it would have been
    heard no more often than --max-false-alarms. From then on edgeaudio wake uses it. Without a SOURCE the
    microphone is heard; - is raw 16 kHz mono s16le on standard input; recordings, folders of them and
    manifests are read as fast as possible. Ctrl-C keeps what was heard: the next call goes on.
    """
    _run(Options(**options))


def _run(options: Options) -> None:
    if options.show:
        show(as_json=options.as_json)
        return
    if options.reset:
        _reset(options.model)
        return
    _check(options)
    signals = StopSignals()
    with signals.caught(), quiet_libraries(), contextlib.ExitStack() as stack:
        from edgeaudio.cli.calibrate_listen import listen, open_keep, read
        from edgeaudio.evaluation.room_task import RoomTask

        # What is cheap to get wrong is checked before what is slow to load.
        rows = [] if options.in_room else _rows(options.recordings)
        positives = _rows([str(options.positives)]) if options.positives is not None else []
        keep = open_keep(options)
        if keep is not None:
            stack.callback(keep.close)
        profile = settle_profile(options.profile)
        load_numba()
        task = RoomTask(_load(options, profile), _NEAR_RATIO)
        if options.in_room:
            listened = listen(options, task, profile, signals, keep=keep)
        else:
            listened = read(
                options, task, profile, signals, rows=_without_word(rows, task.manifest), keep=keep
            )
        if listened.seconds <= 0:
            raise InputError(
                "nothing was heard, so that nothing is known",
                hint="Listen for longer; a muted microphone hears nothing.",
            )
        result = _result(options, listened, task, positives, profile)
        wanted_s = 0.0 if options.hours is None else 3600 * options.hours
        # Recordings that are shorter are all there is.
        cut_off = signals.received is not None and (not options.in_room or listened.seconds < wanted_s - 1)
        _conclude(options, task.manifest, listened, result, cut_off=cut_off)


def _check(options: Options) -> None:
    if options.in_room and options.hours is None:
        raise UsageError(
            "--hours is missing: how long shall it listen?",
            hint="For example --hours 24, a day as it usually is; more is better.",
        )
    if "-" in options.recordings and len(options.recordings) > 1:
        raise UsageError("- is standard input, and nothing can be read beside it", hint="Leave it out.")
    if not options.in_room and options.device is not None:
        raise UsageError("both recordings and --device were given", hint="Give one of them.")
    check_source(source_options(options), "calibrate")


def source_options(options: Options, path: str | None = None) -> SourceOptions:
    """Return what `open_source` wants to know; `path` is a recording."""
    source = path if path is not None else next(iter(options.recordings), None)
    return SourceOptions(
        source=source,
        fast=source not in {None, "-"},
        device=options.device,
        channel=options.channel,
        give_up_s=options.give_up_s,
    )


def _load(options: Options, profile: Profile) -> Spotter:
    from edgeaudio.models.enrolments import list_enrolments
    from edgeaudio.tasks.spotter import Spotter

    if options.model in list_enrolments():
        raise UsageError(
            f"'{options.model}' is enrolled, and what is enrolled carries its own threshold",
            hint=f"Name one with edgeaudio wake --model {options.model} --threshold, or enrol it anew with "
            "another --max-false-alarms or with --negatives.",
        )
    return Spotter.load(options.model, backend=options.backend, profile=profile)


def _rows(paths: tuple[str, ...] | list[str]) -> list[Row]:
    from edgeaudio.evaluation.labels import find_recordings
    from edgeaudio.evaluation.manifest import read_manifest

    rows: list[Row] = []
    for path in map(Path, paths):
        manifest = path / "manifest.tsv" if path.is_dir() else path
        listed = manifest.suffix.lower() == ".tsv" and manifest.is_file()
        found = read_manifest(manifest) if listed else find_recordings(path)
        if not found:
            raise InputError(f"{path}: there is no recording in this folder")
        rows += found
    return rows


def _without_word(rows: list[Row], manifest: ModelManifest) -> list[Row]:
    """Leave out what is labelled with a word of the model or has it in its text."""
    from edgeaudio.evaluation.wake import normalise

    words = [f"_{normalise(word)}_" for word in manifest.spotted]
    kept = [
        row
        for row in rows
        if not any(word in f"_{normalise(row.label)}__{normalise(row.text)}_" for word in words)
    ]
    if len(kept) < len(rows):
        _LOG.warning("%d recordings in which the word is said are left out", len(rows) - len(kept))
    if not kept:
        raise InputError("the word is said in each of the recordings", hint="Give some without it.")
    return kept


def _result(
    options: Options, listened: Listened, task: RoomTask, positives: list[Row], profile: Profile
) -> RoomResult:
    from edgeaudio.evaluation.replay import Replay
    from edgeaudio.evaluation.room import calibrate_room, joined

    manifest = task.manifest
    replay = Replay(manifest, manifest.spotted, task.frame_ms / 1000)
    replay.negatives = joined(listened.stretches, manifest, task.frame_ms)
    if positives:
        from edgeaudio.cli.progress import progress_bar
        from edgeaudio.evaluation.scoring import Scorer
        from edgeaudio.evaluation.wake import add_positives

        with progress_bar("positives") as progress:
            scorer = Scorer(_load(options, profile))
            add_positives(replay, positives, scorer, manifest.spotted, progress=progress)
    return calibrate_room(replay, manifest, task.frame_ms, listened.seconds / 3600, options.rate.per_hour)


def _conclude(
    options: Options, manifest: ModelManifest, listened: Listened, result: RoomResult, *, cut_off: bool
) -> None:
    taught = result.chosen.method != "bounded" or result.chosen.threshold > result.own.threshold
    refused = why_not(options, result) if taught and not cut_off else None
    settles = taught and refused is None and not (cut_off or options.dry_run)
    saved = _save(options, manifest, result) if settles else None
    if options.as_json:
        print_json(
            {
                "model": manifest.name,
                **result.to_json(),
                "interrupted": cut_off,
                "saved": None if saved is None else str(saved),
                "refused": refused,
                "heard": [
                    {"at": heard.at, "source": heard.source, "name": heard.name, "score": heard.score}
                    for heard in listened.highest(1000)
                ],
            }
        )
    else:
        print_result(options, manifest, listened, result, refused=refused is not None)
    if refused is not None:
        again = "calibrate anew, with --fresh," if options.in_room else "calibrate with recordings"
        raise BudgetError(
            f"no threshold was set, and what was set before stays: {refused}{peaks_text(listened)}",
            hint=f"If somebody said the word then, {again} without that; "
            "else listen for longer, or allow more false alarms.",
        )
    if options.as_json:
        return
    if saved is not None:
        click.echo(f"\nset in {saved}; edgeaudio wake uses it from now on")
    elif cut_off and options.in_room:
        click.echo(
            f"\nnot set: {length(result.hours)} of {length(options.hours or 0)} were heard. The same command "
            f"goes on; with --hours {math.floor(1e4 * result.hours) / 1e4:g} it takes this threshold."
        )
    elif not taught:
        click.echo("\nnot set: too little was heard to call for another threshold than the model's own")
    else:
        click.echo("\nnot set")


def _save(options: Options, manifest: ModelManifest, result: RoomResult) -> Path:
    from edgeaudio.models.calibrated import Calibrated, fingerprint, save_calibrated

    point = result.chosen
    low, high = (24 * limit for limit in point.interval)
    return save_calibrated(
        Calibrated(
            model=manifest.name,
            fingerprint=fingerprint(manifest),
            threshold=point.threshold,
            max_false_alarms=options.rate.text,
            reached=result.reached,
            per_day=24 * point.per_hour,
            per_day_interval=(low, high),
            method=point.method,
            hours=result.hours,
            calibrated_at=datetime.now().astimezone().isoformat(timespec="seconds"),
        )
    )


def _reset(model: str) -> None:
    from edgeaudio.evaluation.room_log import RoomLog, rooms_folder
    from edgeaudio.models.calibrated import forget_calibrated

    name = model
    if "/" in model:
        from edgeaudio.models.catalogue import find_model
        from edgeaudio.models.manifest import MANIFEST_FILE, load_manifest

        name = load_manifest(find_model(model) / MANIFEST_FILE).name
    was_set = forget_calibrated(name)
    RoomLog.delete(rooms_folder() / f"{name}.jsonl")
    click.echo(f"{name}: {'back to its own threshold' if was_set else 'no threshold was set'}")
