"""When compiled code is compiled anew.

Numba keeps compiled code until the file that holds the entry point changes, or a variable that it
closes over; what it calls in other files may have changed meanwhile. So each entry point that
calls into another file closes over the digest of that file, and uses it, or it would not count.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from types import ModuleType

__all__ = ["source_digest"]


def source_digest(*modules: ModuleType) -> int:
    """Return a checksum of the modules' source files."""
    return zlib.crc32(b"".join(Path(str(module.__file__)).read_bytes() for module in modules))
