"""A child of a network of centred convolutions that waits less, taught by a parent that hears all.

The child is run as :mod:`edgeaudio.models.convnet_onnx` writes it, with a short look-ahead, so its kernels
end where the window ends. It learns to live with that: from its parent's posteriors, which know
everything that is said later, and from the transcripts (CTC).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from numpy.typing import NDArray
from torch import Tensor

from edgeaudio.dsp.normalise import running_norm
from edgeaudio.errors import InputError, ModelError, OutputError, UsageError
from edgeaudio.evaluation.alignment import align
from edgeaudio.evaluation.manifest import Row
from edgeaudio.models.add import read_source
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.convnet import ConvNet
from edgeaudio.models.convnet_onnx import Geometry
from edgeaudio.models.convnet_quantize import quantize_convnet
from edgeaudio.models.convnet_reader import read_convnet
from edgeaudio.models.manifest import Window
from edgeaudio.models.quartznet import FRONTEND, LABELS, SOURCE_FILE, WINDOW, check_alphabet, write_model
from edgeaudio.tasks.windowed import PAST_S
from edgeaudio.training.build import Job, Reporter
from edgeaudio.training.child_net import StreamNet
from edgeaudio.training.corpora import find_corpora
from edgeaudio.training.corpus import kept_by_hash, sounds_only
from edgeaudio.training.precision import mixed
from edgeaudio.training.utterances import FrameStore, spoken_words
from edgeaudio.types import Frames

__all__ = ["ChildJob", "train_child"]

_LEARNING_RATE = 1e-4
"""Of each tensor's root mean square: with batch norm folded into them, weights are of all sizes, and a
network of 170 layers without it forgives no large step."""
_WARM_UP = 0.05
_CTC_WEIGHT = 0.3
_BATCH_S = 24.0
_SHORTEST_S, _LONGEST_S = 1.0, 17.0
_MEASURED = 60
_HEARD = 50
"""So many recordings decide about the scales of the quantized network."""
_MANY_SPEAKERS = 100
"""Only where so many speak are some of them held out."""
_KEPT_SPLITS = ("test", "dev", "validation")
_KEEP_EVERY_S = 300.0
_BLANK = LABELS.index("<blank>")


@dataclass(frozen=True)
class ChildJob(Job):
    """What the user may choose.

    Parameters
    ----------
    parent : str
        The name of a model that was added, or the path or address of its ONNX file.
    lookahead_s : float
        How much the child may hear behind a chunk before it decides.
    """

    parent: str = ""
    lookahead_s: float = 0.5


@dataclass(frozen=True)
class _Clip:
    row: Row
    words: tuple[str, ...]
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class _Batch:
    windows: Tensor
    whole: Tensor
    n_out: Tensor
    tokens: Tensor
    n_tokens: Tensor


def train_child(job: ChildJob, reporter: Reporter) -> dict[str, Any]:
    """Train a child and write its bundle; returns what was measured.

    Raises
    ------
    UsageError
        If the look-ahead is not one between 0 and the parent's, or there is nothing to learn from.
    ModelError
        If the parent is none.
    OutputError
        If the bundle is there already, or cannot be written.
    """
    window = _window(job)
    if job.output.exists():
        raise OutputError(f"{job.output} exists already", hint="Give another --output, or remove it.")
    net = _read_parent(job.parent)
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    clips, kept = _gather(job, reporter)
    store = _Frames(clips + kept, job, reporter)
    device = torch.device(job.device)
    parent, child = (StreamNet(net).to(device) for _ in range(2))
    geometry = Geometry(0, *(round(ms / FRONTEND.hop_ms) for ms in (window.chunk_ms, window.lookahead_ms)))
    before = _word_errors(child, kept, store, geometry)
    reporter.tell(f"before training: word error rate {before[0]:.3f} with this look-ahead")
    _train(job, reporter, _Pair(parent, child, geometry), clips, store)
    after = _word_errors(child, kept, store, geometry)
    results = {
        "wer": round(after[0], 4),
        "wer_untrained": round(before[0], 4),
        "words": after[1],
        "measured_on": f"{len(kept)} recordings of speakers not trained on, greedily, in float",
        "minutes": job.minutes,
    }
    about = f"Child of {job.parent} with a look-ahead of {window.lookahead_ms:g} ms"
    trained = quantize_convnet(child.cpu().to_net(), [_normalised(store[clip]) for clip in clips[:_HEARD]])
    write_model(trained, job.output, description=about, window=window, results=results)
    return results


def _window(job: ChildJob) -> Window:
    # Written so that NaN is outside.
    if not 0 <= 1000 * job.lookahead_s < WINDOW.lookahead_ms:
        most = WINDOW.lookahead_ms / 1000
        raise UsageError(f"--lookahead {job.lookahead_s:g} is not between 0 and {most:g} s")
    step_ms = 2 * FRONTEND.hop_ms
    lookahead_ms = step_ms * math.floor(1000 * job.lookahead_s / step_ms + 1e-6)
    return Window(left_ms=0.0, chunk_ms=WINDOW.chunk_ms, lookahead_ms=lookahead_ms)


def _read_parent(parent: str) -> ConvNet:
    if "://" in parent or parent.endswith(".onnx"):
        data = read_source(parent)
    else:
        path = find_model(parent) / SOURCE_FILE
        if not path.is_file():
            raise ModelError(
                f"model '{parent}' cannot have children: there is no {SOURCE_FILE} in its folder",
                hint="A parent is a model that was added with: edgeaudio models add",
            )
        data = read_source(str(path))
    net = read_convnet(data, parent)
    check_alphabet(net, parent)
    return net


def _gather(job: ChildJob, reporter: Reporter) -> tuple[list[_Clip], list[_Clip]]:
    """Find recordings to learn from, and those of other speakers to measure on."""
    if job.data is None:
        raise UsageError("nothing to learn from", hint="Give --data DIR.")
    clips: list[_Clip] = []
    kept: list[_Clip] = []
    for corpus, rows in find_corpora(job.data).items():
        many = len({row.speaker for row in rows}) >= _MANY_SPEAKERS
        for row in rows:
            words = () if sounds_only(corpus, row.label) else tuple(spoken_words(row.text) or ())
            if not words or row.seconds is None or not _SHORTEST_S <= row.seconds <= _LONGEST_S:
                continue
            tokens = np.array([LABELS.index(letter) for letter in " ".join(words)], np.int64)
            apart = row.split in _KEPT_SPLITS or (many and kept_by_hash(row.speaker, 0.1))
            (kept if apart else clips).append(_Clip(row, words, tokens))
    if not clips or not kept:
        raise InputError(
            f"{job.data}: no recordings of 1 to 17 s with transcripts, by enough speakers to keep some apart"
        )
    np.random.default_rng(job.seed).shuffle(kept)
    kept = kept[:_MEASURED]
    reporter.tell(f"{len(clips)} recordings to learn from, {len(kept)} to measure on")
    return clips, kept


class _Frames:
    """The frames of every clip, by its recording."""

    def __init__(self, clips: list[_Clip], job: ChildJob, reporter: Reporter) -> None:
        rows = [clip.row for clip in clips]
        self._store = FrameStore(
            rows, FRONTEND, job.cache / "frames", lambda done: reporter.progress("features", done)
        )
        self._index = {row.path: i for i, row in enumerate(rows)}

    def __getitem__(self, clip: _Clip) -> Frames:
        frames = self._store[self._index[clip.row.path]]
        return frames[: len(frames) // 2 * 2]


@dataclass(frozen=True)
class _Pair:
    parent: StreamNet
    child: StreamNet
    geometry: Geometry


def _train(job: ChildJob, reporter: Reporter, pair: _Pair, clips: list[_Clip], store: _Frames) -> None:
    groups = [
        {"params": [weight], "size": max(1e-3, float(weight.detach().square().mean().sqrt()))}
        for weight in pair.child.parameters()
    ]
    optimizer = torch.optim.Adam(groups, lr=_LEARNING_RATE)
    spent_s = 0.0
    if job.resume and job.checkpoint.is_file():
        saved = torch.load(job.checkpoint, weights_only=True)
        pair.child.load_state_dict(saved["child"])
        optimizer.load_state_dict(saved["optimizer"])
        spent_s = saved["spent_s"]
    total_s = 60 * job.minutes if job.minutes else math.inf
    began = kept_at = time.monotonic() - spent_s
    heard_s = 0.0
    losses: list[float] = []

    def tell() -> None:
        reporter.tell(f"{heard_s / 60:.0f} min of speech, loss {np.mean(losses[-50:]):.4f}")

    for epoch, batch in _batches(job, pair, clips, store):
        now = time.monotonic() - began
        done = now / total_s if job.minutes else epoch / job.epochs
        if done >= 1:
            break
        rate = _LEARNING_RATE * min(1, done / _WARM_UP + 0.05) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["size"]
        optimizer.zero_grad()
        loss = _loss(pair, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(pair.child.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        heard_s += float(batch.n_out.sum()) * 0.02
        reporter.progress("training", done)
        if time.monotonic() - kept_at > _KEEP_EVERY_S:
            kept_at = time.monotonic()
            tell()
            _keep(job.checkpoint, pair.child, optimizer, now)
    if losses:
        tell()


def _keep(path: Path, child: StreamNet, optimizer: torch.optim.Optimizer, spent_s: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"child": child.state_dict(), "optimizer": optimizer.state_dict(), "spent_s": spent_s}
    draft = path.with_suffix(".part")
    torch.save(state, draft)
    draft.replace(path)


def _loss(pair: _Pair, batch: _Batch) -> Tensor:
    """Divergence from the parent's posteriors and CTC, both a mean over frames."""
    with mixed(batch.whole.device):
        with torch.no_grad():
            taught = pair.parent.whole(batch.whole).float().log_softmax(-1)
        logits = pair.child.stream(batch.windows, pair.geometry)
    learned = logits[:, : taught.shape[1]].float().log_softmax(-1)
    counted = torch.arange(taught.shape[1], device=taught.device) < batch.n_out[:, None]
    apart = F.kl_div(learned, taught, reduction="none", log_target=True).sum(-1)
    said = F.ctc_loss(
        learned.transpose(0, 1), batch.tokens, batch.n_out, batch.n_tokens,
        blank=_BLANK, reduction="sum", zero_infinity=True,
    )  # fmt: skip
    return ((apart * counted).sum() + _CTC_WEIGHT * said) / counted.sum()


