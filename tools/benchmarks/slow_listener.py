"""Listens while its surroundings are made slow; started by `tools.benchmarks.slow_device.listen`.

It says ``loaded`` when all models are, and waits for a line; says ``listening`` once the engine runs, and
``heard`` once it has ended; then it writes what was measured to a file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from edgeaudio.listener import Listener
from edgeaudio.profiles import Profile, load_profile
from edgeaudio.profiling.audio import recordings
from edgeaudio.profiling.files import encode
from edgeaudio.profiling.measurement import Sensor
from edgeaudio.profiling.run import measure
from edgeaudio.profiling.sensors import Sampler
from edgeaudio.profiling.wanted import Wanted
from edgeaudio.tasks.base import Task
from edgeaudio.types import SAMPLE_RATE_HZ


class _TellingSampler(Sampler):
    """Says when the engine has ended: what comes then is arithmetic and need not be slow."""

    def stop(self, since_s: float | None = None) -> list[Sensor]:
        found = super().stop(since_s)
        print("heard", flush=True)
        return found


def main(load: Callable[[str, Profile], Task]) -> None:
    """Measure once, with the tasks that `load` makes of what the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    parser.add_argument("--task", dest="tasks", action="append", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, required=True)
    parser.add_argument("--profile", required=True)
    options = parser.parse_args()
    profile = load_profile(options.profile)
    tasks = [load(task, profile) for task in options.tasks]
    for task in tasks:
        Listener((task,), profile.hop_ms * SAMPLE_RATE_HZ // 1000).warm_up()  # loads compiled code
    source = recordings()
    print("loaded", flush=True)
    sys.stdin.readline()
    measurement = measure(
        source,
        tasks,
        profile=profile,
        seconds=options.seconds,
        warm_up_s=options.warm_up,
        sampler=_TellingSampler(),
        on_start=lambda engine: print("listening", flush=True),
    )
    options.output.write_bytes(encode(measurement))


if __name__ == "__main__":
    main(lambda task, profile: Wanted.parse(task).load(profile))
