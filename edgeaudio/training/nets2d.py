"""The front of a network that hears time and bands: convolutions that move along both.

Causal in time and without stride in it beyond the first layers', so that a stream is heard frame by
frame; only the bands are pooled, by strides, until so few are left that one list of channels can hold
them. From there on the network is one over time alone (:class:`~edgeaudio.training.nets.SpotterNet`).

Pooling along the bands only is what Sainath and Parada found best for small footprints
("Convolutional Neural Networks for Small-footprint Keyword Spotting", 2015); BC-ResNet (Kim et al.,
"Broadcasted Residual Learning for Efficient Keyword Spotting", 2021) leaves 2-D for 1-D in the
same way inside every block. Kernels are dense: depthwise ones with a 1 x 1 after them compute a fifth of
it, and take a CPU half to two thirds of its time in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn

from edgeaudio.training.folding import fold_norm
from edgeaudio.training.graph import Add, Conv, Conv2d, left_pad

__all__ = ["BandFront", "BandStage", "CausalConv2d"]


@dataclass(frozen=True)
class BandStage:
    """One resolution of a :class:`BandFront`.

    A convolution of ``kernel`` frames by ``band_kernel`` bands with batch norm and ReLU, then residual
    ``blocks`` of (kernel, band_kernel, dilation) that keep the bands as they are; their band kernels
    are odd.
    """

    channels: int
    kernel: int
    band_kernel: int
    stride: int = 1
    band_stride: int = 1
    blocks: tuple[tuple[int, int, int], ...] = ()


class CausalConv2d(nn.Module):
    """Convolution aligned to the newest frame and centred on its bands, and batch norm."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: int = 1,
        band_pad: int = 0,
    ) -> None:
        super().__init__()
        self.pad, self.band_pad = left_pad(kernel[0], dilation, stride[0]), band_pad
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, dilation=(dilation, 1), bias=False)
        self.norm = nn.BatchNorm2d(outputs, momentum=0.05)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, inputs, n, bands]`` to ``[batch, outputs, n / stride, bands out]``."""
        out: Tensor = self.norm(self.conv(F.pad(x, (self.band_pad, self.band_pad, self.pad, 0))))
        return out

    def node(self, source: str, output: str, *, relu: bool) -> Conv2d:
        """The layer as the graph holds it, batch norm folded."""
        weight, bias = fold_norm(self.conv, self.norm)
        (stride, band_stride), dilation = self.conv.stride, self.conv.dilation[0]
        return Conv2d(
            source,
            output,
            weight,
            bias,
            stride=stride,
            dilation=dilation,
            relu=relu,
            band_stride=band_stride,
            band_pad=self.band_pad,
        )


class _Block(nn.Module):
    def __init__(self, width: int, kernel: int, band_kernel: int, dilation: int) -> None:
        super().__init__()
        shape, pad = (kernel, band_kernel), band_kernel // 2
        self.first = CausalConv2d(width, width, shape, dilation=dilation, band_pad=pad)
        self.second = CausalConv2d(width, width, shape, dilation=dilation, band_pad=pad)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class BandFront(nn.Module):
    """Stages one after the other; what is left of the bands becomes one list of ``width`` channels."""

    def __init__(self, n_bands: int, stages: tuple[BandStage, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        inputs = 1
        for stage in stages:
            shape, strides = (stage.kernel, stage.band_kernel), (stage.stride, stage.band_stride)
            self.layers.append(CausalConv2d(inputs, stage.channels, shape, stride=strides))
            self.layers.extend(_Block(stage.channels, *block) for block in stage.blocks)
            inputs, n_bands = stage.channels, (n_bands - stage.band_kernel) // stage.band_stride + 1
        self.width = inputs * n_bands
        # Channels beside each other in memory: a fifth less time a training step on a CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Normalised frames ``[batch, n, n_bands]`` to ``[batch, width, n / stride]``."""
        x = x[:, None].contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            x = layer(x) if isinstance(layer, _Block) else F.relu(layer(x))
        # Band after band, as a Conv of the graph reads them.
        return x.permute(0, 3, 1, 2).flatten(1, 2)

    def nodes(self, source: str) -> Iterator[Conv | Add]:
        """The layers as the graph holds them; the last one's output is what the front gives out."""
        for i, layer in enumerate(self.layers):
            name = f"front{i}"
            if isinstance(layer, _Block):
                yield layer.first.node(source, f"{name}a", relu=True)
                yield layer.second.node(f"{name}a", f"{name}b", relu=False)
                yield Add((source, f"{name}b"), name, relu=True)
            else:
                yield cast(CausalConv2d, layer).node(source, name, relu=True)
            source = name
