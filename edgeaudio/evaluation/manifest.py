"""Lists of recordings as tab-separated text, and their audio as the models hear it.

A manifest is a UTF-8 TSV file without quoting. Its first line names the columns; ``path`` is
required and relative to the manifest's own folder (``..`` is allowed), ``seconds``, ``speaker``,
``split``, ``label``, ``text``, ``source`` and ``licence`` are optional, all others are ignored::

    path            seconds  speaker  split  label  text
    yes/0001.opus   1.000    00176    test   yes
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import InputError, MissingDependencyError
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["Row", "iter_clip", "path_text", "read_clip", "read_excerpt", "read_manifest", "read_part"]

MAX_BYTES = 256 * 2**20
"""A larger file is no manifest: 1,000,000 rows fit with room to spare."""
MAX_LINE_CHARACTERS = 64 * 1024
MAX_CLIP_S = 600.0
"""What :func:`read_clip` holds in memory at once; :func:`iter_clip` has no limit."""

_COLUMNS = ("path", "seconds", "speaker", "split", "label", "text", "source", "licence")
_BLOCK_SAMPLES = 16 * 1024
_SHOWN_MISSING = 5
_UNREADABLE = (OSError, RuntimeError, TypeError)
"""soundfile's LibsndfileError is a RuntimeError; for a name that ends in .raw it raises a TypeError."""


@dataclass(frozen=True)
class Row:
    """One recording of a manifest.

    ``path`` is resolved against the manifest's folder, ``origin`` is ``manifest:line`` for
    error messages, ``seconds`` is None where the manifest does not say; text columns that are
    absent are empty.
    """

    path: Path
    origin: str
    seconds: float | None = None
    speaker: str = ""
    split: str = ""
    label: str = ""
    text: str = ""
    source: str = ""
    licence: str = ""


def path_text(path: str | Path) -> str:
    """Return a path as Unicode, which file names need not be: for JSON, hashes and lists."""
    return os.fsencode(path).decode(errors="replace")


def read_manifest(
    path: str | Path, *, require: Collection[str] = (), speaker_column: str = "speaker"
) -> list[Row]:
    """Read a manifest and check that every recording it names exists.

    Parameters
    ----------
    path : str or Path
        The TSV file.
    require : collection of str
        Columns that must be present beside ``path``, for example ``["label"]``.
    speaker_column : str, optional
        The column that tells who speaks; required where it is another one than usual.

    Returns
    -------
    list of Row
        In the order of the file, at least one.

    Raises
    ------
    InputError
        The file cannot be read, is empty, lacks a column, or a line is malformed; always with
        ``file:line`` where a line is at fault.
    """
    path = Path(path)
    lines = _numbered_lines(path)
    if speaker_column != "speaker":
        require = [*require, speaker_column]
    columns = [
        "speaker" if name == speaker_column else "" if name == "speaker" else name
        for name in _read_header(path, next(lines, None), require)
    ]
    rows = [_parse_row(path, number, line, columns) for number, line in lines]
    if not rows:
        raise InputError(f"{path}: the manifest lists no recordings", hint="Add one line for each recording.")
    _check_files(path, rows)
    return rows


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: {size} bytes are too many for a manifest (limit {MAX_BYTES})")
        # utf-8-sig: spreadsheets like to write a byte order mark.
        with path.open(encoding="utf-8-sig") as file:
            number = 0
            while line := file.readline(MAX_LINE_CHARACTERS + 1):
                number += 1
                if len(line) > MAX_LINE_CHARACTERS:
                    raise InputError(f"{path}:{number}: longer than {MAX_LINE_CHARACTERS} characters")
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text ({error.reason})", hint="A manifest is a TSV file."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot read the manifest: {reason}") from error


def _read_header(path: Path, first: tuple[int, str] | None, require: Collection[str]) -> list[str]:
    if first is None:
        raise InputError(
            f"{path}: the manifest is empty", hint="Its first line names the columns: " + ", ".join(_COLUMNS)
        )
    number, line = first
    columns = [name.strip() for name in line.split("\t")]
    wanted = ["path", *(name for name in require if name != "path")]
    missing = [name for name in wanted if name not in columns]
    if missing:
        found = ", ".join(map(repr, columns[:12]))
        raise InputError(
            f"{path}:{number}: no column {', '.join(map(repr, missing))} among {found}",
            hint="The first line names the columns, separated by tabs.",
        )
    twice = sorted({name for name in columns if name in _COLUMNS and columns.count(name) > 1})
    if twice:
        raise InputError(f"{path}:{number}: column {twice[0]!r} appears twice")
    return columns


def _parse_row(manifest: Path, number: int, line: str, columns: list[str]) -> Row:
    origin = f"{manifest}:{number}"
    fields = line.split("\t")
    if len(fields) != len(columns):
        raise InputError(
            f"{origin}: {len(fields)} fields, the header has {len(columns)}",
            hint="Fields are separated by single tabs; an unknown value is empty.",
        )
    values = {name: field.strip() for name, field in zip(columns, fields, strict=True) if name in _COLUMNS}
    relative = values.pop("path")
    if not relative or "\0" in relative:
        raise InputError(f"{origin}: the path is empty or holds a NUL character")
    seconds = _parse_seconds(origin, values.pop("seconds", ""))
    return Row(path=manifest.parent / relative, origin=origin, seconds=seconds, **values)


