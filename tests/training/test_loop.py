from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import torch

from edgeaudio.errors import ModelError, OutputError
from edgeaudio.training import loop
from edgeaudio.training.loop import (
    Batch,
    LoopSettings,
    load_weights,
    recalibrate,
    spotter_loss,
    stream_loss,
)
from edgeaudio.training.nets import NetSpec, SpotterNet

N_BANDS, N_WORDS = 6, 2
SPEC = NetSpec(N_BANDS, N_WORDS + 2, stem=((12, 3, 2),), blocks=((3, 1),))
SETTINGS = LoopSettings(epochs=3, batches_per_epoch=20, learning_rate=1e-2)
train = partial(loop.train, loss_of=spotter_loss(SETTINGS))


def batches(seed: int = 0, size: int = 16) -> Iterator[Batch]:
    """An easy task: the louder of two bands names the word, from the middle of the stream on."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        word = torch.randint(0, N_WORDS, (size,), generator=generator)
        frames = 0.3 * torch.randn((size, 32, N_BANDS), generator=generator)
        frames[torch.arange(size), 16:, word] += 2.0
        label = torch.full((size, 16), N_WORDS + 1)
        label[:, 8:] = word[:, None]
        said = torch.nn.functional.one_hot(word, N_WORDS).float()
        yield Batch(frames, label, torch.ones(size, 16), said, torch.ones(size, N_WORDS))


def fresh_net() -> SpotterNet:
    torch.manual_seed(0)
    return SpotterNet(SPEC)


def accuracy(net: SpotterNet) -> float:
    batch = next(batches(seed=99, size=200))
    with torch.no_grad():
        return float((net(batch.frames).argmax(-1) == batch.label).float().mean())


def test_learns_an_easy_task(tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []
    done: list[float] = []
    net = train(
        fresh_net(),
        batches(),
        SETTINGS,
        tmp_path / "net.pt",
        on_progress=done.append,
        on_epoch=lambda number, loss: seen.append((number, loss)),
    )
    assert accuracy(net) > 0.9
    assert not net.training
    assert [number for number, _ in seen] == [1, 2, 3]
    assert seen[-1][1] < 0.5 * seen[0][1]
    assert done == sorted(done)
    assert done[-1] == 1.0


def test_resuming_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    train(fresh_net(), batches(), LoopSettings(epochs=2, batches_per_epoch=20), path)
    numbers: list[int] = []
    settings = LoopSettings(epochs=3, batches_per_epoch=20)
    train(fresh_net(), batches(), settings, path, resume=True, on_epoch=lambda n, _: numbers.append(n))
    assert numbers == [3]
    done: list[float] = []
    train(
        fresh_net(), batches(), settings, path,
        resume=True, on_epoch=lambda n, _: numbers.append(n), on_progress=done.append,
    )  # fmt: skip
    assert numbers == [3]  # nothing is left to do
    assert done == [1.0]  # said before the first batch: they measure batch norm, at full augmentation


def test_an_interrupted_training_is_kept(tmp_path: Path) -> None:
    def interrupt(done: float) -> None:
        if done >= 0.5:
            raise KeyboardInterrupt

    settings = LoopSettings(epochs=1, batches_per_epoch=20)
    with pytest.raises(KeyboardInterrupt):
        train(fresh_net(), batches(), settings, tmp_path / "net.pt", on_progress=interrupt)
    done: list[float] = []
    train(fresh_net(), batches(), settings, tmp_path / "net.pt", resume=True, on_progress=done.append)
    assert done[0] == 0.5
    assert done[-1] == 1.0


def test_a_time_limit_ends_the_training(tmp_path: Path) -> None:
    done: list[float] = []
    settings = LoopSettings(minutes=0.01, batches_per_epoch=1000)
    train(fresh_net(), batches(), settings, tmp_path / "net.pt", on_progress=done.append)
    assert done[-1] == 1.0
    assert len(done) > 1


def test_checkpoints_hold_no_code(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    train(fresh_net(), batches(), LoopSettings(epochs=1, batches_per_epoch=2), path)
    saved = torch.load(path, weights_only=True)
    assert saved["step"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]


def test_weights_of_another_training_are_its_average(tmp_path: Path) -> None:
    path, began = tmp_path / "net.pt", fresh_net()
    load = [LoopSettings(epochs=1, batches_per_epoch=20, average_from=part) for part in (2.0, 0.5)]
    last = train(fresh_net(), batches(), load[0], path)
    load_weights(path, began)
    assert torch.equal(began.head.weight, last.head.weight)
    averaged = train(fresh_net(), batches(), load[1], path)
    load_weights(path, began)
    assert torch.equal(began.head.weight, averaged.head.weight)


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_broken_checkpoint_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "net.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.pt"):
        train(fresh_net(), batches(), SETTINGS, path, resume=True)
    with pytest.raises(ModelError, match=r"net\.pt"):
        load_weights(path, fresh_net())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    train(fresh_net(), batches(), LoopSettings(epochs=1, batches_per_epoch=1), path)
    other = SpotterNet(NetSpec(N_BANDS, N_WORDS + 2, stem=((8, 3, 2),), blocks=()))
    with pytest.raises(ModelError, match="not a checkpoint of this network"):
        train(other, batches(), SETTINGS, path, resume=True)


def test_a_checkpoint_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="checkpoint"):
        train(fresh_net(), batches(), SETTINGS, tmp_path / "file" / "net.pt")


def loss_of(posterior: float, said: float, judged: float = 1.0, **settings: float) -> float:
    """Loss of a stream in which the first word has the same posterior all the time; frames weigh nothing."""
    rest = (1.0 - posterior) / 3.0
    logits = torch.log(torch.tensor([posterior, rest, rest, rest])).expand(1, 20, 4)
    batch = Batch(
        torch.zeros(1, 40, N_BANDS),
        torch.zeros(1, 20, dtype=torch.long),
        torch.zeros(1, 20).index_fill(1, torch.tensor([0]), 1e-9),
        torch.tensor([[said, 0.0]]),
        torch.tensor([[judged, 0.0]]),
    )
    frame = float(-np.log(posterior))  # the one frame's own cross entropy, whatever its weight
    return float(stream_loss(logits, batch, LoopSettings(peak_weight=1.0, **settings))) - frame


def test_peaks_cost_what_they_say() -> None:
    assert loss_of(0.8, said=1.0) == pytest.approx(-np.log(0.8), abs=1e-5)
    assert loss_of(0.8, said=0.0) == pytest.approx(-np.log(0.2), abs=1e-5)
    assert loss_of(0.8, said=0.0, false_alarm_weight=3.0) == pytest.approx(-3 * np.log(0.2), abs=1e-5)
    assert loss_of(0.8, said=0.0, judged=0.0) == pytest.approx(0.0, abs=1e-5)


def test_recalibration_measures_the_data() -> None:
    net = fresh_net()
    recalibrate(net, batches(), n_batches=40)
    norm = net.stem[0].norm
    with torch.no_grad():
        frames = torch.cat([next(batches(seed=7, size=500)).frames])
        raw = net.stem[0].conv(torch.nn.functional.pad(frames.transpose(1, 2), (net.stem[0].pad, 0)))
    # 640 and 500 streams of the same distribution: means agree to a few standard errors.
    np.testing.assert_allclose(norm.running_mean, raw.mean(dim=(0, 2)), atol=0.05)
    np.testing.assert_allclose(norm.running_var, raw.var(dim=(0, 2)), rtol=0.15)


def test_blended_streams_are_learned_from_as_both() -> None:
    """The loss of a blend lies between those of a network that knows both streams and one that knows none."""
    batch = next(batches(size=2))
    settings = LoopSettings(mixup=1.0)
    torch.manual_seed(1)
    net = fresh_net().eval()
    torch.manual_seed(2)
    share = 1.0 - 0.5 * float((torch.rand(()), torch.rand(()))[1]) ** 2
    torch.manual_seed(2)
    loss = spotter_loss(settings)(net, batch)
    logits = net(share * batch.frames + (1 - share) * batch.frames.flip(0)).float()
    both = [stream_loss(logits, part, settings) for part in (batch, batch.reversed())]
    expected = share * both[0] + (1 - share) * both[1]
    # bfloat16, where a processor has it, keeps eight bits.
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=0.02)
