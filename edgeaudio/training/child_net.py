"""A network of centred convolutions in torch: over whole recordings, or over a stream as it is run."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn

from edgeaudio.models.convnet import Conv, ConvNet
from edgeaudio.models.convnet_onnx import Geometry, mirror_places

__all__ = ["StreamNet"]


class StreamNet(nn.Module):
    """The trainable form of a :class:`~edgeaudio.models.convnet.ConvNet`; weights are dequantized.

    Parameters
    ----------
    net : ConvNet
    """

    def __init__(self, net: ConvNet) -> None:
        super().__init__()
        self.net = net
        self.weights = nn.ParameterDict()
        for node in net.nodes:
            if isinstance(node, Conv):
                self.weights[f"{node.output}_weight"] = nn.Parameter(torch.from_numpy(node.weight.copy()))
                self.weights[f"{node.output}_bias"] = nn.Parameter(torch.from_numpy(node.bias.copy()))

    def whole(self, frames: Tensor) -> Tensor:
        """Logits ``[batch, n / stride, n_labels]`` of whole recordings ``[batch, n, n_bands]``."""
        logits, _ = self._run(frames, None, 0)
        return logits

    def stream(self, windows: Tensor, geometry: Geometry) -> Tensor:
        """Logits of ``windows [n_windows, batch, window, n_bands]``, one run behind the other.

        As :mod:`edgeaudio.models.convnet_onnx` writes the network: each convolution remembers what it
        needs of the past. No gradient flows from one window to the one before.

        Returns
        -------
        Tensor [batch, n_windows * chunk / stride, n_labels]
        """
        states: dict[str, Tensor] = {}
        n_out = geometry.chunk // self.net.stride
        outputs = []
        for window in windows:
            logits, states = self._run(window, states, geometry.chunk)
            outputs.append(logits[:, :n_out])
        return torch.cat(outputs, dim=1)

    def to_net(self) -> ConvNet:
        """The network with the weights as they are now, in float."""
        nodes = tuple(self._renewed(node) if isinstance(node, Conv) else node for node in self.net.nodes)
        return replace(self.net, nodes=nodes, scales={})

    def _run(
        self, frames: Tensor, states: dict[str, Tensor] | None, chunk: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        tensors = {self.net.frames: frames.transpose(1, 2)}
        chunks = {self.net.frames: chunk}
        later: dict[str, Tensor] = {}
        for node in self.net.nodes:
            if isinstance(node, Conv):
                x, chunks[node.output] = tensors[node.source], chunks[node.source] // node.stride
                if states is not None and node.radius:
                    places = torch.from_numpy(mirror_places(x.shape[2], node.radius)).to(x.device)
                    # Zeros stand before the first window, as they do before a whole recording.
                    past = states.get(node.output)
                    past = x.new_zeros(*x.shape[:2], node.radius) if past is None else past
                    x = torch.cat((past, x, x[:, :, places]), dim=2)
                    end = chunks[node.source]
                    later[node.output] = x[:, :, end : end + node.radius].detach()
                x = F.conv1d(
                    x,
                    self.weights[f"{node.output}_weight"],
                    self.weights[f"{node.output}_bias"],
                    stride=node.stride,
                    padding=node.radius if states is None else 0,
                    dilation=node.dilation,
                    groups=node.groups,
                )
            else:
                first, second = node.sources
                x, chunks[node.output] = tensors[first] + tensors[second], chunks[first]
            tensors[node.output] = F.relu(x) if node.relu else x
        return tensors[self.net.logits].transpose(1, 2), later

    def _renewed(self, node: Conv) -> Conv:
        weight, bias = (
            cast(Tensor, self.weights[f"{node.output}_{part}"]).detach().numpy().copy()
            for part in ("weight", "bias")
        )
        return replace(node, weight=weight, bias=bias, integer=None)
