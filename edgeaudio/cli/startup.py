"""A quicker start, and a word where it cannot be quick."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any

__all__ = ["load_numba"]

_LOG = logging.getLogger(__name__)
_UNNEEDED = ("scipy", "cffi")


def load_numba() -> None:
    """Load Numba without SciPy and cffi, where these are installed: 0.25 s of 0.9 s to the first frame.

    Numba looks for them when it loads its first compiled function: SciPy for matrix products, cffi for
    calls of foreign functions. No kernel of ours has either. They stay importable for everybody else.
    """
    if "numba" in sys.modules:
        return
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
