"""Write a graph as streaming ONNX, in float or quantized, with every state in the open.

For each convolution with left context ``c``, fed ``n`` frames a step::

    state_X [1, c, C] ──┐
                        Concat ── [1, c + n, C] ──┬── QLinearConv ── X
    source  [1, n, C] ──┘                         └── Slice, last c frames ── next_state_X

The float graph is the same with channels before frames, as ONNX's Conv wants them. Frames of bands have
one dimension more: ``[1, n, bands, C]``, in float ``[1, C, n, bands]``.

The quantized graph uses the fused integer operators directly instead of QuantizeLinear /
DequantizeLinear pairs, so that what runs is what was written, whatever an optimiser recognises.
Frames stay before channels (an attribute of onnxruntime's own QLinearConv), which saves every
Transpose. Activations and weights are uint8: the int8 values plus 128. In onnxruntime 1.31 on
x86-64 int8 activations took five times as long, and int8 weights saturate in the 16-bit sums of
processors without VNNI; two unsigned operands are exact and fast everywhere.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import MissingDependencyError
from edgeaudio.training.graph import Add, Conv, Conv2d, Graph
from edgeaudio.training.quantize import QuantizedGraph, fold_input

__all__ = ["export_onnx_float", "export_onnx_int8"]

# The oldest versions with everything used here; readable by onnxruntime 1.20 and later.
_OPSET, _IR_VERSION = 17, 8
_INSTALL = "pip install 'edgeaudio[train]'"


def export_onnx_float(graph: Graph, step_frames: int) -> bytes:
    """Return the float graph as a serialised ONNX model; a reset fills the input's state with its mean."""
    return _FloatWriter(fold_input(graph), step_frames).write()


def export_onnx_int8(quantized: QuantizedGraph, step_frames: int) -> bytes:
    """Return the quantized graph as a serialised ONNX model; states are int8 values plus 128."""
    return _Uint8Writer(quantized, step_frames).write()


