"""Small files in which the kernel tells numbers, and what becomes of numbers that only grow."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Rate", "Rise", "Share", "named", "number", "reader", "some", "text"]

_MOST = 32
"""Files of one kind: a server has hundreds of cores and sensors."""


def text(path: Path) -> str:
    """Return what a small file says, without blanks around it.

    Raises
    ------
    OSError
        It cannot be read.
    """
    # Below Python's file objects: reading sensors shall cost little beside what is measured.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        said = os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
    return said.strip(b" \t\r\n\0").decode("utf-8", "replace")


def number(path: Path, scale: float = 1.0) -> float:
    """Return the number that a file says, times `scale`.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It says something else.
    """
    said = text(path)
    try:
        return float(said) * scale
    except ValueError:
        raise ValueError(f"it says '{said[:40]}', not a number") from None


def reader(path: Path, scale: float) -> Callable[[], float]:
    """Return what reads `number` again and again."""
    return lambda: number(path, scale)


def named(path: Path, otherwise: str) -> str:
    """Return the name that a file says, or `otherwise` if it says none."""
    try:
        return text(path)[:60] or otherwise
    except OSError:
        return otherwise


def some(folder: Path, pattern: str) -> list[Path]:
    """Return the paths that match, by their numbers, not too many; none where the folder cannot be read."""
    try:
        paths = list(folder.glob(pattern))
    except OSError:
        return []
    return sorted(paths, key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))])[:_MOST]


class Rate:
    """How much a quantity grows a second; None at the first reading."""

    def __init__(self, quantity: Callable[[], float], scale: float) -> None:
        self._quantity, self._scale = quantity, scale
        self._last: tuple[float, float] | None = None

    def __call__(self) -> float | None:
        """Return the growth since the last call, a second."""
        now = (time.monotonic(), self._quantity())
        last, self._last = self._last, now
        if last is None or now[0] <= last[0]:
            return None
        return self._scale * (now[1] - last[1]) / (now[0] - last[0])


class Share:
    """Percentage of one growing quantity in another one; None where neither grew."""

    def __init__(self, quantities: Callable[[], tuple[float, float]]) -> None:
        self._quantities = quantities
        self._last: tuple[float, float] | None = None

    def __call__(self) -> float | None:
        """Return the share of the growth since the last call."""
        now = self._quantities()
        last, self._last = self._last, now
        if last is None or now[1] <= last[1]:
            return None
        return 100.0 * (now[0] - last[0]) / (now[1] - last[1])


class Rise:
    """1 where a counter has grown since the last reading, otherwise 0."""

    def __init__(self, counter: Callable[[], float]) -> None:
        self._counter = counter
        self._last: float | None = None

    def __call__(self) -> float | None:
        """Return whether it has grown since the last call."""
        now = self._counter()
        last, self._last = self._last, now
        return None if last is None else float(now > last)
