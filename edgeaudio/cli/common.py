"""What the subcommands share: options, logging, standard streams, tables."""

from __future__ import annotations

import logging
import math
import os
import re
import select
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TextIO, TypeVar

import click

__all__ = [
    "Number",
    "debugging",
    "harmless",
    "is_same_file",
    "json_option",
    "log_level_option",
    "log_to",
    "print_json",
    "print_table",
    "probability",
    "process_age_s",
    "quiet_libraries",
    "reader_has_gone",
    "seconds",
    "size",
    "stdout_bytes",
]

_ROOT = logging.getLogger("edgeaudio")
_LEVELS = ("debug", "info", "warning", "error")
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


class SupportsWrite(Protocol):
    """Where log records can go."""

    def write(self, text: str, /) -> int:
        """Take text."""

    def flush(self) -> None:
        """Pass it on."""


_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])


def probability(text: str | float) -> float:
    """Read a number between 0 and 1, both excluded, as an option's type."""
    number = _number(text)
    # Written so that NaN fails too.
    if not 0.0 < number < 1.0:
        raise click.BadParameter(f"{text} is not between 0 and 1: a threshold is a probability.")
    return number


class Number(click.FloatRange):
    """A finite number within bounds, as an option's type: what is "not a number" lies within click's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number that can be counted with.", param, ctx)
        return number


def seconds(least: float, most: float) -> Callable[[str | float], float]:
    """Make an option's type for seconds within bounds."""

    def read(text: str | float) -> float:
        number = _number(text)
        if not least <= number <= most:
            raise click.BadParameter(f"{text} s is not between {least:g} and {most:g} s.")
        return number

    return read


def size(text: str) -> int:
    """Read a number of bytes such as ``100MB``, as an option's type."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise click.BadParameter(f"{text!r} is no size: write for example 100MB, 1.5GB or 500KiB.")
    return int(float(match[1]) * _UNITS[match[2]])


def _number(text: str | float) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no number.") from None


def json_option(help_text: str) -> Callable[[_COMMAND], _COMMAND]:
    """Add ``--json`` as the argument ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def log_level_option(command: _COMMAND) -> _COMMAND:
    """Add ``--log-level``, which takes effect before the command runs."""
    return click.option(
        "--log-level",
        type=click.Choice(_LEVELS, case_sensitive=False),
        default="warning",
        show_default=True,
        is_eager=True,
        expose_value=False,
        callback=lambda _ctx, _param, value: _start_logging(value),
        help="How much is logged on standard error.",
    )(command)


if TYPE_CHECKING:
    _TextHandler = logging.StreamHandler[TextIO]
else:
    _TextHandler = logging.StreamHandler  # takes no type in square brackets before Python 3.11


class _StderrHandler(_TextHandler):
    """Follows ``sys.stderr``, or writes where `log_to` says."""

    target: SupportsWrite | None = None

    def emit(self, record: logging.LogRecord) -> None:
        stream: Any = self.target or sys.stderr
        if stream is not None:
            self.stream = stream
            super().emit(record)


class _AgeFormatter(logging.Formatter):
    """Begins with the age of the process, so that the time to the first frame can be read off."""

    def format(self, record: logging.LogRecord) -> str:
        age_s = process_age_s()
        age = "" if age_s is None else f" after {age_s:.2f} s"
        return f"{record.levelname} {record.name}: {record.getMessage()}{age}"


_HANDLER = _StderrHandler()


def _start_logging(level: str) -> None:
    logging.raiseExceptions = False  # a log line that cannot be written is no reason to print a traceback
    plain = logging.Formatter("edgeaudio: %(levelname)s: %(message)s")
    _HANDLER.setFormatter(_AgeFormatter() if level == "debug" else plain)
    _ROOT.handlers = [_HANDLER]
    _ROOT.propagate = False
    _ROOT.setLevel(level.upper())


def log_to(stream: SupportsWrite | None) -> None:
    """Send log records to `stream` from now on; None is standard error again."""
    _HANDLER.target = stream


def debugging() -> bool:
    """Say whether ``--log-level debug`` was given."""
    return _ROOT.getEffectiveLevel() <= logging.DEBUG


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what C libraries print on standard error from the user, except with ``--log-level debug``.

    PortAudio and ALSA print five lines whenever a device is away, past ``sys.stderr`` and all Python
    settings. So they get a standard error that leads nowhere, and Python keeps a copy of the real one. The
    copy is needed in any case: sounddevice itself sends standard error nowhere for a moment whenever devices
    are looked for, in whatever thread.
    """
    if sys.stderr is None:
        yield
        return
    python_stderr = sys.stderr
    python_stderr.flush()
    ours = os.dup(2)
    try:
        with os.fdopen(
            os.dup(ours), "w", buffering=1, encoding=python_stderr.encoding, errors="backslashreplace"
        ) as copy:
            if not debugging():
                with Path(os.devnull).open("wb") as nowhere:
                    os.dup2(nowhere.fileno(), 2)
            sys.stderr = copy
            yield
    finally:
        sys.stderr = python_stderr
        os.dup2(ours, 2)
        os.close(ours)


def process_age_s() -> float | None:
    """Return the seconds since this process was started, or None where the system does not tell.

    From the 22nd field of ``/proc/self/stat``, see proc(5); its resolution is 10 ms.
    """
    try:
        status = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        # The second field, the program's name, may hold spaces and brackets.
        started_ticks = int(status.rpartition(")")[2].split()[19])
        boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        return boot_s - started_ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def stdout_bytes() -> BinaryIO:
    """Return standard output for bytes; where it was closed before we began, a place that forgets."""
    if sys.stdout is None:
        return Path(os.devnull).open("wb")
    return sys.stdout.buffer


def reader_has_gone() -> bool:
    """Say whether standard output is a pipe that nobody reads any more, or a terminal that was closed.

    Without this, ``edgeaudio wake | head -1`` would listen on until the next word.
    """
    try:
        mode = os.fstat(1).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
            return False
        poll = select.poll()
        poll.register(1, 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except OSError:
        return False


def is_same_file(path: Path, other: Path | str) -> bool:
    """Say whether both are there and one file, whatever its names; what is no path at all is none."""
    try:
        return os.path.samefile(path, other)  # noqa: PTH121 - which takes any text for a path
    except (OSError, ValueError):
        return False


def harmless(text: str) -> str:
    """Replace what would steer a terminal in lines that hold words of models, devices or files."""
    from edgeaudio.sinks.lines import printable

    return "\n".join(map(printable, text.split("\n")))


def print_json(value: Any) -> None:
    """Print `value` as one line of JSON."""
    import msgspec

    click.echo(msgspec.json.encode(value))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns; numbers are ranged right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    numeric = [all(re.fullmatch(r"[\d., -]*", row[i]) for row in rows) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        click.echo(harmless("  ".join(cells).rstrip()))
