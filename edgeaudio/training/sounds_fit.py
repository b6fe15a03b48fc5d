"""The network of ``sounds-home``, and how it learns from examples that say where a sound is, roughly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from numpy.typing import NDArray
from torch import Tensor

from edgeaudio.frontend import FrontendSpec
from edgeaudio.training.loop import LoopSettings, train
from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.nets2d import BandStage
from edgeaudio.training.precision import mixed
from edgeaudio.training.sounds_batches import Mixer, Mixture, SoundBatch, batches
from edgeaudio.training.sounds_frames import Ear, Takes
from edgeaudio.training.sounds_pcen import INPUT_MEAN, INPUT_SCALE, LearntPcen
from edgeaudio.types import Frames

__all__ = [
    "SoundNet",
    "SoundPlan",
    "calibration_frames",
    "features",
    "fit",
    "heard",
    "mixer_of",
    "pcen_net",
    "sound_loss",
    "sounds_net_spec",
]

_SMOOTHING = 0.1
"""Of the clip's label: so much of it is spread over all others."""
_FRAME_LOSS = 0.25
_ONSET_OUTPUTS, _ONSET_WEIGHT = 2, 0.3
"""Nobody can know a sound from its first moments: outputs right after an onset count less."""
_DROPPED = 0.2

MEAN, SCALE = -6.0, 4.0
"""Of log-mel bands over recordings at all levels, roughly: the first batch norm learns the rest."""


def sounds_net_spec(n_bands: int, n_labels: int) -> NetSpec:
    """80 bands become 3 in four strided steps, then three blocks over time: 80 ms outputs, 2.5 s of sight."""
    front = (
        BandStage(16, 5, 5, stride=2, band_stride=2),
        BandStage(24, 3, 4, stride=2, band_stride=2),
        BandStage(48, 3, 4, stride=2, band_stride=2),
        BandStage(64, 3, 4, band_stride=2),
    )
    return NetSpec(n_bands, n_labels, ((96, 1, 1),), ((3, 1), (3, 2), (3, 4)), MEAN, SCALE, front)


@dataclass(frozen=True)
class SoundPlan:
    """What is trained, and for how long; examples are of 4 s."""

    net: NetSpec
    labels: tuple[str, ...]
    loop: LoopSettings = field(default_factory=LoopSettings)
    mixture: Mixture = field(default_factory=Mixture)
    seed: int = 1
    batch_size: int = 32
    n_frames: int = 400


class SoundNet(SpotterNet):
    """A :class:`SpotterNet` of which a fifth of the last layer's channels is dropped while it learns.

    It hears log-mel frames. ``before`` makes of them what the exported network will hear, if that is
    something else.
    """

    def __init__(self, spec: NetSpec, before: LearntPcen | None = None) -> None:
        super().__init__(spec)
        self.before = before

    def heard(self, frames: Tensor) -> Tensor:
        """What the exported network hears of log-mel frames."""
        return frames if self.before is None else cast(Tensor, self.before(frames))

    def frontend(self, log_mel: FrontendSpec) -> FrontendSpec:
        """The frontend of the exported network."""
        return log_mel if self.before is None else self.before.spec(log_mel)

    def _hidden(self, frames: Tensor) -> Tensor:
        dropped: Tensor = F.dropout(super()._hidden(self.heard(frames)), _DROPPED, self.training)
        return dropped


def pcen_net(spec: NetSpec) -> SoundNet:
    """A network behind a learnt PCEN."""
    return SoundNet(replace(spec, input_mean=INPUT_MEAN, input_scale=INPUT_SCALE), LearntPcen())


def sound_loss(net: SpotterNet, batch: SoundBatch) -> Tensor:
    """Binary cross entropy of every output, and cross entropy of the mean logits where anything sounds.

    The first one tells what is on and when, several sounds at once included; the second one tells
    sounds apart, which a few hundred recordings teach much faster so.
    """
    with mixed(batch.frames.device):
        logits = net(batch.frames)
    logits, on = logits.float(), batch.on
    losses = F.binary_cross_entropy_with_logits(logits, on * (1.0 - _SMOOTHING / 2), reduction="none")
    before = F.pad(on, (0, 0, _ONSET_OUTPUTS, 0))[:, : on.shape[1]]
    weights = torch.where((on > 0) & (before == 0), _ONSET_WEIGHT, 1.0) * (1.0 + (on > 0).float())
    frame_loss = (losses * weights).mean() * on.shape[2] * _FRAME_LOSS
    sounds = (batch.share.sum(1) > 0).float()
    anything = (on * (batch.share > 0)[:, None]).amax(-1, keepdim=True)
    mean = (logits * anything).sum(1) / anything.sum(1).clamp(min=1.0)
    share = batch.share / batch.share.sum(1, keepdim=True).clamp(min=1e-6)
    share = share * (1.0 - _SMOOTHING) + _SMOOTHING / share.shape[1]
    clip_losses = -(share * mean.log_softmax(-1)).sum(1)
    loss: Tensor = frame_loss + (clip_losses * sounds).sum() / sounds.sum().clamp(min=1.0)
    return loss


def fit(
    plan: SoundPlan,
    recordings: Sequence[Takes],
    ear: Ear,
    checkpoint: Path,
    *,
    measured: frozenset[tuple[str, str]],
    resume: bool = False,
    make: Callable[[NetSpec], SoundNet] = pcen_net,
    on_progress: Callable[[float], None] | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> SoundNet:
    """Train one network on the recordings; see :func:`edgeaudio.training.loop.train`."""
    torch.manual_seed(plan.seed)
    feed = batches(mixer_of(plan, recordings, ear, measured), size=plan.batch_size, seed=plan.seed)
    return train(
        make(plan.net),
        feed,
        plan.loop,
        checkpoint,
        loss_of=sound_loss,
        resume=resume,
        on_progress=on_progress,
        on_epoch=on_epoch,
    )


def mixer_of(
    plan: SoundPlan, recordings: Sequence[Takes], ear: Ear, measured: frozenset[tuple[str, str]]
) -> Mixer:
    """What draws the plan's examples from recordings."""
    return Mixer(
        recordings,
        plan.labels,
        ear,
        n_frames=plan.n_frames,
        stride=plan.net.stride,
        fill=MEAN,
        measured=measured,
        mixture=plan.mixture,
    )


def calibration_frames(net: SoundNet, mixer: Mixer, n_examples: int, seed: int) -> list[Frames]:
    """Examples as the exported network will hear them, for the ranges of its activations."""
    rng = np.random.default_rng(seed)
    return [features(net, mixer(rng).frames) for _ in range(n_examples)]


def features(net: SoundNet, log_mel: Frames) -> Frames:
    """What the exported network hears of a whole recording, ``[n, n_bands]``."""
    with torch.no_grad():
        heard: Frames = net.heard(torch.from_numpy(np.asarray(log_mel, np.float32))[None])[0].numpy()
    return heard


def heard(net: SpotterNet, frames: Sequence[Frames]) -> list[NDArray[np.float32]]:
    """Posteriors ``[n / stride, n_labels]`` of whole recordings, each from a fresh state."""
    net.eval()
    device = next(net.parameters()).device
    stride, found = net.spec.stride, []
    with torch.no_grad():
        for one in frames:
            whole = np.asarray(one[: len(one) // stride * stride], np.float32)
            logits = cast(Tensor, net(torch.from_numpy(whole)[None].to(device)))
            found.append(logits[0].float().sigmoid().cpu().numpy())
    return found
