"""The exported file, read by hand: the same numbers as where it came from, and gradients that are true."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edgeaudio.backends.base import Signature, StateSpec
from edgeaudio.errors import ModelError
from edgeaudio.explaining.gradients import Array, activate, forward, score_gradient
from edgeaudio.explaining.network import Network, read_network
from edgeaudio.explaining.onnx_file import read_onnx
from edgeaudio.explaining.saliency import seen
from edgeaudio.models.bundle import Bundle
from edgeaudio.training.export_onnx import export_onnx_float, export_onnx_int8
from edgeaudio.training.graph import Conv, Conv2d, Graph
from edgeaudio.training.quantize import QuantizedGraph, quantize, run_float, run_int8
from tests.networks import banded_graph, depthwise_graph, random_frames, residual_graph, waveform_graph

GRAPHS: dict[str, Callable[[], Graph]] = {
    "residual": residual_graph,
    "banded": banded_graph,
    "depthwise": depthwise_graph,
    "waveform": waveform_graph,
}


def bundle_of(graph: Graph, data: bytes, quantized: QuantizedGraph | None = None) -> Bundle:
    """What `read_network` needs of a bundle."""
    scales = {} if quantized is None else quantized.scales
    states = tuple(
        StateSpec(f"state_{node.output}", scales[node.source].rest + 128 if scales else 0.0)
        for node in graph.nodes
        if isinstance(node, Conv) and node.context
    )
    shape = Signature(4, graph.n_bands, 2, 4, states)
    return cast(
        Bundle,
        SimpleNamespace(
            name="random",
            read_graph=lambda runtime: data,
            signature=lambda runtime: shape,
            manifest=SimpleNamespace(frontend=SimpleNamespace(n_bands=graph.n_bands)),
        ),
    )


def plain(graph: Graph) -> Network:
    """A graph that is not quantized."""
    return Network(graph, {})


def frames_for(graph: Graph, n: int = 48) -> Array:
    return random_frames(n, 1, graph).astype(np.float64)


@pytest.mark.parametrize("name", GRAPHS)
def test_what_is_read_answers_as_the_integers_do(name: str) -> None:
    graph = GRAPHS[name]()
    quantized = quantize(graph, [random_frames(48, seed, graph) for seed in (1, 2, 3)])
    network = read_network(bundle_of(graph, export_onnx_int8(quantized, 4), quantized))
    frames = random_frames(48, 4, graph)
    logits = forward(network, frames[None].astype(np.float64)).logits[0]
    step = quantized.scales["logits"].scale
    # A tie that float64 rounds otherwise than float32 is one step inside, and up to two behind it.
    assert np.abs(logits - run_int8(quantized, frames)).max() <= 2.01 * step
    assert network.graph.embedding == graph.embedding
    assert network.graph.input_mean == pytest.approx(graph.input_mean, abs=1e-5)


@pytest.mark.parametrize("name", GRAPHS)
def test_without_steps_it_answers_as_the_floats_do(name: str) -> None:
    graph = GRAPHS[name]()
    frames = random_frames(48, 1, graph)
    logits = forward(plain(graph), frames[None].astype(np.float64)).logits[0]
    np.testing.assert_allclose(logits, run_float(graph, frames), rtol=0, atol=1e-4)  # float32 sums


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_are_what_small_changes_do(name: str, activation: str) -> None:
    graph = GRAPHS[name]()
    network, frames = plain(graph), frames_for(graph)
    rng = np.random.default_rng(0)
    weights = rng.random(len(frames) // graph.stride)
    way = rng.standard_normal(frames.shape)

    def score(x: Array) -> float:
        return float(activate(forward(network, x[None]).logits[0], activation)[:, 1] @ weights)

    run = forward(network, frames[None])
    gradient = run.backward(score_gradient(run.logits, activation, 1, weights))["frames"][0, ..., 0]
    # Small enough that hardly any ReLU turns within, large enough for the 16 digits of the difference.
    size = 1e-6
    change = (score(frames + size * way) - score(frames - size * way)) / (2 * size)
    assert float((gradient * way).sum()) == pytest.approx(change, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_are_those_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    graph = GRAPHS[name]()
    frames = frames_for(graph)
    weights = np.linspace(0.1, 1.0, len(frames) // graph.stride)
    run = forward(plain(graph), frames[None])
    gradient = run.backward(score_gradient(run.logits, "softmax", 2, weights))["frames"][0, ..., 0]

    x = torch.tensor(frames, requires_grad=True)
    logits = torch_logits(torch, graph, x)
    (torch.softmax(logits, dim=1)[:, 2] * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(run.logits[0], logits.detach().numpy(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=0, atol=1e-10)  # float64 on both sides


def torch_logits(torch: Any, graph: Graph, frames: Any) -> Any:
    """The graph in torch's own operators: frames ``[n, n_bands]``, tensors ``[1, channels, n, bands]``."""
    functional = torch.nn.functional
    tensors = {graph.input: ((frames - graph.input_mean) / graph.input_scale)[None, None]}
    for node in graph.nodes:
        if isinstance(node, Conv):
            x = tensors[node.source]
            weight, bias = torch.tensor(node.weight).double(), torch.tensor(node.bias).double()
            pad, strides = 0, (node.stride, 1)
            if isinstance(node, Conv2d):
                pad, strides = node.band_pad, (node.stride, node.band_stride)
            else:
                # Band after band in one list.
                x = x.permute(0, 3, 1, 2).reshape(1, -1, x.shape[2], 1)
                weight = weight[..., None]
            x = functional.pad(x, (pad, pad, node.context, 0))
            y = functional.conv2d(
                x, weight, bias, stride=strides, dilation=(node.dilation, 1), groups=node.groups
            )
        else:
            y = tensors[node.sources[0]] + tensors[node.sources[1]]
        tensors[node.output] = functional.relu(y) if node.relu else y
    return tensors[graph.logits][0, :, :, 0].T


