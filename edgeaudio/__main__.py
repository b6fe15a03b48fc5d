"""What ``python -m edgeaudio`` and the command ``edgeaudio`` run."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in edgeaudio/__init__.py
if TYPE_CHECKING:
    from types import FrameType

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> int:
    """Run the command line and return the exit code, also where Ctrl-C comes while it still loads."""
    try:
        import signal

        # A shell ignores it for what it runs in the background.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        from edgeaudio.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return _INTERRUPTED


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Leave at once during an import, where the usual exception may be printed and lost.

    That happens in callbacks of weak references, and where a compiled module makes an ImportError of it.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(_INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
