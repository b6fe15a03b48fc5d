"""Quantize a float network of centred convolutions by what goes through it while it hears speech.

Activations are uint8 per tensor between the least and the greatest value seen, weights int8 per output
channel; the first convolution and the last stay float. A float QuartzNet takes four times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import BackendError
from edgeaudio.models.convnet import Conv, ConvNet, IntegerWeight, Scale
from edgeaudio.models.convnet_onnx import Geometry, write_stream
from edgeaudio.types import Frames

__all__ = ["quantize_convnet"]

_PIECE = 512
"""Frames that are heard at a time: what has many channels takes a megabyte for so many."""


def quantize_convnet(net: ConvNet, heard: Sequence[Frames]) -> ConvNet:
    """Quantize `net`.

    Parameters
    ----------
    net : ConvNet
        In float.
    heard : sequence of array [n, n_bands] float32
        Features of speech, normalised as the network wants them.

    Raises
    ------
    BackendError
        If onnxruntime is not installed.
    """
    spans = _spans(net, heard)
    nodes = [
        replace(node, integer=_integer_weight(node, spans[node.source]))
        if isinstance(node, Conv) and {node.source, node.output} <= set(spans)
        else node
        for node in net.nodes
    ]
    return replace(net, nodes=tuple(nodes), scales=spans)


def _integer_weight(node: Conv, source: Scale) -> IntegerWeight:
    """Quantize a weight per channel, for a source of this scale."""
    largest = np.abs(node.weight).reshape(len(node.weight), -1).max(axis=1)
    # The bias is counted in this scale times the source's, and must fit into 32 bits.
    least = np.abs(node.bias) / source.scale / 2**30
    scale = np.maximum(np.maximum(largest / 127, least), 1e-12).astype(np.float32)
    return IntegerWeight(np.round(node.weight / scale[:, None, None]).astype(np.int8), scale)


def _spans(net: ConvNet, heard: Sequence[Frames]) -> dict[str, Scale]:
    """Measure each tensor but the first and the last."""
    names = [node.output for node in net.nodes if node.output != net.logits]
    graph = write_stream(net, Geometry(0, _PIECE, 0), mirrored=False)
    session = _observed(graph.data, names)
    states = {
        value.name: np.zeros(value.shape, np.float32)
        for value in session.get_inputs()
        if value.name != "frames"
    }
    low: NDArray[Any] = np.zeros(len(names))
    high: NDArray[Any] = np.full(len(names), 1e-6)
    for frames in heard:
        for at in range(0, len(frames), _PIECE):
            # Zeros behind the end are what convolutions find there, too.
            piece = np.zeros((1, _PIECE, net.n_bands), np.float32)
            piece[0, : len(frames) - at] = frames[at : at + _PIECE]
            found = session.run(
                [f"{end}_{name}" for end in ("low", "high") for name in names], {"frames": piece, **states}
            )
            low = np.minimum(low, np.ravel(found[: len(names)]))
            high = np.maximum(high, np.ravel(found[len(names) :]))
    steps = (high - low) / 255
    return {
        name: Scale(float(step), round(float(-least / step)))
        for name, step, least in zip(names, steps, low, strict=True)
    }


def _observed(data: bytes, names: Sequence[str]) -> Any:
    """Open a float graph that also answers with the range of its tensors."""
    import onnx
    from onnx import TensorProto, helper

    try:
        import onnxruntime as ort
    except ImportError as exc:
        raise BackendError(
            f"onnxruntime cannot be imported: {exc}", hint="pip install 'edgeaudio[onnx]'"
        ) from exc
    model = onnx.load_from_string(data)
    for name in names:
        for end, kind in (("low", "ReduceMin"), ("high", "ReduceMax")):
            output = f"{end}_{name}"
            model.graph.node.append(helper.make_node(kind, [f"float_{name}"], [output], keepdims=0))
            model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ()))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
