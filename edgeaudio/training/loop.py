"""The training loop: time- or epoch-limited, resumable, the average of the last weights at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn

from edgeaudio.errors import ModelError, OutputError
from edgeaudio.training.hints import STEPS_PER_NAT, ZERO
from edgeaudio.training.nets import SpotterNet
from edgeaudio.training.precision import mixed

__all__ = [
    "Batch",
    "LoopSettings",
    "TrainState",
    "hint_loss",
    "load_weights",
    "recalibrate",
    "spotter_loss",
    "stream_loss",
    "train",
]


@dataclass(frozen=True)
class Batch:
    """Streams and their targets, see :class:`~edgeaudio.training.streams.FrameTargets`.

    ``frames`` ``[b, n, n_bands]``, ``label`` and ``weight`` ``[b, n_out]``, ``said`` and ``judged``
    ``[b, n_words]``; ``hints`` ``[b, n_hinted, n_hints] uint8`` and ``hinted`` ``[b, n_hinted]``, see
    :func:`~edgeaudio.training.streams.hint_targets`.
    """

    frames: Tensor
    label: Tensor
    weight: Tensor
    said: Tensor
    judged: Tensor
    hints: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 0, dtype=torch.uint8))
    hinted: Tensor = field(default_factory=lambda: torch.zeros(0, 0))

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(*(getattr(self, part.name).to(device) for part in fields(self)))

    def reversed(self) -> Batch:
        """The same streams in reverse order."""
        return Batch(*(getattr(self, part.name).flip(0) for part in fields(self)))


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to learn.

    Parameters
    ----------
    minutes : float or None
        Time limit; the learning rate falls with the time that has passed. ``epochs`` counts if None.
    batches_per_epoch : int
        An epoch ends with a checkpoint and a measurement on the development set.
    average_from : float
        The weights at the end are the mean over this last part of the training.
    peak_weight, false_alarm_weight : float
        Weight of the stream's highest posteriors in the loss, and of words that were not said.
    hint_weight : float
        Weight of the squared error of what the recogniser hears.
    mixup : float
        Share of the batches whose streams are blended in pairs, frames and losses alike (Zhang et al. 2018).
    """

    minutes: float | None = None
    epochs: int = 30
    batches_per_epoch: int = 200
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warm_up: float = 0.03
    average_from: float = 0.85
    peak_weight: float = 0.5
    false_alarm_weight: float = 1.0
    hint_weight: float = 0.5
    mixup: float = 0.0
    smoothing_frames: int = 5
    threads: int = 1
    device: str = "cpu"


@dataclass
class TrainState:
    """All that an interrupted training needs to go on."""

    step: int = 0
    seconds: float = 0.0
    averaged: int = 0
    mean: dict[str, Tensor] = field(default_factory=dict)


def stream_loss(logits: Tensor, batch: Batch, settings: LoopSettings) -> Tensor:
    """Weighted cross entropy of every frame, and binary cross entropy of each word's peak.

    The peak is the highest smoothed posterior in the stream, what the decision at run time looks
    at: it may come a little early or late, and a false alarm anywhere counts in full.
    """
    frame_loss = F.cross_entropy(logits.transpose(1, 2), batch.label, reduction="none")
    loss = (frame_loss * batch.weight).sum() / batch.weight.sum()
    n_words = batch.said.shape[1]
    posteriors = logits.softmax(-1)[..., :n_words].transpose(1, 2)
    peak = F.avg_pool1d(posteriors, settings.smoothing_frames, stride=1).amax(-1).clamp(1e-4, 1 - 1e-4)
    missed = batch.said * -peak.log()
    alarm = (1.0 - batch.said) * -(1.0 - peak).log() * settings.false_alarm_weight
    peaks = ((missed + alarm) * batch.judged).sum(1).mean()
    return loss + settings.peak_weight * peaks


