"""Read a network of centred convolutions from its ONNX file, in any of the forms that exporters give it.

Names of tensors do not matter, batch norm may be folded or not, weights and activations may be float
or quantized by pairs of QuantizeLinear and DequantizeLinear.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import MissingDependencyError, ModelError
from edgeaudio.models.convnet import Add, Conv, ConvNet, IntegerWeight, Scale

__all__ = ["read_convnet"]


def read_convnet(data: bytes, what: str) -> ConvNet:
    """Read an ONNX file.

    Its inputs must be features ``[N, bands, T]`` and, if it wants, their lengths; its outputs
    log-probabilities or logits ``[N, T', labels]`` and, if it wants, theirs. Masks made from the lengths
    only matter in batches, and are left out. Names do not matter.

    Parameters
    ----------
    data : bytes
        The file.
    what : str
        How messages call it.

    Raises
    ------
    ModelError
        If it is no ONNX file, or anything but a network of centred convolutions; says where.
    MissingDependencyError
        If the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {what} needs the package onnx", hint="pip install 'edgeaudio[models]'"
        ) from error
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's, whose classes depend on its version
        raise ModelError(f"{what} is no ONNX file, or a damaged one") from error
    if not model.graph.node:
        raise ModelError(f"{what} is no ONNX file: there is no network in it")
    if any(tensor.external_data for tensor in _tensors(model.graph)):
        raise ModelError(
            f"{what} refers to weights outside the file", hint="Fetch or export it as one single file."
        )
    try:
        # Weights that are no numbers show when the network is made to answer.
        with np.errstate(all="ignore"):
            return _Reader(model.graph, what).read()
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # Nothing has checked that shapes, types and inputs fit each other.
        raise ModelError(
            f"{what} is a damaged ONNX file: its parts do not fit each other ({error})"
        ) from error


