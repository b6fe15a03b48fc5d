"""How ordinary speech and noise look to a spotter: what a word enrolled from few clips is told from.

The file ``background.npz`` beside a model's graphs holds means of its embedding over consecutive
segments of a few output frames, of hours of recordings that nobody on the device has; a word of
n segments is compared with every stretch of n consecutive ones. ``tools/make-background`` writes it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeaudio.config import read_bounded
from edgeaudio.errors import ModelError
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.types import Frames

__all__ = [
    "BACKGROUND_FILE",
    "Background",
    "embedding_fingerprint",
    "load_background",
    "read_beside",
    "save_background",
]

BACKGROUND_FILE = "background.npz"
_MAX_BYTES = 16 * 1024 * 1024
_LEVELS = 255


def embedding_fingerprint(manifest: ModelManifest) -> str:
    """Tell the model that an embedding comes from: its graphs and its features, 64 hexadecimal digits."""
    graphs = (manifest.graphs.onnx, manifest.graphs.tflite)
    facts = [graph.sha256 if graph else "" for graph in graphs]
    return hashlib.sha256(" ".join((*facts, manifest.frontend_fingerprint)).encode()).hexdigest()


@dataclass(frozen=True)
class Background:
    """Segments of embeddings of speech and noise.

    Attributes
    ----------
    segments : array [n, width] float32
        Means over ``segment_frames`` output frames each.
    ends : array [n_excerpts] int64
        Where each excerpt ends, in segments: no stretch reaches across.
    segment_frames : int
        Output frames in a segment.
    seconds : float
        How much audio that is.
    fingerprint : str
        Of the model, see `embedding_fingerprint`.
    """

    segments: Frames
    ends: NDArray[np.int64]
    segment_frames: int
    seconds: float
    fingerprint: str

    def stretches(self, n_segments: int) -> tuple[Frames, NDArray[np.int64]]:
        """Every stretch of consecutive segments ``[n, n_segments * width]``, and its excerpt ``[n]``."""
        starts: list[NDArray[np.int64]] = []
        excerpts: list[NDArray[np.int64]] = []
        first = 0
        for number, end in enumerate(self.ends.tolist()):
            found = np.arange(first, end - n_segments + 1)
            starts.append(found)
            excerpts.append(np.full(len(found), number))
            first = end
        at = np.concatenate(starts)
        width = self.segments.shape[1]
        joined = self.segments[at[:, None] + np.arange(n_segments)].reshape(len(at), n_segments * width)
        return joined, np.concatenate(excerpts)


def save_background(folder: Path, background: Background) -> Path:
    """Write a model's background beside its graphs, in eight bits a value."""
    largest = np.maximum(background.segments.max(axis=0), 1e-6).astype(np.float32)
    levels = np.rint(np.clip(background.segments / largest, 0.0, 1.0) * _LEVELS).astype(np.uint8)
    path = folder / BACKGROUND_FILE
    np.savez_compressed(
        path,
        levels=levels,
        largest=largest,
        ends=background.ends.astype(np.int64),
        segment_frames=np.int64(background.segment_frames),
        seconds=np.float64(background.seconds),
        fingerprint=np.frombuffer(bytes.fromhex(background.fingerprint), np.uint8),
    )
    return path


def load_background(folder: Path, manifest: ModelManifest) -> Background:
    """Read a model's background.

    Raises
    ------
    ModelError
        If there is none, it is no such file, or belongs to another version of the model.
    """
    path = folder / BACKGROUND_FILE
    if not path.is_file():
        raise ModelError(
            f"model '{manifest.name}' cannot be enrolled with: it has no {BACKGROUND_FILE}",
            hint="Choose another --model; who trained this one makes the file with tools/make-background.",
        )
    background = read_beside(path, manifest, _read, what="background", max_bytes=_MAX_BYTES)
    if background.segments.shape[1] != manifest.embedding_width:
        raise ModelError(
            f"{path} has {background.segments.shape[1]} values a segment, not those of the model"
        )
    return background


class _OfAModel(Protocol):
    @property
    def fingerprint(self) -> str: ...


_Found = TypeVar("_Found", bound=_OfAModel)


def read_beside(
    path: Path,
    manifest: ModelManifest,
    read: Callable[[bytes], _Found],
    *,
    what: str,
    max_bytes: int,
    made_by: str = "tools/make-background",
) -> _Found:
    """Read numpy arrays that were made with a model, with `read`, which is given no more than `max_bytes`.

    Raises
    ------
    ModelError
        If the file is too large, too large unfolded, no `what`, or of another version of the model.
    """
    data = read_bounded(path, max_bytes, ModelError)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # A few compressed kilobytes can unfold into gigabytes.
            if sum(entry.file_size for entry in archive.infolist()) > max_bytes:
                raise ModelError(f"unfolds to more than {max_bytes // 2**20} MB")
        found = read(data)
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}") from error
    except Exception as error:  # zipfile, zlib and numpy's header parser raise a dozen kinds
        raise ModelError(f"{path} holds no {what}: {error}") from error
    if found.fingerprint != embedding_fingerprint(manifest):
        raise ModelError(
            f"{path} was made with another version of model '{manifest.name}'",
            hint=f"Install the model again, or make the file anew: {made_by}",
        )
    return found


def _read(data: bytes) -> Background:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        levels, largest, ends = arrays["levels"], arrays["largest"], arrays["ends"]
        segment_frames, seconds = int(arrays["segment_frames"]), float(arrays["seconds"])
        fingerprint = arrays["fingerprint"].tobytes().hex()
    good = (
        levels.ndim == 2
        and levels.dtype == np.uint8
        and largest.dtype == np.float32
        and largest.shape == levels.shape[1:]
        and bool(np.all(np.isfinite(largest) & (largest > 0)))
        and ends.dtype == np.int64
        and ends.ndim == 1
        and len(ends) > 0
        and bool(np.all(np.diff(ends, prepend=0) >= 0))
        and int(ends[-1]) == len(levels)
        and 1 <= segment_frames <= 100
        and seconds > 0
    )
    if not good:
        raise ModelError("its arrays do not fit each other")
    segments = levels.astype(np.float32) * (largest / _LEVELS)
    return Background(segments, ends, segment_frames, seconds, fingerprint)
