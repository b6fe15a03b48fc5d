"""Where transcribed speech lies: this project's manifests and the layouts of public corpora.

========================= ==================================================================
layout                    recognised by
========================= ==================================================================
this project's manifests  ``manifest.tsv`` with a column ``text`` (or ``label``: single words)
LibriSpeech               ``<speaker>/<chapter>/<speaker>-<chapter>.trans.txt``
Common Voice              ``validated.tsv`` beside ``clips/``
LJSpeech                  ``metadata.csv`` beside ``wavs/``
========================= ==================================================================

The split of a recording is that of its manifest; in LibriSpeech it is told by the folder's name
(``dev-clean``, ``test-other``), and in Common Voice all speakers of ``dev.tsv`` and ``test.tsv`` have the
split ``test``, because ``validated.tsv`` holds more of their recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeaudio.decoding.files import read_lines
from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import Row, read_manifest

__all__ = ["Corpora", "find_corpora", "look_for_corpora"]

Corpora = dict[str, list[Row]]
"""The recordings of each corpus, by the name of its folder, or where that is taken by its path inside."""

_DEPTH = 3
"""How deep below the named folder a corpus may begin: LibriSpeech/train-clean-100 in data/ is two."""


def find_corpora(folder: str | Path) -> Corpora:
    """All transcribed recordings in a folder and in the folders inside it.

    Raises
    ------
    InputError
        There are none, or one of the files that list them is malformed.
    """
    found = look_for_corpora(folder)
    if not found:
        raise InputError(
            f"{folder}: no transcribed speech in it",
            hint="Known layouts: manifest.tsv with a column text, LibriSpeech, Common Voice, LJSpeech.",
        )
    return found


def look_for_corpora(folder: str | Path) -> Corpora:
    """The same, but nothing where there are none.

    Raises
    ------
    InputError
        One of the files that list them is malformed.
    """
    found: Corpora = {}
    _search(Path(folder), Path(folder), found, _DEPTH)
    return found


def _search(folder: Path, root: Path, found: Corpora, depth: int) -> None:
    for read in (_manifest, _common_voice, _lj_speech, _libri_speech):
        rows = read(folder)
        if rows:
            name = folder.resolve().name
            found[name if name not in found else str(folder.relative_to(root))] = rows
            if read is not _manifest:
                return
    if depth and folder.is_dir():
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            _search(inner, root, found, depth - 1)


def _manifest(folder: Path) -> list[Row]:
    path = folder / "manifest.tsv"
    return read_manifest(path) if path.is_file() else []


def _libri_speech(folder: Path) -> list[Row]:
    split = folder.resolve().name.partition("-")[0]
    rows = []
    for listing in sorted(folder.glob("*/*/*.trans.txt")):
        for place, line in _lines(listing):
            name, _, text = line.partition(" ")
            paths = [listing.with_name(f"{Path(name).name}.{end}") for end in ("flac", "wav")]
            path = next((path for path in paths if path.is_file()), None)
            if path is None:
                raise InputError(f"{place}: there is no {paths[0].name} beside it")
            rows.append(Row(path, place, speaker=listing.parent.parent.name, split=split, text=text))
    return rows


def _common_voice(folder: Path) -> list[Row]:
    listing = folder / "validated.tsv"
    if not (listing.is_file() and (folder / "clips").is_dir()):
        return []
    seconds = {
        line["clip"]: _seconds(place, line["duration[ms]"])
        for place, line in _table(folder / "clip_durations.tsv", ("clip", "duration[ms]"))
    }
    columns = ("client_id", "path", "sentence")
    apart = {
        line["client_id"] for name in ("test", "dev") for _, line in _table(folder / f"{name}.tsv", columns)
    }
    return [
        Row(
            folder / "clips" / Path(line["path"]).name,
            place,
            seconds=seconds.get(line["path"]),
            speaker=line["client_id"],
            split="test" if line["client_id"] in apart else "train",
            text=line["sentence"],
        )
        for place, line in _table(listing, columns)
    ]


def _seconds(place: str, milliseconds: str) -> float:
    if not milliseconds.isdecimal():
        raise InputError(f"{place}: {milliseconds!r} is no duration in milliseconds")
    return int(milliseconds) / 1000


def _table(listing: Path, wanted: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The lines of a table with a header, each with ``file:line``; none where there is no such file."""
    if not listing.is_file():
        return
    lines = _lines(listing)
    _, header = next(lines, ("", ""))
    columns = header.split("\t")
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise InputError(f"{listing}:1: no column {missing[0]!r}", hint="Is it Common Voice's own file?")
    for place, line in lines:
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise InputError(f"{place}: {len(fields)} fields, the header has {len(columns)}")
        yield place, dict(zip(columns, fields, strict=True))


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
    return ((f"{path}:{number}", line) for number, line in read_lines(path) if line.strip())
