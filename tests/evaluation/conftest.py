"""Models that hear tones instead of words, and recordings of tones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from edgeaudio.backends.base import Signature
from edgeaudio.cli.main import main
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.models.manifest import Activity, ClipDecision, Decision, ModelManifest
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.testing import scripted_manifest
from edgeaudio.training.export import write_bundle
from edgeaudio.training.graph import Conv, Graph
from edgeaudio.types import Frames

WORD_HZ, OTHER_HZ = 1000, 3000


def bands(manifest_frontend: FrontendSpec, *tones_hz: float) -> list[int]:
    """The mel bands that hear these tones."""
    centres_hz = manifest_frontend.mel_weights().argmax(axis=1) * 16_000 / 512
    return [int(np.abs(centres_hz - hz).argmin()) for hz in tones_hz]


class ToneGraph:
    """1 kHz is "computer", 3 kHz is "other": each logit is the level of one mel band."""

    runtime = "tones"

    def __init__(self, manifest: ModelManifest) -> None:
        self.signature = Signature(manifest.step_frames, 40, 2, len(manifest.labels), ())
        self._bands = bands(manifest.frontend, WORD_HZ, OTHER_HZ)

    def step(self, frames: Frames) -> Frames:
        # Full scale tones reach about 10 in log-mel, noise at -50 dBFS about -6.
        logits = frames[3::4][:, self._bands]
        return np.ascontiguousarray(logits, dtype=np.float32)

    def reset(self) -> None:
        pass


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``run("evaluate", …)`` gives exit code, standard output and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


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


def write_tones(folder: Path, labels: Sequence[str], **facts: Any) -> Path:
    """Write a model that hears 1, 3 and 5 kHz, and as the last label anything soft."""
    spec = FrontendSpec()
    weight = np.zeros((len(labels), spec.n_bands, 4), dtype=np.float32)
    for label, band in enumerate(bands(spec, WORD_HZ, OTHER_HZ, 5000)):
        weight[label, band, -1] = 1.0
    bias = np.array([0.0, 0.0, 0.0, -2.0], dtype=np.float32)
    graph = Graph(spec.n_bands, 0.0, 1.0, (Conv("frames", "logits", weight, bias, stride=4),))
    rng = np.random.default_rng(3)
    sounds = [tone(hz, 2.0, level) for hz in (WORD_HZ, OTHER_HZ, 5000) for level in (0.01, 0.1, 0.5)]
    sounds.append(rng.normal(0, 1e-4, 32_000).astype(np.float32))
    write_bundle(
        graph,
        [Frontend(spec).process(sound).copy() for sound in sounds],
        out_dir=folder,
        name="tones",
        version="1",
        description="Hears tones",
        licence="Apache-2.0",
        data=(),
        frontend=spec,
        labels=labels,
        step_frames=8,
        **facts,
    )
    return folder


@pytest.fixture(scope="session")
def tone_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: 1 kHz is "yes", 3 kHz "no", 5 kHz unknown, and anything soft is silence."""
    return write_tones(
        tmp_path_factory.mktemp("models") / "tones",
        ("yes", "no", "unknown", "silence"),
        kind="commands",
        activation="softmax",
        decision=Decision(
            threshold=0.6,
            smoothing_ms=80.0,
            refractory_ms=500.0,
            silent_labels=("unknown", "silence"),
            clip=ClipDecision(word_threshold=0.6, silence_threshold=0.6),
        ),
    )


@pytest.fixture(scope="session")
def sounds_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: 1 kHz is a dog, 3 kHz rain, 5 kHz a rooster."""
    return write_tones(
        tmp_path_factory.mktemp("models") / "tones",
        ("dog_bark", "rain", "rooster", "silence"),
        kind="sounds",
        activation="sigmoid",
        activity=Activity(threshold=0.6, smoothing_ms=80.0, silent_labels=("silence",)),
    )
