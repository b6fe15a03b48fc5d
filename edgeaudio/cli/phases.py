"""Work in several phases, as a person watches it: which phase, how far, how long still, how good so far."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgeaudio.cli.common import harmless

__all__ = ["Phases", "phases"]

_PERIOD_S = 10.0
_GUESS_FROM = 0.02
"""Part of a phase after which the time that is left can be guessed."""


class Phases:
    """Lines on standard error: one every ten seconds, and one when a phase begins."""

    def __init__(self) -> None:
        self._phase = ""
        self._began = self._told_at = 0.0
        self._from = 0.0

    def progress(self, phase: str, done: float) -> None:
        """A part (0 to 1) of a phase is done."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._began, self._from, self._told_at = phase, now, done, 0.0
        if now - self._told_at >= _PERIOD_S:
            self._told_at = now
            self.tell(f"{phase}: {done:.0%}{self._left(now, done)}")

    def tell(self, line: str) -> None:
        """Something worth a line."""
        if sys.stderr is not None:
            print(harmless(line), file=sys.stderr, flush=True)

    def _left(self, now: float, done: float) -> str:
        if done - self._from < _GUESS_FROM or done >= 1.0:
            return ""
        left_s = (now - self._began) * (1.0 - done) / (done - self._from)
        return f", {left_s / 60:.0f} min left" if left_s >= 90 else f", {left_s:.0f} s left"


class _OnTerminal(Phases):
    """A bar that stays at the bottom, lines above it."""

    def __init__(self, bar: Any) -> None:
        super().__init__()
        self._bar = bar
        self._task = bar.add_task("", total=1.0, visible=False)

    def progress(self, phase: str, done: float) -> None:
        if phase != self._phase:
            self._phase = phase
            self._bar.reset(self._task, description=phase, total=1.0, visible=True)
        self._bar.update(self._task, completed=done)

    def tell(self, line: str) -> None:
        self._bar.console.print(harmless(line), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def phases() -> Iterator[Phases]:
    """Show phases on standard error: a bar on a terminal if rich is installed, else lines."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield Phases()
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Phases()
        return
    with Progress(console=console, transient=True) as bar:
        yield _OnTerminal(bar)
