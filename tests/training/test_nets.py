import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import torch

from edgeaudio.training.graph import Conv, Graph
from edgeaudio.training.nets import NetSpec, SpotterNet, to_graph
from edgeaudio.training.nets2d import BandStage
from edgeaudio.training.quantize import run_float

BANDED = NetSpec(
    17,
    5,
    stem=((8, 3, 1),),
    blocks=((3, 2),),
    input_mean=-4.0,
    input_scale=3.0,
    front=(BandStage(4, 5, 5, 2, 2), BandStage(6, 3, 3, band_stride=2, blocks=((3, 3, 2), (5, 1, 1)))),
)
SPEC = NetSpec(12, 5, stem=((8, 5, 2),), blocks=((3, 1), (5, 2)), input_mean=-4.0, input_scale=3.0)


def trained_looking_net(spec: NetSpec = SPEC, seed: int = 0) -> SpotterNet:
    """Random weights and batch norm statistics that differ from the identity."""
    torch.manual_seed(seed)
    net = SpotterNet(spec)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0.0, 0.3)
                module.running_mean.normal_(0.0, 0.3)
                module.running_var.uniform_(0.3, 2.0)
    return net.eval()


class SlowGraph:
    """The graph's definition, sample by sample in float64: every tensor a growing list of frames."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: dict[str, list[np.ndarray]] = {graph.input: []}
        for node in graph.nodes:
            self.tensors[node.output] = []

    def step(self, frames: np.ndarray) -> np.ndarray:
        """Append frames, compute whatever has become computable, return all logits so far."""
        graph = self.graph
        self.tensors[graph.input] += list((frames.astype(np.float64) - graph.input_mean) / graph.input_scale)
        for node in graph.nodes:
            out = self.tensors[node.output]
            if isinstance(node, Conv):
                source = self.tensors[node.source]
                while (len(out) + 1) * node.stride <= len(source):
                    newest = (len(out) + 1) * node.stride - 1
                    y = node.bias.astype(np.float64)
                    for k in range(node.weight.shape[2]):
                        at = newest - (node.weight.shape[2] - 1 - k) * node.dilation
                        if at >= 0:
                            y = y + node.weight[:, :, k].astype(np.float64) @ source[at]
                    out.append(np.maximum(y, 0.0) if node.relu else y)
            else:
                a, b = (self.tensors[name] for name in node.sources)
                while len(out) < min(len(a), len(b)):
                    y = a[len(out)] + b[len(out)]
                    out.append(np.maximum(y, 0.0) if node.relu else y)
        return np.array(self.tensors[graph.logits])


def forward(net: SpotterNet, frames: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(frames[None])).numpy()[0]


@pytest.mark.parametrize(
    "spec",
    [SPEC, NetSpec(7, 3, stem=((6, 3, 1), (4, 3, 2)), blocks=((3, 4),)), NetSpec(4, 2, ((6, 4, 4),), ())],
)
def test_graph_equals_torch(spec: NetSpec) -> None:
    net = trained_looking_net(spec)
    frames = np.random.default_rng(1).normal(-4.0, 3.0, (48, spec.n_bands)).astype(np.float32)
    # Float32 sums of a few hundred terms of order one against float64.
    np.testing.assert_allclose(SlowGraph(to_graph(net)).step(frames), forward(net, frames), atol=1e-4)


def test_graph_over_time_and_bands_equals_torch() -> None:
    net = trained_looking_net(BANDED)
    graph = to_graph(net)
    # 17 bands through kernels of 5 and 3 at strides of 2: 7, then 3.
    assert (graph.bands["front0"], graph.bands["front3"], net.front.width) == (7, 3, 18)
    assert (graph.stride, graph.embedding_width) == (2, 8)
    frames = np.random.default_rng(1).normal(-4.0, 3.0, (60, 17)).astype(np.float32)
    np.testing.assert_allclose(run_float(graph, frames), forward(net, frames), atol=1e-4)


@settings(max_examples=15)
@given(chunks=st.lists(st.integers(0, 13), min_size=1, max_size=8))
def test_streaming_equals_offline(chunks: list[int]) -> None:
    net = trained_looking_net()
    n_frames = sum(chunks) // 2 * 2
    frames = np.random.default_rng(2).normal(-4.0, 3.0, (n_frames, SPEC.n_bands)).astype(np.float32)
    slow = SlowGraph(to_graph(net))
    start = 0
    for n in chunks:
        logits = slow.step(frames[start : start + n])
        start += n
    if n_frames:
        np.testing.assert_allclose(logits, forward(net, frames), atol=1e-4)


@pytest.mark.parametrize("spec", [SPEC, BANDED])
def test_the_future_does_not_change_the_past(spec: NetSpec) -> None:
    net = trained_looking_net(spec)
    frames = np.random.default_rng(3).normal(size=(40, spec.n_bands)).astype(np.float32)
    changed = frames.copy()
    changed[21:] += 5.0
    # Frame 20 is the newest one of output 10 only together with frame 21, so ten outputs are untouched.
    a, b = forward(net, frames), forward(net, changed)
    np.testing.assert_allclose(a[:10], b[:10], atol=1e-6)
    assert np.abs(a[10:] - b[10:]).min() > 0.0


@pytest.mark.parametrize("spec", [SPEC, BANDED])
def test_receptive_field_is_exact(spec: NetSpec) -> None:
    net = trained_looking_net(spec)
    field = to_graph(net).receptive_field_frames
    n = field + field % 2 + 8
    frames = np.zeros((n, spec.n_bands), np.float32)
    base = forward(net, frames)[-1]
    for distance, seen in ((field, True), (field + 1, False)):
        poked = frames.copy()
        poked[n - distance] += 100.0
        assert np.any(np.abs(forward(net, poked)[-1] - base) > 1e-6) == seen


def test_batch_norm_is_folded_into_every_convolution() -> None:
    graph = to_graph(trained_looking_net())
    convs = [node for node in graph.nodes if isinstance(node, Conv)]
    assert [conv.output for conv in convs] == ["stem0", "block0a", "block0b", "block1a", "block1b", "logits"]
    assert graph.stride == 2
    assert all(conv.weight.dtype == np.float32 and np.any(conv.bias) for conv in convs)
