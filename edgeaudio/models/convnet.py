"""Networks of centred convolutions, as other projects publish them.

Jasper and QuartzNet consist of nothing but one-dimensional convolutions, each padded alike on both
sides, of additions and ReLUs. Read by :mod:`edgeaudio.models.convnet_reader`, written for a stream by
:mod:`edgeaudio.models.convnet_onnx`; training makes children of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Add", "Conv", "ConvNet", "IntegerWeight", "Scale"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """Quantization of a tensor: a value is ``scale * (q - zero_point)``, q from 0 to 255."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class IntegerWeight:
    """A weight as the file quantized it: ``scale[channel] * values[channel]``, values int8."""

    values: NDArray[np.int8]
    scale: Array


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution over time that sees `radius` frames on either side.

    ``weight`` is ``[channels, channels_in / groups, kernel] float32``, ``bias`` ``[channels]``.
    """

    source: str
    output: str
    weight: Array
    bias: Array
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    relu: bool = False
    integer: IntegerWeight | None = None

    @property
    def radius(self) -> int:
        """Frames of the source on either side of the one that an output frame stands for."""
        return self.dilation * (int(self.weight.shape[2]) - 1) // 2


@dataclass(frozen=True)
class Add:
    """The sum of two tensors."""

    sources: tuple[str, str]
    output: str
    relu: bool = False


@dataclass(frozen=True, eq=False)
class ConvNet:
    """A network of centred convolutions, its nodes in the order in which they are computed.

    ``frames`` is the tensor ``[n, n_bands]`` that goes in, ``logits`` the one that comes out, before
    any softmax. ``scales`` holds the quantization of the tensors that the file quantizes.
    """

    n_bands: int
    nodes: tuple[Conv | Add, ...]
    logits: str
    scales: dict[str, Scale] = field(default_factory=dict)
    frames: str = "frames"

    @property
    def stride(self) -> int:
        """Frames for each output frame."""
        return math.prod(node.stride for node in self.nodes if isinstance(node, Conv))

    @property
    def n_labels(self) -> int:
        """Logits in an output frame."""
        last = self.nodes[-1]
        return len(last.weight) if isinstance(last, Conv) else 0

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum(node.weight.size + node.bias.size for node in self.nodes if isinstance(node, Conv))
