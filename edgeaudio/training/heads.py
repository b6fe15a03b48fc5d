"""A phrase on top of a recogniser: what its sounds look like to it, one after the other.

The recogniser has heard hours of people and stays as it is. A few small convolutions over what it hears
learn one phrase, in a minute or two, from people who never said it: their utterances are cut into pieces
that make the phrase, see :mod:`~edgeaudio.training.splicing`, only that what is cut is what the recogniser
heard, not sound. Near phrases are put together alike, so that a joint says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeaudio.models.people import STEPS_PER_NAT, People
from edgeaudio.training.folding import array, fold_norm
from edgeaudio.training.graph import Conv
from edgeaudio.training.nets import CausalConv
from edgeaudio.training.splicing import Places, Row

__all__ = ["BATCHES", "UNIT_NATS", "Head", "Phrases", "in_units", "train_head"]

UNIT_NATS = 4.0
"""What the head counts in."""
_WIDTH, _KERNEL = 32, 5
_LONG_PHRASE = 12
"""Sounds: a longer phrase takes more than the second that three layers see."""

BATCHES, BATCH = 2500, 64
_LEARNING_RATE, _WEIGHT_DECAY = 3e-3, 0.02
_POSITIVE, _NEAR = 0.4, 0.25
"""Shares of a batch that hold the phrase, and something near it."""
_QUIET, _NOISY = 0.3, 0.2
"""Shares of the streams around them in which nobody speaks."""
_GAPS, _LONGEST_GAP = 0.3, 4
_BLUR = 0.3
_EDGE_ROWS = 3
"""What is heard before the middle of a first sound, and behind that of a last one, at most."""
_LATE_ROWS = 7
"""So soon after the middle of its last sound the phrase has to be told."""
_ROOM_ROWS = 45
_NEVER = -30.0

Rows = NDArray[np.float32]


class Head(nn.Module):
    """Rows of what a recogniser hears to logits of the phrase and of anything else."""

    def __init__(self, inputs: int, n_sounds: int) -> None:
        super().__init__()
        dilations = (1, 2, 4, 8) if n_sounds > _LONG_PHRASE else (1, 2, 4)
        widths = (inputs, *(_WIDTH for _ in dilations))
        self.layers = nn.ModuleList(
            CausalConv(before, _WIDTH, _KERNEL, dilation=dilation)
            for before, dilation in zip(widths, dilations, strict=False)
        )
        self.dropout = nn.Dropout(0.1)
        self.out = nn.Conv1d(_WIDTH, 2, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """``[batch, n, inputs]`` to ``[batch, n, 2]``."""
        x = rows.transpose(1, 2)
        for layer in self.layers:
            x = self.dropout(F.relu(layer(x)))
        out: Tensor = self.out(x)
        return out.transpose(1, 2)

    def posteriors(self, rows: NDArray[np.uint8]) -> Rows:
        """``[n, n_tokens]`` of :class:`~edgeaudio.models.people.People` to ``[n, 2]``."""
        self.eval()
        with torch.no_grad():
            heard = self(torch.from_numpy(in_units(rows))[None]).softmax(-1)
        found: Rows = heard[0].numpy()
        return found

    def nodes(self, source: str) -> list[Conv]:
        """The layers as a graph holds them, batch norm folded."""
        nodes = []
        for i, layer in enumerate(self.layers):
            layer = cast(CausalConv, layer)
            weight, bias = fold_norm(layer.conv, layer.norm)
            dilation = layer.conv.dilation[0]
            nodes.append(Conv(source, f"phrase{i}", weight, bias, dilation=dilation, relu=True))
            source = f"phrase{i}"
        bias = array(self.out.bias) if self.out.bias is not None else np.zeros(2, np.float32)
        return [*nodes, Conv(source, "logits", array(self.out.weight), bias)]


def in_units(rows: NDArray[np.uint8]) -> Rows:
    """Rows as a head wants them."""
    scaled: Rows = rows.astype(np.float32)
    scaled *= np.float32(1.0 / STEPS_PER_NAT / UNIT_NATS)
    return scaled


@dataclass(frozen=True)
class Phrases:
    """The rows of phrases that people would say whom one recogniser has heard.

    Parameters
    ----------
    people : People
    places : Places
        Where the phrases' sounds follow each other in their utterances.
    numbers : array [n] int64
        Their utterances that do not hold the phrase: other speech.
    """

    people: People
    places: Places
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, people: People, phrase: Sequence[Row], others: Sequence[Row], *, apart: bool) -> Phrases:
        """Find the pieces of people who are only measured on, or of all others.

        `phrase` and `others` are rows of tokens: all ways to say the phrase, and phrases near it. Utterances
        that hold the phrase itself are left out.
        """
        places = Places([*phrase, *others])
        numbers = []
        for i in np.flatnonzero(people.apart == apart).tolist():
            tokens, _ = people.said(i)
            if any(_holds(tokens, way) for way in phrase):
                continue
            numbers.append(i)
            if people.clear[i]:
                places.add(i, tokens)
        return cls(people, places, np.array(numbers, np.int64))

    def say(self, way: Row, rng: np.random.Generator) -> tuple[NDArray[np.uint8], int] | None:
        """A phrase, and the row in which its last sound is in its middle; None where nobody could say it."""
        route = self.places.route(way, rng)
        if route is None:
            return None
        parts: list[NDArray[np.uint8]] = []
        end = 0
        for k, (i, first, last) in enumerate(route):
            rows, (_, middles) = self.people.rows_of(i), self.people.said(i)
            # A sound that two pieces share is the earlier one's: what is said next was said next there, too.
            start = _between(middles, first, len(rows))
            if k == 0:
                before = _between(middles, first - 1, len(rows)) if first else 0
                start = max(int(middles[first]) - _EDGE_ROWS, before)
            stop = _between(middles, last, len(rows))
            if k + 1 == len(route):
                stop = min(int(middles[last]) + 1 + _EDGE_ROWS, max(stop, int(middles[last]) + 1))
            end = sum(len(part) for part in parts) + int(middles[last]) - start
            parts.append(rows[start:stop])
        return np.concatenate(parts), end


def _between(middles: NDArray[np.int32], i: int, n_rows: int) -> int:
    """The row in which the sound behind sound `i` begins."""
    return int(middles[i] + middles[i + 1] + 1) // 2 if i + 1 < len(middles) else n_rows


def _holds(tokens: Row, part: Row) -> bool:
    return any(tokens[i : i + len(part)] == part for i in range(len(tokens) - len(part) + 1))


class _Streams:
    """Batches of what is heard: the phrase, something near it, or neither, amid speech, noise or nothing."""

    def __init__(self, said: Phrases, phrase: Sequence[Row], others: Sequence[Row], seed: int) -> None:
        self._said, self._ways, self._others = said, phrase, others
        self._rng = np.random.default_rng(seed)
        self.n_rows = _ROOM_ROWS + 4 * max(map(len, phrase))
        sounds = said.people.sounds
        self._quiet = np.median(sounds, axis=0).astype(np.uint8)

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows ``[b, n, n_tokens]``, whether the phrase is said ``[b]``, and when it may be told ``[b, n]``.

        In the last 1 stands for when it has to be, -1 for when it may be, 0 for when it must not be.
        """
        rng = self._rng
        rows = np.empty((BATCH, self.n_rows, len(self._quiet)), np.uint8)
        said, when = np.zeros(BATCH, np.float32), np.zeros((BATCH, self.n_rows), np.float32)
        for k in range(BATCH):
            rows[k] = self._around()
            kind = rng.random()
            ways = self._ways if kind < _POSITIVE else self._others
            if kind >= _POSITIVE + _NEAR or not ways:
                continue
            spoken = self._said.say(ways[int(rng.integers(len(ways)))], rng)
            if spoken is None or len(spoken[0]) > self.n_rows - _LATE_ROWS - 6:
                continue
            heard, end = spoken
            at = int(rng.integers(1, self.n_rows - len(heard) - _LATE_ROWS))
            rows[k, at : at + len(heard)] = heard
            if rng.random() < _GAPS:
                gap = at + int(rng.integers(len(heard)))
                rows[k, gap : gap + int(rng.integers(1, _LONGEST_GAP))] = self._quiet
            if kind < _POSITIVE:
                end, said[k] = at + end, 1.0
                when[k, max(0, end - 3) : end + _LATE_ROWS + 5] = -1.0
                when[k, end : end + _LATE_ROWS] = 1.0
        heard_rows = torch.from_numpy(in_units(rows))
        return heard_rows, torch.from_numpy(said), torch.from_numpy(when)

    def _around(self) -> NDArray[np.uint8]:
        """What is heard beside what is said in a stream."""
        rng, people, kind = self._rng, self._said.people, self._rng.random()
        if kind < _QUIET:
            return np.tile(self._quiet, (self.n_rows, 1))
        if kind < _QUIET + _NOISY:
            rows = people.sounds
        else:
            rows = people.rows_of(int(rng.choice(self._said.numbers)))
        short = self.n_rows - len(rows)
        if short > 0:
            rows = np.concatenate((rows, np.tile(self._quiet, (short, 1))))
        start = int(rng.integers(len(rows) - self.n_rows + 1))
        return rows[start : start + self.n_rows]


def train_head(
    said: Phrases,
    phrase: Sequence[Row],
    others: Sequence[Row],
    *,
    batches: int = BATCHES,
    seed: int,
    threads: int,
    progress: Callable[[float], None],
) -> Head:
    """Learn a phrase.

    Parameters
    ----------
    said : Phrases
        By people who are learned from.
    phrase, others : sequence of rows of tokens
        All ways to say the phrase, and phrases near it.
    batches : int
        Of 64 streams.
    seed, threads : int
    progress : callable
        Called with the part done.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    streams = _Streams(said, phrase, others, seed)
    head = Head(said.people.rows.shape[1], max(map(len, phrase))).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    for step in range(batches):
        rows, is_said, when = streams.batch()
        blurred = rows + _BLUR * torch.randn_like(rows) * (rows > 0)
        logits = head(blurred)
        score = logits[..., 0] - logits[..., 1]
        peak, elsewhere = (score.masked_fill(when != wanted, _NEVER).amax(1) for wanted in (1.0, 0.0))
        loss = (is_said * F.softplus(-peak)).mean() + F.softplus(elsewhere).mean()
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * (1.0 - step / batches)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        progress((step + 1) / batches)
    return head.eval()
