"""Measurements and reports in files: read strictly, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from edgeaudio.config import read_bounded
from edgeaudio.errors import InputError, OutputError
from edgeaudio.profiling.measurement import FORMAT, Measurement

__all__ = ["check_writable", "decode", "encode", "read_measurement", "write_whole"]

_MAX_BYTES = 64 * 2**20
"""A run of a day keeps some thousand passes of each stage, as one of a minute does: a megabyte or two."""


_SHORTEST_S = 0.001
_MOST = 1e15
_HINT = "Write one: edgeaudio profile --output FILE.json"
_Kind = TypeVar("_Kind")


class _Head(msgspec.Struct):
    """What tells a measurement of any version from other JSON."""

    format: int
    made: str
    stages: msgspec.Raw


def encode(measured: msgspec.Struct) -> bytes:
    """Return JSON, a field a line, so that two measurements can be compared by eye."""
    return msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n"


def read_measurement(path: Path) -> Measurement:
    """Read what ``edgeaudio profile`` wrote.

    Raises
    ------
    InputError
        The file cannot be read, is no measurement, has another version, or says what cannot be.
    """
    return decode(read_bounded(path, _MAX_BYTES, InputError), str(path))


def decode(data: bytes, where: str) -> Measurement:
    """Return the measurement that `data` is, which came from `where`; raises as `read_measurement` does."""
    head = _decode(data, _Head, f"{where} is no measurement")
    if head.format != FORMAT:
        age = "older" if head.format < FORMAT else "newer"
        raise InputError(
            f"{where} has format {head.format}, and this version reads format {FORMAT}",
            hint=f"Measure again, or read it with the {age} edgeaudio that wrote it.",
        )
    measurement = _decode(data, Measurement, f"{where} is a spoiled measurement")
    problem = _problem(measurement)
    if problem:
        raise InputError(f"{where} is a spoiled measurement: {problem}", hint=_HINT)
    return measurement


def _decode(data: bytes, type_: type[_Kind], complaint: str) -> _Kind:
    try:
        return msgspec.json.decode(data, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{complaint}: {error}", hint=_HINT) from error


def _problem(measurement: Measurement) -> str | None:
    """Say what no run can have found; JSON itself has no NaN and no infinity."""
    if not measurement.seconds >= _SHORTEST_S:
        return f"it lasted {measurement.seconds:g} s"
    try:
        if not _sane(msgspec.to_builtins(measurement)):
            return f"it holds a number beyond {_MOST:g}"
    except RecursionError:
        return "it is nested too deeply"
    seen = set()
    for stage in measurement.stages:
        if stage.name in seen:
            return f"stage '{stage.name}' is there twice"
        seen.add(stage.name)
        (mean_low, mean_high), (p95_low, p95_high) = stage.mean_interval_ms, stage.p95_interval_ms
        if min(stage.count, stage.mean_ms, stage.p95_ms, mean_low, p95_low, stage.share) < 0:
            return f"stage '{stage.name}' has negative figures"
        if mean_low > mean_high or p95_low > p95_high:
            return f"stage '{stage.name}' has an interval that ends before it begins"
    return None


def _sane(value: object) -> bool:
    """Whether all numbers are such that arithmetic with them does not overflow."""
    if isinstance(value, dict):
        return all(map(_sane, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_sane, value))
    return not isinstance(value, (int, float)) or abs(value) <= _MOST


def check_writable(path: Path) -> None:
    """Find out before a long run, not after it, that a file cannot be written.

    Raises
    ------
    OutputError
        Its folder is missing or closed to us, or something else than a file has its name.
    """
    try:
        folder = path.resolve().parent
        if not folder.is_dir():
            raise OutputError(f"{path}: the folder {folder} does not exist", hint=f"mkdir -p {folder}")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is not a regular file", hint="Give the name of a file.")
        if not os.access(folder, os.W_OK):
            raise OutputError(f"{path}: the folder {folder} cannot be written", hint="Name another file.")
    except (OSError, RuntimeError) as error:  # too long a name; a link that leads to itself
        raise OutputError(f"cannot write {path}: {error}") from error


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file so that nobody ever finds half of it; a file of that name is replaced.

    Raises
    ------
    OutputError
        It cannot be written. What had its name before is still there.
    """
    check_writable(path)
    # Where the name is a link, the file it leads to is replaced, not the link.
    target = path.resolve()
    draft = target.with_name(f".{target.name[:200]}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
