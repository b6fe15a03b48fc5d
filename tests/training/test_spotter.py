import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import torch

from edgeaudio.errors import InputError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.tasks.clip import pad_clip
from edgeaudio.training.augment import Augmenter
from edgeaudio.training.batches import BatchSource, Layout
from edgeaudio.training.corpus import Clip
from edgeaudio.training.hearing import posteriors
from edgeaudio.training.loop import LoopSettings
from edgeaudio.training.mining import hard_negatives
from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.spotter import SpotterPlan, calibration_frames, fit, gather, said_word
from edgeaudio.training.streams import Recipe, StreamMaker

RATE = 16_000
SPEC = FrontendSpec(fmin_hz=60.0, fmax_hz=7600.0, log_floor=1e-6)
NET = NetSpec(40, 4, stem=((8, 3, 2),), blocks=((3, 1),), input_mean=-4.0, input_scale=4.0)


def clip(label: str, hz: float = 500.0, seconds: float = 1.0, **fields: str) -> Clip:
    n = int(seconds * RATE)
    pcm = np.zeros(n, np.int16)
    middle = slice(n // 4, 3 * n // 4)
    pcm[middle] = (8000 * np.sin(2 * np.pi * hz * np.arange(n) / RATE)).astype(np.int16)[middle]
    return Clip(fields.pop("corpus", "words"), fields.pop("key", f"{label}-{hz}"), pcm, label, **fields)


def corpus() -> list[Clip]:
    clips = [
        clip(label, hz, speaker=f"s{i}", key=f"{label}{i}")
        for label, hz in (("low", 400.0), ("high", 1500.0), ("other", 4000.0))
        for i in range(40)
    ]
    clips += [
        clip("hum", 50.0 + i, 3.0, corpus="noise", key=f"n{i}", split="" if i else "train") for i in range(8)
    ]
    clips += [
        clip("", 2500.0, 4.0, corpus="talk", key=f"t{i}", text="several longer words") for i in range(10)
    ]
    return clips


WORDS = ("low", "high")


@pytest.mark.parametrize(
    ("label", "expected"),
    [("computer", 0), ("hey_computer", 0), ("ok COMPUTER", 0), ("computers", None), ("computer chess", None)],
)
def test_labels_that_say_the_word(label: str, expected: int | None) -> None:
    assert said_word(clip(label), ["computer"]) == expected


def test_gather_sorts_by_use_and_never_splits_a_speaker() -> None:
    material = gather(corpus(), [], WORDS)
    trained = [c for pool in (*material.pools.real, *material.pools.confusable) for c in pool]
    assert {c.label for c in material.pools.real[0]} == {"low"}
    assert {c.label for c in material.pools.real[1]} == {"high"}
    assert {c.corpus for c in material.pools.speech} == {"talk"}
    assert material.noises
    speakers = {c.speaker for c in trained} - {""}
    held_out = {c.speaker for c in material.development} - {""}
    assert speakers
    assert held_out
    assert not speakers & held_out
    assert sum(material.used.values()) + len(material.development) == len(corpus())


def test_splits_of_the_manifest_go_first() -> None:
    clips = [dataclasses.replace(c, split="train" if c.label != "high" else "test") for c in corpus()]
    clips += [clip("high", speaker="x", split="train")]
    material = gather(clips, [], WORDS)
    assert len(material.pools.real[0]) == 40
    assert len(material.pools.real[1]) == 1
    assert {c.label for c in material.development} == {"high"}


def test_short_sentences_with_a_word_in_them_are_no_negatives() -> None:
    said = [
        clip("", seconds=3.0, corpus="talk", split="train", key="a", text="get high"),
        clip("", seconds=3.0, corpus="talk", split="train", key="b", text="he flew high above the old town"),
    ]
    keys = {c.key for c in gather([*corpus(), *said], [], WORDS).pools.speech}
    assert "a" not in keys
    assert "b" in keys
    assert "b" not in {c.key for c in gather([*corpus(), *said], [], WORDS, strict=True).pools.speech}


def test_synthetic_voices_held_out_by_the_manifest_stay_out() -> None:
    made = [clip("low", split="train", key="1"), clip("low", split="held_out", key="2")]
    material = gather(corpus(), made, WORDS)
    assert [c.key for c in material.pools.synthetic[0]] == ["1"]


def test_a_word_without_recordings_is_named() -> None:
    with pytest.raises(InputError, match="'sideways'"):
        gather(corpus(), [], ("low", "sideways"))


def test_posteriors_of_recordings_do_not_depend_on_their_neighbours() -> None:
    torch.manual_seed(0)
    net = SpotterNet(NET).eval()
    audio = [pad_clip(c.pcm / np.float32(32768.0)) for c in corpus()[::25]] + [np.zeros(100, np.float32)]
    together = posteriors(net, audio, SPEC)
    for samples, p in zip(audio, together, strict=True):
        (alone,) = posteriors(net, [samples], SPEC)
        # Other batch sizes take other kernels, whose sums differ in order.
        np.testing.assert_allclose(p, alone, atol=1e-5)
        np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-5)
    assert together[-1].shape == (0, 4)


