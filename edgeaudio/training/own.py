"""The user's own recordings: plain folders of audio, or corpora with a manifest.

In a plain folder every file that soundfile reads is a recording. Where files lie in folders of
their own, these tell them apart: for one wake word each is a speaker (``anna/01.wav``), for several
words the innermost is the word and the one around it, if any, the speaker (``anna/stop/01.wav``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeaudio.errors import InputError, UsageError
from edgeaudio.evaluation.ledger import is_ledger
from edgeaudio.evaluation.manifest import Row, iter_clip, path_text
from edgeaudio.sources.file import SUFFIXES
from edgeaudio.training.corpus import Clip, load_clips, mentions, sounds_only
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = [
    "NEGATIVES",
    "POSITIVES",
    "Division",
    "check_own",
    "divide",
    "own_manifests",
    "read_negatives",
    "read_positives",
]

POSITIVES, NEGATIVES = "positives", "negatives"
"""Corpora that own recordings are counted under."""

MAX_FILES = 100_000
MAX_POSITIVE_S = 10.0
"""Who says one word for longer has left the recorder running."""
MAX_HOURS = 20.0
"""Of negatives; 2.3 GB in memory."""
PIECE_S = 10.0
_REST = SAMPLE_RATE_HZ // 2
"""Samples at a recording's end that make no piece of their own."""
LEAST_MEASURED = 8
"""Fewer recordings than that are all learned from: they would measure nothing."""
MEASURED = 0.25

Told = Callable[[str], None]
_Words = Sequence[str]


@dataclass(frozen=True)
class Division:
    """Recordings with their split, and whose the measured ones are: a line for the user."""

    clips: list[Clip]
    told: str


def check_own(positives: Sequence[Path], negatives: Sequence[Path], words: _Words) -> None:
    """Make sure that there are recordings, and whose word is said in them, before anything is read.

    Raises
    ------
    InputError
        A folder does not exist or holds no audio.
    UsageError
        A folder does not tell which of several words is said, or is a ledger.
    """
    for folder in positives:
        for file in [] if own_manifests(folder) else _audio_files(folder):
            _said_by(folder, tuple(map(path_text, file.relative_to(folder).parts[:-1])), words)
    for folder in negatives:
        if not own_manifests(folder):
            _audio_files(folder)


def read_positives(folder: Path, words: _Words, cache: Path, tell: Told) -> list[Clip]:
    """Recordings of the words, labelled.

    In a corpus with a manifest an empty label stands for a single wanted word, other labels for other
    words. Files that cannot be read are left out and named, unless none can be read.

    Raises
    ------
    InputError
        The folder does not exist, holds no audio or none that can be read.
    UsageError
        The folder does not tell which of several words is said.
    """
    if manifests := own_manifests(folder):
        clips = load_clips(manifests, cache)
        return [replace(clip, label=_label(clip.label, words)) for clip in clips]
    clips = []
    for file in _audio_files(folder):
        inner = tuple(map(path_text, file.relative_to(folder).parts[:-1]))
        label, speaker = _said_by(folder, inner, words)
        for clip in _decode(file, folder, tell, most_s=MAX_POSITIVE_S):
            clips.append(replace(clip, corpus=POSITIVES, label=label, speaker=speaker))
    return _some(clips, folder)


def _label(label: str, words: _Words) -> str:
    return words[0] if not label and len(words) == 1 else label


def _said_by(folder: Path, inner: tuple[str, ...], words: _Words) -> tuple[str, str]:
    if len(words) == 1:
        return words[0], f"{folder.name}/{'/'.join(inner)}" if inner else ""
    label = (inner[-1] if inner else folder.name).lower().replace("_", " ")
    if label not in words:
        raise UsageError(
            f"{folder}: '{label}' is none of the words: {', '.join(words)}",
            hint=f"Put the recordings of each word into a folder of its name: {folder / words[0]}/01.wav",
        )
    return label, f"{folder.name}/{'/'.join(inner[:-1])}" if len(inner) > 1 else ""


def read_negatives(folder: Path, words: _Words, cache: Path, tell: Told) -> list[Clip]:
    """Recordings of anything but the words; long ones in pieces of ten seconds.

    A plain folder whose name says so (noise, background) holds sounds, any other one speech. Of a
    corpus with a manifest the recordings that mention a word are left out.

    Raises
    ------
    InputError
        The folder does not exist, holds no audio or none that can be read, or too much.
    """
    if manifests := own_manifests(folder):
        clips = load_clips(manifests, cache)
        kept = [clip for clip in clips if not mentions(clip, words)]
        if len(kept) < len(clips):
            tell(f"{folder}: {len(clips) - len(kept)} of {len(clips)} recordings mention a word: left out")
        return _some(kept, folder)
    corpus = f"{NEGATIVES}-noise" if sounds_only(folder.resolve().name, "") else NEGATIVES
    clips, seconds = [], 0.0
    for file in _audio_files(folder):
        for clip in _decode(file, folder, tell):
            seconds += clip.seconds
            clips.append(replace(clip, corpus=corpus, speaker=path_text(file)))
        if seconds > 3600 * MAX_HOURS:
            raise InputError(f"{folder}: more than {MAX_HOURS:g} hours", hint="Give a part of it.")
    return _some(clips, folder)