def test_nothing_passes_what_is_cut_off() -> None:
    graph = residual_graph()
    quantized = quantize(graph, [random_frames(48, seed, graph) for seed in (1, 2)])
    network = read_network(bundle_of(graph, export_onnx_int8(quantized, 4), quantized))
    _, most = network.steps["frames"].limits
    frames = np.full((1, 8, graph.n_bands), graph.input_mean)
    frames[0, 3, 5] = most + 1.0
    run = forward(network, frames)
    gradient = run.backward(np.ones_like(run.logits))["frames"][0, ..., 0]
    assert gradient[3, 5] == 0.0
    assert (gradient[3] != 0.0).sum() > 20


def test_a_certain_network_still_has_gradients() -> None:
    # One minus the posterior would be exactly zero.
    logits = np.array([[50.0, 0.0]])
    for activation in ("softmax", "sigmoid"):
        gradient = score_gradient(logits, activation, 0, np.ones(1))
        assert gradient[0, 0] == pytest.approx(np.exp(-50.0), rel=1e-9)


def test_operators_without_a_known_gradient_are_named() -> None:
    graph = depthwise_graph()
    with pytest.raises(ModelError, match="no gradient is known here: Transpose"):
        read_network(bundle_of(graph, export_onnx_float(graph, 4)))


def test_the_file_is_read_as_by_the_package_onnx() -> None:
    onnx = pytest.importorskip("onnx")
    data = export_onnx_float(banded_graph(), 4)
    found, model = read_onnx(data, "it"), onnx.load_from_string(data)
    assert [(n.operator, n.inputs, n.outputs) for n in found.nodes] == [
        (n.op_type, tuple(n.input), tuple(n.output)) for n in model.graph.node
    ]
    for node, theirs in zip(found.nodes, model.graph.node, strict=True):
        for attribute in theirs.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            assert node.attributes[attribute.name] == (tuple(value) if isinstance(value, list) else (value,))
    assert set(found.constants) == {tensor.name for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        np.testing.assert_array_equal(found.constants[tensor.name], onnx.numpy_helper.to_array(tensor))


@pytest.mark.parametrize(
    "data", [b"", b"RIFF no network", b"\xff" * 12, b"\x3a\xff\x7f", b"\x3a\x02\x0a\x01"]
)
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="no ONNX file that edgeaudio has written"):
        read_onnx(data, "it")


@pytest.mark.parametrize("name", ["stem", "b", "deep", "list"])
def test_a_place_has_heard_what_it_is_said_to(name: str) -> None:
    # What lies outside changes nothing; each edge of what lies inside changes something. (Behind the last
    # bands all are heard at once, but those that strides leave over.)
    graph = banded_graph()
    network, frames = plain(graph), frames_for(graph)
    time, bands = seen(network)[name]
    i, j = 20, min(2, graph.bands.get(name, 1) - 1)
    start, low = i * time.step + time.first, j * bands.step + bands.first
    ends, highs = start + time.length - 1, min(low + bands.length, graph.n_bands) - 1

    def value(x: Array) -> Array:
        return forward(network, x[None]).tensors[name][0, i, j]

    inside = np.zeros(frames.shape, np.bool_)
    inside[max(0, start) : ends + 1, max(0, low) : highs + 1] = True
    outside = np.where(inside, frames, frames + 3.0)
    np.testing.assert_allclose(value(outside), value(frames), rtol=0, atol=1e-12)
    edges = (slice(highs, highs + 1), slice(max(0, low), max(0, low) + 1))
    for frame, edge in zip((start, ends), edges, strict=True):
        changed = frames.copy()
        changed[frame, edge if name in graph.bands else slice(None)] += 50.0
        assert np.abs(value(changed) - value(frames)).max() > 0
