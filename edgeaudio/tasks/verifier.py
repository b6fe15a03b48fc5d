"""Who said the wake word: whether a voice sounds like one that was enrolled.

Measured beside the network's embedding, which is trained to forget who speaks, the features themselves
tell people apart far better: log-mel bands averaged over four parts of the word, less their common
level. A space of voices (see `edgeaudio.models.voices`) says which differences lie between people and which
between two recordings of one; the score is the logarithm of how much more probable the word is if
the enrolled person said it than if anybody did (probabilistic linear discriminant analysis, two
covariances).

Sources: Prince and Elder, "Probabilistic Linear Discriminant Analysis for Inferences About Identity",
ICCV 2007; Ioffe, "Probabilistic Linear Discriminant Analysis", ECCV 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import ModelError, UsageError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.enrolments import Enrolment, VoiceNumbers, find_enrolment, load_enrolment
from edgeaudio.models.voices import VoiceSpace, load_voices
from edgeaudio.tasks.enrolled import model_of
from edgeaudio.types import Frames

__all__ = ["PARTS", "WINDOW_S", "Verifier", "load_verifier", "voice_score", "voice_vector"]

PARTS = 4
WINDOW_S = 1.4
"""What is looked at when a word has been heard; the word lies somewhere in it."""
_PAUSE_S = 0.15
_DB = 10.0 / np.log(10.0)

Vector = NDArray[np.float64]


def voice_vector(frames: Frames, hop_s: float) -> Vector:
    """What a word sounds like: log-mel bands over its parts, ``[PARTS * n_bands]``.

    Parameters
    ----------
    frames : array [n, n_bands]
        Log-mel frames in which the word lies, found by its level.
    hop_s : float
        Seconds from one to the next.
    """
    frames = np.asarray(frames, np.float64)
    levels = _DB * np.logaddexp.reduce(frames, axis=1)
    peak, floor = float(levels.max()), float(np.percentile(levels, 20))
    loud = np.flatnonzero(levels >= max(floor + 0.2 * (peak - floor), peak - 30.0))
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > _PAUSE_S / hop_s) + 1)
    top = int(levels.argmax())
    word = next(group for group in groups if group[0] <= top <= group[-1])
    first = min(int(word[0]), max(len(frames) - PARTS, 0))
    edges = np.linspace(first, max(int(word[-1]) + 1, first + PARTS), PARTS + 1).astype(int)
    parts = np.stack([frames[start:end].mean(axis=0) for start, end in pairwise(edges)])
    vector: Vector = (parts - parts.mean()).reshape(-1)
    return vector


def voice_score(voice: Vector, recordings: int, between: Vector, vectors: Vector) -> Vector:
    """How much more probable ``[n, d]`` vectors are from a voice than from anybody: natural logarithms.

    Within a voice each coordinate has the variance 1, between voices `between`; `voice` is the sum of
    the enrolled recordings' vectors.
    """
    spread = 1.0 / (1.0 / between + recordings)
    known = 1.0 + spread
    anybody = 1.0 + between
    near = np.square(vectors - spread * voice) / known + np.log(known)
    far = np.square(vectors) / anybody + np.log(anybody)
    score: Vector = 0.5 * (far - near).sum(axis=1)
    return score


class Verifier:
    """Remembers the last frames and says, once a word was spotted, whether an enrolled voice said it.

    Parameters
    ----------
    voices : sequence of VoiceNumbers
        Any of them will do.
    space : VoiceSpace or None
        Of the model that spots the word; without one nobody is accepted.
    spec : FrontendSpec
        The features.
    """

    def __init__(self, voices: Sequence[VoiceNumbers], space: VoiceSpace | None, spec: FrontendSpec) -> None:
        self._voices = [(voice, np.asarray(voice.voice)) for voice in voices]
        self._space = space
        self._hop_s = spec.hop_samples / spec.sample_rate_hz
        self._frames = np.zeros((round(WINDOW_S / self._hop_s), spec.n_bands), np.float32)
        self._n = 0

    def hear(self, frames: Frames) -> None:
        """Take ``[n, n_bands]`` frames in."""
        while len(frames):
            at = self._n % len(self._frames)
            piece = frames[: len(self._frames) - at]
            self._frames[at : at + len(piece)] = piece
            self._n += len(piece)
            frames = frames[len(piece) :]

    def accepts(self, label: str) -> bool:
        """Say whether one of the enrolled voices has just said `label`."""
        space = self._space
        voices = [(voice, sums) for voice, sums in self._voices if voice.label == label]
        if space is None or not voices or self._n <= PARTS:
            return False
        placed = space.place(label, self.vector())[None]
        return any(
            voice_score(sums, voice.recordings, space.between, placed)[0] >= voice.threshold
            for voice, sums in voices
        )

    def vector(self) -> Vector:
        """What the word sounds like that has just been heard, see `voice_vector`."""
        at = self._n % len(self._frames)
        heard = self._frames[:at] if self._n == at else np.concatenate((self._frames[at:], self._frames[:at]))
        return voice_vector(heard, self._hop_s)

    def reset(self) -> None:
        """Forget everything heard."""
        self._n = 0


def load_verifier(names: Sequence[str], model: Path) -> Verifier:
    """Load enrolled voices for the model in the folder `model`.

    Raises
    ------
    ModelError
        If one is not there, is a word of its own, or was made with another version of its model.
    UsageError
        If one is for another model.
    """
    enrolments = [load_enrolment(find_enrolment(name)) for name in names]
    for enrolment in enrolments:
        _check(enrolment, model)
    bundle = model_of(enrolments[0])
    space = load_voices(bundle.path, bundle.manifest)
    voices = [enrolment.voice for enrolment in enrolments if enrolment.voice is not None]
    for enrolment in enrolments[1:]:
        model_of(enrolment)
    if any(len(voice.voice) != len(space.between) for voice in voices):
        raise ModelError(
            "an enrolled voice and its model's space of voices differ in size", hint="Enrol it again."
        )
    return Verifier(voices, space, bundle.manifest.frontend)


def _check(enrolment: Enrolment, model: Path) -> None:
    if enrolment.voice is None:
        raise ModelError(
            f"'{enrolment.name}' is a word of its own and verifies nothing",
            hint=f"Use it so: edgeaudio wake --model {enrolment.name}",
        )
    if enrolment.model != model.name:
        raise UsageError(
            f"'{enrolment.name}' is a voice behind {enrolment.model}, not behind {model.name}",
            hint=f"Use it so: edgeaudio wake --model {enrolment.model} --verifier {enrolment.name}",
        )
