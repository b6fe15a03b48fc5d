"""The streaming networks: causal residual 1-D CNNs in the manner of TC-ResNet.

Bands are channels, so one dense convolution sees the whole spectrum and a few of them see a
second of it. At the size of a keyword spotter every layer costs a runtime more in dispatch than in
arithmetic; hence few dense layers instead of many separable ones, which cost 2.5 times as much to
train besides (dense kernels are matrix products).

Source: Choi et al., "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices", 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn

from edgeaudio.training.folding import array, fold_norm
from edgeaudio.training.graph import Add, Conv, Graph, left_pad
from edgeaudio.training.nets2d import BandFront, BandStage

__all__ = ["CausalConv", "NetSpec", "SpotterNet", "to_graph"]


@dataclass(frozen=True)
class NetSpec:
    """Shape of a :class:`SpotterNet`.

    Parameters
    ----------
    n_bands, n_labels : int
        Bands of an input frame, and logits of an output frame.
    stem : tuple of (channels, kernel, stride)
        Plain convolutions before the residual blocks, each followed by batch norm and ReLU.
    blocks : tuple of (kernel, dilation)
        Residual blocks of two convolutions at the stem's last width.
    input_mean, input_scale : float
        Normalise the frames: ``(frames - input_mean) / input_scale``.
    front : tuple of BandStage
        Convolutions over time and bands before the stem, for a 2-D network.
    n_hints : int
        Tokens of the recogniser whose hints are learned from; see :mod:`~edgeaudio.training.hints`.
    dropout : float
        Part of a residual block's inner values that training leaves out.
    """

    n_bands: int
    n_labels: int
    stem: tuple[tuple[int, int, int], ...] = ((64, 5, 2),)
    blocks: tuple[tuple[int, int], ...] = ((5, 1), (5, 2), (5, 4))
    input_mean: float = 0.0
    input_scale: float = 1.0
    front: tuple[BandStage, ...] = ()
    n_hints: int = 0
    dropout: float = 0.0

    @property
    def stride(self) -> int:
        """Input frames per output frame."""
        strides = [stage.stride for stage in self.front] + [stride for _, _, stride in self.stem]
        return int(np.prod(strides))


class CausalConv(nn.Module):
    """Convolution aligned to the newest frame (see :mod:`~edgeaudio.training.graph`) and batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.pad = left_pad(kernel, dilation, stride)
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride=stride, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(outputs, momentum=0.05)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, inputs, n]`` to ``[batch, outputs, n / stride]``."""
        out: Tensor = self.norm(self.conv(F.pad(x, (self.pad, 0))))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.first = CausalConv(width, width, kernel, dilation=dilation)
        self.second = CausalConv(width, width, kernel, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.dropout(F.relu(self.first(x)), self.dropout, self.training)
        return F.relu(x + self.second(inner))


class SpotterNet(nn.Module):
    """Stem, residual blocks, and one linear layer for each output frame; bands first, if there is a front."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.front = BandFront(spec.n_bands, spec.front) if spec.front else None
        first = spec.n_bands if self.front is None else self.front.width
        widths = [first, *(channels for channels, _, _ in spec.stem)]
        self.stem = nn.ModuleList(
            CausalConv(inputs, outputs, kernel, stride)
            for inputs, (outputs, kernel, stride) in zip(widths, spec.stem, strict=False)
        )
        self.blocks = nn.ModuleList(
            _Block(widths[-1], kernel, dilation, spec.dropout) for kernel, dilation in spec.blocks
        )
        self.head = nn.Conv1d(widths[-1], spec.n_labels, 1)
        self.hint = nn.Conv1d(widths[-1], spec.n_hints, 1) if spec.n_hints else None

    def forward(self, frames: Tensor) -> Tensor:
        """Frames ``[batch, n, n_bands]`` to logits ``[batch, n / stride, n_labels]``.

        ``n`` is a multiple of the stride; state before the first frame is zero, as in the graph.
        """
        out: Tensor = self.head(self._hidden(frames))
        return out.transpose(1, 2)

    def with_hints(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as above, and ``[batch, n / stride, n_hints]``: what the recogniser is taken to hear."""
        hidden = self._hidden(frames)
        hints = cast(nn.Conv1d, self.hint)(hidden)
        return self.head(hidden).transpose(1, 2), hints.transpose(1, 2)

    def _hidden(self, frames: Tensor) -> Tensor:
        x = (frames - self.spec.input_mean) / self.spec.input_scale
        x = x.transpose(1, 2) if self.front is None else self.front(x)
        for layer in self.stem:
            x = F.relu(layer(x))
        for block in self.blocks:
            x = block(x)
        return x


def to_graph(net: SpotterNet) -> Graph:
    """The network as exporters read it, batch norm folded; what the head reads is the embedding."""
    nodes: list[Conv | Add] = []

    def conv(layer: CausalConv, source: str, output: str, *, relu: bool) -> str:
        weight, bias = fold_norm(layer.conv, layer.norm)
        stride, dilation = layer.conv.stride[0], layer.conv.dilation[0]
        nodes.append(Conv(source, output, weight, bias, stride=stride, dilation=dilation, relu=relu))
        return output

    name = "frames"
    if net.front is not None:
        nodes.extend(net.front.nodes(name))
        name = nodes[-1].output
    for i, layer in enumerate(net.stem):
        name = conv(cast(CausalConv, layer), name, f"stem{i}", relu=True)
    for i, block in enumerate(net.blocks):
        first, second = cast(_Block, block).first, cast(_Block, block).second
        inner = conv(first, name, f"block{i}a", relu=True)
        inner = conv(second, inner, f"block{i}b", relu=False)
        nodes.append(Add((name, inner), f"block{i}", relu=True))
        name = f"block{i}"
    head_bias = cast(Tensor, net.head.bias)
    nodes.append(Conv(name, "logits", array(net.head.weight), array(head_bias)))
    spec = net.spec
    return Graph(spec.n_bands, spec.input_mean, spec.input_scale, tuple(nodes), embedding=name)
