"""Recordings of sounds, and of what is none: which layouts are read, and what each recording stands for.

============================= ======================================================================
layout                        recognised by
============================= ======================================================================
ESC-10, ESC-50                ``meta/*.csv`` with filename, fold and category, beside ``audio/``
this project's manifests      ``manifest.tsv``; with labels and a number as split everywhere, these are folds
a folder for each class       neither of both: ``rain/01.wav`` is rain
============================= ======================================================================

Manifests without folds give what sounds come with: recordings of speech, of rooms, of other noise, and
further ones of a label that has folds elsewhere. Their folds, and those of plain folders, are told by a
hash of speaker or file, so that nobody is learned from and measured on.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from edgeaudio.errors import InputError, UsageError
from edgeaudio.evaluation.manifest import Row, path_text, read_clip
from edgeaudio.evaluation.sounds import OTHER_NAMES
from edgeaudio.sources.file import SUFFIXES
from edgeaudio.training.card import Ingredient, ingredients
from edgeaudio.training.corpus import Clip, load_clips, sounds_only
from edgeaudio.types import Samples

__all__ = ["BACKGROUND", "SILENCE", "SPEECH", "SoundSet", "read_sounds"]

SPEECH, SILENCE, BACKGROUND = "speech", "silence", ""
"""Labels beside those of the sounds; the background has none, and nothing may be heard in it."""

PIECE = "#"
"""Between a recording's key and the number of a stretch of it."""
PLAIN_FOLDS = 5
LEAST_CLIPS = 2
"""Of each class in each fold's remainder: with fewer there is nothing to learn."""
_MEASURED_ELSEWHERE = {"test", "dev", "validation"}
_ROOMS = "rooms"

Told = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SoundSet:
    """Recordings with their final label and fold.

    ``clips`` are those of ``sounds``, of speech, silence and background; ``split`` is the fold. Those that
    accuracy is measured on are ``measured``, by corpus and key. ``rooms`` are impulse responses.
    """

    clips: list[Clip]
    sounds: tuple[str, ...]
    folds: tuple[str, ...]
    measured: frozenset[tuple[str, str]]
    rooms: list[Samples]
    manifests: list[Path]
    others: list[Ingredient]

    @property
    def labels(self) -> tuple[str, ...]:
        """All outputs of a network: the sounds, and speech and silence where neither is one of them."""
        return (*self.sounds, *(name for name in (SPEECH, SILENCE) if name not in self.sounds))

    def is_measured(self, clip: Clip) -> bool:
        """Whether a recording counts for the accuracy."""
        return (clip.corpus, clip.key) in self.measured

    def ingredients(self, heard: Iterable[Clip]) -> list[Ingredient]:
        """What was learned from, by corpus; of all recordings those that were ``heard``."""
        # Stretches of one recording have its key, and their number behind it.
        keys = {(clip.corpus, clip.key.partition(PIECE)[0]) for clip in heard}
        used = Counter(corpus for corpus, _ in keys)
        if self.rooms:
            used[_ROOMS] = len(self.rooms)
        known = ingredients(self.manifests, used)
        return known + [replace(part, clips=used[part.corpus]) for part in self.others if used[part.corpus]]


def read_sounds(
    folders: Sequence[Path], cache: Path, *, tell: Told, progress: Progress | None = None
) -> SoundSet:
    """Decode everything in the folders, and tell what each recording stands for.

    Raises
    ------
    UsageError
        There is one class only, one fold only, or a class of fewer recordings than there are folds.
    InputError
        A folder holds nothing known, or a recording cannot be read.
    """
    labelled: list[Clip] = []
    further: list[Clip] = []
    manifests: list[Path] = []
    others: list[Ingredient] = []
    for folder in folders:
        for source in _sources(folder):
            clips = _esc(source) if source.is_dir() else load_clips([source], cache, progress=progress)
            if source.is_dir():
                others.append(_unstated(clips))
            else:
                manifests.append(source)
            (labelled if source.is_dir() or _has_folds(clips) else further).extend(clips)
        if not _sources(folder):
            plain = _plain(folder)
            labelled.extend(plain)
            others.append(_unstated(plain))
    sounds = tuple(sorted({clip.label for clip in labelled} - {SPEECH, SILENCE}))
    folds = tuple(sorted({clip.split for clip in labelled}))
    _check(labelled, sounds, folds, folders)
    rooms = [_floats(clip) for clip in further if clip.corpus == _ROOMS]
    more = [_settled(clip, sounds, folds) for clip in further if _is_usable(clip)]
    measured = frozenset((clip.corpus, clip.key) for clip in labelled)
    tell(_told([*labelled, *more], sounds, folds))
    return SoundSet([*labelled, *more], sounds, folds, measured, rooms, manifests, others)


def fold_of(name: str, folds: Sequence[str]) -> str:
    """The fold of a speaker or a file, by a hash of its name."""
    return folds[int.from_bytes(sha256(name.encode()).digest()[:8], "big") % len(folds)]


