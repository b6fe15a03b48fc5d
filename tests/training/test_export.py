"""Both runtimes, streaming, against the offline references; and what a bundle's writer refuses."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaudio.backends import Runtime, Signature, StateSpec, open_graph, stream_embedded
from edgeaudio.errors import MissingDependencyError, ModelError, OutputError
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.manifest import load_manifest
from edgeaudio.training.export import MAX_EMBEDDING_STEPS, MAX_STEPS, update_manifest, write_bundle
from edgeaudio.training.export_onnx import export_onnx_float, export_onnx_int8
from edgeaudio.training.export_tflite import export_tflite
from edgeaudio.training.graph import Conv, Graph
from edgeaudio.training.graph_io import load_graph, save_graph
from edgeaudio.training.quantize import QuantizedGraph, quantize, run_float, run_int8
from edgeaudio.types import Frames
from tests.networks import (
    banded_graph,
    calibration,
    depthwise_graph,
    facts,
    random_frames,
    residual_graph,
    waveform_graph,
    write_random_bundle,
)


@dataclasses.dataclass(frozen=True)
class InMemory:
    data: bytes
    shape: Signature
    name: str = "in memory"

    def signature(self, runtime: Runtime) -> Signature:
        return self.shape

    def read_graph(self, runtime: Runtime) -> bytes:
        return self.data

    def has_graph(self, runtime: Runtime) -> bool:
        return True


def streamed(
    runtime: Runtime, data: bytes, graph: Graph, *, fills: Mapping[str, float], frames: Frames, step: int
) -> tuple[Frames, Frames]:
    """Logits, and embeddings where the graph has any."""
    states = tuple(
        StateSpec(f"state_{n.output}", fills[n.source])
        for n in graph.nodes
        if isinstance(n, Conv) and n.context
    )
    n_labels, n_out = graph.shapes(step)[graph.logits]
    shape = Signature(step, graph.n_bands, n_out, n_labels, states, graph.embedding_width)
    return stream_embedded(open_graph(InMemory(data, shape), runtime), frames)


@pytest.mark.parametrize("step_frames", [2, 4, 16])
@pytest.mark.parametrize("make", [residual_graph, waveform_graph, depthwise_graph, banded_graph])
def test_every_form_gives_the_same_answer(make: Callable[[], Graph], step_frames: int) -> None:
    graph = make()
    quantized = quantize(graph, calibration(graph))
    frames = random_frames(192, 200, graph)
    real, integer = run_float(graph, frames), run_int8(quantized, frames)
    tensors = [graph.input, *(node.output for node in graph.nodes)]
    rest = {name: graph.input_mean if name == graph.input else 0.0 for name in tensors}
    float_onnx, float_embedding = streamed(
        "onnx", export_onnx_float(graph, step_frames), graph, fills=rest, frames=frames, step=step_frames
    )
    # float32 sums in another order.
    assert np.abs(float_onnx - real).max() < 1e-4 * np.abs(real).max()
    if graph.embedding is not None:
        embedded = run_float(graph, frames, "embedding")
        assert embedded.shape == (96, graph.embedding_width)
        assert np.abs(float_embedding - embedded).max() < 1e-4 * np.abs(embedded).max()

    signed = {name: scale.rest for name, scale in quantized.scales.items()}
    unsigned = {name: q + 128 for name, q in signed.items()}
    onnx, onnx_embedding = streamed(
        "onnx",
        export_onnx_int8(quantized, step_frames),
        graph,
        fills=unsigned,
        frames=frames,
        step=step_frames,
    )
    tflite, tflite_embedding = streamed(
        "litert", export_tflite(quantized, step_frames), graph, fills=signed, frames=frames, step=step_frames
    )
    step = quantized.scales[graph.logits].scale
    # A tie of rounding may fall the other way inside the network and become another step outside...
    assert np.abs(onnx - integer).max() <= MAX_STEPS * step
    assert np.abs(tflite - integer).max() <= MAX_STEPS * step
    # ...but ties are rare.
    assert np.mean(onnx != integer) < 0.02
    assert np.mean(tflite != integer) < 0.02
    if graph.embedding is not None:
        embedded = run_int8(quantized, frames, "embedding")
        for found in (onnx_embedding, tflite_embedding):
            limit = MAX_EMBEDDING_STEPS * quantized.scales[graph.embedding].scale
            assert np.abs(found - embedded).max() <= limit
            assert np.mean(found != embedded) < 0.02


def test_an_embedding_is_that_of_the_last_step() -> None:
    """And the same numbers whether asked for after every step or only once."""
    graph = residual_graph()
    quantized = quantize(graph, calibration(graph))
    frames = random_frames(8, 1, graph)
    states = tuple(
        StateSpec(f"state_{node.output}", quantized.scales[node.source].rest)
        for node in graph.nodes
        if isinstance(node, Conv) and node.context
    )
    for data, runtime, offset in (
        (export_tflite(quantized, 4), "litert", 0),
        (export_onnx_int8(quantized, 4), "onnx", 128),
    ):
        begun = tuple(StateSpec(state.name, state.fill + offset) for state in states)
        source = InMemory(data, Signature(4, 40, 2, 4, begun, graph.embedding_width))
        _, every = stream_embedded(open_graph(source, runtime), frames)
        opened = open_graph(source, runtime)
        opened.step(frames[:4])
        opened.step(frames[4:])
        last = opened.embedding
        assert last is not None
        np.testing.assert_array_equal(last, every[2:])
        assert np.any(every[:2] != every[2:])


@pytest.mark.parametrize(
    ("tensor", "message"), [("nothing", "computes no tensor 'nothing'"), ("frames", "different rates")]
)
def test_an_embedding_that_the_graph_cannot_give(tensor: str, message: str) -> None:
    graph = dataclasses.replace(residual_graph(), embedding=tensor)
    with pytest.raises(ModelError, match=message):
        quantize(graph, calibration(graph))


def test_a_graph_without_an_embedding_gives_none() -> None:
    graph = waveform_graph()
    data = export_tflite(quantize(graph, calibration(graph)), 4)
    states = tuple(StateSpec(f"state_{name}", 0) for name in ("first", "logits"))
    opened = open_graph(InMemory(data, Signature(4, 160, 2, 4, states)), "litert")
    opened.step(random_frames(4, 1, graph))
    assert opened.embedding is None


def test_grouped_but_not_depthwise_is_refused() -> None:
    graph = depthwise_graph()
    first = graph.nodes[0]
    assert isinstance(first, Conv)
    paired = dataclasses.replace(first, weight=np.repeat(first.weight, 2, axis=1), groups=20)
    graph = dataclasses.replace(graph, nodes=(paired, *graph.nodes[1:]))
    with pytest.raises(ModelError, match="deep0: groups"):
        export_tflite(quantize(graph, calibration(graph)), 4)


@pytest.mark.parametrize(
    ("module", "export"), [("onnx", export_onnx_int8), ("ai_edge_litert", export_tflite)]
)
def test_what_an_exporter_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, export: Callable[[QuantizedGraph, int], bytes]
) -> None:
    quantized = quantize(residual_graph(), calibration(residual_graph()))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match="cannot write"):
        export(quantized, 4)


def test_exports_are_reproducible() -> None:
    graph = residual_graph()
    first, second = (quantize(graph, calibration(graph)) for _ in range(2))
    assert export_tflite(first, 4) == export_tflite(second, 4)
    assert export_onnx_int8(first, 4) == export_onnx_int8(second, 4)


def test_constants_are_aligned() -> None:
    from ai_edge_litert import schema_py_generated as schema

    graph = residual_graph()
    data = export_tflite(quantize(graph, calibration(graph)), 4)
    model = schema.Model.GetRootAsModel(data, 0)
    offsets = []
    for i in range(1, model.BuffersLength()):
        content = model.Buffers(i).DataAsNumpy()
        offsets.append(content.__array_interface__["data"][0] - np.frombuffer(data, np.uint8).ctypes.data)
    assert len(offsets) > 10
    assert all(offset % 16 == 0 for offset in offsets)


def test_a_written_bundle_holds_what_was_said(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "random"
    agreement = write_random_bundle(folder)
    assert agreement.snr_db > 20
    assert agreement.tflite_steps <= MAX_STEPS
    manifest = load_bundle(folder).manifest
    assert manifest.labels == ("yes", "no", "unknown", "silence")
    # Stem: 5 frames. Then four kernels of 5 at stride 2: 4 * 2 * (1 + 1 + 3 + 3) = 64 more.
    assert (manifest.stride, manifest.receptive_field_frames) == (2, 69)
    assert [state.name for state in manifest.states] == [
        "state_stem",
        "state_a0",
        "state_b0",
        "state_a1",
        "state_b1",
    ]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["random"]


def test_writing_again_replaces_the_bundle_and_keeps_the_card(tmp_path: Path) -> None:
    folder = tmp_path / "random"
    write_random_bundle(folder)
    (folder / "README.md").write_text("the card")
    graph = residual_graph(seed=5)
    write_bundle(graph, calibration(graph), out_dir=folder, **facts(version="2"))
    assert load_bundle(folder).manifest.version == "2"
    assert (folder / "README.md").read_text() == "the card"
    assert [path.name for path in tmp_path.iterdir()] == ["random"]


def spoiled(position: int, value: float) -> Graph:
    graph = residual_graph()
    nodes = list(graph.nodes)
    node = nodes[position]
    assert isinstance(node, Conv)
    weight = node.weight.copy()
    weight[0, 0, 0] = value
    nodes[position] = dataclasses.replace(node, weight=weight)
    return dataclasses.replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize(
    ("graph", "changes", "message"),
    [
        (spoiled(0, np.nan), {}, "stem has weights that are NaN"),
        (residual_graph(), {"labels": ("yes", "no")}, "4 outputs for 2 labels"),
        (residual_graph(), {"step_frames": 3}, "step_frames 3"),
        (waveform_graph(), {}, "40 bands, the graph wants 160"),
    ],
    ids=["nan", "labels", "step", "bands"],
)
def test_what_does_not_fit_is_not_written(
    tmp_path: Path, graph: Graph, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        write_bundle(graph, calibration(graph), out_dir=tmp_path / "random", **facts(**changes))
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_quantization_ruins_is_not_written(tmp_path: Path) -> None:
    """One channel 3,000 times louder than the rest, undone by the next layer: harmless in float only."""
    graph = residual_graph()
    nodes = list(graph.nodes)
    first, second = nodes[1], nodes[2]
    assert isinstance(first, Conv)
    assert isinstance(second, Conv)
    gain = np.ones(len(first.weight), np.float32)
    gain[0] = 3000.0
    nodes[1] = dataclasses.replace(first, weight=first.weight * gain[:, None, None], bias=first.bias * gain)
    nodes[2] = dataclasses.replace(second, weight=second.weight / gain[None, :, None])
    graph = dataclasses.replace(graph, nodes=tuple(nodes))
    with pytest.raises(ModelError, match="dB between logits and rounding noise"):
        write_bundle(graph, calibration(graph), out_dir=tmp_path / "random", **facts())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    graph = residual_graph()
    with pytest.raises(OutputError, match="cannot write"):
        write_bundle(graph, calibration(graph), out_dir=tmp_path / "file" / "random", **facts())


def test_manifest_fields_can_be_updated_but_not_broken(tmp_path: Path) -> None:
    folder = tmp_path / "random"
    write_random_bundle(folder)
    update_manifest(folder, results={"development": {"accuracy": 0.9, "clips": 100}})
    assert load_manifest(folder / "model.yaml").results["development"]["clips"] == 100
    with pytest.raises(ModelError, match="frontend_fingerprint"):
        update_manifest(folder, frontend_fingerprint="0" * 64)
    load_bundle(folder)


def test_graphs_survive_saving(tmp_path: Path) -> None:
    for make in (residual_graph, depthwise_graph, banded_graph):
        graph = make()
        save_graph(tmp_path / "graph.npz", graph)
        again = load_graph(tmp_path / "graph.npz")
        frames = random_frames(50, 1, graph)
        np.testing.assert_array_equal(run_float(again, frames), run_float(graph, frames))
        assert again.receptive_field_frames == graph.receptive_field_frames
        assert again.embedding == graph.embedding


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", b"not an archive"])
def test_a_broken_graph_file_is_a_model_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"graph\.npz"):
        load_graph(tmp_path / "graph.npz")
