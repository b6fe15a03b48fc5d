"""Write a network of centred convolutions as ONNX that runs over a stream.

Each run sees a chunk of frames and the look-ahead behind it. What each convolution needs of the past it
gets from its state, so only the look-ahead is computed again in the next run::

    state_X [1, radius, C] ──┐
    chunk and look-ahead ────┼── Concat ──┬── conv without padding ── X
    their mirror image ──────┘            └── Slice: the frames before the next chunk ── next_state_X

A state thus holds what was computed for these frames when all of the look-ahead behind them was known.
Written without states, the network sees some seconds of past frames again in each run.

Quantized tensors are ``[1, frames, channels]`` uint8 and go through onnxruntime's own integer operators
(as in ``edgeaudio.training.export_onnx``); float ones are ``[1, channels, frames]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.models.convnet import Add, Conv, ConvNet, IntegerWeight, Scale

__all__ = ["Geometry", "StreamGraph", "mirror_places", "write_stream"]

# The oldest versions with everything used here; readable by onnxruntime 1.20 and later.
_OPSET, _IR_VERSION = 17, 8


@dataclass(frozen=True)
class Geometry:
    """How many frames a run sees; ``left`` 0 stands for states instead. Multiples of the stride."""

    left: int
    chunk: int
    lookahead: int

    @property
    def window(self) -> int:
        """Frames that go into a run."""
        return self.left + self.chunk + self.lookahead


@dataclass(frozen=True)
class StreamGraph:
    """The ONNX file, and its states: their names and the values that stand for nothing heard."""

    data: bytes
    states: dict[str, int]


def mirror_places(n_frames: int, n: int) -> NDArray[np.int64]:
    """Return which of `n_frames` frames stand for the `n` that follow them: the last but one, and so on."""
    return np.maximum(n_frames - 2 - np.arange(n), 0)


def write_stream(
    net: ConvNet, geometry: Geometry, *, signed: bool = True, mirrored: bool = True
) -> StreamGraph:
    """Write `net` with input ``frames [1, window, bands]`` and output ``logits [1, chunk / stride, labels]``.

    Behind the window's end there is speech that nobody knows yet. Zeros there, as behind a recording, tell
    the network that it fell silent; so each convolution hears its newest frames in a mirror, if `mirrored`.
    (With 0.48 s of look-ahead QuartzNet then makes a quarter fewer errors.)

    Integer weights are written int8 if `signed`, which is twice as fast where the processor multiplies
    uint8 by int8 exactly (VNNI, and all of ARM's); other x86 processors saturate then, and want uint8.
    """
    return _Writer(net, geometry, signed, mirrored).write()


class _Writer:
    """Walks the network once and collects nodes, weights, inputs and outputs."""

    def __init__(self, net: ConvNet, geometry: Geometry, signed: bool, mirrored: bool) -> None:
        self.net = net
        self.geometry = geometry
        self.signed = signed
        self.mirrored = mirrored
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.states: dict[str, int] = {}
        # Frames of each tensor, and where in it the chunk begins and ends.
        self.spans = {net.frames: (geometry.window, geometry.left, geometry.left + geometry.chunk)}
        self.channels = {net.frames: net.n_bands}
        # What has been written of each tensor: its form ("float", "integer") and its name.
        self.forms: dict[tuple[str, str], str] = {}
        wide = [node.output for node in net.nodes if isinstance(node, Conv) and node.radius]
        # Behind the last convolution that looks around, only the chunk itself matters.
        self.last = wide[-1] if wide else ""

    def write(self) -> StreamGraph:
        from onnx import checker, helper

        net, n_out = self.net, self.geometry.chunk // self.net.stride
        self.inputs.append(_tensor("frames", (1, self.geometry.window, net.n_bands)))
        self.outputs.append(_tensor("logits", (1, n_out, net.n_labels)))
        self.node("Transpose", ["frames"], "float_frames", perm=[0, 2, 1])
        self.forms[net.frames, "float"] = "float_frames"
        for node in net.nodes:
            if isinstance(node, Conv):
                self.convolve(node)
            else:
                self.add(node)
        self.node("Transpose", [self.form(net.logits, "float")], "logits", perm=[0, 2, 1])
        body = helper.make_graph(
            self.nodes, "edgeaudio", self.inputs, self.outputs, initializer=list(self.initializers.values())
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(
            body, producer_name="edgeaudio", ir_version=_IR_VERSION, opset_imports=opsets
        )
        checker.check_model(model)
        return StreamGraph(model.SerializeToString(), self.states)

    def form(self, tensor: str, wanted: str) -> str:
        """Return the name of a tensor in one of its two forms, converting it where it has only the other."""
        if (tensor, wanted) not in self.forms:
            other = self.forms[tensor, "integer" if wanted == "float" else "float"]
            output, between = f"{wanted}_{tensor}", f"between_{tensor}"
            if wanted == "float":
                self.node("DequantizeLinear", [other, *self.scale(tensor)], between)
                self.node("Transpose", [between], output, perm=[0, 2, 1])
            else:
                self.node("Transpose", [other], between, perm=[0, 2, 1])
                self.node("QuantizeLinear", [between, *self.scale(tensor)], output)
            self.forms[tensor, wanted] = output
        return self.forms[tensor, wanted]

    def convolve(self, node: Conv) -> None:
        scales = self.net.scales
        integer = node.integer if node.source in scales and node.output in scales else None
        form = "float" if integer is None else "integer"
        source, pads = self.surround(node, form)
        geometry = {
            "kernel_shape": [node.weight.shape[2]],
            "strides": [node.stride],
            "dilations": [node.dilation],
            "group": node.groups,
            "pads": pads,
        }
        if integer is None:
            self.convolve_float(node, source, geometry)
        else:
            self.convolve_integer(node, integer, source, geometry)

    def surround(self, node: Conv, form: str) -> tuple[str, list[int]]:
        """Put the state before the source and a mirror behind it; return the whole, and what is padded."""
        source, radius = self.form(node.source, form), node.radius
        frames, begin, end = self.spans[node.source]
        self.channels[node.output] = len(node.weight)
        self.spans[node.output] = (-(-frames // node.stride), begin // node.stride, end // node.stride)
        if not radius:
            return source, [0, 0]
        is_last = node.output == self.last
        parts, before = [source], 0
        if not self.geometry.left:
            parts, before = [self.state(node, form), source], radius
        behind = end + radius - frames if is_last else radius
        if self.mirrored and behind > 0:
            parts.append(self.mirror(node, source, behind, form))
            frames += behind
        whole = parts[0]
        if len(parts) > 1:
            whole = f"extended_{node.output}"
            self.node("Concat", parts, whole, axis=_time_axis(form))
        if before:
            self.cut(whole, f"next_state_{node.output}", end, end + radius, form)
        frames, begin, end = frames + before, begin + before, end + before
        if not is_last:
            return whole, [radius - before, 0 if self.mirrored else radius]
        # Only the chunk is wanted: what lies beyond its reach is cut off, what its reach lacks is padding.
        n_out = (end - begin) // node.stride
        self.spans[node.output] = (n_out, 0, n_out)
        low, high = begin - radius, end + radius
        if low > 0 or high < frames:
            whole = self.cut(whole, f"near_{node.output}", max(low, 0), min(high, frames), form)
        return whole, [max(0, -low), max(0, high - frames)]

    def state(self, node: Conv, form: str) -> str:
        channels, radius = self.channels[node.source], node.radius
        shape = (1, channels, radius) if form == "float" else (1, radius, channels)
        dtype = np.float32 if form == "float" else np.uint8
        state = f"state_{node.output}"
        self.states[state] = 0 if form == "float" else self.quantization(node.source).zero_point
        self.inputs.append(_tensor(state, shape, dtype))
        self.outputs.append(_tensor(f"next_{state}", shape, dtype))
        return state

    def mirror(self, node: Conv, source: str, n: int, form: str) -> str:
        frames = self.spans[node.source][0]
        places = self.const(f"mirror_{frames}_{n}", mirror_places(frames, n))
        self.node("Gather", [source, places], f"mirror_{node.output}", axis=_time_axis(form))
        return f"mirror_{node.output}"

    def cut(self, source: str, output: str, begin: int, end: int, form: str) -> str:
        bounds = (begin, end, _time_axis(form))
        names = [self.const(f"int_{n}", np.array([n], np.int64)) for n in bounds]
        self.node("Slice", [source, *names], output)
        return output

    def convolve_float(self, node: Conv, source: str, geometry: dict[str, Any]) -> None:
        name, output = node.output, f"float_{node.output}"
        weight = self.const(f"weight_{name}", node.weight)
        bias = self.const(f"bias_{name}", node.bias)
        linear = f"linear_{name}" if node.relu else output
        self.node("Conv", [source, weight, bias], linear, **geometry)
        if node.relu:
            self.node("Relu", [linear], output)
        self.forms[name, "float"] = output

    def convolve_integer(
        self, node: Conv, integer: IntegerWeight, source: str, geometry: dict[str, Any]
    ) -> None:
        name = node.output
        scale = integer.scale.astype(np.float64) * self.quantization(node.source).scale
        weight: NDArray[Any] = integer.values
        offsets: NDArray[Any] = np.zeros(len(scale), np.int8)
        if not self.signed:
            weight = (weight.astype(np.int16) + 128).astype(np.uint8)
            offsets = np.full(len(scale), 128, np.uint8)
        inputs = [
            source,
            *self.scale(node.source),
            self.const(f"weight_{name}", weight),
            self.const(f"weight_scale_{name}", integer.scale),
            self.const(f"offsets_{len(offsets)}", offsets),
            *self.scale(name),
            self.const(f"bias_{name}", np.round(node.bias / scale).astype(np.int32)),
        ]
        output = f"integer_{name}"
        # A zero point at the end of the range is the ReLU.
        self.node("QLinearConv", inputs, output, domain="com.microsoft", channels_last=1, **geometry)
        self.forms[name, "integer"] = output

    def add(self, node: Add) -> None:
        self.spans[node.output] = self.spans[node.sources[0]]
        self.channels[node.output] = self.channels[node.sources[0]]
        if all(tensor in self.net.scales for tensor in (*node.sources, node.output)):
            inputs = [part for t in node.sources for part in (self.form(t, "integer"), *self.scale(t))]
            output = f"integer_{node.output}"
            self.node("QLinearAdd", [*inputs, *self.scale(node.output)], output, domain="com.microsoft")
            self.forms[node.output, "integer"] = output
            return
        output = f"float_{node.output}"
        linear = f"linear_{node.output}" if node.relu else output
        self.node("Add", [self.form(tensor, "float") for tensor in node.sources], linear)
        if node.relu:
            self.node("Relu", [linear], output)
        self.forms[node.output, "float"] = output

    def quantization(self, tensor: str) -> Scale:
        return self.net.scales[tensor]

    def scale(self, tensor: str) -> tuple[str, str]:
        scale = self.quantization(tensor)
        return (
            self.const(f"scale_{tensor}", np.array(scale.scale, np.float32)),
            self.const(f"zero_{tensor}", np.array(scale.zero_point, np.uint8)),
        )

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))

    def const(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name


def _time_axis(form: str) -> int:
    return 2 if form == "float" else 1


def _tensor(name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