class AlwaysFirst(SpotterNet):
    """Hears the first word wherever it is loud."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        loud = frames[:, 1::2].amax(-1, keepdim=True) > 0.0
        return torch.where(loud, 8.0 * torch.eye(4)[0], 8.0 * torch.eye(4)[3])


def test_hard_negatives_are_where_the_network_errs() -> None:
    net = AlwaysFirst(NET)
    wrong = clip("", 2500.0, 4.0, key="wrong", text="something else")
    right = clip("", 2500.0, 4.0, key="right", text="so low it was")
    quiet = dataclasses.replace(wrong, key="quiet", pcm=np.zeros(4 * RATE, np.int16))
    (found,) = hard_negatives(net, [wrong, right, quiet], WORDS, SPEC)
    assert found.key == "wrong"
    # 1.2 s before and 0.3 s after the peak, which is reached as soon as the tone has filled the smoothing.
    assert found.seconds <= 1.5
    assert np.abs(found.pcm).max() > 7000


def source(workers: int, seed: int = 1) -> BatchSource:
    material = gather(corpus(), [], WORDS)
    layout = Layout(SPEC, 192, 2)
    maker = StreamMaker(material.pools, Recipe(), layout.n_samples)
    augmenter = Augmenter(material.noises)
    return BatchSource(maker, augmenter, layout, batch_size=4, seed=seed, workers=workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_fit_together(workers: int) -> None:
    batches = source(workers)
    batches.strength = 1.0
    stream = iter(batches)
    batch = next(stream)
    assert batch.frames.shape == (4, 192, 40)
    assert batch.label.shape == batch.weight.shape == (4, 96)
    assert batch.said.shape == batch.judged.shape == (4, 2)
    assert torch.isfinite(batch.frames).all()
    assert not torch.equal(batch.frames, next(stream).frames)


def test_equal_seeds_make_equal_batches() -> None:
    first, again, other = (next(iter(source(0, seed))).frames for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_frames_end_where_the_frontend_says() -> None:
    from edgeaudio.frontend import Frontend

    for spec in (SPEC, FrontendSpec(features="waveform")):
        layout = Layout(spec, 48, 2)
        frontend = Frontend(spec)
        assert [frontend.frame_end(i) for i in range(48)] == layout.frame_ends().tolist()
        assert len(frontend.process(np.zeros(layout.n_samples, np.float32))) == 48
        assert layout.newest()[0] == frontend.frame_end(1) - 1


def test_fit_learns_mines_and_calibrates(tmp_path: Path) -> None:
    material = gather(corpus(), [], WORDS)
    loop = LoopSettings(epochs=3, batches_per_epoch=12, learning_rate=1e-2)
    plan = SpotterPlan(SPEC, NET, loop=loop, batch_size=8, workers=0, first_strength=0.0, mine_at=(0.5,))
    losses: list[float] = []
    net = fit(plan, material, tmp_path / "net.pt", on_epoch=lambda _n, loss, _net: losses.append(loss))
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    frames = calibration_frames(plan, material, n_streams=20)
    assert frames.shape == (20, 192, 40)
    assert np.isfinite(frames).all()
    assert not net.training
