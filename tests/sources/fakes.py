"""A microphone's stream without a microphone: the test says when blocks come and when it dies."""

from __future__ import annotations

import threading
import time

import numpy as np

from edgeaudio.sources.callback import Port, receive


class FakeStream:
    """Behaves as the streams of `edgeaudio.sources.portaudio`."""

    def __init__(self, port: Port, *, close_hangs: bool = False) -> None:
        self.port = port
        self.active = True
        self.closed = threading.Event()
        self.released = threading.Event()
        if not close_hangs:
            self.released.set()

    def close(self) -> None:
        self.released.wait(30)
        self.closed.set()

    def feed(self, n: int, value: float = 0.0) -> None:
        """Let a block of ``n`` samples arrive now."""
        block = np.full((n, self.port.channels), value, np.float32)
        receive(self.port.words, self.port.ring.memory, block, 0, time.monotonic_ns())
