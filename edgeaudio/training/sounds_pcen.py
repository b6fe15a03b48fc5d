"""Per-channel energy normalisation whose parameters are learnt with the network behind it."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn

from edgeaudio.frontend import FrontendSpec

__all__ = ["INPUT_MEAN", "INPUT_SCALE", "LearntPcen"]

INPUT_MEAN, INPUT_SCALE = 0.5, 0.5
"""Of what comes out, roughly."""
_EPS = 1e-6


class LearntPcen(nn.Module):
    """Log-mel frames to normalised bands: each against its own mean over the last half second.

    A sound's level and a microphone's colour are gone then, which spares a network from learning from a few
    hundred recordings that they mean nothing. There is one smoothing, gain, bias and root for all bands, so
    that the runtime's frontend can do the same: :meth:`spec` is its specification.

    Source: Wang et al., "Trainable Frontend for Robust and Far-Field Keyword Spotting", 2017.
    """

    def __init__(self) -> None:
        super().__init__()
        self.smoothing = nn.Parameter(torch.tensor(-3.66))  # sigmoid: 0.025
        self.gain = nn.Parameter(torch.tensor(1.39))  # sigmoid: 0.8
        self.bias = nn.Parameter(torch.tensor(0.69))  # exp: 2
        self.root = nn.Parameter(torch.tensor(0.0))  # sigmoid: 0.5

    def forward(self, log_mel: Tensor) -> Tensor:
        """``[b, n, n_bands]`` to the same shape; the smoother starts at the first frame."""
        power, rate = log_mel.float().exp(), self.smoothing.sigmoid()
        steps = torch.arange(log_mel.shape[1], device=log_mel.device)
        lag = steps[:, None] - steps[None]
        # The smoother as one matrix: what frame u is worth in the mean at frame t.
        first = torch.where(steps == 0, 1.0, rate)
        mean = torch.where(lag >= 0, first * (1.0 - rate) ** lag.clamp(min=0), 0.0) @ power
        bias, root = self.bias.exp(), self.root.sigmoid()
        ratio = power * (mean + _EPS) ** -self.gain.sigmoid()
        normalised: Tensor = (ratio + bias) ** root - bias**root
        return normalised

    def spec(self, log_mel: FrontendSpec) -> FrontendSpec:
        """The frontend that makes of samples what this makes of the frames of ``log_mel``."""
        values = {
            "pcen_smoothing": self.smoothing.sigmoid(),
            "pcen_gain": self.gain.sigmoid(),
            "pcen_bias": self.bias.exp(),
            "pcen_root": self.root.sigmoid(),
        }
        learnt = {name: round(float(value.detach()), 6) for name, value in values.items()}
        return msgspec.structs.replace(log_mel, features="pcen", pcen_eps=_EPS, **learnt)
