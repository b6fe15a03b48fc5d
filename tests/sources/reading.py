"""Read a source as the engine does."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edgeaudio.events import Event, Gap
from edgeaudio.sources import Source
from edgeaudio.types import Samples
from tests.pulse import until


def read_all(source: Source, block: int = 1600) -> Samples:
    """Everything that a finite source delivers."""
    read: list[Samples] = []
    while True:
        n = min(source.wait(block, timeout_s=60.0), block)
        view = source.ring.peek(n)
        assert view is not None
        read.append(view.copy())
        source.ring.advance(n)
        if n == 0:
            assert source.finished, "no sample within ten seconds"
            return np.concatenate(read)


class Listener:
    """Reads a source as the engine does and keeps everything."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.samples: list[Samples] = []
        self.gaps: list[Gap] = []
        self.notices: list[Event] = []

    def step(self) -> None:
        n = self.source.wait(160, timeout_s=0.1)
        position = self.source.ring.position
        if n:
            view = self.source.ring.peek(n)
            assert view is not None
            self.samples.append(view.copy())
            self.source.ring.advance(n)
        elif (gap := self.source.ring.take_gap()) is not None:
            assert gap.start_sample == position
            self.gaps.append(gap)
        self.notices += self.source.take_notices()

    def until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Listen until a condition holds; returns how long that took, in seconds."""
        began = time.monotonic()

        def listened() -> bool:
            self.step()
            return condition()

        until(listened, timeout_s, what)
        return time.monotonic() - began

    def heard(self, kind: type[Event]) -> bool:
        return any(isinstance(notice, kind) for notice in self.notices)

    @property
    def audio(self) -> Samples:
        return np.concatenate(self.samples)
