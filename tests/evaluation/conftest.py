"""A model that hears tones: 1 kHz is "computer", 3 kHz is "other"; and recordings of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from edgeaudio.backends.base import Signature
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.models.manifest import Decision, ModelManifest
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.testing import scripted_manifest
from edgeaudio.types import Frames

WORD_HZ, OTHER_HZ = 1000, 3000


class ToneGraph:
    """A network without weights: each label's logit follows the level of one mel band."""

    runtime = "tones"

    def __init__(self, manifest: ModelManifest) -> None:
        self.signature = Signature(manifest.step_frames, 40, 2, len(manifest.labels), ())
        centres = manifest.frontend.mel_weights().argmax(axis=1) * 16_000 / 512
        self._bands = [int(np.abs(centres - hz).argmin()) for hz in (WORD_HZ, OTHER_HZ)]

    def step(self, frames: Frames) -> Frames:
        # Full scale tones reach about 10 in log-mel, noise at -50 dBFS about -6.
        logits = frames[3::4][:, self._bands]
        return np.ascontiguousarray(logits, dtype=np.float32)

    def reset(self) -> None:
        pass


@pytest.fixture
def tone_scorer() -> Scorer:
    decision = Decision(threshold=0.6, smoothing_ms=80.0, refractory_ms=500.0)
    manifest = scripted_manifest(["computer", "other"], decision)
    return Scorer(Spotter(ToneGraph(manifest), manifest))


def tone(hz: float, seconds: float, amplitude: float = 0.5) -> NDArray[np.float32]:
    time = np.arange(round(16_000 * seconds)) / 16_000
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


@pytest.fixture
def make_manifest(tmp_path: Path) -> Callable[..., Path]:
    """``make_manifest(name, (label, samples), …)`` writes recordings and the list of them."""

    def make(name: str, *recordings: tuple[str, NDArray[np.float32]]) -> Path:
        lines = ["path\tlabel"]
        for i, (label, samples) in enumerate(recordings):
            soundfile.write(tmp_path / f"{name}{i}.wav", samples, 16_000, "FLOAT")
            lines.append(f"{name}{i}.wav\t{label}")
        path = tmp_path / f"{name}.tsv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return make
