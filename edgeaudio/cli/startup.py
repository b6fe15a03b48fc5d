"""A quicker start: what Numba would load and nobody here needs."""

from __future__ import annotations

import sys

__all__ = ["load_numba"]

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
