"""Numba's decorators, keeping compiled code on disk wherever there is a place for it.

With ``cache=True`` Numba refuses to work at all where it finds no such place: on a read-only file
system, for a container's user without a home. There the code is compiled anew at each start.

What is kept counts until the file that holds the entry point changes, or a variable that it closes
over; what it calls in other files may have changed meanwhile. So an entry point that calls into
another file closes over the `source_digest` of that file, and uses it, or it would not count.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba

__all__ = ["cached_cfunc", "cached_njit", "source_digest"]


def cached_njit(*signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with these arguments, for entry points; what they call is compiled into them."""
    return lambda function: _kept(numba.njit, function, *signature, **options)


def cached_cfunc(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.cfunc` with this signature."""
    return lambda function: _kept(numba.cfunc, function, signature)


def source_digest(*modules: ModuleType) -> int:
    """Return a checksum of the modules' source files."""
    return zlib.crc32(b"".join(Path(str(module.__file__)).read_bytes() for module in modules))


def _kept(decorator: Callable[..., Any], function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    try:
        return decorator(*args, cache=True, **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return decorator(*args, **options)(function)
