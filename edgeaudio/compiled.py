"""Numba's decorators, keeping compiled code on disk wherever there is a place for it.

With ``cache=True`` Numba refuses to work at all where it finds no such place: on a read-only file
system, for a container's user without a home. There the code is compiled anew at each start.

What is kept counts until the file that holds the entry point changes; what it calls in other files may
have changed meanwhile, as it does when the package is upgraded. So an entry point names the modules that
it calls into, and their contents become part of the name under which it is kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numba

__all__ = ["cached_cfunc", "cached_njit"]


def cached_njit(
    *signature: Any, calls: Sequence[ModuleType] = (), **options: Any
) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with these arguments, for entry points; what they call is compiled into them.

    `calls` are the modules outside of its own file that the entry point calls into, directly or not.
    """
    return lambda function: _kept(numba.njit, _named(function, calls), *signature, **options)


def cached_cfunc(signature: Any, *, calls: Sequence[ModuleType] = ()) -> Callable[[Callable[..., Any]], Any]:
    """`numba.cfunc` with this signature; `calls` as above."""
    return lambda function: _kept(numba.cfunc, _named(function, calls), signature)


def _named(function: Callable[..., Any], calls: Sequence[ModuleType]) -> Callable[..., Any]:
    """Give the function a name that changes with the files that it calls into: Numba keeps it by that."""
    if calls:
        function.__qualname__ += f"_{_digest(tuple(calls)):08x}"
    return function


@cache
def _digest(modules: tuple[ModuleType, ...]) -> int:
    return zlib.crc32(b"".join(Path(str(module.__file__)).read_bytes() for module in modules))


def _kept(decorator: Callable[..., Any], function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    try:
        return decorator(*args, cache=True, **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return decorator(*args, **options)(function)
