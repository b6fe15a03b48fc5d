"""``edgeaudio ledger``: what sounded like a word, heard again and labelled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeaudio.cli.common import (
    Number,
    harmless,
    json_option,
    log_level_option,
    print_json,
    print_table,
    quiet_libraries,
    size,
)
from edgeaudio.errors import InputError, UsageError
from edgeaudio.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from edgeaudio.evaluation.ledger import LedgerClip, LedgerFolder, Limits, Verdict

__all__ = ["ledger", "limit_options", "limits"]

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])
_DIR = click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
_VERDICTS: dict[str, Verdict] = {"word": "word", "y": "word", "other": "other", "n": "other", "none": ""}
_KEYS = "[y] the word  [n] something else  [s] skip  [r] again  [d] delete  [q] quit"


@click.group()
def ledger() -> None:
    """Clips of what sounded like a wake word: list, review and delete them.

    DIR is a folder that edgeaudio wake --ledger DIR, or edgeaudio calibrate --keep DIR, keeps. The clips are
    recordings of people; they stay on this device.
    """


def limit_options(prefix: str = "") -> Callable[[_COMMAND], _COMMAND]:
    """Add the options from which `limits` makes `Limits`, their names begun with `prefix`."""

    def add(command: _COMMAND) -> _COMMAND:
        for decorate in (
            click.option(
                f"--{prefix}days",
                "ledger_days",
                type=Number(min=0, max=3650),
                default=30.0,
                show_default=True,
                help="Delete clips of the ledger after so many days.",
            ),
            click.option(
                f"--{prefix}limit",
                "ledger_bytes",
                type=size,
                metavar="SIZE",
                default="100MB",
                show_default=True,
                help="The most that the ledger's clips may take.",
            ),
            click.option(
                f"--{prefix}clips",
                "ledger_clips",
                type=click.IntRange(min=1),
                default=1000,
                show_default=True,
                help="The most clips in the ledger.",
            ),
        ):
            command = decorate(command)
        return command

    return add


def limits(clips: int, size_bytes: int, days: float) -> Limits:
    """Return what the options of `limit_options` say."""
    from edgeaudio.evaluation.ledger import Limits

    return Limits(clips=clips, size_bytes=size_bytes, age_s=days * 86_400)


@ledger.command(name="list")
@_DIR
@json_option("Print one JSON object a clip.")
@log_level_option
def list_(folder: Path, *, as_json: bool) -> None:
    """Say which clips there are: score, threshold, and what they were found to be."""
    from edgeaudio.evaluation.ledger import read_ledger

    clips = read_ledger(folder)
    if as_json:
        for clip in clips:
            print_json(clip.to_json())
        return
    rows = [
        [
            f"{clip.heard_at.astimezone():%Y-%m-%d %H:%M:%S}",
            clip.word,
            clip.kind.replace("_", " "),
            f"{clip.score:.3f}",
            f"{clip.threshold:.3f}",
            clip.verdict or "-",
            clip.path.name,
        ]
        for clip in clips
    ]
    print_table(["heard", "word", "as", "score", "threshold", "verdict", "file"], rows)
    click.echo(_counts(clips), err=True)


@ledger.command()
@_DIR
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="PATH=VERDICT",
    help="Label one clip as word, other or none, instead of asking; repeatable.",
)
@click.option("--all", "everything", is_flag=True, help="Also ask about clips that have a verdict.")
@json_option("Print one JSON object a clip that was labelled or deleted.")
@log_level_option
def review(folder: Path, *, labels: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Play each clip and ask what it was.

    y says it was the word, n it was something else; s skips it, r plays it again, d deletes it, q ends.
    Each answer is stored at once. Where there is no loudspeaker, the file's path is shown instead.
    """
    from edgeaudio.evaluation.ledger import LedgerFolder, read_ledger

    clips = read_ledger(folder)
    store = LedgerFolder(folder)
    if labels:
        verdicts = dict(_parse_label(text, clips) for text in labels)
        store.judge(verdicts)
        clips = [clip for clip in store.clips() if clip.path.name in verdicts]
        for clip in clips:
            print_json(clip.to_json()) if as_json else click.echo(f"{clip.path.name}  {clip.verdict or '-'}")
        return
    waiting = [clip for clip in clips if everything or not clip.verdict]
    with quiet_libraries():
        _Reviewer(store, as_json=as_json).run(waiting)
    if not as_json:
        click.echo(_counts(store.clips()), err=True)


