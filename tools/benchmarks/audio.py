"""The recordings that benchmarks play: made here, or taken from a manifest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.evaluation.manifest import Row, iter_clip, read_manifest

RATE_HZ = 16_000
DEMO = Path(__file__).resolve().parents[2] / "edgeaudio" / "assets" / "demo.flac"


def demo() -> NDArray[np.float32]:
    """The bundled recording: 20 s of words in noise."""
    return np.concatenate([block.copy() for block in iter_clip(Row(DEMO, str(DEMO)))])


def daemon_audio(manifest: Path | None, seconds: float) -> NDArray[np.int16]:
    """Speech with pauses of noise, ``[n] int16``: recordings of ``manifest``, or the demo over and over."""
    rng = np.random.default_rng(0)
    parts: list[NDArray[np.float32]] = []
    missing = round(seconds * RATE_HZ)
    for recording in _endlessly(manifest):
        pause = rng.normal(0, 0.003, RATE_HZ)
        parts += [recording, pause.astype(np.float32)]
        missing -= len(recording) + len(pause)
        if missing <= 0:
            break
    return to_int16(np.concatenate(parts)[: round(seconds * RATE_HZ)])


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """16-bit samples, clipped at full scale."""
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)


def _endlessly(manifest: Path | None) -> Iterator[NDArray[np.float32]]:
    if manifest is None:
        yield from itertools.repeat(demo())
    else:
        for row in itertools.cycle(read_manifest(manifest)):
            yield np.concatenate([block.copy() for block in iter_clip(row)])
