"""Searches that are obviously right: every possible reading, one after another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from edgeaudio.decoding.base import LogProbs


def log_add(values: Sequence[float]) -> float:
    """Return the logarithm of the sum of what the values are logarithms of."""
    top = max(values, default=-math.inf)
    return top if top == -math.inf else top + math.log(sum(math.exp(value - top) for value in values))


def collapsed(path: Sequence[int], blank: int) -> tuple[int, ...]:
    """What CTC makes of one token a frame."""
    return tuple(token for token, _ in itertools.groupby(path) if token != blank)


def readings(log_probs: LogProbs, blank: int) -> dict[tuple[int, ...], list[float]]:
    """Return every sequence of tokens with the scores of all its alignments; n_tokens ** n_frames of them."""
    found: dict[tuple[int, ...], list[float]] = {}
    frames = log_probs.astype(np.float64)
    for path in itertools.product(range(frames.shape[1]), repeat=len(frames)):
        score = float(sum(frames[t, token] for t, token in enumerate(path)))
        found.setdefault(collapsed(path, blank), []).append(score)
    return found


def spellings(
    tokens: tuple[int, ...], words: dict[str, list[tuple[int, ...]]], space: int | None = None
) -> Iterator[tuple[str, ...]]:
    """Cut `tokens` into words in every possible way, once for each pronunciation that fits."""
    if not tokens:
        yield ()
    if space is not None and tokens and tokens[0] == space:
        yield from spellings(tokens[1:], words, space)
        return
    for word, said in words.items():
        for one in said:
            rest = tokens[len(one) :]
            if tokens[: len(one)] != one or (space is not None and rest and rest[0] != space):
                continue
            for others in spellings(rest, words, space):
                yield (word, *others)