def divide(clips: list[Clip], what: str) -> Division:
    """Keep about a quarter for measuring: whole speakers or files if there are enough, else recordings.

    The split that a manifest names stays. Equal recordings are divided equally every time.
    """
    open_ones = [clip for clip in clips if not clip.split]
    if len(open_ones) < LEAST_MEASURED:
        told = f"{len(clips)} recordings, all learned from"
        if open_ones:
            told += f": {LEAST_MEASURED} or more would leave some to measure on"
        return Division([clip if clip.split else replace(clip, split="train") for clip in clips], told)
    speakers = {clip.speaker for clip in open_ones} - {""}
    by_speaker = len(speakers) >= (2 if what.endswith(NEGATIVES) else 4)
    names = [clip.speaker if by_speaker else clip.key for clip in open_ones]
    order = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())
    kept = set(order[: max(1, round(MEASURED * len(order)))])
    pairs = zip(open_ones, names, strict=True)
    split = {id(clip): "dev" if name in kept else "train" for clip, name in pairs}
    divided = [clip if clip.split else replace(clip, split=split[id(clip)]) for clip in clips]
    n_kept = sum(clip.split != "train" for clip in divided)
    if what.endswith(NEGATIVES):
        whose = "other files" if by_speaker else "other parts of the same file"
    else:
        whose = "other speakers" if by_speaker else "other takes; their speakers may be learned from"
    return Division(divided, f"{len(clips)} recordings, {n_kept} of them only measured on ({whose})")


def own_manifests(folder: Path) -> list[Path]:
    """The manifests in a folder, and in those directly inside it; none makes it a plain folder.

    Raises
    ------
    InputError
        There is no such folder.
    UsageError
        It is a ledger, of whose clips nobody may have said what they are.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}", hint="Name a folder of recordings.")
    places = (folder / "manifest.tsv", *folder.glob("*/manifest.tsv"))
    manifests = sorted(path for path in places if path.is_file())
    for manifest in manifests:
        if is_ledger(manifest.parent):
            raise UsageError(
                f"{manifest.parent} is a ledger", hint=f"Judged clips count: --from-ledger {manifest.parent}"
            )
    return manifests


def _audio_files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise InputError(
            f"{folder}: no recordings in it", hint=f"Known are {', '.join(SUFFIXES)}; and manifest.tsv."
        )
    if len(files) > MAX_FILES:
        raise InputError(f"{folder}: {len(files)} recordings are more than {MAX_FILES}")
    return files


def _decode(file: Path, folder: Path, tell: Told, *, most_s: float | None = None) -> list[Clip]:
    """One recording, or its pieces where it may be long; none, and a word about it, if it is unusable."""
    key = path_text(Path(folder.name, file.relative_to(folder)))
    limit = None if most_s is None else round(most_s * SAMPLE_RATE_HZ)
    blocks, n_samples = [], 0
    try:
        for block in iter_clip(Row(file, str(folder))):
            blocks.append(np.round(np.clip(block, -1.0, 1.0) * 32767.0).astype(np.int16))
            n_samples += len(block)
            if limit is not None and n_samples > limit:
                tell(f"left out, longer than {most_s:g} s: {file}")
                return []
            if n_samples > 3600 * MAX_HOURS * SAMPLE_RATE_HZ:
                break
    except InputError as error:
        tell(f"left out: {error.message.removeprefix(f'{folder}: ')}")
        return []
    pcm = np.concatenate(blocks) if blocks else np.zeros(0, np.int16)
    if not pcm.any():
        tell(f"left out, {'silent' if len(pcm) else 'no samples'}: {file}")
        return []
    if most_s is not None:
        return [Clip("", key, pcm)]
    size = round(PIECE_S * SAMPLE_RATE_HZ)
    pieces = [pcm[at : at + size] for at in range(0, max(1, len(pcm) - _REST), size)]
    return [Clip("", f"{key}:{i}", piece) for i, piece in enumerate(pieces)]


def _some(clips: list[Clip], folder: Path) -> list[Clip]:
    if not clips:
        raise InputError(f"{folder}: none of its recordings can be used", hint="What was wrong stands above.")
    return clips
