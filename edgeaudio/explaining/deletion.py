"""Whether a map is true: what is left of a score when what the map names is hidden.

Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018, section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeaudio.explaining.gradients import Array
from edgeaudio.explaining.question import Question

__all__ = ["Deletion", "deletions"]

_SHARES = (0.05, 0.1, 0.2, 0.4)
_RANDOM_MASKS = 10


@dataclass(frozen=True)
class Deletion:
    """What is left of the score when a part of the stretch is hidden: the most salient, or as much elsewhere.

    The masks elsewhere are the salient one moved along time and bands; ``elsewhere`` is the mean of their
    scores, ``least_elsewhere`` the least.
    """

    share: float
    salient: float
    elsewhere: float
    least_elsewhere: float


def deletions(question: Question, saliency: Array) -> list[Deletion]:
    """Hide ever more of what is most salient in ``saliency [n, n_bands]``, and as much elsewhere."""
    real = max(1, min(len(saliency), question.heard.n_real - question.first))
    saliency = saliency[:real]
    order = np.argsort(-saliency, axis=None, kind="stable")
    rng = np.random.default_rng(0)
    moves = [
        (int(rng.integers(1, max(2, real))), int(rng.integers(saliency.shape[1])))
        for _ in range(_RANDOM_MASKS)
    ]
    found = []
    for share in _SHARES:
        mask = np.zeros(saliency.size, np.bool_)
        mask[order[: round(share * saliency.size)]] = True
        whole = mask.reshape(saliency.shape)
        others = [_without(question, np.roll(whole, move, axis=(0, 1))) for move in moves]
        salient = _without(question, whole)
        found.append(Deletion(share, salient, float(np.mean(others)), min(others)))
    return found


def _without(question: Question, mask: NDArray[np.bool_]) -> float:
    """Return the score of the stretch where what the mask covers sounds like the background."""
    frames = question.frames.copy()
    part = frames[: len(mask)]
    part[:] = np.where(mask, question.background, part)
    return question.score_of(frames)
