from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import torch

from edgeaudio.evaluation.manifest import Row
from edgeaudio.training.ctc import CtcBatch
from edgeaudio.training.ctc_batches import CtcBatches, Pool
from edgeaudio.training.distortion import Distorter
from edgeaudio.training.utterances import Utterance

N_BANDS, STRIDE, FRAMES = 8, 4, 600
NOISE = np.random.default_rng(9).normal(-6.0, 1.0, (300, N_BANDS)).astype(np.float32)


@dataclass
class Store:
    """Frames in memory."""

    frames: list[np.ndarray]

    def __getitem__(self, i: int) -> np.ndarray:
        return self.frames[i].copy()

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(frames) for frames in self.frames])


def pool(lengths: tuple[int, ...] = (40, 60, 90), weights: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Pool:
    """Utterance ``i`` says token ``i + 1`` twice."""
    rng = np.random.default_rng(0)
    said = np.array
    utterances = [
        Utterance(
            Row(Path(f"{i}.wav"), "m:2"), "own", n / 100, ("x", "x"), ([said([i + 1])], [said([i + 1])])
        )
        for i, n in enumerate(lengths)
    ]
    store: Any = Store([rng.normal(-4.0, 2.0, (n, N_BANDS)).astype(np.float32) for n in lengths])
    return Pool(utterances, store, np.array(weights))


def batches(own: Pool | None = None, noises: list[np.ndarray] | None = None, **settings: Any) -> CtcBatches:
    distorter = Distorter(noises or [], np.linspace(50.0, 7500.0, N_BANDS), 1e-6)
    chosen = {"batch_frames": FRAMES, "stride": STRIDE, "fill": -4.0, "seed": 1, "workers": 0}
    return CtcBatches(own or pool(), distorter, **{**chosen, **settings})


def check(batch: CtcBatch) -> None:
    b, n, n_bands = batch.frames.shape
    assert n_bands == N_BANDS
    assert n % STRIDE == 0
    assert b * n <= FRAMES + STRIDE * b or b == 1
    assert len(batch.n_frames) == len(batch.n_tokens) == b
    assert int(batch.n_frames.max()) <= n < int(batch.n_frames.max()) + STRIDE
    assert int(batch.n_tokens.sum()) == len(batch.tokens)
    assert batch.tokens.dtype == torch.int64
    assert bool(batch.frames.isfinite().all())
    # Pauses of 0.3 s at least follow: there is room for every alignment.
    assert bool((batch.n_frames // STRIDE >= batch.n_tokens).all())


@pytest.mark.parametrize("strength", [0.0, 0.45, 1.0])
def test_batches_hold_whole_utterances(strength: float) -> None:
    source = batches(noises=[NOISE])
    source.strength = strength
    assert source.strength == strength
    for batch in islice(source, 12):
        check(batch)
        tokens = batch.tokens.tolist()
        for count in batch.n_tokens.tolist():
            own, tokens = tokens[:count], tokens[count:]
            assert own[::2] == own[1::2]  # each says its token twice; two may be joined
            assert len(own) in {0, 2, 4}


def test_without_noises_everybody_speaks() -> None:
    source = batches()
    source.strength = 1.0
    for batch in islice(source, 20):
        check(batch)
        assert int(batch.n_tokens.min()) > 0


def test_in_noise_alone_nobody_speaks() -> None:
    source = batches(noises=[NOISE])
    source.strength = 1.0
    # One in fifty is noise alone: none among 400 has a chance of 0.98^400 < 0.001.
    counts = [count for batch in islice(source, 150) for count in batch.n_tokens.tolist()]
    assert len(counts) > 400
    assert 0 in counts


def test_weights_say_how_often_each_is_drawn() -> None:
    source = batches(pool(weights=(6.0, 1.0, 0.0)))
    tokens = np.concatenate([batch.tokens.numpy() for batch in islice(source, 60)])
    counts = np.bincount(tokens, minlength=4)[1:]
    assert counts[2] == 0
    assert 4.0 < counts[0] / counts[1] < 9.0


def test_what_is_shorter_than_a_frame_is_never_drawn() -> None:
    source = batches(pool(lengths=(0, 50, 0)))
    source.strength = 0.5
    for batch in islice(source, 20):
        check(batch)
        assert set(batch.tokens.tolist()) == {2}


def test_silent_recordings_do_no_harm() -> None:
    own = pool()
    for frames in own.store.frames:  # type: ignore[attr-defined]
        frames[:] = np.log(1e-6)
    source = batches(own, noises=[NOISE])
    source.strength = 1.0
    for batch in islice(source, 20):
        check(batch)


def test_equal_seeds_give_equal_batches_and_resuming_gives_others() -> None:
    first, second = (next(iter(batches(noises=[NOISE]))) for _ in range(2))
    assert torch.equal(first.frames, second.frames)
    assert torch.equal(first.tokens, second.tokens)
    resumed = next(batches(noises=[NOISE]).begin(500_000))
    assert resumed.frames.shape != first.frames.shape or not torch.equal(resumed.frames, first.frames)


def test_workers_make_the_same_and_hear_the_strength() -> None:
    here, there = batches(noises=[NOISE]), batches(noises=[NOISE], workers=1)
    here.strength = there.strength = 0.5
    assert torch.equal(next(iter(here)).frames, next(iter(there)).frames)
