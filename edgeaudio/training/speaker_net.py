"""A network that hears who speaks: frames as a spotter hears them, pooled over a stretch of speech.

The streaming part is a :class:`~edgeaudio.training.nets.SpotterNet` whose one logit says how much a frame
counts. The weighted mean and standard deviation of what its last layer gives out are the stretch, beside
statistics of the frames themselves, which tell people apart before anything is learned; a linear layer makes
an embedding of both (Snyder et al., "X-vectors", ICASSP 2018; attentive pooling: Okabe et al., Interspeech
2018). It learns from pairs of stretches to find everybody's second one among
those of the same corpus (angular prototypical loss: Chung et al., "In defence of metric learning for
speaker recognition", Interspeech 2020). People of other corpora are nobody's rivals: they differ by their
microphones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn

from edgeaudio.tasks.speaker import LOUD_PART, LOUD_RANGE, QUIET_PART
from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.precision import mixed

__all__ = ["EMBEDDING", "SpeakerBatch", "SpeakerNet", "pair_loss", "pool", "spectra"]

EMBEDDING = 128
LEAST_VARIANCE = 1e-4
_SCALE = 20.0
_MARGIN = 0.15
_LITTLE = 0.1


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


def spectra(frames: Tensor) -> Tensor:
    """:func:`edgeaudio.tasks.speaker.spectrum` of a batch: ``[b, n, n_bands]`` to ``[b, 3 * n_bands]``."""
    levels = torch.logsumexp(frames, dim=2)
    peak = levels.amax(1, keepdim=True)
    floor = torch.quantile(levels, QUIET_PART, dim=1, keepdim=True)
    least = torch.maximum(floor + LOUD_PART * (peak - floor), peak - LOUD_RANGE)
    chosen = (levels >= least).to(frames.dtype)[..., None]
    shape = frames - frames.mean(2, keepdim=True)
    count = chosen.sum(1)
    mean = (chosen * shape).sum(1) / count
    spread = ((chosen * (shape - mean[:, None]).square()).sum(1) / count).sqrt()
    moved = chosen[:, 1:] * frames.diff(dim=1).abs()
    return torch.cat((mean, spread, moved.sum(1) / chosen[:, 1:].sum(1).clamp(min=1.0)), dim=1)


class SpeakerNet(SpotterNet):
    """A spotter's network with one logit, a pooling, and an embedding; its spec has one label."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        width = spec.stem[-1][0]
        self.norm = nn.BatchNorm1d(3 * spec.n_bands + 2 * width, affine=False)
        self.project = nn.Linear(3 * spec.n_bands + 2 * width, EMBEDDING, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames ``[b, n, n_bands]`` to embeddings ``[b, EMBEDDING]``."""
        measured = torch.cat((spectra(frames), self.pooled(frames)), dim=1)
        placed: Tensor = self.project(self.norm(measured))
        return placed

    def pooled(self, frames: Tensor) -> Tensor:
        """Frames ``[b, n, n_bands]`` to what the network makes of all of them, ``[b, 2 * width]``."""
        with mixed(frames.device):
            hidden = self._hidden(frames)
            logits = self.head(hidden)
        return pool(hidden.float(), logits.float())

    def begin_with(self, directions: Tensor) -> None:
        """Let the statistics of the frames decide at first: ``[EMBEDDING or fewer, 3 * n_bands]``."""
        n, known = directions.shape
        with torch.no_grad():
            self.project.weight[:, :known] *= _LITTLE
            self.project.weight[:n, :known] = directions


def pair_loss(net: SpeakerNet, batch: SpeakerBatch) -> Tensor:
    """Cross entropy over the people of one's own corpus, each of whom must be nearer by the margin."""
    first, second = F.normalize(net(batch.frames)).chunk(2)
    cosines = first @ second.T - _MARGIN * batch.margin * torch.eye(len(first), device=first.device)
    strangers = batch.family[None] != batch.family[:, None]
    logits = (_SCALE * cosines).masked_fill(strangers, -1e4)
    own = torch.arange(len(first), device=first.device)
    return 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))
