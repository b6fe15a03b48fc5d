"""The float reference against plain loops in float64, and integers against the float reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import ModelError
from edgeaudio.training.graph import Add, Conv, Graph
from edgeaudio.training.quantize import QuantizedGraph, Scale, fold_input, quantize, run_float, run_int8
from edgeaudio.types import Frames
from tests.networks import calibration, depthwise_graph, random_frames, residual_graph, waveform_graph

GRAPHS = {"residual": residual_graph, "waveform": waveform_graph, "depthwise": depthwise_graph}


def by_definition(graph: Graph, frames: Frames) -> np.ndarray:
    """Each output is a sum over taps ending at its newest input frame; nothing before the start."""
    tensors = {graph.input: (frames.astype(np.float64) - graph.input_mean) / graph.input_scale}
    for node in graph.nodes:
        if isinstance(node, Add):
            y = tensors[node.sources[0]] + tensors[node.sources[1]]
        else:
            x = tensors[node.source]
            outputs, per_group, kernel = node.weight.shape
            y = np.zeros((len(x) // node.stride, outputs))
            for t in range(len(y)):
                newest = t * node.stride + node.stride - 1
                for o in range(outputs):
                    first = o // (outputs // node.groups) * per_group
                    y[t, o] = node.bias[o]
                    for k in range(kernel):
                        at = newest - node.dilation * (kernel - 1 - k)
                        if at >= 0:
                            y[t, o] += node.weight[o, :, k] @ x[at, first : first + per_group]
        tensors[node.output] = np.maximum(y, 0) if node.relu else y
    return tensors[graph.logits]


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return GRAPHS[request.param]()


@pytest.fixture(scope="module")
def quantized(graph: Graph) -> QuantizedGraph:
    return quantize(graph, calibration(graph))


def test_float_reference_follows_the_definition(graph: Graph) -> None:
    frames = random_frames(24, 100, graph)
    expected = by_definition(graph, frames)
    # float32 sums of a few hundred terms; folding the mean in cancels two digits of seven.
    assert np.abs(run_float(graph, frames) - expected).max() < 1e-4 * np.abs(expected).max()


def test_integers_follow_the_float_reference(graph: Graph, quantized: QuantizedGraph) -> None:
    frames = random_frames(400, 101, graph)
    real, integer = run_float(graph, frames), run_int8(quantized, frames)
    noise = np.mean((real - integer) ** 2)
    # Eight bits give about 45 dB a layer (6.02 * 8 - headroom of the peaks); up to seven layers add up.
    assert 10 * np.log10(np.var(real) / noise) > 27


def test_bias_correction_leaves_no_mean_error(graph: Graph, quantized: QuantizedGraph) -> None:
    frames = np.concatenate(calibration(graph))
    error = (run_int8(quantized, frames) - run_float(graph, frames)).mean(axis=0)
    # Half a step is what rounding the output itself could hide, were it not for averaging.
    assert np.abs(error).max() < 0.5 * quantized.scales["logits"].scale


@pytest.mark.parametrize("make", [residual_graph, waveform_graph])
def test_mean_frames_are_rest(make: Callable[[], Graph]) -> None:
    """Mean frames must look to the first layer as if nothing had come yet: no step at the start."""
    graph = make()
    first = graph.nodes[0]
    assert isinstance(first, Conv)
    only = dataclasses.replace(first, output="logits", relu=False)
    graph = dataclasses.replace(graph, nodes=(only,), embedding=None)
    quantized = quantize(graph, calibration(graph))
    scale = quantized.scales[graph.input]
    assert scale.dequantize(np.array([scale.rest], np.int8))[0] == pytest.approx(graph.input_mean, abs=1e-5)
    outputs = run_int8(quantized, np.full((40, graph.n_bands), graph.input_mean, np.float32))
    assert (outputs == outputs[0]).all()


def test_relu_is_the_end_of_the_range(quantized: QuantizedGraph) -> None:
    for node in quantized.graph.nodes:
        if node.relu:
            assert quantized.scales[node.output].zero_point == -128


def test_rare_large_values_are_clipped_for_finer_steps() -> None:
    """Of a Laplace distribution, 8 bits are best spent on less than its full range."""
    graph = residual_graph()
    rng = np.random.default_rng(0)
    frames = rng.laplace(graph.input_mean, 1.0, (4000, graph.n_bands)).astype(np.float32)
    assert quantize(graph, [frames]).scales["frames"].scale < 0.9 * np.ptp(frames) / 255


def test_dead_channels_and_large_biases_fit() -> None:
    graph = residual_graph()
    stem = graph.nodes[0]
    assert isinstance(stem, Conv)
    weight, bias = stem.weight.copy(), stem.bias.copy()
    weight[0], bias[0] = 0.0, 3.0
    weight[1], bias[1] = 1e-12, 3.0
    nodes = (dataclasses.replace(stem, weight=weight, bias=bias), *graph.nodes[1:])
    changed = dataclasses.replace(graph, nodes=nodes)
    quantized = quantize(changed, calibration(changed))
    frames = random_frames(100, 102, graph)
    real = run_float(changed, frames)
    assert np.sqrt(np.mean((run_int8(quantized, frames) - real) ** 2)) < 0.05 * real.std()


@settings(max_examples=50)
@given(
    scale=st.floats(2.0**-13, 8.0, width=32),
    zero_point=st.integers(-128, 127),
    part=st.lists(st.floats(-1.0, 1.0, width=32), min_size=1, max_size=20),
)
def test_quantizing_rounds_to_the_nearest_step(scale: float, zero_point: int, part: list[float]) -> None:
    s = Scale(scale, zero_point, zero_point)
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    x = np.clip(np.array(part, np.float32) * 256 * scale, low, high).astype(np.float32)
    # Half a step, and the float32 rounding of values up to 256 steps.
    assert np.abs(s.dequantize(s.quantize(x)) - x).max() <= 0.5 * scale * (1 + 1e-4)


@pytest.mark.parametrize(
    "sequences", [[], [np.zeros((1, 40), np.float32)], [np.full((8, 40), np.nan, np.float32)]]
)
def test_calibration_that_says_nothing_is_refused(sequences: list[Frames]) -> None:
    with pytest.raises(ModelError, match="calibration"):
        quantize(residual_graph(), sequences)


def test_graphs_that_cannot_run_are_refused() -> None:
    graph = residual_graph()
    for broken in (
        dataclasses.replace(graph, nodes=(Add(("frames", "frames"), "logits"),)),
        dataclasses.replace(graph, nodes=graph.nodes[1:]),
    ):
        with pytest.raises(ModelError, match="cannot read"):
            fold_input(broken)
    with pytest.raises(ModelError, match="no tensor 'nothing'"):
        fold_input(dataclasses.replace(graph, logits="nothing"))
