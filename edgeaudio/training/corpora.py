"""Where transcribed speech lies: this project's manifests and the layouts of public corpora.

========================= ==================================================================
layout                    recognised by
========================= ==================================================================
this project's manifests  ``manifest.tsv`` with a column ``text`` (or ``label``: single words)
LibriSpeech, LibriTTS-R    ``<speaker>/<chapter>/<speaker>-<chapter>.trans.txt``
Common Voice              ``validated.tsv`` beside ``clips/``; its ``test.tsv`` and ``dev.tsv`` are held out
LJSpeech                  ``metadata.csv`` beside ``wavs/``
========================= ==================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import Row, read_manifest

__all__ = ["Corpora", "find_corpora"]

Corpora = dict[str, list[Row]]
"""The recordings of each corpus, by the name of its folder."""

_DEPTH = 3
"""How deep below the named folder a corpus may begin: LibriSpeech/train-clean-100 in data/ is two."""


def find_corpora(folder: str | Path) -> Corpora:
    """All transcribed recordings in a folder and in the folders inside it.

    Raises
    ------
    InputError
        There are none, or one of the files that list them is malformed.
    """
    found: Corpora = {}
    _search(Path(folder), found, _DEPTH)
    if not found:
        raise InputError(
            f"{folder}: no transcribed speech in it",
            hint="Known layouts: manifest.tsv with a column text, LibriSpeech, Common Voice, LJSpeech.",
        )
    return found


def _search(folder: Path, found: Corpora, depth: int) -> None:
    for read in (_manifest, _common_voice, _lj_speech, _libri_speech):
        rows = read(folder)
        if rows:
            name = folder.resolve().name
            found[name if name not in found else str(folder)] = rows
            if read is not _manifest:
                return
    if depth and folder.is_dir():
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            _search(inner, found, depth - 1)


def _manifest(folder: Path) -> list[Row]:
    path = folder / "manifest.tsv"
    return read_manifest(path) if path.is_file() else []


def _libri_speech(folder: Path) -> list[Row]:
    rows = []
    for listing in sorted(folder.glob("*/*/*.trans.txt")):
        for place, line in _lines(listing):
            name, _, text = line.partition(" ")
            path = next(
                (p for p in (listing.with_name(name + end) for end in (".flac", ".wav")) if p.is_file()), None
            )
            if path is None:
                raise InputError(f"{place}: there is no {name}.flac beside it")
            rows.append(Row(path, place, speaker=listing.parent.parent.name, split=folder.name, text=text))
    return rows


def _common_voice(folder: Path) -> list[Row]:
    listing = folder / "validated.tsv"
    if not (listing.is_file() and (folder / "clips").is_dir()):
        return []
    held_out = {row.path for name in ("test", "dev") for row in _table(folder / f"{name}.tsv", folder)}
    return [replace(row, split="test") if row.path in held_out else row for row in _table(listing, folder)]


def _table(listing: Path, folder: Path) -> Iterator[Row]:
    if not listing.is_file():
        return
    lines = _lines(listing)
    _, header = next(lines, ("", ""))
    columns = header.split("\t")
    missing = [name for name in ("client_id", "path", "sentence") if name not in columns]
    if missing:
        raise InputError(f"{listing}:1: no column {missing[0]!r}", hint="Is it Common Voice's own file?")
    for place, line in lines:
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise InputError(f"{place}: {len(fields)} fields, the header has {len(columns)}")
        value = dict(zip(columns, fields, strict=True))
        path = folder / "clips" / Path(value["path"]).name
        yield Row(path, place, speaker=value["client_id"], text=value["sentence"])


def _lj_speech(folder: Path) -> list[Row]:
    listing = folder / "metadata.csv"
    if not (listing.is_file() and (folder / "wavs").is_dir()):
        return []
    rows = []
    for place, line in _lines(listing):
        name, *texts = line.split("|")
        if not texts:
            raise InputError(f"{place}: no transcript", hint="LJSpeech's lines are id|text|normalised text.")
        rows.append(Row(folder / "wavs" / f"{Path(name).name}.wav", place, speaker="LJ", text=texts[-1]))
    return rows


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Lines that are not blank, each with ``file:line``."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read it: {error}") from error