def _tensors(graph: Any) -> Iterable[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


class _Reader:
    """Walks the graph once, following what the features become."""

    def __init__(self, graph: Any, what: str) -> None:
        self.graph = graph
        self.what = what
        self.consts: dict[str, NDArray[Any]] = {}
        # A quantized constant, by the name of what it is dequantized to.
        self.integers: dict[str, IntegerWeight] = {}
        # What computes from the features, by the file's names: the name of the tensor here.
        self.names: dict[str, str] = {}
        # Made of lengths and shapes, never of the features' values.
        self.sides: set[str] = set()
        self.nodes: dict[str, Conv | Add] = {}
        self.scales: dict[str, Scale] = {}
        # Channels of each tensor here.
        self.widths: dict[str, int] = {}

    def read(self) -> ConvNet:
        from onnx import numpy_helper

        for tensor in self.graph.initializer:
            self.consts[tensor.name] = numpy_helper.to_array(tensor)
        n_bands = self.find_features()
        for node in self.graph.node:
            self.visit(node)
        logits = next((self.names[o.name] for o in self.graph.output if o.name in self.names), None)
        last = list(self.nodes)[-1:]
        if logits is None or [logits] != last or not isinstance(self.nodes[logits], Conv):
            raise self.refusal("its output is not that of its last convolution")
        if not any(isinstance(node, Conv) and node.radius for node in self.nodes.values()):
            raise self.refusal("none of its convolutions looks further than one frame")
        scales = {name: _of_what_remains(scale, self.nodes[name]) for name, scale in self.scales.items()}
        return ConvNet(n_bands, tuple(self.nodes.values()), logits, scales)

    def find_features(self) -> int:
        """Name the input with the features; return its bands."""
        from onnx import TensorProto

        found = []
        for value in self.graph.input:
            if value.name in self.consts:
                continue
            tensor = value.type.tensor_type
            if tensor.elem_type in {TensorProto.FLOAT, TensorProto.FLOAT16} and len(tensor.shape.dim) == 3:
                found.append((value.name, tensor.shape.dim[1].dim_value))
            else:
                self.sides.add(value.name)
        if len(found) != 1 or found[0][1] < 1:
            inputs = ", ".join(value.name for value in self.graph.input) or "none"
            raise self.refusal(f"none of its inputs ({inputs}) is one of features [N, bands, T]")
        self.names[found[0][0]] = "frames"
        self.widths["frames"] = int(found[0][1])
        return self.widths["frames"]

    def visit(self, node: Any) -> None:
        heard = [name for name in node.input if name in self.names]
        if heard and node.op_type in {"Shape", "Size"}:
            self.sides.update(node.output)
        elif heard:
            reading = getattr(self, f"read_{node.op_type}", None)
            if node.domain not in {"", "ai.onnx"} or reading is None:
                raise self.refusal(f"it has a node {node.op_type} ({node.name or node.output[0]})")
            name = reading(node, self.names[heard[0]])
            # Further outputs (masks of Dropout, statistics of batch norm) are of no use here.
            self.names[node.output[0]] = name
        elif node.op_type == "Constant":
            self.keep_constant(node)
        elif node.op_type in {"DequantizeLinear", "Identity", "Cast"} and node.input[0] in self.consts:
            self.dequantize_constant(node)
        else:
            self.sides.update(node.output)

    def keep_constant(self, node: Any) -> None:
        from onnx import numpy_helper

        tensor = next((a.t for a in node.attribute if a.name == "value"), None)
        if tensor is None:
            self.sides.update(node.output)
        else:
            self.consts[node.output[0]] = numpy_helper.to_array(tensor)

    def dequantize_constant(self, node: Any) -> None:
        value, output = self.consts[node.input[0]], node.output[0]
        if node.op_type != "DequantizeLinear":
            self.consts[output] = value
            return
        scale = self.const(node, 1).astype(np.float32)
        zero = (
            self.const(node, 2).astype(np.int32) if len(node.input) > 2 else np.zeros(scale.shape, np.int32)
        )
        # Per channel means along the first axis, as for any weight of a convolution.
        shape = (-1, *([1] * (value.ndim - 1))) if scale.size > 1 else ()
        whole = value.astype(np.int32) - zero.reshape(shape)
        self.consts[output] = (whole * scale.reshape(shape)).astype(np.float32)
        if value.dtype == np.int8 and not zero.any() and value.ndim == 3:
            self.integers[output] = IntegerWeight(value, np.broadcast_to(scale.ravel(), len(value)).copy())

    def read_Conv(self, node: Any, source: str) -> str:  # noqa: N802 - ONNX's name
        weight = self.const(node, 1)
        options = _attributes(node)
        where = f"convolution {node.name or node.output[0]}"
        if weight.ndim != 3:
            raise self.refusal(f"{where} is not one over time alone")
        bias = self.const(node, 2) if len(node.input) > 2 and node.input[2] else np.zeros(len(weight))
        if bias.shape != weight.shape[:1]:
            raise self.refusal(f"{where} has {weight.shape[0]} channels and {bias.size} biases")
        groups = options.get("group", 1)
        if weight.shape[1] * groups != self.widths[source]:
            raise self.refusal(f"{where} does not fit the {self.widths[source]} channels that it gets")
        [dilation] = options.get("dilations", [1])
        radius = dilation * (weight.shape[2] - 1)
        if (
            options.get("auto_pad", b"NOTSET") != b"NOTSET"
            or options.get("pads", [0, 0]) != [radius // 2] * 2
        ):
            raise self.refusal(f"{where} is not padded alike on both sides")
        output = f"conv_{len(self.nodes)}"
        self.nodes[output] = Conv(
            source,
            output,
            weight.astype(np.float32),
            bias.astype(np.float32),
            stride=options.get("strides", [1])[0],
            dilation=dilation,
            groups=groups,
            integer=self.integers.get(node.input[1]),
        )
        self.widths[output] = len(weight)
        return output

    def read_BatchNormalization(self, node: Any, source: str) -> str:  # noqa: N802
        conv = self.nodes.get(source)
        if not isinstance(conv, Conv) or conv.relu or source in self.scales:
            raise self.refusal(f"batch norm {node.name or node.output[0]} does not follow a convolution")
        scale, shift, mean, variance = (self.const(node, i).astype(np.float64) for i in range(1, 5))
        factor = scale / np.sqrt(variance + _attributes(node).get("epsilon", 1e-5))
        weight = (conv.weight * factor[:, None, None]).astype(np.float32)
        bias = ((conv.bias - mean) * factor + shift).astype(np.float32)
        self.nodes[source] = replace(conv, weight=weight, bias=bias, integer=None)
        return source

    def read_Relu(self, node: Any, source: str) -> str:  # noqa: N802
        if source not in self.nodes:
            raise self.refusal("it begins with a ReLU")
        self.nodes[source] = replace(self.nodes[source], relu=True)
        return source

    def read_Add(self, node: Any, source: str) -> str:  # noqa: N802
        if not all(name in self.names for name in node.input):
            raise self.refusal(f"it adds a constant ({node.name or node.output[0]})")
        output = f"sum_{len(self.nodes)}"
        first, second = (self.names[name] for name in node.input)
        if self.widths[first] != self.widths[second]:
            raise self.refusal(f"it adds {self.widths[second]} channels to {self.widths[first]}")
        self.nodes[output] = Add((first, second), output)
        self.widths[output] = self.widths[first]
        return output

    def read_QuantizeLinear(self, node: Any, source: str) -> str:  # noqa: N802
        scale = self.const(node, 1)
        zero = self.const(node, 2) if len(node.input) > 2 else np.zeros((), np.uint8)
        if scale.size != 1 or zero.dtype not in {np.dtype(np.uint8), np.dtype(np.int8)}:
            raise self.refusal(f"{node.name or node.output[0]} does not quantize to 8 bits a tensor")
        if source not in self.nodes:
            raise self.refusal("it wants quantized features")
        offset = 128 if zero.dtype == np.int8 else 0
        self.scales[source] = Scale(float(scale), int(zero) + offset)
        return source

    def read_DequantizeLinear(self, node: Any, source: str) -> str:  # noqa: N802
        return source

    read_Identity = read_Dropout = read_Cast = read_DequantizeLinear  # noqa: N815

    def read_Where(self, node: Any, source: str) -> str:  # noqa: N802
        if node.input[0] not in self.sides | set(self.consts):
            raise self.refusal(f"it chooses by what it hears ({node.name or node.output[0]})")
        return source

    def read_Mul(self, node: Any, source: str) -> str:  # noqa: N802
        if not any(name in self.sides for name in node.input):
            raise self.refusal(f"it multiplies ({node.name or node.output[0]})")
        return source

    def read_Transpose(self, node: Any, source: str) -> str:  # noqa: N802
        return self.end(node, source, list(_attributes(node).get("perm", [])) == [0, 2, 1])

    def read_LogSoftmax(self, node: Any, source: str) -> str:  # noqa: N802
        return self.end(node, source, True)

    def end(self, node: Any, source: str, fine: bool) -> str:
        """Accept what may stand behind the last convolution, and only there."""
        if not fine or source not in self.nodes or list(self.nodes)[-1] != source:
            raise self.refusal(f"it has a node {node.op_type} ({node.name or node.output[0]})")
        return source

    def const(self, node: Any, index: int) -> NDArray[Any]:
        name = node.input[index]
        if name not in self.consts:
            raise self.refusal(f"input {name} of {node.op_type} is no constant")
        return self.consts[name]

    def refusal(self, why: str) -> ModelError:
        return ModelError(
            f"{self.what} is no network that can be run on a stream here: {why}",
            hint="What can be added is QuartzNet, or a network built like it of centred convolutions.",
        )


def _of_what_remains(scale: Scale, node: Conv | Add) -> Scale:
    """Spend all 256 values on what a ReLU lets through, where the file quantizes before it."""
    if not node.relu or scale.zero_point == 0:
        return scale
    return Scale(scale.scale * (255 - scale.zero_point) / 255, 0)


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
