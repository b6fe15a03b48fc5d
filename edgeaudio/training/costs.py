"""What a model costs where it was made: size, parameters, and processor time for a second of audio."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeaudio.backends import Runtime, installed_runtimes
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.models.bundle import load_bundle
from edgeaudio.profiling.machine import machine
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["costs", "origin"]

_AUDIO_S = 20
_PASSES = 3


def costs(
    folder: Path, parameters: int, load: Callable[[Runtime], Callable[[Samples], object]] | None = None
) -> dict[str, Any]:
    """Parameters, size of each graph, and processor time of frontend and network together.

    The least of three passes over the same noise: other work on the machine only ever adds. ``load`` makes
    what hears it, from a fresh state each time; a spotter without it.
    """
    bundle = load_bundle(folder)
    audio = 0.1 * np.random.default_rng(0).standard_normal(_AUDIO_S * SAMPLE_RATE_HZ).astype(np.float32)
    found: dict[str, Any] = {"parameters": parameters}
    for runtime in installed_runtimes():
        if not bundle.has_graph(runtime):
            continue
        hear = _spotter(folder, runtime) if load is None else load(runtime)
        times_s = []
        for _ in range(_PASSES):
            started = time.process_time()
            hear(audio)
            times_s.append(time.process_time() - started)
        found[runtime] = {
            "kilobytes": round(len(bundle.read_graph(runtime)) / 1000),
            "CPU ms per second of audio": round(1000 * min(times_s) / _AUDIO_S, 2),
        }
    return found


def _spotter(folder: Path, runtime: Runtime) -> Callable[[Samples], object]:
    scorer = Scorer(Spotter.load(folder, backend=runtime))

    def hear(audio: Samples) -> None:
        scorer.reset()
        scorer.process(audio)

    return hear


def origin(device: str, threads: int, minutes: float | None, epochs: int, seed: int) -> dict[str, Any]:
    """When, where and for how long a model was trained."""
    described = machine()
    processor = f"{described.model}, {described.cores} cores"
    if device.startswith("cuda"):
        processor = torch.cuda.get_device_name(device)
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "device": f"{device}, {processor}",
        "threads": threads,
        "length": f"{epochs} epochs" if minutes is None else f"{minutes:.3g} minutes",
        "seed": seed,
    }
