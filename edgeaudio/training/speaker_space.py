"""A speaker model's space of voices: where people differ by more than they do from day to day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edgeaudio.backends import StreamingGraph, stream_embedded
from edgeaudio.errors import InputError
from edgeaudio.models.speakers import SpeakerSpace
from edgeaudio.tasks.speaker import pool
from edgeaudio.training.speaker_net import SpeakerNet
from edgeaudio.types import Frames

__all__ = ["make_space", "pooled"]

_SHRINKAGE = 0.1
_LEAST_BETWEEN = 0.05
"""Directions in which people differ less than so, against one person's own stretches, are left out."""

Vectors = NDArray[np.float64]


def pooled(graph: StreamingGraph, frames: Frames) -> Vectors:
    """What the quantized network makes of ``[n, n_bands]`` frames from a fresh state, ``[2 * width]``."""
    graph.reset()
    logits, embeddings = stream_embedded(graph, frames)
    return pool(embeddings, 1.0 / (1.0 + np.exp(-logits)))


def make_space(
    net: SpeakerNet, stretches: Mapping[int, Sequence[Vectors]], families: Sequence[int], fingerprint: str
) -> SpeakerSpace:
    """Learn the space by linear discriminant analysis of the network's embeddings.

    Parameters
    ----------
    net : SpeakerNet
        Its last layers, from what is pooled to an embedding, become part of the way into the space.
    stretches : mapping
        Person → what is pooled of two stretches or more.
    families : sequence of int
        The corpus of each person: people are compared with those of their own.
    fingerprint : str

    Raises
    ------
    InputError
        Of too few people there are two stretches.
    """
    people = {person: np.stack(own) for person, own in stretches.items() if len(own) > 1}
    matrix = _projection(net)
    if len(people) <= len(matrix):
        raise InputError(
            f"{len(people)} people are too few for a space of voices",
            hint=f"More than {len(matrix)} are needed.",
        )
    mean = np.mean([own.mean(axis=0) for own in people.values()], axis=0)
    placed = {person: (own - mean) @ matrix.T for person, own in people.items()}
    inside = [(own - own.mean(axis=0)) * np.sqrt(len(own) / (len(own) - 1)) for own in placed.values()]
    within = np.cov(np.concatenate(inside).T)
    within = (1.0 - _SHRINKAGE) * within + _SHRINKAGE * np.diag(np.diag(within)) + 1e-6 * np.eye(len(within))
    by_family: dict[int, list[Vectors]] = {}
    for person, own in placed.items():
        by_family.setdefault(families[person], []).append(own.mean(axis=0))
    middles = np.concatenate([np.stack(own) - np.mean(own, axis=0) for own in by_family.values()])
    # A person's middle of k stretches still carries a k-th of what varies within.
    usual = float(np.median([len(own) for own in placed.values()]))
    whitener = np.linalg.inv(np.linalg.cholesky(within))
    variances, directions = np.linalg.eigh(whitener @ np.cov(middles.T) @ whitener.T)
    between = variances - 1.0 / usual
    kept = np.flatnonzero(between > _LEAST_BETWEEN)[::-1]
    return SpeakerSpace(mean, directions[:, kept].T @ whitener @ matrix, between[kept], fingerprint)


def _projection(net: SpeakerNet) -> Vectors:
    """Norm and projection as one matrix; what they add is the same everywhere and falls out."""
    with torch.no_grad():
        gain = net.norm.weight / torch.sqrt(net.norm.running_var + net.norm.eps)  # type: ignore[arg-type, operator]
        matrix: Vectors = (net.project.weight * gain).cpu().numpy().astype(np.float64)
    return matrix
