"""A quantized graph with its weights as they are, but counting in float32: for what cannot run int8.

onnxruntime's CUDA and TensorRT providers have no kernels for QLinearConv with uint8 activations. Weights
and biases are multiplied out here, so that they keep the values they were quantized to. Activations are no
longer rounded, but still end where their range ended, which is also what a ReLU was made of. Frames stay
before channels, as in the states; only a convolution wants them the other way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends.base import Signature, StateSpec
from edgeaudio.errors import MissingDependencyError, ModelError

__all__ = ["widen"]

_MOVING = ("Concat", "Slice", "Gather", "Transpose", "Reshape", "Unsqueeze")
"""Operators that only move values."""
_OURS = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearAdd", "Conv", "Relu", "Add", *_MOVING)


def widen(model: str, data: bytes, signature: Signature) -> tuple[bytes, Signature]:
    """Return a graph's float32 form, and the signature whose states begin with the values of ``signature``.

    Parameters
    ----------
    model : str
        The model's name, for messages.
    data : bytes
        A serialised ONNX model as edgeaudio exports it, quantized or not.
    signature : Signature
        Of `data`.

    Raises
    ------
    MissingDependencyError
        If the package onnx is not installed.
    ModelError
        If the graph has operators that edgeaudio does not write.
    """
    try:
        import onnx
    except ImportError as exc:
        raise MissingDependencyError(
            f"model '{model}' is quantized; making it float32 needs the package onnx",
            hint="pip install onnx",
        ) from exc
    try:
        graph = onnx.load_from_string(data)
        strange = sorted({node.op_type for node in graph.graph.node} - set(_OURS))
        if strange:
            raise ModelError(f"model '{model}' has operators that have no float32 form: {', '.join(strange)}")
        return _Widener(graph).widen(signature)
    except ModelError:
        raise
    except Exception as exc:  # those of onnx and protobuf share no base class
        raise ModelError(
            f"model '{model}': its graph cannot be made float32: {exc or type(exc).__name__}",
            hint="Choose a profile with precision: int8.",
        ) from exc


class _Widener:
    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        self.model = model
        self.graph = model.graph
        self.values: dict[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer
        }
        self.added: dict[str, NDArray[Any]] = {}

    def widen(self, signature: Signature) -> tuple[bytes, Signature]:
        from onnx import TensorProto, checker, numpy_helper

        scales = self.scales()
        states = [StateSpec(state.name, _value(state, scales)) for state in signature.states]
        nodes = [new for node in self.graph.node for new in self.translate(node)]
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(nodes)
        for tensor in (*self.graph.input, *self.graph.output):
            tensor.type.tensor_type.elem_type = TensorProto.FLOAT
        used = {name for node in nodes for name in node.input}
        kept = {name: value for name, value in {**self.values, **self.added}.items() if name in used}
        del self.graph.initializer[:]
        self.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value), name) for name, value in kept.items()
        )
        checker.check_model(self.model)
        return self.model.SerializeToString(), replace(signature, states=tuple(states))

    def scales(self) -> dict[str, tuple[float, int]]:
        """Return scale and zero point of each quantized tensor."""
        found: dict[str, tuple[float, int]] = {}
        # Backwards, so that what a quantized operator wants is known of all that was moved to it.
        for node in reversed(self.graph.node):
            if node.op_type in _MOVING:
                if node.output[0] in found:
                    moved = node.input if node.op_type == "Concat" else node.input[:1]
                    found.update(dict.fromkeys(moved, found[node.output[0]]))
                continue
            for tensor, scale, zero in _quantized(node):
                found[tensor] = (float(self.values[scale]), int(self.values[zero]))
        return found

    def translate(self, node: Any) -> Iterator[Any]:
        """Yield what takes the place of a node."""
        from onnx import helper

        name = node.output[0]
        if node.op_type == "QuantizeLinear":
            yield self.limit(node.input[0], name, *node.input[1:])
        elif node.op_type == "DequantizeLinear":
            yield helper.make_node("Identity", node.input[:1], [name])
        elif node.op_type == "QLinearConv":
            yield from self.convolve(node)
        elif node.op_type == "QLinearAdd":
            yield helper.make_node("Add", [node.input[0], node.input[3]], [f"linear_{name}"])
            yield self.limit(f"linear_{name}", name, *node.input[6:8])
        else:
            yield node

    def convolve(self, node: Any) -> Iterator[Any]:
        from onnx import helper

        source, source_scale, _, weight, weight_scale, weight_zero, *range_, bias = node.input
        name = node.output[0]
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        last = attributes.pop("channels_last", 0)
        scale = self.values[weight_scale].astype(np.float64)
        offset = self.values[weight_zero].astype(np.float64)
        # [out, in, time] or [out, in, time, bands]: everything but `out` alike.
        weights = np.moveaxis(self.values[weight], 0, -1)
        whole = np.moveaxis((weights - offset) * scale, -1, 0)
        self.added[f"float_{weight}"] = whole.astype(np.float32)
        bias_scale = scale * float(self.values[source_scale])
        self.added[f"float_{bias}"] = (self.values[bias] * bias_scale).astype(np.float32)
        axes = whole.ndim - 1
        inputs = [f"turned_{name}" if last else source, f"float_{weight}", f"float_{bias}"]
        if last:
            yield helper.make_node("Transpose", [source], [f"turned_{name}"], perm=[0, axes, *range(1, axes)])
        yield helper.make_node("Conv", inputs, [f"linear_{name}"], **attributes)
        limited = f"limited_{name}" if last else name
        yield self.limit(f"linear_{name}", limited, *range_)
        if last:
            yield helper.make_node("Transpose", [limited], [name], perm=[0, *range(2, axes + 1), 1])

    def limit(self, source: str, output: str, scale: str, zero: str) -> Any:
        """Cut off what the quantized tensor of this scale and zero point could not hold."""
        from onnx import helper

        point = self.values[zero]
        bounds = np.iinfo(point.dtype)
        for name, bound in ((f"least_{output}", bounds.min), (f"most_{output}", bounds.max)):
            self.added[name] = np.float32((bound - int(point)) * float(self.values[scale]))
        return helper.make_node("Clip", [source, f"least_{output}", f"most_{output}"], [output])


def _quantized(node: Any) -> list[tuple[str, str, str]]:
    """Return the quantized tensors of an operator, each with the names of its scale and zero point."""
    first, out = list(node.input[:3]), node.output[0]
    if node.op_type == "QuantizeLinear":
        return [(out, first[1], first[2])]
    if node.op_type == "DequantizeLinear":
        return [(first[0], first[1], first[2])]
    if node.op_type == "QLinearConv":
        return [(first[0], first[1], first[2]), (out, node.input[6], node.input[7])]
    if node.op_type == "QLinearAdd":
        second = list(node.input[3:6])
        return [(first[0], first[1], first[2]), (second[0], second[1], second[2]), (out, *node.input[6:8])]
    return []


def _value(state: StateSpec, scales: dict[str, tuple[float, int]]) -> float:
    """Return what a state begins with; one that was float in a quantized graph is so still."""
    if state.name not in scales:
        return state.fill
    scale, zero = scales[state.name]
    return (state.fill - zero) * scale
