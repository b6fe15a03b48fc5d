"""Networks with random weights, frames for them, and bundles made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import Captions, Decision
from edgeaudio.training.export import Agreement, update_manifest, write_bundle
from edgeaudio.training.graph import Add, Conv, Conv2d, Graph
from edgeaudio.types import Frames

LABELS = ("yes", "no", "unknown", "silence")
PHONES = ("<blank>", "G", "N", "OW")
MEAN, SCALE = -6.0, 4.0


def random_conv(
    rng: np.random.Generator, source: str, output: str, shape: tuple[int, int, int], **options: Any
) -> Conv:
    """He-initialised, so that activations neither vanish nor explode."""
    weight = rng.standard_normal(shape) * np.sqrt(2 / (shape[1] * shape[2]))
    bias = 0.1 * rng.standard_normal(shape[0])
    return Conv(source, output, weight.astype(np.float32), bias.astype(np.float32), **options)


def residual_graph(seed: int = 0, *, n_bands: int = 40, width: int = 24, n_labels: int = 4) -> Graph:
    """A spotter in small: strided stem, two dilated residual blocks, a head without context."""
    rng = np.random.default_rng(seed)
    nodes: list[Conv | Add] = [
        random_conv(rng, "frames", "stem", (width, n_bands, 5), stride=2, relu=True),
    ]
    source = "stem"
    for i, dilation in enumerate((1, 3)):
        square = (width, width, 5)
        nodes += [
            random_conv(rng, source, f"a{i}", square, dilation=dilation, relu=True),
            random_conv(rng, f"a{i}", f"b{i}", square, dilation=dilation),
            Add((source, f"b{i}"), f"block{i}", relu=True),
        ]
        source = f"block{i}"
    nodes.append(random_conv(rng, source, "logits", (n_labels, width, 1)))
    return Graph(n_bands, MEAN, SCALE, tuple(nodes), embedding=source)


def waveform_graph(seed: int = 0) -> Graph:
    """Raw samples: frames are hops of 160, the first kernel spans three of them."""
    rng = np.random.default_rng(seed)
    nodes = (
        random_conv(rng, "frames", "first", (16, 160, 3), relu=True),
        random_conv(rng, "first", "second", (16, 16, 2), stride=2, relu=True),  # k = s: no state
        random_conv(rng, "second", "logits", (4, 16, 3), dilation=2),
    )
    return Graph(160, 0.0, 0.1, nodes)


def depthwise_graph(seed: int = 0) -> Graph:
    """Separable convolutions, one of them with two outputs a channel."""
    rng = np.random.default_rng(seed)
    nodes = (
        random_conv(rng, "frames", "deep0", (40, 1, 4), stride=2, groups=40),
        random_conv(rng, "deep0", "wide0", (16, 40, 1), relu=True),
        random_conv(rng, "wide0", "deep1", (32, 1, 5), dilation=2, groups=16, relu=True),
        random_conv(rng, "deep1", "logits", (4, 32, 1)),
    )
    return Graph(40, MEAN, SCALE, nodes)


def banded_graph(seed: int = 0) -> Graph:
    """Over time and bands: strided in both, padded and dilated, depthwise, and then a list of channels."""
    rng = np.random.default_rng(seed)

    def over_both(source: str, output: str, shape: tuple[int, int, int, int], **options: Any) -> Conv2d:
        flat = random_conv(rng, source, output, (shape[0], shape[1], shape[2] * shape[3]))
        return Conv2d(source, output, flat.weight.reshape(shape), flat.bias, **options)

    nodes = (
        over_both("frames", "stem", (8, 1, 5, 5), stride=2, band_stride=2, relu=True),  # 40 bands to 18
        over_both("stem", "a", (8, 8, 3, 3), dilation=2, band_pad=1, relu=True),
        over_both("a", "b", (8, 8, 3, 3), band_pad=1),
        Add(("stem", "b"), "block", relu=True),
        over_both("block", "deep", (16, 1, 3, 4), groups=8, band_stride=2),  # to 8 bands
        over_both("deep", "wide", (12, 16, 1, 1), relu=True),
        random_conv(rng, "wide", "list", (10, 96, 3), relu=True),
        random_conv(rng, "list", "logits", (4, 10, 1)),
    )
    return Graph(40, MEAN, SCALE, nodes, embedding="wide")


def random_frames(n_frames: int, seed: int, graph: Graph) -> Frames:
    """Noise with slow drifts around the graph's mean, every third sequence quiet."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_frames, graph.n_bands))
    drift = np.cumsum(noise, axis=0) * 0.1
    level = 0.2 if seed % 3 == 0 else 1.0
    x = graph.input_mean + graph.input_scale * 3.0 * np.tanh(level * (noise + drift) / 3.0)
    return x.astype(np.float32)


def calibration(graph: Graph) -> list[Frames]:
    return [random_frames(150, seed, graph) for seed in range(12)]


PLAIN = Decision(threshold=0.5, smoothing_ms=100, refractory_ms=1000)


def facts(**changes: Any) -> dict[str, Any]:
    """The fields of a valid model.yaml for :func:`residual_graph`."""
    fields: dict[str, Any] = {
        "name": "random",
        "kind": "commands",
        "version": "1",
        "description": "Random weights.",
        "licence": "Apache-2.0",
        "data": ["none"],
        "frontend": FrontendSpec(),
        "labels": LABELS,
        "activation": "softmax",
        "step_frames": 4,
        "decision": Decision(
            threshold=0.5, smoothing_ms=100, refractory_ms=1000, silent_labels=("unknown", "silence")
        ),
    }
    return {**fields, **changes}


def write_random_bundle(folder: Path) -> Agreement:
    graph = residual_graph()
    return write_bundle(graph, calibration(graph), out_dir=folder, **facts())


def write_captions_bundle(folder: Path, **captions: Any) -> None:
    """A recogniser of three phones, with random weights."""
    graph = residual_graph()
    write_bundle(graph, calibration(graph), out_dir=folder, **facts(labels=PHONES, decision=PLAIN))
    section = Captions(**{"units": "phones", **captions})
    update_manifest(folder, name="random-captions", kind="captions", decision=None, captions=section)
