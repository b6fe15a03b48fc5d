from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import torch

from edgeaudio.training import precision
from edgeaudio.training.ctc import CaptionNet, CtcBatch, best_path, ctc_loss, greedy_tokens
from edgeaudio.training.loop import LoopSettings, train
from edgeaudio.training.nets import NetSpec, to_graph
from edgeaudio.training.precision import has_bfloat16, mixed
from edgeaudio.training.quantize import run_float

N_BANDS, N_LABELS = 5, 4
SPEC = NetSpec(N_BANDS, N_LABELS, stem=((16, 3, 2), (16, 3, 2)), blocks=((3, 1), (3, 1)), input_mean=-4.0)


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)


def fresh_net() -> CaptionNet:
    torch.manual_seed(0)
    return CaptionNet(SPEC)


def batch_of(frames: list[np.ndarray], tokens: list[list[int]]) -> CtcBatch:
    longest = -(-max(map(len, frames)) // 4) * 4
    padded = np.full((len(frames), longest, N_BANDS), -4.0, np.float32)
    for i, own in enumerate(frames):
        padded[i, : len(own)] = own
    return CtcBatch(
        torch.from_numpy(padded),
        torch.tensor([len(own) for own in frames]),
        torch.tensor([token for own in tokens for token in own], dtype=torch.int64),
        torch.tensor([len(own) for own in tokens]),
    )


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-4.0, 2.0, (n, N_BANDS)).astype(np.float32)


def slow_loss(logits: np.ndarray, tokens: list[int]) -> float:
    """Minus the logarithm of the sum over all paths, one by one."""
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    total = 0.0
    for path in product(range(N_LABELS), repeat=len(p)):
        merged = [t for i, t in enumerate(path) if i == 0 or t != path[i - 1]]
        if [t for t in merged if t] == tokens:
            total += float(np.prod([p[i, t] for i, t in enumerate(path)]))
    return -np.log(total)


@pytest.mark.usefixtures("float32")
def test_the_loss_is_that_of_all_paths_and_padding_has_no_part_in_it() -> None:
    net = fresh_net().eval()
    frames, tokens = [noise(12, 1), noise(23, 2)], [[1], [2, 2, 3]]
    batch = batch_of(frames, tokens)
    with torch.no_grad():
        last, half = (out.double().numpy() for out in net.both(batch.frames))
        loss = float(ctc_loss(net, batch))
    n_out = [3, 5]  # 12 and 23 frames in whole strides of 4
    wanted = sum(
        weight * slow_loss(logits[i, : n_out[i]], tokens[i])
        for weight, logits in ((1.0, last), (0.3, half))
        for i in range(2)
    )
    assert loss == pytest.approx(wanted / 4, rel=1e-4)  # float32 logarithms of sums


@pytest.mark.parametrize(
    ("frames", "tokens"),
    [
        ([noise(16)], [[]]),  # nobody speaks
        ([noise(16), noise(20)], [[], [1]]),
        ([noise(8)], [[1, 2, 3]]),  # says more than fits
        ([noise(3), noise(9)], [[1], []]),  # shorter than an output frame
        ([np.full((40, N_BANDS), -13.8, np.float32)], [[1, 1]]),  # silence
    ],
)
def test_odd_utterances_leave_the_weights_finite(frames: list[np.ndarray], tokens: list[list[int]]) -> None:
    net = fresh_net()
    loss = ctc_loss(net, batch_of(frames, tokens))
    loss.backward()
    assert np.isfinite(loss.item())
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())


def test_the_end_is_what_the_spotters_network_answers_and_what_is_exported() -> None:
    net = fresh_net().eval()
    frames = noise(40)
    with torch.no_grad():
        both = net.both(torch.from_numpy(frames)[None])[0]
        plain = net(torch.from_numpy(frames)[None])
    torch.testing.assert_close(both, plain)
    np.testing.assert_allclose(run_float(to_graph(net), frames), plain[0].numpy(), atol=1e-4)


def test_a_batch_keeps_its_lengths_on_the_cpu() -> None:
    moved = batch_of([noise(8)], [[1]]).to(torch.device("meta"))
    assert moved.frames.device.type == moved.tokens.device.type == "meta"
    assert moved.n_frames.device.type == moved.n_tokens.device.type == "cpu"


def test_learns_to_spell(tmp_path: Path) -> None:
    """Each token is a band that is loud for 80 ms."""
    rng = np.random.default_rng(0)

    def say() -> tuple[np.ndarray, list[int]]:
        tokens = rng.integers(1, N_LABELS, 3).tolist()
        frames = rng.normal(-4.0, 0.3, (60, N_BANDS)).astype(np.float32)
        for i, token in enumerate(tokens):
            frames[8 + 14 * i : 16 + 14 * i, token] += 4.0
        return frames, tokens

    def batches():
        while True:
            said = [say() for _ in range(12)]
            yield batch_of([frames for frames, _ in said], [tokens for _, tokens in said])

    settings = LoopSettings(epochs=4, batches_per_epoch=50, learning_rate=1e-2)
    net = train(fresh_net(), batches(), settings, tmp_path / "net.pt", loss_of=ctc_loss)
    heard = [say() for _ in range(20)]
    found = greedy_tokens(net, [frames for frames, _ in heard], tail=16)
    assert sum(f == tokens for f, (_, tokens) in zip(found, heard, strict=True)) >= 19


def test_a_gradient_that_overflows_is_left_out(tmp_path: Path) -> None:
    def batches():
        frames = noise(16)
        yield batch_of([frames], [[1]])
        frames[3, 2] = np.inf
        while True:
            yield batch_of([frames], [[1]])

    settings = LoopSettings(epochs=1, batches_per_epoch=3, average_from=2.0)
    net = train(fresh_net(), batches(), settings, tmp_path / "net.pt", loss_of=ctc_loss)
    assert all(bool(p.isfinite().all()) for p in net.parameters())


def test_utterances_of_any_length_have_a_path() -> None:
    net = fresh_net().eval()
    together = greedy_tokens(net, [noise(n, n) for n in (0, 1, 7, 40)], tail=8)
    assert len(together) == 4
    assert together[3] == greedy_tokens(net, [noise(40, 40)], tail=8)[0]


def test_the_best_path_merges_repeats_and_drops_blanks() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 3, 0, 0]
    assert best_path(np.eye(N_LABELS, dtype=np.float32)[path]) == [1, 1, 2, 3]
    assert best_path(np.zeros((0, N_LABELS), np.float32)) == []
    rng = np.random.default_rng(0)
    for _ in range(50):
        logits = rng.normal(size=(12, N_LABELS)).astype(np.float32)
        merged = [int(t) for i, t in enumerate(logits.argmax(1)) if i == 0 or t != logits[i - 1].argmax()]
        assert best_path(logits) == [t for t in merged if t]


def test_bfloat16_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cpu")
    for has in (False, True):
        monkeypatch.setattr(precision, "has_bfloat16", lambda device, has=has: has)
        with mixed(device):
            product_ = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product_.dtype == (torch.bfloat16 if has else torch.float32)
    assert not has_bfloat16(torch.device("meta"))
    assert isinstance(has_bfloat16(device), bool)
