"""How far long work has come, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]

_PLAIN_PERIOD_S = 10.0


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to call with (done, total).

    A terminal shows a bar if rich is installed; elsewhere, and in log files, there is a line every ten
    seconds.
    """
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield _plain(title)
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(title)
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _plain(title: str) -> Callable[[int, int], None]:
    told_at = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at >= _PLAIN_PERIOD_S and sys.stderr is not None:
            told_at = now
            print(f"{title}: {done} of {total}", file=sys.stderr, flush=True)

    return tell
