"""A model's space of voices: from people who say its words, and from any who say one several times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import InputError
from edgeaudio.evaluation.spoken import find_word
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.models.background import embedding_fingerprint
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.models.voices import VoiceSpace
from edgeaudio.tasks.verifier import PARTS, WINDOW_S, voice_vector
from edgeaudio.training.corpus import Clip, held_out
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["make_voices", "recorded_vector"]

_LEAST_TIMES = 3
"""A person's recordings of one word tell what changes within a voice from so many on."""
_LEAST_STRANGERS = 20
_MOST_STRANGERS = 100
_SHRINKAGE = 0.1
_LEAST_BETWEEN = 0.02
"""Directions in which people differ less than so, against a person's own changes, are left out."""
_TILT = 0.7
"""Random tilts and bends of the spectrum for other microphones, in natural logarithms: 3 dB each."""
_BEHIND_S = 0.15
"""A spotter fires about so long after a word."""
_DEVELOPMENT_SHARE = 0.5

Vectors = NDArray[np.float64]


def recorded_vector(samples: Samples, frontend: Frontend) -> Vectors | None:
    """What a recording of one word sounds like; None where there is none."""
    spoken = find_word(samples)
    if spoken.unusable:
        return None
    end = spoken.end + round(_BEHIND_S * SAMPLE_RATE_HZ)
    window = samples[max(0, end - round(WINDOW_S * SAMPLE_RATE_HZ)) : end]
    frontend.reset()
    frames = frontend.process(np.ascontiguousarray(window))
    hop_s = frontend.hop_samples / SAMPLE_RATE_HZ
    return voice_vector(frames, hop_s) if len(frames) > PARTS else None


def make_voices(manifest: ModelManifest, clips: Iterable[Clip], *, seed: int = 0) -> VoiceSpace:
    """Learn the space.

    Parameters
    ----------
    manifest : ModelManifest
        The model: its words, its features (log-mel).
    clips : iterable of Clip
        Recordings of single words: with the model's words as labels, and with speakers.
        Half of the speakers who said one word three times or more are left out, for measuring.

    Raises
    ------
    InputError
        If too few people say its words, or too few of all say a word several times.
    """
    spec = manifest.frontend
    if spec.features != "log_mel":
        raise InputError(f"voices are told apart by log-mel bands; '{manifest.name}' hears {spec.features}")
    frontend = Frontend(spec)
    said: dict[str, list[Vectors]] = defaultdict(list)
    times: dict[tuple[str, str], list[Vectors]] = defaultdict(list)
    for clip in clips:
        mine = clip.label in manifest.spotted
        if not (mine or clip.speaker) or clip.seconds > 3.0 or held_out(clip, _DEVELOPMENT_SHARE):
            continue
        vector = recorded_vector(clip.pcm.astype(np.float32) / np.float32(32768.0), frontend)
        if vector is None:
            continue
        if mine:
            said[clip.label].append(vector)
        if clip.speaker:
            times[clip.label, clip.speaker].append(vector)
    labels = tuple(label for label in manifest.spotted if len(said[label]) >= _LEAST_STRANGERS)
    if not labels:
        raise InputError(f"fewer than {_LEAST_STRANGERS} recordings of each word of '{manifest.name}'")
    transform, between = _directions(times, spec, np.random.default_rng(seed))
    means = np.stack([np.mean(said[label], axis=0) for label in labels])
    draw = np.random.default_rng(seed)
    strangers, which = [], []
    for i, label in enumerate(labels):
        chosen = draw.permutation(len(said[label]))[:_MOST_STRANGERS]
        strangers.append((np.stack(said[label])[chosen] - means[i]) @ transform.T)
        which += [i] * len(chosen)
    return VoiceSpace(
        labels,
        means,
        transform,
        between,
        np.concatenate(strangers),
        np.array(which),
        embedding_fingerprint(manifest),
    )


def _directions(
    times: dict[tuple[str, str], list[Vectors]], spec: FrontendSpec, rng: np.random.Generator
) -> tuple[Vectors, Vectors]:
    """The transform into the space, and the variances between voices there."""
    often = {
        key: _tilted(vectors, spec.n_bands, rng)
        for key, vectors in times.items()
        if len(vectors) >= _LEAST_TIMES
    }
    if len(often) < 50:
        raise InputError(
            f"only {len(often)} people say a word {_LEAST_TIMES} times or more", hint="50 or more are needed."
        )
    by_word: dict[str, list[Vectors]] = defaultdict(list)
    inside = []
    for (word, _), vectors in often.items():
        by_word[word].append(vectors.mean(axis=0))
        n = len(vectors)
        inside.append((vectors - vectors.mean(axis=0)) * np.sqrt(n / (n - 1)))
    people = np.concatenate([np.stack(found) - np.mean(found, axis=0) for found in by_word.values()])
    within = np.cov(np.concatenate(inside).T)
    within = (1.0 - _SHRINKAGE) * within + _SHRINKAGE * np.diag(np.diag(within)) + 1e-6 * np.eye(len(within))
    whitener = np.linalg.inv(np.linalg.cholesky(within))
    variances, directions = np.linalg.eigh(whitener @ np.cov(people.T) @ whitener.T)
    kept = variances > _LEAST_BETWEEN
    return directions[:, kept].T @ whitener, variances[kept]


def _tilted(vectors: Sequence[Vectors], n_bands: int, rng: np.random.Generator) -> Vectors:
    """The same through other microphones."""
    place = np.linspace(0.0, 1.0, n_bands)
    bends = np.stack([np.cos(np.pi * k * place) for k in (1, 2, 3)])
    curves = rng.normal(0.0, _TILT, (len(vectors), 3)) @ bends
    tilted: Vectors = np.stack(vectors) + np.tile(curves, (1, PARTS))
    return tilted
