"""The streaming recogniser's network, its loss, and its measure: phone errors of the greedy path.

The spotter's causal network, deeper and with an output frame every 40 ms. A second output half way
is trained by the same loss and then thrown away: it makes the alignment appear much sooner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.precision import mixed
from edgeaudio.types import Frames

__all__ = ["CaptionNet", "CtcBatch", "best_path", "ctc_loss", "greedy_tokens"]

BLANK = 0
HALFWAY_WEIGHT = 0.3


@dataclass(frozen=True)
class CtcBatch:
    """Utterances, padded to one length.

    ``frames`` ``[b, n, n_bands]`` where ``n`` is a multiple of the network's stride, ``n_frames`` and
    ``n_tokens`` ``[b]``, ``tokens`` of all utterances end to end.
    """

    frames: Tensor
    n_frames: Tensor
    tokens: Tensor
    n_tokens: Tensor

    def to(self, device: torch.device) -> CtcBatch:
        """The same batch on another device; lengths stay on the CPU, where CTC wants them."""
        return replace(self, frames=self.frames.to(device), tokens=self.tokens.to(device))


class CaptionNet(SpotterNet):
    """A :class:`SpotterNet` with a second linear output half way up, for training only."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        width = spec.stem[-1][0]
        self.halfway = nn.Conv1d(width, spec.n_labels, 1)

    def both(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[batch, n / stride, n_labels]`` at the end, and those half way."""
        x = ((frames - self.spec.input_mean) / self.spec.input_scale).transpose(1, 2)
        for layer in self.stem:
            x = F.relu(layer(x))
        halfway = x
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i + 1 == len(self.blocks) // 2:
                halfway = x
        return self.head(x).transpose(1, 2), self.halfway(halfway).transpose(1, 2)


def ctc_loss(net: CaptionNet, batch: CtcBatch) -> Tensor:
    """Connectionist temporal classification (Graves et al. 2006), a mean over tokens.

    An utterance with more tokens than output frames has no alignment and counts nothing.
    """
    with mixed(batch.frames.device):
        outputs = net.both(batch.frames)
    n_out = batch.n_frames // net.spec.stride
    losses = [
        F.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1), batch.tokens, n_out, batch.n_tokens,
            blank=BLANK, reduction="sum", zero_infinity=True,
        )
        for logits in outputs
    ]  # fmt: skip
    return (losses[0] + HALFWAY_WEIGHT * losses[1]) / batch.n_tokens.sum().clamp(min=1)


def best_path(logits: NDArray[np.float32]) -> list[int]:
    """The tokens of the greedy path of ``[n, n_labels]``: repeats merged, blanks dropped."""
    best = logits.argmax(axis=-1)
    return [int(t) for i, t in enumerate(best) if t != BLANK and (i == 0 or t != best[i - 1])]


def greedy_tokens(net: SpotterNet, utterances: Sequence[Frames], tail: int) -> list[list[int]]:
    """The greedy path of each utterance, followed by ``tail`` frames of silence."""
    stride, mean = net.spec.stride, net.spec.input_mean
    device = next(net.parameters()).device
    found = []
    with torch.no_grad():
        for frames in utterances:
            n = -(-(len(frames) + tail) // stride) * stride
            padded = np.full((1, n, frames.shape[1]), frames.min(initial=mean), np.float32)
            padded[0, : len(frames)] = frames
            with mixed(device):
                logits = cast(Tensor, net(torch.from_numpy(padded).to(device)))
            found.append(best_path(logits[0].float().cpu().numpy()))
    return found
