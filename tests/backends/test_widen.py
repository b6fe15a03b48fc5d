"""A quantized graph in float32: the same weights, no rounding in between, the same ends of each range."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgeaudio.backends import open_graph, stream
from edgeaudio.backends.widen import widen
from edgeaudio.errors import BackendError, MissingDependencyError, ModelError
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.profiles import Profile
from edgeaudio.training.convolving import convolve
from edgeaudio.training.graph import Conv, Graph
from edgeaudio.training.quantize import QuantizedGraph, quantize
from tests.backends.test_graphs import Altered
from tests.networks import (
    banded_graph,
    calibration,
    depthwise_graph,
    facts,
    random_frames,
    residual_graph,
    waveform_graph,
)

FLOAT = Profile(name="float", precision="float32", runtime=("onnx",))


def reference(quantized: QuantizedGraph, frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """The whole sequence in float64 with the integers' weights, each tensor cut off where int8 ends."""
    graph, scales = quantized.graph, quantized.scales

    def limited(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        scale = scales[name]
        low, high = ((q - scale.zero_point) * scale.scale for q in (-128, 127))
        return np.clip(x, low, high)

    tensors = {graph.input: limited(frames.astype(np.float64), graph.input)}
    for node in graph.nodes:
        if isinstance(node, Conv):
            conv, source = quantized.convs[node.output], scales[node.source]
            weight_scale = conv.weight_scale.astype(np.float64)
            rest = (source.rest - source.zero_point) * source.scale
            steps = weight_scale.reshape(-1, *(1,) * (conv.weight.ndim - 1))
            x = convolve(tensors[node.source], node, conv.weight * steps, rest)
            x = (x + conv.bias * weight_scale * source.scale).reshape(len(x), -1)
        else:
            x = tensors[node.sources[0]] + tensors[node.sources[1]]
        tensors[node.output] = limited(x, node.output)
    return tensors[graph.logits]


@pytest.mark.parametrize("make", [residual_graph, waveform_graph, depthwise_graph, banded_graph])
def test_it_is_the_integers_network_without_rounding(tmp_path: Path, make: object) -> None:
    from edgeaudio.frontend import FrontendSpec
    from edgeaudio.training.export import write_bundle

    graph: Graph = make()  # type: ignore[operator]
    waveform = make is waveform_graph
    spec = FrontendSpec(features="waveform") if waveform else FrontendSpec()
    write_bundle(graph, calibration(graph), out_dir=tmp_path / "m", **facts(frontend=spec))
    frames = random_frames(96, 3, graph)
    opened = open_graph(load_bundle(tmp_path / "m"), profile=FLOAT)
    assert (opened.runtime, opened.provider, opened.precision) == ("onnx", "cpu", "float32")
    expected = reference(quantize(graph, calibration(graph)), frames)
    # float32 against float64, in sums of some hundred products of numbers around 1.
    np.testing.assert_allclose(stream(opened, frames), expected, atol=1e-3)


def test_a_reset_forgets(bundle: Bundle) -> None:
    opened = open_graph(bundle, profile=FLOAT)
    frames = random_frames(40, 1, residual_graph())
    first = stream(opened, frames)
    assert not np.array_equal(stream(opened, frames), first)
    opened.reset()
    np.testing.assert_array_equal(stream(opened, frames), first)


@pytest.mark.parametrize("name", ["wake-computer", "commands-12", "captions-en-small"])
def test_shipped_models_decide_alike(name: str) -> None:
    bundle = load_bundle(find_model(name))
    golden = bundle.golden()
    logits = stream(open_graph(bundle, profile=FLOAT), golden.frames)
    # Rounding of activations is what is left: a few hundredths of the logits' spread.
    assert np.abs(logits - golden.logits).mean() < 0.02 * np.ptp(golden.logits)
    same = (logits.argmax(axis=1) == golden.logits.argmax(axis=1)).mean()
    assert same > 0.95


def test_litert_refuses_float32(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="litert' runs no float32, which the profile 'float' asks for"):
        open_graph(bundle, "litert", FLOAT)


def test_a_profile_of_two_runtimes_takes_the_one_that_can(bundle: Bundle) -> None:
    assert open_graph(bundle, profile=Profile(precision="float32")).runtime == "onnx"


def test_a_graph_that_is_float_stays_as_it_is(bundle: Bundle) -> None:
    data, signature = widen("m", bundle.read_graph("onnx"), bundle.signature("onnx"))
    frames = random_frames(40, 1, residual_graph())
    expected = stream(open_graph(bundle, profile=FLOAT), frames)
    for profile in (FLOAT, Profile()):
        opened = open_graph(Altered(bundle, data, signature), "onnx", profile)
        assert opened.precision == "float32"
        np.testing.assert_array_equal(stream(opened, frames), expected)


def test_without_the_package_onnx_it_says_what_to_install(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match="needs the package onnx") as caught:
        open_graph(bundle, profile=FLOAT)
    assert "pip install onnx" in str(caught.value)


def test_strange_operators_are_refused_by_name(bundle: Bundle) -> None:
    model = onnx.load_from_string(bundle.read_graph("onnx"))
    model.graph.node.append(onnx.helper.make_node("Loop", ["logits"], ["x"]))
    with pytest.raises(ModelError, match="no float32 form: Loop"):
        widen("m", model.SerializeToString(), bundle.signature("onnx"))


@pytest.mark.parametrize("missing", ["scale_frames", "weight_stem"])
def test_a_graph_with_a_part_missing_is_refused(bundle: Bundle, missing: str) -> None:
    model = onnx.load_from_string(bundle.read_graph("onnx"))
    kept = [tensor for tensor in model.graph.initializer if tensor.name != missing]
    assert len(kept) < len(model.graph.initializer)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    with pytest.raises(ModelError, match="float32"):
        widen("m", model.SerializeToString(), bundle.signature("onnx"))


def test_bytes_that_are_no_graph_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ModelError):
        widen("m", b"QLinearConv" * 20, bundle.signature("onnx"))
