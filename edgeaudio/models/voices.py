"""How people who say a model's words differ from each other, and one person from day to day.

The file ``voices.npz`` beside a model's graphs holds, for vectors of `edgeaudio.tasks.verifier.voice_vector`,
what everybody has in common in a word, the directions in which people differ, and where some people lie
there, in no order and without names. ``tools/make-background`` writes it.
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

__all__ = ["VOICES_FILE", "VoiceSpace", "load_voices", "save_voices"]

VOICES_FILE = "voices.npz"
_MAX_BYTES = 4 * 1024 * 1024

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class VoiceSpace:
    """A space in which recordings of one voice have variance 1, and voices the variances `between`.

    Attributes
    ----------
    labels : tuple of str
        The words whose voices it knows.
    means : array [n_labels, n]
        What everybody has in common in each.
    transform : array [d, n]
        Into the space.
    between : array [d]
    strangers : array [n_strangers, d]
        People who say the words, one recording each.
    said : array [n_strangers] int64
        Which of the labels.
    fingerprint : str
        Of the model, see `edgeaudio.models.background.embedding_fingerprint`.
    """

    labels: tuple[str, ...]
    means: Vectors
    transform: Vectors
    between: Vectors
    strangers: Vectors
    said: NDArray[np.int64]
    fingerprint: str

    def place(self, label: str, vector: Vectors) -> Vectors:
        """Where a word that sounds so lies, ``[d]``.

        Raises
        ------
        ModelError
            If the space does not know the word.
        """
        if label not in self.labels:
            raise ModelError(
                f"no voices are known for the word '{label}'", hint=f"There are: {', '.join(self.labels)}."
            )
        placed: Vectors = self.transform @ (vector - self.means[self.labels.index(label)])
        return placed

    def strangers_who_say(self, label: str) -> Vectors:
        """Those of the strangers who say `label`."""
        chosen: Vectors = self.strangers[self.said == self.labels.index(label)]
        return chosen


def save_voices(folder: Path, space: VoiceSpace) -> Path:
    """Write a model's space of voices beside its graphs, in 16 bits a value."""
    path = folder / VOICES_FILE
    np.savez_compressed(
        path,
        labels=np.array(space.labels),
        means=space.means.astype(np.float32),
        transform=space.transform.astype(np.float32),
        between=space.between.astype(np.float32),
        strangers=space.strangers.astype(np.float16),
        said=space.said.astype(np.int64),
        fingerprint=np.frombuffer(bytes.fromhex(space.fingerprint), np.uint8),
    )
    return path


def load_voices(folder: Path, manifest: ModelManifest) -> VoiceSpace:
    """Read a model's space of voices.

    Raises
    ------
    ModelError
        If there is none, it is no such file, or belongs to another version of the model.
    """
    path = folder / VOICES_FILE
    if not path.is_file():
        raise ModelError(
            f"no voice can be enrolled behind model '{manifest.name}': it has no {VOICES_FILE}",
            hint="Choose another model; who trained this one makes the file with tools/make-background.",
        )
    return read_beside(path, manifest, _read, what="voices", max_bytes=_MAX_BYTES)


def _read(data: bytes) -> VoiceSpace:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        labels = tuple(str(label) for label in arrays["labels"])
        means, transform, between, strangers = (
            arrays[name].astype(np.float64) for name in ("means", "transform", "between", "strangers")
        )
        said, fingerprint = arrays["said"].astype(np.int64), arrays["fingerprint"].tobytes().hex()
    d = len(between)
    good = (
        means.shape == (len(labels), transform.shape[1])
        and transform.shape[0] == d
        and strangers.shape == (len(said), d)
        and all(bool(np.all(np.isfinite(array))) for array in (means, transform, between, strangers))
        and bool(np.all(between > 0))
        and bool(np.all((said >= 0) & (said < len(labels))))
    )
    if not good:
        raise ModelError("its arrays do not fit each other")
    return VoiceSpace(labels, means, transform, between, strangers, said, fingerprint)
