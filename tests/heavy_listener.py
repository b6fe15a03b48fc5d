"""Tasks whose cost is known, so that what a quarter core cannot do is the same on every machine.

Run as a program it listens with them; see `tools.benchmarks.slow_device.listen`.
"""

from __future__ import annotations

import hashlib
import time

from edgeaudio.frontend import FrontendSpec
from tools.benchmarks.slow_listener import main

_WORK = bytes(2**16)


class Heavy:
    """Takes so much CPU time for a second of audio; a tenth less with each measure that is shed."""

    def __init__(self, name, cost, *, background):
        self.name = name
        self.spec = FrontendSpec()
        self.background = background
        self._cost = cost
        self._level = 0

    def process(self, frames):
        audio_s = len(frames) * self.spec.hop_samples / self.spec.sample_rate_hz
        until_s = time.thread_time() + audio_s * self._cost * (1 - 0.1 * self._level)
        while time.thread_time() < until_s:
            hashlib.sha256(_WORK)  # lets other threads of this process compute, as inference does
        return []

    def flush(self):
        return []

    def reset(self, at_sample=0):
        pass

    def shed(self, level):
        self._level = level


def load(task, profile):
    """``wake=0.5`` costs half of the audio's time."""
    kind, cost = task.split("=")
    return Heavy(kind, float(cost), background=kind == "captions")


if __name__ == "__main__":
    main(load)
