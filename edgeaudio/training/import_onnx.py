"""Read back what :mod:`~edgeaudio.training.export_onnx` wrote: a quantized graph, in float again.

For who builds on a network of which only the shipped file is left. Weights come back as the multiples of
their scale that they are, so that quantizing them once more gives the same integers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import ModelError
from edgeaudio.training.graph import Add, Conv, Graph

__all__ = ["import_onnx_int8"]

Array = NDArray[Any]


def import_onnx_int8(data: bytes, *, resting: float) -> Graph:
    """Return the graph of a serialised ONNX model over time alone.

    Parameters
    ----------
    data : bytes
        As :func:`~edgeaudio.training.export_onnx.export_onnx_int8` wrote it.
    resting : float
        The frame that it hears before anything: the mean of its training.

    Raises
    ------
    ModelError
        It is no such model.
    """
    from onnx import load_from_string, numpy_helper

    try:
        body = load_from_string(data).graph
    except Exception as error:  # protobuf's own, which is not onnx's to name
        raise ModelError(f"this is no ONNX file: {error}") from error
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in body.initializer}
    n_bands = int(body.input[0].type.tensor_type.shape.dim[2].dim_value)
    nodes: list[Conv | Add] = []
    # A convolution reads its context and its source in one.
    behind = {node.output[0]: node.input[1] for node in body.node if node.op_type == "Concat"}
    try:
        for node in body.node:
            if node.op_type == "QLinearConv":
                source = behind.get(node.input[0], node.input[0])
                conv = _conv(node, _plain(source), values)
                if conv.source == "frames":
                    # It reads raw frames; a graph's first layer reads how they differ from the resting one.
                    shift = np.float32(resting) * conv.weight.sum(axis=(1, 2))
                    conv = replace(conv, bias=conv.bias + shift)
                nodes.append(conv)
            elif node.op_type == "QLinearAdd":
                first, second = _plain(node.input[0]), _plain(node.input[3])
                nodes.append(Add((first, second), _plain(node.output[0]), relu=not values[node.input[7]]))
            elif node.op_type not in {"QuantizeLinear", "DequantizeLinear", "Concat", "Slice"}:
                raise ModelError(f"{node.op_type} is nothing that edgeaudio writes")
        return Graph(n_bands, resting, 1.0, tuple(nodes), logits=_plain(body.node[-1].input[0]))
    except (KeyError, IndexError) as error:
        raise ModelError(f"the ONNX file lacks {error}") from error


def _conv(node: Any, source: str, values: dict[str, Array]) -> Conv:
    _, in_scale, _, weight, weight_scale, _, _, zero, bias = node.input
    scale = values[weight_scale].astype(np.float64)
    float_weight = (values[weight].astype(np.float64) - 128.0) * scale[:, None, None]
    float_bias = values[bias].astype(np.float64) * values[in_scale] * scale
    options: dict[str, Any] = {
        attribute.name: list(attribute.ints) or attribute.i for attribute in node.attribute
    }
    return Conv(
        source,
        _plain(node.output[0]),
        float_weight.astype(np.float32),
        float_bias.astype(np.float32),
        stride=options["strides"][0],
        dilation=options["dilations"][0],
        groups=options["group"],
        relu=not values[zero],
    )


def _plain(name: str) -> str:
    """A tensor's name in the graph."""
    return name.removeprefix("x_")