@ledger.command()
@_DIR
@limit_options()
@click.option("--all", "everything", is_flag=True, help="Delete every clip.")
@log_level_option
def prune(
    folder: Path, *, ledger_clips: int, ledger_bytes: int, ledger_days: float, everything: bool
) -> None:
    """Delete what is too old or too much: unheard clips first, then the oldest.

    edgeaudio wake --ledger does the same at its start, after each clip, and every ten minutes.
    """
    from edgeaudio.evaluation.ledger import LedgerFolder

    LedgerFolder.existing(folder)
    store = LedgerFolder(folder)
    if everything:
        n = len(names := {path.name for path in store.files()})
        store.remove(names)
    else:
        n = store.prune(limits(ledger_clips, ledger_bytes, ledger_days))
    click.echo(f"deleted {n}, {len(store.clips())} left")


class _Reviewer:
    """Asks about clips, one by one."""

    def __init__(self, store: LedgerFolder, *, as_json: bool) -> None:
        self._store = store
        self._as_json = as_json
        self._mute = False

    def run(self, clips: Sequence[LedgerClip]) -> None:
        for number, clip in enumerate(clips, start=1):
            at = f"{clip.heard_at.astimezone():%Y-%m-%d %H:%M:%S}"
            kind = "almost " if clip.kind == "near_miss" else ""
            text = (
                f"{number} of {len(clips)}  {at}  {kind}{clip.word}  {clip.score:.3f} of {clip.threshold:.3f}"
            )
            click.echo(harmless(text), err=True)
            answer = self._ask(clip)
            if answer == "q":
                return
            if answer in "yn":
                self._store.judge({clip.path.name: _VERDICTS[answer]})
            elif answer == "d":
                self._store.remove({clip.path.name})
            if self._as_json and answer != "s":
                told = clip.to_json()
                print_json({**told, "verdict": "deleted" if answer == "d" else _VERDICTS[answer]})

    def _ask(self, clip: LedgerClip) -> str:
        """Play the clip until there is an answer; the end of the input is one, too."""
        self._play(clip)
        while True:
            click.echo(f"{_KEYS}: ", nl=False, err=True)
            if sys.stdin is not None and sys.stdin.isatty():
                key = click.getchar()
                click.echo(key if key.isprintable() else "", err=True)
            else:
                key = (sys.stdin.readline() if sys.stdin is not None else "") or "q"
                click.echo(err=True)
            key = key.strip().lower()[:1]
            if key == "r":
                self._play(clip)
            elif key and key in "ynsdq":
                return key

    def _play(self, clip: LedgerClip) -> None:
        try:
            trouble = None if self._mute else _play(clip.path)
        except InputError as error:
            click.echo(harmless(f"  it cannot be played: {error.message}"), err=True)
            return
        if trouble is not None:
            self._mute = True
            click.echo(f"there is no loudspeaker ({trouble}); listen to the files yourself", err=True)
        if self._mute:
            click.echo(f"  {harmless(str(clip.path))}", err=True)


def _play(path: Path) -> str | None:
    """Play a file, or return why not."""
    from edgeaudio.evaluation.manifest import Row, read_clip

    samples = read_clip(Row(path=path, origin=str(path.parent)))
    try:
        import sounddevice
    except ImportError:
        return 'pip install "edgeaudio[mic]"'
    except OSError:
        return "PortAudio is not installed"
    try:
        if sounddevice.default.device[1] < 0:
            return "no device for output"
        sounddevice.play(samples, SAMPLE_RATE_HZ, blocking=True)
    except (sounddevice.PortAudioError, ValueError) as error:
        return str(error).split("\n", maxsplit=1)[0].split(" [")[0].rstrip(".")
    return None


def _parse_label(text: str, clips: Sequence[LedgerClip]) -> tuple[str, Verdict]:
    path, equals, verdict = text.rpartition("=")
    if not equals or verdict not in _VERDICTS:
        raise UsageError(
            f"--label {text!r} is not understood", hint="Write PATH=word, PATH=other or PATH=none."
        )
    name = Path(path).name
    if name not in {clip.path.name for clip in clips}:
        raise UsageError(f"there is no clip {path!r} in the ledger", hint="edgeaudio ledger list shows them.")
    return name, _VERDICTS[verdict]


def _counts(clips: Sequence[LedgerClip]) -> str:
    n = {verdict: sum(clip.verdict == verdict for clip in clips) for verdict in ("word", "other", "")}
    return f"{len(clips)} clips: {n['word']} the word, {n['other']} something else, {n['']} not reviewed"
