"""How people's voices differ from each other, and one person's from day to day, for a speaker model.

The file ``speaker.npz`` beside a speaker model's graphs holds the way from what is measured of a stretch of
speech, its spectrum and the network's frames pooled (see `edgeaudio.tasks.speaker`), to a space in which one
person's stretches have variance 1. Training writes it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import ModelError
from edgeaudio.models.background import read_beside
from edgeaudio.models.manifest import ModelManifest

__all__ = ["SPEAKER_FILE", "SpeakerSpace", "load_speaker_space", "save_speaker_space"]

SPEAKER_FILE = "speaker.npz"
_MAX_BYTES = 4 * 1024 * 1024

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class SpeakerSpace:
    """A space in which stretches of one voice have variance 1, and voices the variances `between`.

    Attributes
    ----------
    mean : array [3 * n_bands + 2 * embedding_width]
        Of what is measured: three of the bands, two of the network.
    transform : array [d, 3 * n_bands + 2 * embedding_width]
    between : array [d]
    fingerprint : str
        Of the model, see `edgeaudio.models.background.embedding_fingerprint`.
    """

    mean: Vectors
    transform: Vectors
    between: Vectors
    fingerprint: str

    def place(self, measured: Vectors) -> Vectors:
        """Where what was measured lies, ``[..., d]``.

        All lie equally far from the middle, as far as is usual: how far tells of noise and of
        little speech more than of the voice (Garcia-Romero and Espy-Wilson, Interspeech 2011).
        """
        placed = (measured - self.mean) @ self.transform.T
        far = np.sqrt(np.square(placed).sum(-1, keepdims=True))
        usual = np.sqrt((1.0 + self.between).sum())
        equal: Vectors = placed * (usual / np.maximum(far, 1e-9))
        return equal


def save_speaker_space(folder: Path, space: SpeakerSpace) -> Path:
    """Write a model's space of voices beside its graphs."""
    path = folder / SPEAKER_FILE
    np.savez_compressed(
        path,
        mean=space.mean.astype(np.float32),
        transform=space.transform.astype(np.float32),
        between=space.between.astype(np.float32),
        fingerprint=np.frombuffer(bytes.fromhex(space.fingerprint), np.uint8),
    )
    return path


def load_speaker_space(folder: Path, manifest: ModelManifest) -> SpeakerSpace:
    """Read a model's space of voices.

    Raises
    ------
    ModelError
        If there is none, it is no such file, or belongs to another version of the model.
    """
    path = folder / SPEAKER_FILE
    if not path.is_file():
        raise ModelError(f"model '{manifest.name}' is not whole: {path} is missing", hint="Install it again.")
    space = read_beside(path, manifest, _read, what="space of voices", max_bytes=_MAX_BYTES)
    wanted = 3 * manifest.frontend.n_bands + 2 * manifest.embedding_width
    if len(space.mean) != wanted:
        raise ModelError(f"{path} is for {len(space.mean)} values, the model measures {wanted}")
    return space


def _read(data: bytes) -> SpeakerSpace:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        mean, transform, between = (
            arrays[name].astype(np.float64) for name in ("mean", "transform", "between")
        )
        fingerprint = arrays["fingerprint"].tobytes().hex()
    good = (
        mean.ndim == between.ndim == 1
        and transform.shape == (len(between), len(mean))
        and len(between) > 0
        and all(bool(np.all(np.isfinite(array))) for array in (mean, transform, between))
        and bool(np.all(between > 0))
    )
    if not good:
        raise ModelError("its arrays do not fit each other")
    return SpeakerSpace(mean, transform, between, fingerprint)
