"""A quicker start, and a word where it cannot be quick."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from edgeaudio.errors import OutputError

__all__ = ["cache_folder", "load_numba"]

_LOG = logging.getLogger(__name__)
_UNNEEDED = ("scipy", "cffi")


def load_numba() -> None:
    """Load Numba without SciPy and cffi, where these are installed: 0.25 s of 0.9 s to the first frame.

    Numba looks for them when it loads its first compiled function: SciPy for matrix products, cffi for
    calls of foreign functions. No kernel of ours has either. They stay importable for everybody else.
    """
    if "numba" in sys.modules:
        return
    if cache_folder() is None:
        _compile_for_once()
    hidden = {name: sys.modules.get(name) for name in _UNNEEDED}
    try:
        for name in _UNNEEDED:
            sys.modules[name] = None  # type: ignore[assignment]  # makes `import name` an ImportError
        import numba.core.typing.cffi_utils
        import numba.np.arraymath  # noqa: F401
    finally:
        for name, module in hidden.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    _announce_compiling()


def cache_folder() -> Path | None:
    """Return where Numba keeps compiled code, or None where it would find no place and refuse to work.

    As Numba does: ``NUMBA_CACHE_DIR``, else beside the source, else the user's cache folder.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    # For a user without a home the ~ stays, where Path.expanduser would raise.
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    package = Path(__file__).resolve().parents[1]
    places = [Path(chosen)] if chosen else [package / "__pycache__", Path(home) / "numba"]
    return next((place for place in places if place.parts[0] != "~" and _writable(place)), None)


def _writable(folder: Path) -> bool:
    """Try it: permissions do not tell of read-only file systems."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    return False


def _compile_for_once() -> None:
    """Give Numba a folder for this one run.

    Raises
    ------
    OutputError
        If there is no place even for that.
    """
    advice = "Set NUMBA_CACHE_DIR to a folder that you may write to."
    try:
        folder = tempfile.mkdtemp(prefix="edgeaudio-")
    except OSError as error:
        raise OutputError(f"there is no place for compiled code: {error}", hint=advice) from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    _LOG.warning("compiled code cannot be kept, so that every start is slow. %s", advice)


def _announce_compiling() -> None:
    """Say once that code is being compiled, where it was not found in the cache: that takes a while."""
    event: Any = import_module("numba.core.event")

    class Announcer(event.Listener):
        said = False

        def on_start(self, _event: Any) -> None:
            if not self.said:
                _LOG.warning("compiling for this machine; only the first start takes this long")
            self.said = True

        def on_end(self, _event: Any) -> None:
            pass

    event.register("numba:compile", Announcer())