class _FloatWriter:
    """Walks the graph once and collects nodes, weights, inputs and outputs."""

    state_type: Any = np.float32
    time_axis = 2

    def __init__(self, graph: Graph, step_frames: int) -> None:
        if find_spec("onnx") is None:
            raise MissingDependencyError("cannot write ONNX: onnx is not installed", hint=_INSTALL)
        self.graph = graph
        self.step_frames = step_frames
        self.shapes, self.bands = graph.shapes(step_frames), graph.bands
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def write(self) -> bytes:
        from onnx import checker, helper

        graph = self.graph
        self.inputs.append(_tensor("frames", (1, self.step_frames, graph.n_bands)))
        for output, source in graph.outputs.items():
            width, n_out = self.shapes[source]
            self.outputs.append(_tensor(output, (1, n_out, width)))
        self.begin()
        for node in graph.nodes:
            if isinstance(node, Conv):
                self.convolve(node, self.extend(node))
            else:
                self.add(node)
        for output, source in graph.outputs.items():
            self.give_out(source, output)
        body = helper.make_graph(
            self.nodes, "edgeaudio", self.inputs, self.outputs, initializer=list(self.initializers.values())
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(
            body, producer_name="edgeaudio", ir_version=_IR_VERSION, opset_imports=opsets
        )
        checker.check_model(model)
        return bytes(model.SerializeToString())

    def begin(self) -> None:
        self.node("Transpose", ["frames"], f"x_{self.graph.input}", perm=[0, 2, 1])

    def give_out(self, source: str, output: str) -> None:
        self.node("Transpose", [self.flat(source)], output, perm=[0, 2, 1])

    def extend(self, node: Conv) -> str:
        """Put the convolution's context before its source; return the name of the whole."""
        context, (values, frames) = node.context, self.shapes[node.source]
        if isinstance(node, Conv2d):
            source, bands = self.banded(node.source), self.bands.get(node.source, values)
        else:
            source, bands = self.flat(node.source), 0
        if context == 0:
            return source
        shape = self.state_shape(values, bands, context)
        state, extended = f"state_{node.output}", f"extended_{node.output}"
        self.inputs.append(_tensor(state, shape, self.state_type))
        self.outputs.append(_tensor(f"next_{state}", shape, self.state_type))
        self.node("Concat", [state, source], extended, axis=self.time_axis)
        bounds = (frames, frames + context, self.time_axis)
        names = [self.const(f"int_{n}", np.array([n], np.int64)) for n in bounds]
        self.node("Slice", [extended, *names], f"next_{state}")
        return extended

    def state_shape(self, values: int, bands: int, context: int) -> tuple[int, ...]:
        return (1, values // bands, context, bands) if bands else (1, values, context)

    def banded(self, tensor: str) -> str:
        """Return the name of a tensor whose frames have bands."""
        if tensor in self.bands:
            return f"x_{tensor}"
        return self.once("Unsqueeze", ["frames", self.const("axis_1", np.array([1]))], "banded_frames")

    def flat(self, tensor: str) -> str:
        """Return the name of a tensor whose frames are one list: band after band, if they have any."""
        if tensor not in self.bands:
            return f"x_{tensor}"
        turned = self.once("Transpose", [f"x_{tensor}"], f"turned_{tensor}", perm=[0, 3, 1, 2])
        shape = np.array([0, -1, self.shapes[tensor][1]])
        return self.once("Reshape", [turned, self.const(f"flat_{tensor}", shape)], f"flat_x_{tensor}")

    def once(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        if all(output not in node.output for node in self.nodes):
            self.node(op, inputs, output, **attributes)
        return output

    def convolve(self, node: Conv, source: str) -> None:
        name = node.output
        weight = self.const(f"weight_{name}", node.weight)
        bias = self.const(f"bias_{name}", node.bias)
        linear = f"linear_{name}" if node.relu else f"x_{name}"
        self.node("Conv", [source, weight, bias], linear, **_geometry(node))
        if node.relu:
            self.node("Relu", [linear], f"x_{name}")

    def add(self, node: Add) -> None:
        linear = f"linear_{node.output}" if node.relu else f"x_{node.output}"
        self.node("Add", [f"x_{name}" for name in node.sources], linear)
        if node.relu:
            self.node("Relu", [linear], f"x_{node.output}")

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))

    def const(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name


class _Uint8Writer(_FloatWriter):
    state_type = np.uint8
    time_axis = 1

    def __init__(self, quantized: QuantizedGraph, step_frames: int) -> None:
        super().__init__(quantized.graph, step_frames)
        self.quantized = quantized

    def begin(self) -> None:
        source = self.graph.input
        self.node("QuantizeLinear", ["frames", *self.scale(source)], f"x_{source}")

    def give_out(self, source: str, output: str) -> None:
        self.node("DequantizeLinear", [self.flat(source), *self.scale(source)], output)

    def state_shape(self, values: int, bands: int, context: int) -> tuple[int, ...]:
        return (1, context, bands, values // bands) if bands else (1, context, values)

    def banded(self, tensor: str) -> str:
        if tensor in self.bands:
            return f"x_{tensor}"
        return self.once("Unsqueeze", [f"x_{tensor}", self.const("axis_3", np.array([3]))], "banded_frames")

    def flat(self, tensor: str) -> str:
        if tensor not in self.bands:
            return f"x_{tensor}"
        shape = self.const("flat", np.array([0, 0, -1]))
        return self.once("Reshape", [f"x_{tensor}", shape], f"flat_x_{tensor}")

    def convolve(self, node: Conv, source: str) -> None:
        name, conv = node.output, self.quantized.convs[node.output]
        offsets = np.full(len(conv.weight), 128, np.uint8)
        inputs = [
            source,
            *self.scale(node.source),
            self.const(f"weight_{name}", _unsigned(conv.weight)),
            self.const(f"weight_scale_{name}", conv.weight_scale),
            self.const(f"offsets_{len(offsets)}", offsets),
            *self.scale(name),
            self.const(f"bias_{name}", conv.bias),
        ]
        # The output's zero point at the end of its range is the ReLU.
        self.node(
            "QLinearConv", inputs, f"x_{name}", domain="com.microsoft", channels_last=1, **_geometry(node)
        )

    def add(self, node: Add) -> None:
        inputs = [part for name in node.sources for part in (f"x_{name}", *self.scale(name))]
        inputs += self.scale(node.output)
        self.node("QLinearAdd", inputs, f"x_{node.output}", domain="com.microsoft")

    def scale(self, tensor: str) -> tuple[str, str]:
        scale = self.quantized.scales[tensor]
        return (
            self.const(f"scale_{tensor}", np.array(scale.scale, np.float32)),
            self.const(f"zero_{tensor}", np.array(scale.zero_point + 128, np.uint8)),
        )


def _unsigned(q: NDArray[np.int8]) -> NDArray[np.uint8]:
    return (q.astype(np.int16) + 128).astype(np.uint8)


def _geometry(node: Conv) -> dict[str, Any]:
    strides, dilations, pads = [node.stride], [node.dilation], [0, 0]
    if isinstance(node, Conv2d):
        strides, dilations = [*strides, node.band_stride], [*dilations, 1]
        pads = [0, node.band_pad, 0, node.band_pad]
    return {
        "kernel_shape": list(node.weight.shape[2:]),
        "strides": strides,
        "dilations": dilations,
        "group": node.groups,
        "pads": pads,
    }


def _tensor(name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