def hint_loss(hints: Tensor, batch: Batch) -> Tensor:
    """Mean squared error, in nats, of log probabilities ``[b, n_out, n_hints]`` where they are known."""
    every = hints.shape[1] // batch.hints.shape[1]
    heard = (batch.hints.float() - ZERO) / STEPS_PER_NAT
    errors = (hints[:, every - 1 :: every] - heard).square().mean(-1)
    return (errors * batch.hinted).sum() / (batch.hinted.sum() + 1.0)


class Movable(Protocol):
    """A batch that can be taken to a device, and holds the ``frames`` that the network hears."""

    @property
    def frames(self) -> Tensor:
        """``[b, n, n_bands]``."""

    def to(self, device: torch.device) -> Movable:
        """The same batch on another device."""


_Net = TypeVar("_Net", bound=SpotterNet)
_Batch = TypeVar("_Batch", bound=Movable)


def spotter_loss(settings: LoopSettings) -> Callable[[SpotterNet, Batch], Tensor]:
    """The loss of a spotter's batch."""

    def loss(net: SpotterNet, batch: Batch) -> Tensor:
        if settings.mixup and float(torch.rand(())) < settings.mixup:
            share = 1.0 - 0.5 * float(torch.rand(())) ** 2  # seldom near one half
            partner = batch.reversed()
            frames = share * batch.frames + (1.0 - share) * partner.frames
            heard = _heard(net, frames, hinted=bool(batch.hints.numel()))
            return share * _loss(*heard, batch, settings) + (1.0 - share) * _loss(*heard, partner, settings)
        return _loss(*_heard(net, batch.frames, hinted=bool(batch.hints.numel())), batch, settings)

    return loss


def _heard(net: SpotterNet, frames: Tensor, *, hinted: bool) -> tuple[Tensor, Tensor | None]:
    """Logits and, where there are hints to compare with, what the recogniser is taken to hear."""
    with mixed(frames.device):
        logits, hints = net.with_hints(frames) if hinted else (net(frames), None)
    return logits.float(), None if hints is None else hints.float()


def _loss(logits: Tensor, hints: Tensor | None, batch: Batch, settings: LoopSettings) -> Tensor:
    loss = stream_loss(logits, batch, settings)
    return loss if hints is None else loss + settings.hint_weight * hint_loss(hints, batch)


