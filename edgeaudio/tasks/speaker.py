"""Whose voice it is: stretches of speech as vectors, compared with those that were enrolled.

Two things tell people apart. The features themselves do: mean, spread and movement of the log-mel bands of a
whole stretch, less their common level, taken where it is loud. And a network, which runs as a spotter's
does: its embedding in each output frame says how a voice sounds there, its one posterior how much that
counts. Both are placed in one space of voices (see `edgeaudio.models.speakers`), where two stretches are
compared; a measured line makes a score of that.

This tells people apart who do not mind. It is no authentication: a recording of a voice has that voice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import open_graph
from edgeaudio.backends.base import Runtime, StreamingGraph
from edgeaudio.errors import ModelError, UsageError
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.models.background import embedding_fingerprint
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.enrolments import (
    Enrolment,
    enrolments_folder,
    find_enrolment,
    list_enrolments,
    load_enrolment,
)
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.models.speakers import SpeakerSpace, load_speaker_space
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.stepping import Stepper
from edgeaudio.tasks.verifier import voice_score
from edgeaudio.types import Frames, Samples

__all__ = [
    "DEFAULT_MODEL",
    "Speaker",
    "Voiceprint",
    "enrolled_voices",
    "loud",
    "mean_voice",
    "pool",
    "spectrum",
]

_LOG = logging.getLogger(__name__)

DEFAULT_MODEL = "speaker-small"
_LEAST_VARIANCE = 1e-4
"""As in training, where it keeps gradients of a frame that does not vary finite."""
LOUD_PART, LOUD_RANGE, QUIET_PART = 0.3, 3.0 * np.log(10.0), 0.1
"""Loud is what lies so far above the quietest tenth on the way to the peak, and within 30 dB of it."""
_STEADY = 0.3 * np.log(10.0)
"""Silence and hiss do not reach 3 dB from the quietest tenth to the peak (2.6 dB in 5 s of white noise),
speech 5 dB above such noise does."""

Vector = NDArray[np.float64]


def pool(features: NDArray[np.floating], weights: NDArray[np.floating]) -> Vector:
    """Weighted mean and standard deviation of ``[n, width]`` features, ``[2 * width]``; n at least 1."""
    shares = np.asarray(weights, np.float64).reshape(-1, 1) + 1e-6
    shares /= shares.sum()
    own = np.asarray(features, np.float64)
    mean = (shares * own).sum(axis=0)
    variance = (shares * np.square(own - mean)).sum(axis=0)
    return np.concatenate((mean, np.sqrt(np.maximum(variance, _LEAST_VARIANCE))))


def loud(frames: Frames) -> NDArray[np.bool_]:
    """Which of log-mel ``[n, n_bands]`` frames, n at least 1, stand out as speech does, by their level."""
    levels = np.logaddexp.reduce(np.asarray(frames, np.float64), axis=1)
    peak, floor = float(levels.max()), float(np.quantile(levels, QUIET_PART))
    least = max(floor + LOUD_PART * (peak - floor), peak - LOUD_RANGE)
    found: NDArray[np.bool_] = levels >= least
    return found


def _spoken(frames: Frames) -> int:
    """How many of ``[n, n_bands]`` frames are loud; none in what is steady, in which nobody speaks."""
    levels = np.logaddexp.reduce(np.asarray(frames, np.float64), axis=1)
    steady = levels.max() - np.quantile(levels, QUIET_PART) < _STEADY
    return 0 if steady else int(np.count_nonzero(loud(frames)))


def spectrum(frames: Frames) -> Vector:
    """How log-mel ``[n, n_bands]`` frames sound over time, n at least 2: ``[3 * n_bands]``.

    Means and standard deviations of the bands less the frame's mean, in the loud frames, and how far they
    move from one frame to the next.
    """
    wide, chosen = np.asarray(frames, np.float64), loud(frames)
    shape = wide[chosen] - wide[chosen].mean(axis=1, keepdims=True)
    moved = np.abs(np.diff(wide, axis=0))[chosen[1:]]
    movement = moved.mean(axis=0) if len(moved) else np.zeros(wide.shape[1])
    return np.concatenate((shape.mean(axis=0), shape.std(axis=0), movement))


@dataclass(frozen=True)
class Voiceprint:
    """Where a stretch of speech lies among voices, ``[d]``, and how much speech there was in it."""

    vector: Vector
    speech_s: float


def mean_voice(prints: Sequence[Voiceprint]) -> Vector:
    """One vector for several stretches of one voice, as far from the middle as each of them, ``[d]``."""
    vectors = np.stack([one.vector for one in prints])
    mean: Vector = vectors.mean(axis=0)
    usual = float(np.linalg.norm(vectors, axis=1).mean())
    return mean * (usual / max(float(np.linalg.norm(mean)), 1e-9))


class Speaker:
    """Makes voiceprints of recordings, and compares them.

    Parameters
    ----------
    graph : StreamingGraph
        The network, for one stream and one thread.
    manifest : ModelManifest
    space : SpeakerSpace

    Raises
    ------
    ModelError
        If the model tells no voices apart.
    """

    def __init__(self, graph: StreamingGraph, manifest: ModelManifest, space: SpeakerSpace) -> None:
        self.voices = manifest.telling
        self.manifest = manifest
        self.space = space
        self._stepper = Stepper(graph, manifest)
        self._frontend = Frontend(manifest.frontend)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        backend: Runtime | None = None,
        profile: Profile | None = None,
    ) -> Speaker:
        """Load a model by its name, or from its folder; see `Spotter.load`.

        Raises
        ------
        ModelError
            If there is no such model, something is wrong with it, or it tells no voices apart.
        BackendError
            If the runtime, or a provider that the profile names, is not installed.
        """
        bundle = load_bundle(find_model(name_or_path))
        _ = bundle.manifest.telling  # refuse another model before its graph is opened
        space = load_speaker_space(bundle.path, bundle.manifest)
        return cls(open_graph(bundle, backend, profile), bundle.manifest, space)

    @property
    def graph(self) -> StreamingGraph:
        """The network, for whoever measures its steps."""
        return self._stepper.graph

    @property
    def spec(self) -> FrontendSpec:
        """The frontend that the model was trained with."""
        return self.manifest.frontend

    def hear(self, samples: Samples) -> Voiceprint:
        """Make a voiceprint of ``[n]`` samples, all of them one voice.

        Raises
        ------
        UsageError
            If that is too short for a single frame of the network's.
        """
        self._frontend.reset()
        stepper = self._stepper
        stepper.reset()
        frames = self._frontend.process(np.ascontiguousarray(samples, np.float32)).copy()
        heard = len(frames) // self.manifest.stride
        features, weights = [], []
        for _ in chain(stepper.steps(frames), stepper.play_on(0.0)):
            features.append(np.array(stepper.graph.embedding))
            weights.append(stepper.posteriors.copy())
        if not heard:
            raise UsageError("no voice can be told from so short a sound", hint="Give a second of speech.")
        frames = frames[: heard * self.manifest.stride]
        return self.print_of(frames, np.concatenate(features)[:heard], np.concatenate(weights)[:heard])

    def print_of(self, frames: Frames, features: Frames, weights: Frames) -> Voiceprint:
        """Make a voiceprint of ``[n, n_bands]`` frames and of what the network has made of them."""
        pooled = np.concatenate((spectrum(frames), pool(features, weights)))
        hop_s = self.spec.hop_samples / self.spec.sample_rate_hz
        return Voiceprint(self.space.place(pooled), _spoken(frames) * hop_s)

    def ratio(self, voice: Vector, vectors: Vector) -> Vector:
        """What the space of voices says about ``[n, d]`` vectors and a voice, not calibrated: ``[n]``.

        `voice` is ``[d]``, see `mean_voice`, or ``[n, d]``: one for each.
        """
        return voice_score(voice, 1, self.space.between, vectors)

    def score(self, voice: Vector, vectors: Vector) -> Vector:
        """How many times more probable vectors are of a voice than of another: logarithms, ``[n]``."""
        scores: Vector = self.voices.scale * self.ratio(voice, vectors) + self.voices.offset
        return scores

    def threshold(self, false_accepts: float, voices: int = 1) -> float:
        """Return the score that a part of other people reach with any of so many enrolled voices.

        With very many it is the strictest that was measured.

        Raises
        ------
        UsageError
            If that part of all was not measured.
        """
        alone = self.voices.threshold(false_accepts)
        strictest = self.voices.false_accepts[0][0]
        return alone if voices == 1 else self.voices.threshold(max(strictest, false_accepts / voices))

    def check(self, enrolment: Enrolment) -> Vector:
        """Return the vector of a voice that was enrolled with this very model.

        Raises
        ------
        ModelError
            If it was enrolled with another one, or holds another number of values than this one needs.
        UsageError
            If it is no voice.
        """
        if enrolment.speaker is None:
            raise UsageError(
                f"'{enrolment.name}' is no voice that is known by all it says",
                hint=f"Enrol one: edgeaudio speaker enrol {enrolment.name}-voice CLIPS…",
            )
        again = f"Enrol it again: edgeaudio speaker enrol {enrolment.name} CLIPS… --replace"
        if enrolment.fingerprint != embedding_fingerprint(self.manifest):
            raise ModelError(
                f"'{enrolment.name}' was enrolled with {enrolment.model} {enrolment.model_version}, not with "
                f"this {self.manifest.name} {self.manifest.version}",
                hint=again,
            )
        vector = np.asarray(enrolment.speaker.voice)
        if vector.shape != self.space.between.shape:
            raise ModelError(
                f"'{enrolment.name}' is enrolled as {len(vector)} values, and a voice has "
                f"{len(self.space.between)} with {self.manifest.name} {self.manifest.version}",
                hint=again,
            )
        return vector


def enrolled_voices(speaker: Speaker, names: Sequence[str] = ()) -> dict[str, Vector]:
    """Load voices that were enrolled with a model: those of these names, or all that there are.

    Where none are named, one that is broken is left out, with a warning: the others are still known.

    Raises
    ------
    ModelError
        If one that is named cannot be read, is not there, or was made with another version of the model.
    UsageError
        If one of these names is no voice.
    """
    if names:
        return {name: speaker.check(load_enrolment(find_enrolment(name))) for name in names}
    voices: dict[str, Vector] = {}
    for name in list_enrolments():
        try:
            one = load_enrolment(enrolments_folder() / name)
            if one.speaker is not None and one.model == speaker.manifest.name:
                voices[one.name] = speaker.check(one)
        except ModelError as error:
            said = " ".join(map(str.strip, str(error).splitlines()))
            _LOG.warning("'%s' is left out: %s", name, said)
    return voices
