"""One protocol, two runtimes: everything here holds for both."""

from __future__ import annotations

import dataclasses
import gc
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper

from edgeaudio.backends import RUNTIMES, Runtime, Signature, StateSpec, StreamingGraph, open_graph, stream
from edgeaudio.errors import BackendError, ModelError
from edgeaudio.models.bundle import Bundle
from tests.networks import random_frames, residual_graph


@dataclasses.dataclass
class Altered:
    """A bundle with another signature or other bytes, checksums aside."""

    bundle: Bundle
    data: bytes | None = None
    shape: Signature | None = None

    @property
    def name(self) -> str:
        return self.bundle.name

    def signature(self, runtime: Runtime) -> Signature:
        return self.shape or self.bundle.signature(runtime)

    def read_graph(self, runtime: Runtime) -> bytes:
        return self.bundle.read_graph(runtime) if self.data is None else self.data

    def has_graph(self, runtime: Runtime) -> bool:
        return True


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    chosen: Runtime = request.param
    return chosen


@pytest.fixture
def graph(bundle: Bundle, runtime: Runtime) -> StreamingGraph:
    return open_graph(bundle, runtime)


def frames(seed: int) -> np.ndarray:
    return random_frames(80, seed, residual_graph())


def test_it_says_what_runs(graph: StreamingGraph, runtime: Runtime, bundle: Bundle) -> None:
    assert graph.runtime == runtime
    assert graph.signature == bundle.signature(runtime)
    assert graph.step(frames(0)[:4]).shape == (2, 4)


def test_state_carries_over_and_reset_forgets(graph: StreamingGraph) -> None:
    first = stream(graph, frames(1))
    continued = stream(graph, frames(1))
    graph.reset()
    again = stream(graph, frames(1))
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(continued, first)


def test_reset_after_any_number_of_steps(graph: StreamingGraph) -> None:
    """The two sets of states change places each step: odd and even must forget alike."""
    expected = stream(graph, frames(1))
    for n_steps in (1, 2, 3):
        graph.reset()
        stream(graph, frames(2)[: 4 * n_steps])
        graph.reset()
        np.testing.assert_array_equal(stream(graph, frames(1)), expected)


def test_interleaved_streams_do_not_mix(bundle: Bundle, runtime: Runtime) -> None:
    one, two = open_graph(bundle, runtime), open_graph(bundle, runtime)
    expected = stream(one, frames(1)), stream(two, frames(2))
    one.reset()
    two.reset()
    got: tuple[list[Any], list[Any]] = ([], [])
    for i in range(0, 80, 4):
        got[0].append(one.step(frames(1)[i : i + 4]).copy())
        got[1].append(two.step(frames(2)[i : i + 4]).copy())
    np.testing.assert_array_equal(np.concatenate(got[0]), expected[0])
    np.testing.assert_array_equal(np.concatenate(got[1]), expected[1])


def test_frames_are_copied_and_the_result_is_a_view(graph: StreamingGraph) -> None:
    x = frames(3)
    expected = stream(graph, x)
    graph.reset()
    poisoned = x[:4].copy()
    first = graph.step(poisoned)
    poisoned[:] = np.nan
    kept = first.copy()
    np.testing.assert_array_equal(graph.step(x[4:8]), expected[2:4])
    np.testing.assert_array_equal(kept, expected[:2])
    np.testing.assert_array_equal(first, expected[2:4])  # the same memory, as documented


@pytest.mark.parametrize("shape", [(3, 40), (4, 39), (1, 4, 40), (40,)])
def test_frames_of_another_shape(graph: StreamingGraph, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="frames must have shape"):
        graph.step(np.zeros(shape, np.float32))


def test_other_layouts_and_types_of_frames(graph: StreamingGraph) -> None:
    x = frames(4)
    expected = stream(graph, x)
    graph.reset()
    np.testing.assert_array_equal(stream(graph, np.asfortranarray(x).astype(np.float64)), expected)


def test_both_runtimes_agree(bundle: Bundle) -> None:
    onnx_logits, litert_logits = (stream(open_graph(bundle, runtime), frames(5)) for runtime in RUNTIMES)
    # The golden tolerance is two quantization steps of the logits.
    assert np.abs(onnx_logits - litert_logits).max() <= bundle.golden().tolerance


def test_memory_does_not_grow(graph: StreamingGraph) -> None:
    x = frames(6)[:4]
    for _ in range(2000):
        graph.step(x)
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(10_000):
        graph.step(x)
    # A leak of 100 bytes a step would be 1 MB; the allocator itself may take a few pages.
    assert process.memory_info().rss - before < 1_000_000


