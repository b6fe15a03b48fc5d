"""What is compared: each variant's ear, network, and what it costs to run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.models.manifest import Activity
from edgeaudio.training.costs import costs
from edgeaudio.training.export import write_bundle
from edgeaudio.training.nets import NetSpec, to_graph
from edgeaudio.training.nets2d import BandStage
from edgeaudio.training.sounds import SHARED_SPEC, STEP_FRAMES, listener
from edgeaudio.training.sounds_fit import MEAN, SCALE, SoundNet, pcen_net, sounds_net_spec
from edgeaudio.training.sounds_frames import Ear
from edgeaudio.types import SAMPLE_RATE_HZ
from tools.comparison.ears import LONG_SPEC, mel_ear, spectrum_ear, two_ears
from tools.comparison.networks import GaussianNet, PlainNet, TwoResolutions

__all__ = ["PLAIN", "SHIPPED", "VARIANTS", "Variant"]

PLAIN, SHIPPED = "plain", "pcen"
_BANDS = SHARED_SPEC.n_bands
_AUDIO_S, _PASSES = 20, 3


@dataclass(frozen=True)
class Variant:
    """One row: its network's shape and how it is made, and what a runtime spends, in ms a second of audio."""

    title: str
    ear: Callable[[], Ear]
    spec: Callable[[int], NetSpec]
    make: Callable[[NetSpec], SoundNet]
    cost_ms: Callable[[NetSpec], float]


def _plain(n_labels: int) -> NetSpec:
    front = (
        BandStage(16, 3, 3, stride=2, band_stride=2),
        BandStage(32, 3, 3, stride=2, band_stride=2),
        BandStage(96, 3, 3, stride=2, band_stride=2),
        BandStage(160, 3, 3, band_stride=2),
    )
    return NetSpec(_BANDS, n_labels, (), (), MEAN, SCALE, front)


def _one_d(n_labels: int) -> NetSpec:
    stem = ((96, 5, 2), (96, 5, 2), (96, 5, 2))
    return NetSpec(_BANDS, n_labels, stem, ((3, 1), (3, 2), (3, 4)), MEAN, SCALE)


def _two_d(n_labels: int) -> NetSpec:
    return sounds_net_spec(_BANDS, n_labels)


def _graph_ms(spec: NetSpec, frontend: FrontendSpec = SHARED_SPEC) -> float:
    """Features and int8 network as they run live, on the faster runtime."""
    labels = [f"label-{i}" for i in range(spec.n_labels)]
    rng = np.random.default_rng(0)
    frames = [rng.normal(MEAN, SCALE, (400, _BANDS)).astype(np.float32) for _ in range(8)]
    with tempfile.TemporaryDirectory(prefix="edgeaudio-") as scratch:
        folder = Path(scratch) / "variant"
        write_bundle(
            to_graph(SoundNet(spec).eval()),
            frames,
            out_dir=folder,
            name=folder.name,
            kind="sounds",
            version="1.0.0",
            description="Measured for its cost.",
            licence="Apache-2.0",
            data=(),
            frontend=frontend,
            labels=labels,
            activation="sigmoid",
            step_frames=STEP_FRAMES,
            activity=Activity(threshold=0.5),
            min_snr_db=-100.0,  # it has learned nothing: its logits are next to nothing
        )
        found = costs(folder, 0, partial(listener, folder, frontend))
    return float(min(cost["CPU ms per second of audio"] for cost in found.values() if isinstance(cost, dict)))


def _least_ms(work: Callable[[], object]) -> float:
    times_s = []
    for _ in range(_PASSES):
        started = time.process_time()
        work()
        times_s.append(time.process_time() - started)
    return 1000 * min(times_s) / _AUDIO_S


def _filters_ms(spec: NetSpec) -> float:
    """Besides all that the mel bands cost, a product with a full matrix."""
    power = np.random.default_rng(0).random((100, SHARED_SPEC.n_fft // 2 + 1), np.float32)
    weights = np.ones((power.shape[1], _BANDS), np.float32)
    return _graph_ms(spec) + _least_ms(lambda: [power @ weights for _ in range(_AUDIO_S)])


def _both_ms(spec: NetSpec) -> float:
    """The second frontend, and the network with a second front: one whose blocks are missing."""
    audio = 0.1 * np.random.default_rng(0).standard_normal(_AUDIO_S * SAMPLE_RATE_HZ).astype(np.float32)
    long, short = Frontend(LONG_SPEC), Frontend(SHARED_SPEC)
    second_ms = _least_ms(lambda: long.process(audio))
    front_ms = _graph_ms(replace(spec, blocks=())) - _least_ms(lambda: short.process(audio))
    return _graph_ms(spec) + second_ms + front_ms


VARIANTS = {
    PLAIN: Variant("plain CNN: mean over bands, no memory", mel_ear, _plain, PlainNet, _graph_ms),
    "one-d": Variant("1-D, bands as channels", mel_ear, _one_d, SoundNet, _graph_ms),
    "two-d": Variant("2-D, bands kept apart", mel_ear, _two_d, SoundNet, _graph_ms),
    SHIPPED: Variant(
        "2-D, PCEN with learnt parameters (shipped)",
        mel_ear,
        _two_d,
        pcen_net,
        lambda spec: _graph_ms(spec, msgspec.structs.replace(SHARED_SPEC, features="pcen")),
    ),
    "gaussians": Variant(
        "2-D, learnt Gaussian filters over the spectrum",
        spectrum_ear,
        _two_d,
        GaussianNet,
        _filters_ms,
    ),
    "resolutions": Variant("2-D, windows of 25 and 100 ms fused", two_ears, _two_d, TwoResolutions, _both_ms),
}
