"""A speaker model's space of voices: where people differ by more than they do from day to day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from edgeaudio.backends import StreamingGraph, stream_embedded
from edgeaudio.errors import InputError
from edgeaudio.models.speakers import SpeakerSpace
from edgeaudio.tasks.speaker import pool, spectrum
from edgeaudio.training.speaker_net import SpeakerNet
from edgeaudio.types import Frames

__all__ = ["directions", "make_space", "measured"]

_SHRINKAGE = 0.1
_LEAST_PEOPLE = 40
_LEAST_BETWEEN = 0.05
"""Directions in which people differ less than so, against one person's own stretches, are left out."""

Vectors = NDArray[np.float64]


def measured(graph: StreamingGraph, frames: Frames) -> Vectors:
    """What is measured of ``[n, n_bands]`` frames, n in whole steps, with the quantized network."""
    graph.reset()
    logits, embeddings = stream_embedded(graph, frames)
    return np.concatenate((spectrum(frames), pool(embeddings, 1.0 / (1.0 + np.exp(-logits)))))


def directions(stretches: Sequence[Sequence[Vectors]], families: Sequence[int]) -> tuple[Vectors, Vectors]:
    """Linear discriminant analysis: ``[d, n]`` directions in which people differ, and variances between them.

    Within a person each has the variance 1; people are compared with those of their own corpus.

    Parameters
    ----------
    stretches : sequence
        Of each person two vectors ``[n]`` or more.
    families : sequence of int
        The corpus of each person.

    Raises
    ------
    InputError
        There are too few people.
    """
    people = [np.stack(own) for own in stretches]
    n = people[0].shape[1] if people else 0
    least = max(_LEAST_PEOPLE, n // 4)
    if len(people) < least:
        raise InputError(
            f"{len(people)} people are too few for a space of voices",
            hint=f"{least} will do.",
        )
    inside = [(own - own.mean(axis=0)) * np.sqrt(len(own) / (len(own) - 1)) for own in people]
    within = np.cov(np.concatenate(inside).T)
    within = (1.0 - _SHRINKAGE) * within + _SHRINKAGE * np.diag(np.diag(within)) + 1e-6 * np.eye(n)
    by_family: dict[int, list[Vectors]] = {}
    for own, family in zip(people, families, strict=True):
        by_family.setdefault(family, []).append(own.mean(axis=0))
    middles = np.concatenate([np.stack(own) - np.mean(own, axis=0) for own in by_family.values()])
    whitener = np.linalg.inv(np.linalg.cholesky(within))
    variances, turned = np.linalg.eigh(whitener @ np.cov(middles.T) @ whitener.T)
    # A person's middle of k stretches still carries a k-th of what varies within.
    between = variances - 1.0 / float(np.median([len(own) for own in people]))
    kept = np.flatnonzero(between > _LEAST_BETWEEN)[::-1]
    return turned[:, kept].T @ whitener, between[kept]


def make_space(
    net: SpeakerNet, stretches: Sequence[Sequence[Vectors]], families: Sequence[int], fingerprint: str
) -> SpeakerSpace:
    """Learn the space; the network's last layer becomes a part of the way into it.

    Parameters
    ----------
    net : SpeakerNet
    stretches, families
        See :func:`directions`; what is measured of each stretch.
    fingerprint : str
        Of the model.
    """
    matrix = _projection(net)
    mean = np.mean([np.mean(own, axis=0) for own in stretches], axis=0)
    placed = [[matrix @ (vector - mean) for vector in own] for own in stretches]
    turned, between = directions(placed, families)
    return SpeakerSpace(mean, turned @ matrix, between, fingerprint)


def _projection(net: SpeakerNet) -> Vectors:
    """Norm and projection as one matrix; what the norm takes off is the same everywhere and falls out."""
    with torch.no_grad():
        gain = torch.rsqrt(cast(torch.Tensor, net.norm.running_var) + net.norm.eps)
        matrix: Vectors = (net.project.weight * gain).cpu().numpy().astype(np.float64)
    return matrix