def _parse_seconds(origin: str, text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(f"{origin}: seconds is {text!r}, not a duration")
    return seconds


def _check_files(manifest: Path, rows: list[Row]) -> None:
    missing = [row for row in rows if not row.path.is_file()]
    if not missing:
        return
    shown = "\n".join(f"  {row.origin}: {row.path}" for row in missing[:_SHOWN_MISSING])
    more = f"\n  … and {len(missing) - _SHOWN_MISSING} more" if len(missing) > _SHOWN_MISSING else ""
    raise InputError(
        f"{manifest}: {len(missing)} of {len(rows)} recordings do not exist:\n{shown}{more}",
        hint="Paths are relative to the manifest's own folder.",
    )


def iter_clip(row: Row) -> Iterator[Samples]:
    """Decode a recording block by block: 16 kHz, mean of all channels, float32.

    NaN and Inf become zero, as they do in the engine. Blocks are valid until the next one.

    Raises
    ------
    InputError
        The file is no audio or breaks off, naming the manifest's line.
    MissingDependencyError
        soundfile or soxr is not installed.
    """
    soundfile, soxr = _audio_packages()
    try:
        with soundfile.SoundFile(os.fsencode(row.path)) as file:
            resample = _resampler(soxr, file.samplerate)
            while len(block := file.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                yield resample(_mono(block), last=False)
            yield resample(np.zeros(0, dtype=np.float32), last=True)
    except _UNREADABLE as error:
        raise InputError(f"{row.origin}: cannot read {row.path}: {_reason(error)}") from error


def read_excerpt(row: Row, *, start: float, n_samples: int) -> Samples:
    """Decode ``n_samples`` at 16 kHz from the relative position ``start`` (0..1) on.

    The excerpt ends at the recording's end at the latest; one that is too short is repeated.

    Raises
    ------
    InputError
        The file is no audio or holds no samples, naming the manifest's line.
    MissingDependencyError
        soundfile or soxr is not installed.
    """
    soundfile, soxr = _audio_packages()
    try:
        with soundfile.SoundFile(os.fsencode(row.path)) as file:
            wanted = math.ceil(n_samples * file.samplerate / SAMPLE_RATE_HZ)
            file.seek(int(start * max(0, file.frames - wanted)))
            block = file.read(wanted, dtype="float32", always_2d=True)
            samples = _resampler(soxr, file.samplerate)(_mono(block), last=True)
    except _UNREADABLE as error:
        raise InputError(f"{row.origin}: cannot read {row.path}: {_reason(error)}") from error
    if len(samples) == 0:
        raise InputError(f"{row.origin}: {row.path} holds no samples")
    return np.resize(samples, n_samples)


def read_part(row: Row, start_s: float, end_s: float) -> Samples:
    """Decode what lies between two times of a recording; it ends where the recording ends.

    Raises
    ------
    InputError
        The file is no audio or holds nothing there, naming the manifest's line.
    MissingDependencyError
        soundfile or soxr is not installed.
    """
    soundfile, soxr = _audio_packages()
    try:
        with soundfile.SoundFile(os.fsencode(row.path)) as file:
            start = min(max(0, round(start_s * file.samplerate)), file.frames)
            file.seek(start)
            block = file.read(max(0, round(end_s * file.samplerate) - start), dtype="float32", always_2d=True)
            samples: Samples = _resampler(soxr, file.samplerate)(_mono(block), last=True)
    except _UNREADABLE as error:
        raise InputError(f"{row.origin}: cannot read {row.path}: {_reason(error)}") from error
    if len(samples) == 0:
        raise InputError(f"{row.origin}: {row.path} holds no samples at {start_s:.2f} s")
    return samples


def _reason(error: Exception) -> str:
    """What is wrong; libsndfile's messages name the path as well."""
    return str(getattr(error, "error_string", error))


def _audio_packages() -> tuple[Any, Any]:
    try:
        import soundfile
        import soxr
    except ImportError as error:
        raise MissingDependencyError(
            f"reading recordings needs {error.name}", hint='pip install "edgeaudio[files]"'
        ) from error
    return soundfile, soxr


def _mono(block: NDArray[np.float32]) -> Samples:
    np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    mean: Samples = block.mean(axis=1)
    return mean


def _resampler(soxr: Any, rate_hz: int) -> Any:
    """``f(samples, last)``: the identity at 16 kHz, a soxr stream otherwise."""
    if rate_hz == SAMPLE_RATE_HZ:
        return lambda samples, last: samples
    return soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32").resample_chunk


def read_clip(row: Row) -> Samples:
    """Decode a whole recording, at most ten minutes long.

    Returns
    -------
    Samples
        ``[n_samples] float32`` at 16 kHz, mean of all channels.

    Raises
    ------
    InputError
        The file is no audio, breaks off, holds no samples, or is longer than ten minutes.
    MissingDependencyError
        soundfile or soxr is not installed.
    """
    blocks: list[Samples] = []
    n_samples = 0
    for block in iter_clip(row):
        blocks.append(block)
        n_samples += len(block)
        if n_samples > MAX_CLIP_S * SAMPLE_RATE_HZ:
            raise InputError(f"{row.origin}: {row.path} is longer than {MAX_CLIP_S:.0f} s", hint="Split it.")
    if n_samples == 0:
        raise InputError(f"{row.origin}: {row.path} holds no samples")
    return np.concatenate(blocks)
