"""A network that hears who speaks: frames as a spotter hears them, pooled over a stretch of speech.

The streaming part is a :class:`~edgeaudio.training.nets.SpotterNet` whose one logit says how much a frame
counts. The weighted mean and standard deviation of what its last layer gives out are the stretch; a
linear layer makes an embedding of them (Snyder et al., "X-vectors", ICASSP 2018; attentive pooling:
Okabe et al., Interspeech 2018). It learns from pairs of stretches to find everybody's second one among
those of the same corpus (angular prototypical loss: Chung et al., "In defence of metric learning for
speaker recognition", Interspeech 2020). People of other corpora are nobody's rivals: they differ by their
microphones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn

from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.precision import mixed

__all__ = ["EMBEDDING", "SpeakerBatch", "SpeakerNet", "pair_loss", "pool"]

EMBEDDING = 128
LEAST_VARIANCE = 1e-4
_SCALE = 20.0
_MARGIN = 0.15


@dataclass(frozen=True)
class SpeakerBatch:
    """Two stretches of everybody.

    ``frames`` is ``[2 * b, n, n_bands]``, the first ``b`` of the same people as the others; ``family``
    ``[b]`` their corpora; ``margin`` the part of the full one that is asked for.
    """

    frames: Tensor
    family: Tensor
    margin: Tensor

    def to(self, device: torch.device) -> SpeakerBatch:
        """The same batch on another device."""
        return SpeakerBatch(self.frames.to(device), self.family.to(device), self.margin.to(device))


def pool(features: Tensor, logits: Tensor) -> Tensor:
    """Weighted mean and standard deviation: ``[b, width, n]`` and ``[b, 1, n]`` to ``[b, 2 * width]``."""
    weights = torch.sigmoid(logits) + 1e-6
    weights = weights / weights.sum(-1, keepdim=True)
    mean = (weights * features).sum(-1)
    variance = (weights * (features - mean[..., None]).square()).sum(-1)
    return torch.cat((mean, variance.clamp(min=LEAST_VARIANCE).sqrt()), dim=1)


class SpeakerNet(SpotterNet):
    """A spotter's network with one logit, a pooling, and an embedding; its spec has one label."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        width = spec.stem[-1][0]
        self.norm = nn.BatchNorm1d(2 * width)
        self.project = nn.Linear(2 * width, EMBEDDING)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames ``[b, n, n_bands]`` to embeddings ``[b, EMBEDDING]``."""
        placed: Tensor = self.project(self.norm(self.pooled(frames)))
        return placed

    def pooled(self, frames: Tensor) -> Tensor:
        """Frames ``[b, n, n_bands]`` to what is left of them over time, ``[b, 2 * width]``."""
        with mixed(frames.device):
            hidden = self._hidden(frames)
            logits = self.head(hidden)
        return pool(hidden.float(), logits.float())


def pair_loss(net: SpeakerNet, batch: SpeakerBatch) -> Tensor:
    """Cross entropy over the people of one's own corpus, each of whom must be nearer by the margin."""
    first, second = F.normalize(net(batch.frames)).chunk(2)
    cosines = first @ second.T - _MARGIN * batch.margin * torch.eye(len(first), device=first.device)
    strangers = batch.family[None] != batch.family[:, None]
    logits = (_SCALE * cosines).masked_fill(strangers, -1e4)
    own = torch.arange(len(first), device=first.device)
    return 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))
