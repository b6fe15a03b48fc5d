"""What training commands and wake words have in common: data in, a trained network with facts out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from edgeaudio.errors import InputError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.training.augment import Augmenter, Settings
from edgeaudio.training.batches import BatchSource, Layout
from edgeaudio.training.corpus import Clip, held_out, is_background, mentions
from edgeaudio.training.loop import Batch, LoopSettings, spotter_loss, train
from edgeaudio.training.mining import hard_negatives
from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.streams import Pools, Recipe, StreamMaker
from edgeaudio.types import Frames, Samples

__all__ = ["Material", "SpotterPlan", "calibration_frames", "fit", "gather", "kept_back", "said_word"]

SHORT_S = 2.0
"""A longer recording is running speech, not a word."""

HELD_OUT_SPLITS = ("validation", "dev", "test", "held_out")
_MAX_SHORT_NOISES = 150


@dataclass(frozen=True)
class Material:
    """Recordings sorted by their use; nobody is heard in both training and development."""

    words: tuple[str, ...]
    pools: Pools
    noises: list[Samples]
    rooms: list[Samples]
    development: list[Clip]
    """Held-out recordings of all kinds, speech and background."""
    used: dict[str, int] = field(default_factory=dict)
    """Training recordings of each corpus."""


@dataclass(frozen=True)
class SpotterPlan:
    """All choices of one training run."""

    spec: FrontendSpec
    net: NetSpec
    recipe: Recipe = field(default_factory=Recipe)
    loop: LoopSettings = field(default_factory=LoopSettings)
    augment: Settings = field(default_factory=Settings)
    n_frames: int = 192
    batch_size: int = 64
    seed: int = 1
    workers: int = 1
    full_strength_at: float = 0.4
    """Part of the training after which the augmentation has grown to its full strength."""
    first_strength: float = 0.2
    full_strength: float = 1.0
    mine_at: tuple[float, ...] = (0.35, 0.55, 0.75)
    """Parts of the training after which hard negatives are looked for anew."""


def said_word(clip: Clip, words: Sequence[str]) -> int | None:
    """Which of the words a recording's label names: as a whole or at its end ("hey_computer")."""
    label = clip.label.replace("_", " ").lower()
    for i, word in enumerate(words):
        if label == word or label.endswith(f" {word}"):
            return i
    return None


def gather(
    real: Iterable[Clip],
    synthetic: Iterable[Clip],
    words: Sequence[str],
    *,
    word_share: float = 0.25,
    other_share: float = 0.25,
    strict: bool = False,
) -> Material:
    """Sort recordings into what is learned from and what is measured on.

    Parameters
    ----------
    real, synthetic : iterable of Clip
    words : sequence of str
    word_share, other_share : float
        Part of the speakers of real words, and of all other recordings, kept for development. A split
        that the manifest names goes first.
    strict : bool
        Leave out every recording whose transcript mentions a word. Otherwise only utterances of up to
        five words are left out: nearly every long one says "on", "no" or "go" somewhere.

    Raises
    ------
    InputError
        A word has no recording to learn from.
    """
    by_word: tuple[list[list[Clip]], list[list[Clip]]] = ([[] for _ in words], [[] for _ in words])
    groups: tuple[dict[str, list[Clip]], dict[str, list[Clip]]] = (defaultdict(list), defaultdict(list))
    speech: list[Clip] = []
    noises: list[Clip] = []
    rooms: list[Clip] = []
    development: list[Clip] = []
    used: dict[str, int] = defaultdict(int)
    for made, clips in enumerate((real, synthetic)):
        for clip in clips:
            word = said_word(clip, words)
            if clip.corpus == "rooms":
                rooms.append(clip)
                used[clip.corpus] += 1
                continue
            if word is None and not made and _unclear(clip, words, strict):
                continue
            if kept_back(clip, other_share if word is None else word_share):
                development.append(clip)
                continue
            used[clip.corpus] += 1
            if is_background(clip):
                noises.append(clip)
            elif word is not None:
                by_word[made][word].append(clip)
            elif clip.seconds <= SHORT_S:
                groups[made][_group(clip)].append(clip)
            else:
                speech.append(clip)
    for i, word_name in enumerate(words):
        if not by_word[0][i] and not by_word[1][i]:
            raise InputError(
                f"no recording of {word_name!r} to learn from",
                hint="Name it in a manifest's label column, or let --synthetic generate it.",
            )
    pools = Pools(by_word[0], by_word[1], _balanced(*groups), speech)
    return Material(tuple(words), pools, _floats(_thinned(noises)), _floats(rooms), development, dict(used))


def kept_back(clip: Clip, share: float) -> bool:
    """Whether a recording is only measured on: by its split, else for this part of all speakers."""
    return clip.split in HELD_OUT_SPLITS or (clip.split != "train" and held_out(clip, share))


def _unclear(clip: Clip, words: Sequence[str], strict: bool) -> bool:
    return mentions(clip, words) and (strict or len(clip.text.split()) < 6)


def _group(clip: Clip) -> str:
    return f"{clip.corpus}/{clip.label if ':' not in clip.label else clip.text}"


