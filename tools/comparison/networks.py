"""The networks that are compared beside the shipped one, and learnable frontends before it."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn

from edgeaudio.training.nets import CausalConv, NetSpec
from edgeaudio.training.nets2d import BandFront
from edgeaudio.training.sounds_fit import SoundNet
from tools.comparison.ears import bin_mels

__all__ = ["GaussianBands", "GaussianNet", "PlainNet", "TwoResolutions"]


class PlainNet(SoundNet):
    """A plain CNN: strided convolutions, the mean over the bands that are left, one linear layer."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        channels = spec.front[-1].channels
        self.head = nn.Conv1d(channels, spec.n_labels, 1)

    def _hidden(self, frames: Tensor) -> Tensor:
        x = cast(BandFront, self.front)((frames - self.spec.input_mean) / self.spec.input_scale)
        x = x.unflatten(1, (-1, self.head.in_channels)).mean(1)
        return F.dropout(x, 0.2, self.training)


class GaussianBands(nn.Module):
    """Gaussian filters over the power spectrum, of learnt centres and widths, that begin as mel bands.

    LEAF (Zeghidour et al. 2021) filters samples with Gabor wavelets; this keeps its learnt Gaussians on the
    frequency axis and takes the spectrum from the FFT that is computed anyway.
    """

    def __init__(self, n_bands: int) -> None:
        super().__init__()
        step = 1.0 / (n_bands + 1)
        self.centre = nn.Parameter(torch.arange(1, n_bands + 1) * step * 10.0)  # scaled for the optimiser
        self.width = nn.Parameter(torch.full((n_bands,), float(np.log(step / 2.0))))
        self.register_buffer("bins", torch.from_numpy(bin_mels()))

    def forward(self, log_power: Tensor) -> Tensor:
        """Log powers ``[b, n, n_bins]`` to log bands ``[b, n, n_bands]``."""
        bins = cast(Tensor, self.bins)
        distance = (bins[:, None] - self.centre / 10.0) / self.width.exp()
        weights = (-0.5 * distance**2).exp()
        # At low frequencies a band is narrower than the distance of two bins: some weight always reaches one.
        return (log_power.float().exp() @ (weights + 1e-5) + 1e-6).log()


class GaussianNet(SoundNet):
    """The same network behind learnt filters."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.filters = GaussianBands(spec.n_bands)

    def heard(self, frames: Tensor) -> Tensor:
        """Log bands ``[b, n, n_bands]`` of log powers."""
        bands: Tensor = self.filters(frames)
        return bands


class TwoResolutions(SoundNet):
    """Two fronts, one for each half of the bands, and one network over time behind both."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        front = cast(BandFront, self.front)
        self.second = BandFront(spec.n_bands, spec.front)
        outputs, kernel, stride = spec.stem[0]
        self.stem[0] = CausalConv(2 * front.width, outputs, kernel, stride)

    def _hidden(self, frames: Tensor) -> Tensor:
        x = (frames - self.spec.input_mean) / self.spec.input_scale
        n_bands = self.spec.n_bands
        fronts = cast(BandFront, self.front)(x[..., :n_bands]), self.second(x[..., n_bands:])
        x = torch.cat(fronts, dim=1)
        for layer in self.stem:
            x = F.relu(layer(x))
        for block in self.blocks:
            x = block(x)
        return F.dropout(x, 0.2, self.training)
