"""One decision for a whole recording of one sound, as sets of environmental sounds ask for.

The live decision lies in :mod:`edgeaudio.tasks.hysteresis`; this one sees all posteriors at once. Pure
numpy, shared by training and evaluation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from edgeaudio.types import Frames

__all__ = ["main_scores", "main_sound"]


def main_scores(posteriors: Frames) -> Frames:
    """Each label's score over a whole recording: ``[n, n_labels]`` to ``[n_labels]``, zeros where n is 0.

    The mean of its posteriors, each weighted by itself: a bark fills a second of five, and the rest of
    the recording, where the network is sure of nothing, says little about it.

    Source: Wang, Li and Metze, "A Comparison of Five Multiple Instance Learning Pooling Functions for Sound
    Event Detection with Weak Labeling", 2019 (linear softmax).
    """
    total = posteriors.sum(axis=0, dtype=np.float64)
    weighted = np.square(posteriors, dtype=np.float64).sum(axis=0)
    scores: Frames = (weighted / np.maximum(total, 1e-12)).astype(np.float32)
    return scores


def main_sound(posteriors: Frames, labels: Sequence[str], among: Collection[str]) -> str:
    """The label that a recording of one of the sounds `among` them is of.

    Parameters
    ----------
    posteriors : Frames
        ``[n, n_labels] float32`` for every output frame of the recording.
    labels : sequence of str
        One for each column.
    among : collection of str
        The labels that may be the answer, at least one: those that the set of recordings knows.
    """
    scores = main_scores(posteriors)
    known = [i for i, label in enumerate(labels) if label in among]
    return labels[max(known, key=lambda i: float(scores[i]))]