def _balanced(real: dict[str, list[Clip]], synthetic: dict[str, list[Clip]]) -> list[list[Clip]]:
    """All groups, the real ones repeated until they are as many as the synthetic ones."""
    # A group of two clips is no group: rare ones are put together.
    rare = [clip for group in real.values() if len(group) < 10 for clip in group]
    large = [group for group in real.values() if len(group) >= 10] + ([rare] if rare else [])
    made = [group for group in synthetic.values() if len(group) >= 3]
    # A dozen of the user's own recordings are not half of all that is said.
    merited = sum(map(len, large)) / 3
    repeats = max(1, round(min(len(made), merited) / len(large))) if large else 1
    return large * repeats + made


def _thinned(clips: list[Clip]) -> list[Clip]:
    """Noises, of each corpus's short ones at most 150: crying and clicks are not half of the world."""
    kept: list[Clip] = []
    count: dict[str, int] = defaultdict(int)
    for clip in sorted(clips, key=lambda c: c.key):
        count[clip.corpus] += 1
        if clip.corpus == "noise":
            kept += [clip] * 8
        elif count[clip.corpus] <= _MAX_SHORT_NOISES:
            kept.append(clip)
    return kept


def _floats(clips: list[Clip]) -> list[Samples]:
    converted: dict[int, Samples] = {}
    for clip in clips:
        converted.setdefault(id(clip), clip.pcm.astype(np.float32) / np.float32(32768.0))
    return [converted[id(clip)] for clip in clips]


def fit(
    plan: SpotterPlan,
    material: Material,
    checkpoint: Path,
    *,
    start: SpotterNet | None = None,
    resume: bool = False,
    on_progress: Callable[[float], None] | None = None,
    on_epoch: Callable[[int, float, SpotterNet], None] | None = None,
) -> SpotterNet:
    """Train one network, from ``start`` if given; see :func:`edgeaudio.training.loop.train`."""
    torch.manual_seed(plan.seed)
    net = SpotterNet(replace(plan.net, n_hints=_hint_shape(material)[0]))
    if start is not None:
        net.load_state_dict(start.state_dict())
    feed = _Feed(plan, material)

    def progressed(done: float) -> None:
        feed.progress(done)
        if on_progress is not None:
            on_progress(done)

    def epoch(number: int, loss: float) -> None:
        feed.mine(net)
        if on_epoch is not None:
            on_epoch(number, loss, net)

    return train(
        net,
        feed,
        plan.loop,
        checkpoint,
        loss_of=spotter_loss(plan.loop),
        resume=resume,
        on_progress=progressed,
        on_epoch=epoch,
    )


class _Feed:
    """Batches whose augmentation grows, and whose negatives grow harder, with the training."""

    def __init__(self, plan: SpotterPlan, material: Material) -> None:
        self._plan, self._material = plan, material
        self._done = 0.0
        self._mined = 0
        self._open()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self._batches)

    def progress(self, done: float) -> None:
        plan, self._done = self._plan, done
        grown = min(1.0, done / plan.full_strength_at)
        self._source.strength = plan.first_strength + (plan.full_strength - plan.first_strength) * grown

    def mine(self, net: SpotterNet) -> None:
        """Look for hard negatives when it is time; workers start again with them."""
        due = sum(self._done >= part for part in self._plan.mine_at)
        if due <= self._mined:
            return
        self._mined = due
        material, pools = self._material, self._material.pools
        short = [clip for group in {id(g): g for g in pools.confusable}.values() for clip in group]
        hard = hard_negatives(net, [*pools.speech, *short], material.words, self._plan.spec)
        self._material = replace(material, pools=replace(pools, hard=hard))
        self._open()

    def _open(self) -> None:
        self._source = _batches(self._plan, self._material, seed=self._plan.seed + 7919 * self._mined)
        self._batches = iter(self._source)
        self.progress(self._done)


def _hint_shape(material: Material) -> tuple[int, int]:
    """How many tokens hints are about, and samples from one to the next; zeros if there are none."""
    pools = material.pools
    clips = chain(*pools.real, *pools.synthetic, pools.speech)
    hints = next((clip.hints for clip in clips if clip.hints is not None), None)
    return (0, 0) if hints is None else (hints.log_probs.shape[1], hints.frame_samples)


def _batches(plan: SpotterPlan, material: Material, *, seed: int, workers: int | None = None) -> BatchSource:
    layout = Layout(plan.spec, plan.n_frames, plan.net.stride, *_hint_shape(material))
    return BatchSource(
        StreamMaker(material.pools, plan.recipe, layout.n_samples),
        Augmenter(material.noises, material.rooms, plan.augment),
        layout,
        batch_size=plan.batch_size,
        seed=seed,
        workers=plan.workers if workers is None else workers,
        fill=plan.net.input_mean,
    )


def calibration_frames(plan: SpotterPlan, material: Material, n_streams: int = 128) -> Frames:
    """``[n_streams, n_frames, n_bands]``: streams as the model will hear them, for activation ranges."""
    source = _batches(plan, material, seed=plan.seed + 1, workers=0)
    source.strength = 1.0
    batches = iter(source)
    n_batches = -(-n_streams // plan.batch_size)
    frames: Frames = np.concatenate([next(batches).frames.numpy() for _ in range(n_batches)])
    return frames[:n_streams]