def changed(bundle: Bundle, runtime: Runtime, **changes: Any) -> Altered:
    return Altered(bundle, shape=dataclasses.replace(bundle.signature(runtime), **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_bands": 64}, r"frames is float32 \[1, 4, 40\], the manifest wants float32 \[1, 4, 64\]"),
        ({"step_frames": 8}, r"frames is float32 \[1, 4, 40\]"),
        ({"n_out": 4}, r"logits is float32 \[1, 2, 4\]"),
        ({"n_labels": 12}, r"logits is float32 \[1, 2, 4\]"),
        ({"states": ()}, "unexpected input state_a0, state_a1, state_b0, state_b1, state_stem"),
        ({"states": (StateSpec("state_x", 0),)}, "lacks input state_x"),
    ],
    ids=["bands", "step", "outputs", "labels", "more states", "other states"],
)
def test_a_graph_that_is_not_what_the_manifest_says(
    bundle: Bundle, runtime: Runtime, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        open_graph(changed(bundle, runtime, **changes), runtime)
    assert caught.value.exit_code == 5
    assert "random" in str(caught.value)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_a_truncated_graph(bundle: Bundle, runtime: Runtime, part: float) -> None:
    data = bundle.read_graph(runtime)
    with pytest.raises(ModelError, match="model 'random'"):
        open_graph(Altered(bundle, data=data[: int(len(data) * part)]), runtime)


def test_one_runtimes_graph_given_to_the_other(bundle: Bundle, runtime: Runtime) -> None:
    other = next(r for r in RUNTIMES if r != runtime)
    with pytest.raises(ModelError, match="cannot read its graph"):
        open_graph(Altered(bundle, data=bundle.read_graph(other)), runtime)


def test_weights_outside_the_onnx_file_are_refused(bundle: Bundle) -> None:
    model = onnx.load_from_string(bundle.read_graph("onnx"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../secret"
    with pytest.raises(ModelError, match="outside the file"):
        open_graph(Altered(bundle, data=model.SerializeToString()), "onnx")


def test_a_state_that_would_take_all_memory(bundle: Bundle) -> None:
    def tensor(name: str, shape: tuple[int, ...]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    shapes = {"frames": (1, 4, 40), "state_big": (1, 2**20, 2**10)}
    nodes = [
        helper.make_node("Identity", [name], [out])
        for name, out in (("frames", "logits"), ("state_big", "next_state_big"))
    ]
    outputs = [tensor("logits", shapes["frames"]), tensor("next_state_big", shapes["state_big"])]
    body = helper.make_graph(nodes, "g", [tensor(*item) for item in shapes.items()], outputs)
    data = helper.make_model(
        body, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    ).SerializeToString()
    shape = Signature(4, 40, 4, 40, (StateSpec("state_big", 0),))
    with pytest.raises(ModelError, match="state_big"):
        open_graph(Altered(bundle, data=data, shape=shape), "onnx")


def test_a_graph_that_fails_while_running(bundle: Bundle) -> None:
    """Gather with an index taken from the audio: fine until something loud comes."""
    shape = (1, 4, 40)
    nodes = [
        helper.make_node("ReduceMax", ["frames"], ["loud"], keepdims=0),
        helper.make_node("Cast", ["loud"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["frames", "index"], ["row"], axis=0),
        helper.make_node("Add", ["frames", "row"], ["logits"]),
    ]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("frames", "logits")]
    body = helper.make_graph(nodes, "g", tensors[:1], tensors[1:])
    data = helper.make_model(
        body, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    ).SerializeToString()
    graph = open_graph(Altered(bundle, data=data, shape=Signature(4, 40, 4, 40, ())), "onnx")
    graph.step(np.zeros((4, 40), np.float32))
    with pytest.raises(BackendError, match="onnxruntime failed to run model 'random'"):
        graph.step(np.full((4, 40), 9.0, np.float32))


def test_opening_is_silent(bundle: Bundle, runtime: Runtime) -> None:
    """Native code writes to file descriptors, past Python: only a process of its own can tell."""
    code = (
        "import sys; from pathlib import Path\n"
        "from edgeaudio.backends import open_graph\n"
        "from edgeaudio.models.bundle import load_bundle\n"
        f"open_graph(load_bundle(Path({str(bundle.path)!r})), {runtime!r})\n"
        "print('still here', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == "still here\n"