def train(
    net: _Net,
    batches: Iterator[_Batch],
    settings: LoopSettings,
    checkpoint: Path,
    *,
    loss_of: Callable[[_Net, _Batch], Tensor],
    resume: bool = False,
    on_progress: Callable[[float], None] | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> _Net:
    """Train until the time or the epochs are over.

    Parameters
    ----------
    net : SpotterNet
        Trained in place; carries the averaged weights and fresh batch norm statistics at the end.
    batches : iterator
        Endless.
    loss_of : callable
        The loss of a batch.
    checkpoint : Path
        Written after every epoch, at the end and when interrupted, replaced as a whole; read first if
        ``resume``.
    on_progress : callable, optional
        Called after every step with the part done, 0 to 1.
    on_epoch : callable, optional
        Called after every epoch with its number and its mean loss; may look at the net.

    Raises
    ------
    ModelError
        The checkpoint to resume from is missing or fits another network.
    OutputError
        The checkpoint cannot be written.
    """
    torch.set_num_threads(settings.threads)
    device = torch.device(settings.device)
    net.to(device).train()
    optimizer = _optimizer(net, settings)
    state = TrainState()
    if resume:
        state = _load(checkpoint, net, optimizer, device)
        if _progress(state, settings) < settings.average_from:
            # The training was prolonged: what seemed to be its last part was not.
            state.averaged, state.mean = 0, {}
        if on_progress is not None:  # also when nothing is left to do: the data depend on it
            on_progress(min(_progress(state, settings), 1.0))
    started = time.monotonic() - state.seconds
    losses: list[float] = []
    try:
        while (done := _progress(state, settings)) < 1.0:
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(done, settings.warm_up)
            losses.append(_step(net, loss_of(net, cast(_Batch, next(batches).to(device))), optimizer))
            state.step += 1
            state.seconds = time.monotonic() - started
            if done >= settings.average_from and state.step % 10 == 0:
                _accumulate(state, net)
            if on_progress is not None:
                on_progress(min(_progress(state, settings), 1.0))
            if state.step % settings.batches_per_epoch == 0:
                _save(checkpoint, net, optimizer, state)
                if on_epoch is not None:
                    on_epoch(state.step // settings.batches_per_epoch, sum(losses) / len(losses))
                    net.train()
                losses.clear()
    except KeyboardInterrupt:
        _save(checkpoint, net, optimizer, state)
        raise
    _save(checkpoint, net, optimizer, state)
    if state.averaged:
        net.load_state_dict({name: mean.to(device) for name, mean in state.mean.items()})
        recalibrate(net, batches, n_batches=30)
    return net.eval()


def recalibrate(net: SpotterNet, batches: Iterator[Movable], n_batches: int) -> None:
    """Measure the batch norm statistics again: those of averaged weights are not the averaged ones."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    net.train()
    device = next(net.parameters()).device
    with torch.no_grad():
        for _ in range(n_batches):
            net(next(batches).frames.to(device))
    net.eval()


def _step(net: SpotterNet, loss: Tensor, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    # A batch whose gradient overflows is left out: hours of training must not end in NaN weights.
    if nn.utils.clip_grad_norm_(net.parameters(), 2.0).isfinite():
        optimizer.step()
    return float(loss.detach())


def _optimizer(net: SpotterNet, settings: LoopSettings) -> torch.optim.Optimizer:
    # Only kernels decay: a bias or a norm's gain has nothing to gain from being small.
    kernels = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": kernels, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=settings.learning_rate,
    )


def _progress(state: TrainState, settings: LoopSettings) -> float:
    if settings.minutes is not None:
        return state.seconds / (60.0 * settings.minutes)
    return state.step / (settings.epochs * settings.batches_per_epoch)


def _schedule(done: float, warm_up: float) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if done < warm_up:
        return 0.05 + 0.95 * done / warm_up
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (done - warm_up) / (1.0 - warm_up)))


def _accumulate(state: TrainState, net: SpotterNet) -> None:
    state.averaged += 1
    for name, value in net.state_dict().items():
        new = value.detach().float().cpu()
        old = state.mean.get(name)
        state.mean[name] = new.clone() if old is None else old + (new - old) / state.averaged


def _save(path: Path, net: SpotterNet, optimizer: torch.optim.Optimizer, state: TrainState) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "spec": {name: str(value) for name, value in asdict(net.spec).items()},
                "net": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": state.step,
                "seconds": state.seconds,
                "averaged": state.averaged,
                "mean": state.mean,
            },
            partial,
        )
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path}: cannot write the checkpoint: {error}") from error


def load_weights(path: Path, net: nn.Module) -> None:
    """Begin with the weights of another training: their average where it has come that far.

    Raises
    ------
    ModelError
        The checkpoint is missing or fits another network.
    """
    hint = "It must come from a training of the same network."
    with _reading(path, hint):
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(saved["mean"] or saved["net"])


def _load(path: Path, net: SpotterNet, optimizer: torch.optim.Optimizer, device: torch.device) -> TrainState:
    with _reading(path, "Train without --resume to start again."):
        saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        mean = {name: value.cpu() for name, value in saved["mean"].items()}
        return TrainState(saved["step"], saved["seconds"], saved["averaged"], mean)


@contextmanager
def _reading(path: Path, hint: str) -> Iterator[None]:
    """Loads with weights_only: a checkpoint holds tensors and numbers, nothing that runs."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{path}: cannot read the checkpoint: {error}", hint=hint) from error
    except Exception as error:  # torch raises many kinds for broken or foreign files
        raise ModelError(f"{path}: not a checkpoint of this network: {error}", hint=hint) from error