def _sources(folder: Path) -> list[Path]:
    """Manifests, and folders of ESC's layout, in a folder and directly inside it."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", hint="Name a folder of recordings.")
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    manifests = [place / "manifest.tsv" for place in places if (place / "manifest.tsv").is_file()]
    return manifests + [place for place in places if _esc_table(place) is not None]


def _esc_table(folder: Path) -> Path | None:
    tables = sorted((folder / "meta").glob("*.csv")) if (folder / "audio").is_dir() else []
    return tables[0] if tables else None


def _esc(folder: Path) -> list[Clip]:
    table = _esc_table(folder)
    if table is None:
        raise InputError(f"{folder}: no meta/*.csv in it")
    with table.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    for column in ("filename", "fold", "category"):
        if not lines or column not in lines[0]:
            raise InputError(f"{table}: no column {column!r}", hint="ESC-50's own file is meta/esc50.csv.")
    return [
        _decoded(
            Row(folder / "audio" / Path(line["filename"]).name, f"{table}:{number}"),
            folder.resolve().name, line["category"], line["fold"],
        )
        for number, line in enumerate(lines, start=2)
    ]  # fmt: skip


def _plain(folder: Path) -> list[Clip]:
    files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(
            f"{folder}: no labelled recordings in it",
            hint="Known are ESC's meta/*.csv with audio/, manifest.tsv, and a folder for each class.",
        )
    names = [str(number) for number in range(1, PLAIN_FOLDS + 1)]
    corpus = folder.resolve().name
    # In turn rather than by hash: a small class must be in every fold.
    by_class: Counter[str] = Counter()
    clips = []
    for path in files:
        label = path_text(path.parent.name)
        clips.append(_decoded(Row(path, str(folder)), corpus, label, names[by_class[label] % PLAIN_FOLDS]))
        by_class[label] += 1
    return clips


def _decoded(row: Row, corpus: str, label: str, fold: str) -> Clip:
    pcm = np.round(np.clip(read_clip(row), -1.0, 1.0) * 32767.0).astype(np.int16)
    key = path_text(Path(row.path.parent.name, row.path.name))
    return Clip(corpus, key, pcm, label, split=fold)


def _has_folds(clips: Iterable[Clip]) -> bool:
    return all(clip.label and clip.split.isdecimal() for clip in clips)


def _unstated(clips: Sequence[Clip]) -> Ingredient:
    return Ingredient(clips[0].corpus, len(clips), "your recordings", "yours to state")


def _is_usable(clip: Clip) -> bool:
    return clip.corpus != _ROOMS and clip.split not in _MEASURED_ELSEWHERE and len(clip.pcm) > 0


def _settled(clip: Clip, sounds: Sequence[str], folds: Sequence[str]) -> Clip:
    """A recording of a corpus without folds, with what it stands for and a fold."""
    other = OTHER_NAMES.get(clip.label, clip.label)
    if clip.label in sounds or clip.label == SILENCE:
        label = clip.label
    elif other in sounds:
        label = other
    else:
        label = BACKGROUND if sounds_only(clip.corpus, clip.label) else SPEECH
    fold = fold_of(clip.speaker or f"{clip.corpus}/{clip.key}", folds)
    return replace(clip, label=label, split=fold)


def _check(
    clips: Sequence[Clip], sounds: Sequence[str], folds: Sequence[str], folders: Sequence[Path]
) -> None:
    where = ", ".join(str(folder) for folder in folders)
    if not clips:
        raise UsageError(
            f"{where}: nothing says which recording is of which sound",
            hint="Give a manifest.tsv with label and fold (split: 1, 2, …), ESC's layout, or a folder each.",
        )
    if len(sounds) < 2:
        raise UsageError(
            f"{where}: recordings of {', '.join(sounds) or 'no sound'} only",
            hint="Two sounds or more can be told apart; speech and silence come on their own.",
        )
    if len(folds) < 2:
        raise UsageError(
            f"{where}: all recordings are in fold {folds[0]}: nothing would be left to measure on",
            hint="Write folds 1, 2, … into the manifest's column split.",
        )
    for label in sounds:
        for fold in folds:
            n = sum(clip.label == label and clip.split != fold for clip in clips)
            if n < LEAST_CLIPS:
                raise UsageError(
                    f"{where}: only {n} recordings of '{label}' lie outside of fold {fold}",
                    hint=f"Every class needs {LEAST_CLIPS} recordings or more outside of each fold.",
                )


def _told(clips: Sequence[Clip], sounds: Sequence[str], folds: Sequence[str]) -> str:
    counts = Counter(clip.label or "background" for clip in clips)
    listed = ", ".join(f"{label} {counts[label]}" for label in (*sounds, SPEECH, SILENCE, "background"))
    return f"recordings in {len(folds)} folds: {listed}"


def _floats(clip: Clip) -> Samples:
    samples: Samples = clip.pcm.astype(np.float32) / np.float32(32768.0)
    return samples
