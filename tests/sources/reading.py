"""Read a source as the engine does."""

from __future__ import annotations

import numpy as np

from edgeaudio.sources import Source
from edgeaudio.types import Samples


def read_all(source: Source, block: int = 1600) -> Samples:
    """Everything that a finite source delivers."""
    read: list[Samples] = []
    while True:
        n = min(source.wait(block, timeout_s=10.0), block)
        view = source.ring.peek(n)
        assert view is not None
        read.append(view.copy())
        source.ring.advance(n)
        if n == 0:
            assert source.finished, "no sample within ten seconds"
            return np.concatenate(read)