def _batches(
    job: ChildJob, pair: _Pair, clips: list[_Clip], store: _Frames
) -> Iterator[tuple[float, _Batch]]:
    """Yield, with the epochs behind it, batches of recordings of similar length."""
    rng = np.random.default_rng(job.seed)
    device = next(pair.child.parameters()).device
    for epoch in range(job.epochs if job.minutes is None else 10**6):
        order = rng.permutation(len(clips))
        groups: list[list[_Clip]] = []
        # Sorted within pieces of the order, so that little is padding and much is left to chance.
        for at in range(0, len(order), 256):
            piece = sorted((clips[i] for i in order[at : at + 256]), key=lambda clip: clip.row.seconds or 0.0)
            while piece:
                n = max(1, int(_BATCH_S / (piece[-1].row.seconds or 1.0)))
                groups.append(piece[-n:])
                piece = piece[:-n]
        rng.shuffle(groups)
        for i, group in enumerate(groups):
            yield epoch + i / len(groups), _batch(group, store, pair.geometry, device)


def _batch(group: list[_Clip], store: _Frames, geometry: Geometry, device: torch.device) -> _Batch:
    frames = [store[clip] for clip in group]
    longest = max(map(len, frames))
    whole = np.zeros((len(group), longest, FRONTEND.n_bands), np.float32)
    for i, table in enumerate(frames):
        whole[i, : len(table)] = _normalised(table)
    return _Batch(
        windows=torch.from_numpy(_windows(frames, geometry)).to(device),
        whole=torch.from_numpy(whole).to(device),
        n_out=torch.tensor([len(table) // 2 for table in frames], device=device),
        tokens=torch.from_numpy(np.concatenate([clip.tokens for clip in group])).to(device),
        n_tokens=torch.tensor([len(clip.tokens) for clip in group], device=device),
    )


def _normalised(table: Frames) -> Frames:
    """Normalise a whole recording, as the parent was trained."""
    normalised: Frames = (table - table.mean(axis=0)) / (table.std(axis=0) + 1e-5)
    return normalised


def _windows(frames: list[Frames], geometry: Geometry) -> Frames:
    """Cut recordings as `WindowedAcoustic` does: ``[n_windows, n, window, n_bands]``."""
    past, chunk = round(1000 * PAST_S / FRONTEND.hop_ms), geometry.chunk
    n_windows = -(-max(map(len, frames)) // chunk)
    windows = np.zeros((n_windows, len(frames), geometry.window, FRONTEND.n_bands), np.float32)
    for i, table in enumerate(frames):
        for k in range(-(-len(table) // chunk)):
            at, end = k * chunk, k * chunk + geometry.window
            mean, deviation = running_norm(table[max(0, at - past) : end])
            seen = (table[at:end] - mean) / deviation
            windows[k, i, : len(seen)] = seen
    return windows


def _word_errors(
    child: StreamNet, clips: list[_Clip], store: _Frames, geometry: Geometry
) -> tuple[float, int]:
    """Word error rate of the greedy reading, and over how many words."""
    device = next(child.parameters()).device
    wrong = total = 0
    with torch.no_grad():
        for clip in clips:
            frames = store[clip]
            windows = torch.from_numpy(_windows([frames], geometry)).to(device)
            best = child.stream(windows, geometry)[0, : len(frames) // 2].argmax(-1).tolist()
            changes = [t for t, before in zip(best, [_BLANK, *best], strict=False) if t != before]
            written = "".join(LABELS[t] for t in changes if t != _BLANK).split()
            wrong += sum(one != other for one, other in align(clip.words, written))
            total += len(clip.words)
    return wrong / max(1, total), total
