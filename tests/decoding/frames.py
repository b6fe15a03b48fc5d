"""Log-probabilities for tests, and the ways to cut them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import strategies as st

from edgeaudio.decoding.base import LogProbs

CUTS = st.lists(st.sampled_from([0, 1, 2, 3, 5, 7, 40]), max_size=12)
"""Lengths of the calls in which a stream is read; the last one takes the rest."""


def random_frames(seed: int, n: int, n_tokens: int, sharpness: float = 2.0) -> LogProbs:
    """Frames that know nothing; the larger `sharpness`, the surer of it."""
    scores = sharpness * np.random.default_rng(seed).normal(size=(n, n_tokens))
    return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)


def frames_of_path(path: Sequence[int], n_tokens: int, sure: float = 0.97) -> LogProbs:
    """One frame for each token of `path`, which has probability `sure` there."""
    frames = np.full((len(path), n_tokens), (1.0 - sure) / (n_tokens - 1))
    frames[np.arange(len(path)), path] = sure
    return np.log(frames).astype(np.float32)


def pieces(frames: LogProbs, cuts: Sequence[int]) -> Iterator[LogProbs]:
    """Cut `frames`, first after ``cuts[0]`` of them."""
    at = 0
    for n in cuts:
        yield frames[at : at + n]
        at += n
    yield frames[at:]
