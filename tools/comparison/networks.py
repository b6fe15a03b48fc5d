"""The networks that are compared beside the shipped one, and learnable frontends before it."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn

from edgeaudio.training.nets import CausalConv, NetSpec
from edgeaudio.training.nets2d import BandFront
from edgeaudio.training.sounds_fit import MEAN, SCALE, SoundNet
from tools.comparison.ears import bin_mels

__all__ = ["GaussianBands", "LearntPcen", "PlainNet", "TwoResolutions", "behind"]


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


class LearntPcen(nn.Module):
    """Per-channel energy normalisation of mel bands with learnt smoothing, gain, bias and root.

    One of each for all bands, so that the runtime's own PCEN (Wang et al. 2017) can do the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.smoothing = nn.Parameter(torch.tensor(-3.66))  # sigmoid: 0.025
        self.gain = nn.Parameter(torch.tensor(1.39))  # sigmoid: 0.8
        self.bias = nn.Parameter(torch.tensor(0.69))  # exp: 2
        self.root = nn.Parameter(torch.tensor(0.0))  # sigmoid: 0.5

    def forward(self, log_mel: Tensor) -> Tensor:
        """Log-mel to normalised bands of about the same mean and scale."""
        power, rate = log_mel.float().exp(), self.smoothing.sigmoid()
        n = log_mel.shape[1]
        lag = torch.arange(n)[:, None] - torch.arange(n)[None]
        # The smoother as one matrix: the first frame is where it starts.
        first = torch.where(torch.arange(n) == 0, 1.0, rate)
        kernel = torch.where(lag >= 0, first * (1.0 - rate) ** lag.clamp(min=0), 0.0)
        level = kernel @ power
        bias, root = self.bias.exp(), self.root.sigmoid()
        ratio = power * (level + 1e-6) ** -self.gain.sigmoid()
        return ((ratio + bias) ** root - bias**root) * 2.0 * SCALE + MEAN - SCALE


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


class _Behind(SoundNet):
    before: nn.Module

    def _hidden(self, frames: Tensor) -> Tensor:
        return super()._hidden(self.before(frames))


def behind(before: nn.Module, spec: NetSpec) -> SoundNet:
    """The shipped network behind a learnable frontend."""
    net = _Behind(spec)
    net.before = before
    return net


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
