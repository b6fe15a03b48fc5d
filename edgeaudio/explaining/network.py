"""A shipped network as plain convolutions and additions, in real numbers, for who needs its gradients.

What a runtime executes is quantized. Multiplied out, its weights keep the values they were quantized to,
and each tensor the values that 8 bits let it have, at whose lower end the ReLU is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import ModelError
from edgeaudio.explaining.onnx_file import Node, OnnxGraph, read_onnx
from edgeaudio.models.bundle import Bundle
from edgeaudio.training.graph import Add, Conv, Conv2d, Graph

__all__ = ["Network", "Steps", "read_network"]


class Steps(NamedTuple):
    """The values that a quantized tensor can have: ``size * (i - zero)`` for i from 0 to 255."""

    size: float
    zero: int

    @property
    def limits(self) -> tuple[float, float]:
        """Least and greatest of them."""
        return -self.zero * self.size, (255 - self.zero) * self.size


@dataclass(frozen=True)
class Network:
    """A graph, and the steps of its tensors (of none where it is not quantized)."""

    graph: Graph
    steps: dict[str, Steps]


def read_network(bundle: Bundle) -> Network:
    """Read the network of a model from the file that onnxruntime runs.

    Raises
    ------
    ModelError
        There is no such file, or it has operators of which no gradient is known here.
    """
    what = f"the network of model '{bundle.name}'"
    onnx = read_onnx(bundle.read_graph("onnx"), what)
    rests = {state.name: state.fill for state in bundle.signature("onnx").states}
    try:
        return _Reader(onnx, rests, bundle.manifest.frontend.n_bands, what).read()
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{what} is not one that edgeaudio has written: {error}") from error


class _Reader:
    """Follows the frames through the file."""

    def __init__(self, onnx: OnnxGraph, rests: dict[str, float], n_bands: int, what: str) -> None:
        self.onnx = onnx
        self.rests = rests
        self.n_bands = n_bands
        self.what = what
        # What was only moved, by the file's names: the tensor that it was.
        self.origin: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.nodes: list[Conv | Add] = []
        self.steps: dict[str, Steps] = {}
        self.outputs: dict[str, str] = {}
        self.rest = 0.0

    def read(self) -> Network:
        for node in self.onnx.nodes:
            reading = getattr(self, f"read_{node.operator}", None)
            if reading is None:
                raise ModelError(
                    f"{self.what} has an operator of which no gradient is known here: {node.operator}",
                    hint="Explain it by what changes when parts are hidden: --method occlusion",
                )
            reading(node)
        nodes = tuple(map(self.resting, self.nodes))
        graph = Graph(self.n_bands, self.rest, 1.0, nodes, "frames", self.outputs["logits"])
        return Network(replace(graph, embedding=self.outputs.get("embedding")), self.steps)

    def resting(self, node: Conv | Add) -> Conv | Add:
        """Let what reads the frames read their distance from rest, as a `Graph` has it."""
        if isinstance(node, Conv) and node.source == "frames":
            sums = node.weight.reshape(len(node.weight), -1).sum(axis=1, dtype=np.float64)
            return replace(node, bias=(node.bias + self.rest * sums).astype(np.float32))
        return node

    def read_QuantizeLinear(self, node: Node) -> None:  # noqa: N802
        self.origin[node.outputs[0]] = "frames"
        self.steps["frames"] = self.steps_of(*node.inputs[1:3])

    def read_DequantizeLinear(self, node: Node) -> None:  # noqa: N802
        self.outputs[node.outputs[0]] = self.origin[node.inputs[0]]

    def read_Concat(self, node: Node) -> None:  # noqa: N802
        state, source = node.inputs
        self.origin[node.outputs[0]] = self.origin[source]
        self.states[node.outputs[0]] = state

    def read_Slice(self, node: Node) -> None:  # noqa: N802
        """What is remembered for the next step: all steps are computed at once here."""

    def read_Unsqueeze(self, node: Node) -> None:  # noqa: N802
        self.origin[node.outputs[0]] = self.origin[node.inputs[0]]

    read_Reshape = read_Unsqueeze  # noqa: N815

    def read_QLinearConv(self, node: Node) -> None:  # noqa: N802
        source, scale, zero, weight, weight_scale, weight_zero, out_scale, out_zero, bias = node.inputs
        name = node.outputs[0].removeprefix("x_")
        heard = self.origin[source]
        steps = self.constant(weight_scale).astype(np.float64)
        unit = steps * float(self.constant(scale))
        whole = self.constant(weight)
        # [out, in, time] or [out, in, time, bands]: one offset and one step for each output.
        by_output = (-1, *(1,) * (whole.ndim - 1))
        offsets = self.constant(weight_zero).astype(np.float64).reshape(by_output)
        real = ((whole - offsets) * steps.reshape(by_output)).astype(np.float32)
        if heard == "frames" and source in self.states:
            fill = self.rests[self.states[source]]
            self.rest = (fill - float(self.constant(zero))) * float(self.constant(scale))
        self.steps[name] = self.steps_of(out_scale, out_zero)
        self.origin[node.outputs[0]] = name
        options: dict[str, Any] = {
            "stride": node.attributes["strides"][0],
            "dilation": node.attributes["dilations"][0],
            "groups": node.attributes["group"][0],
            "relu": int(self.constant(out_zero)) == 0,
        }
        real_bias = (self.constant(bias) * unit).astype(np.float32)
        if real.ndim == 3:
            self.nodes.append(Conv(heard, name, real, real_bias, **options))
            return
        options |= {"band_stride": node.attributes["strides"][1], "band_pad": node.attributes["pads"][1]}
        self.nodes.append(Conv2d(heard, name, real, real_bias, **options))

    def read_QLinearAdd(self, node: Node) -> None:  # noqa: N802
        first, second, out_scale, out_zero = (node.inputs[i] for i in (0, 3, 6, 7))
        name = node.outputs[0].removeprefix("x_")
        self.steps[name] = self.steps_of(out_scale, out_zero)
        self.origin[node.outputs[0]] = name
        relu = int(self.constant(out_zero)) == 0
        self.nodes.append(Add((self.origin[first], self.origin[second]), name, relu=relu))

    def steps_of(self, scale: str, zero: str) -> Steps:
        return Steps(float(self.constant(scale)), int(self.constant(zero)))

    def constant(self, name: str) -> NDArray[Any]:
        return self.onnx.constants[name]
