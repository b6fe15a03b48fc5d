"""A speaker model that can be seen through, and people with voices for it."""

from __future__ import annotations

import msgspec
import numpy as np

from edgeaudio.backends.base import Signature
from edgeaudio.models.manifest import ModelManifest, Voices
from edgeaudio.models.speakers import SpeakerSpace
from edgeaudio.tasks.speaker import Speaker
from edgeaudio.testing import scripted_vad
from edgeaudio.types import Frames

RULES = Voices(
    scale=0.5,
    offset=-1.0,
    seconds=3.0,
    least_speech_ms=500.0,
    false_accepts=((0.001, 6.0), (0.01, 3.0), (0.2, 0.0)),
)
WIDTH = 3


class Follower:
    """A network with a memory: its embeddings are leaky sums of three bands."""

    runtime = "scripted"
    signature = Signature(step_frames=8, n_bands=40, n_out=2, n_labels=1, states=(), embedding_width=WIDTH)

    def __init__(self) -> None:
        self._sum = np.zeros(WIDTH, np.float32)
        self._logits = np.zeros((2, 1), np.float32)
        self.embedding = np.zeros((2, WIDTH), np.float32)

    def step(self, frames: Frames) -> Frames:
        for i, frame in enumerate(frames):
            self._sum = np.float32(0.9) * self._sum + frame[[3, 17, 31]]
            self.embedding[i // 4] = self._sum
            self._logits[i // 4] = frame[5]
        return self._logits

    def reset(self) -> None:
        self._sum[:] = 0.0


def manifest() -> ModelManifest:
    vad = scripted_vad([]).manifest
    return msgspec.structs.replace(
        vad, name="ear", kind="speaker", labels=("voice",), activity=None, voices=RULES, embedding_width=WIDTH
    )


def space(fingerprint: str = "0" * 64) -> SpeakerSpace:
    """Eight directions of the spectrum's means, in which people differ by a variance of 9."""
    size = 3 * 40 + 2 * WIDTH
    transform = np.zeros((8, size))
    transform[np.arange(8), np.arange(0, 40, 5)] = 4.0
    return SpeakerSpace(np.zeros(size), transform, np.full(8, 9.0), fingerprint)


def speaker() -> Speaker:
    return Speaker(Follower(), manifest(), space())  # type: ignore[arg-type]


def spoken(person: int, n: int, seed: int = 0) -> Frames:
    """Log-mel frames of somebody: a spectrum of one's own, syllables of another level."""
    shape = np.random.default_rng(1000 + person).normal(0, 1.0, 40)
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.normal(0, 1.0, n // 20 + 1), 20)[:n, None]
    return (shape + level + rng.normal(0, 0.3, (n, 40))).astype(np.float32)
