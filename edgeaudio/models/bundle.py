"""A model's folder, checked before anything in it is used."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends.base import Runtime, Signature, StateSpec
from edgeaudio.config import read_bounded
from edgeaudio.errors import ModelError
from edgeaudio.models.manifest import MANIFEST_FILE, GraphFile, ModelManifest, holds_model, load_manifest

__all__ = ["Bundle", "Golden", "load_bundle"]

MAX_GRAPH_BYTES = 128 * 1024 * 1024
MAX_GOLDEN_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Golden:
    """An input and what the network must answer to it, streamed from a reset.

    ``frames`` is ``[n_frames, n_bands] float32``, ``logits`` ``[n_frames / stride, n_labels]
    float32``; of a network in windows, one whole window after the other. ``tolerance`` is the largest
    difference that rounding explains. ``embedding``, ``[n_frames / stride, embedding_width] float32``,
    has no columns where the model gives out none.
    """

    frames: NDArray[np.float32]
    logits: NDArray[np.float32]
    tolerance: float
    embedding: NDArray[np.float32]
    embedding_tolerance: float


@dataclass(frozen=True)
class Bundle:
    """A loaded model: its folder and its facts. Made by :func:`load_bundle`."""

    path: Path
    manifest: ModelManifest

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.name

    def has_graph(self, runtime: Runtime) -> bool:
        """Say whether the model carries a graph for ``runtime``."""
        return self._graph_file(runtime) is not None

    def read_graph(self, runtime: Runtime) -> bytes:
        """Read the graph for ``runtime`` and check its checksum.

        Raises
        ------
        ModelError
            If there is none, it is too large or not the one the manifest describes.
        """
        entry = self._graph_file(runtime)
        if entry is None:
            raise ModelError(f"model '{self.name}' has no graph for {runtime}", hint="Use the other backend.")
        path = self._inside(entry.file)
        data = read_bounded(path, MAX_GRAPH_BYTES, ModelError)
        digest = hashlib.sha256(data).hexdigest()
        if digest != entry.sha256:
            raise ModelError(
                f"{path}: wrong checksum ({digest[:12]}… against {entry.sha256[:12]}… in {MANIFEST_FILE})",
                hint="The file is damaged or was exchanged: install the model again.",
            )
        return data

    def signature(self, runtime: Runtime) -> Signature:
        """Return what the graph for ``runtime`` must look like."""
        manifest = self.manifest
        return Signature(
            step_frames=manifest.run_frames,
            n_bands=manifest.frontend.n_bands,
            n_out=manifest.step_frames // manifest.stride,
            n_labels=len(manifest.labels),
            states=tuple(
                StateSpec(state.name, state.fill.onnx if runtime == "onnx" else state.fill.tflite)
                for state in manifest.states
            ),
            embedding_width=manifest.embedding_width,
        )

    def golden(self) -> Golden:
        """Read the golden input and output.

        Raises
        ------
        ModelError
            If the file is missing, too large, not plain arrays, or of the wrong shape.
        """
        path = self._inside(self.manifest.golden)
        data = read_bounded(path, MAX_GOLDEN_BYTES, ModelError)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                # A few compressed kilobytes can unfold into gigabytes.
                if sum(entry.file_size for entry in archive.infolist()) > MAX_GOLDEN_BYTES:
                    raise ModelError(f"{path} unfolds to more than {MAX_GOLDEN_BYTES // 2**20} MB")
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                golden = _golden(arrays, self.manifest.embedding_width > 0)
        except ModelError:
            raise
        except Exception as exc:  # zipfile, zlib and numpy's header parser raise a dozen kinds
            raise ModelError(f"{path} does not hold a golden input and output: {exc}") from exc
        self._check_golden(path, golden)
        return golden

    def _check_golden(self, path: Path, golden: Golden) -> None:
        manifest = self.manifest
        n_frames = golden.frames.shape[0] if golden.frames.ndim else 0
        n_runs = n_frames // manifest.run_frames
        frames = (n_frames, manifest.frontend.n_bands)
        n_out = n_runs * manifest.step_frames // manifest.stride
        logits, embedding = (n_out, len(manifest.labels)), (n_out, manifest.embedding_width)
        whole = n_frames > 0 and n_frames % manifest.run_frames == 0
        if golden.frames.shape != frames or golden.logits.shape != logits or not whole:
            raise ModelError(
                f"{path}: frames {golden.frames.shape} and logits {golden.logits.shape} "
                f"do not fit {MANIFEST_FILE}"
            )
        if golden.embedding.shape != embedding:
            raise ModelError(f"{path}: embedding {golden.embedding.shape} does not fit {MANIFEST_FILE}")
        if any(array.dtype != np.float32 for array in (golden.frames, golden.logits, golden.embedding)):
            raise ModelError(f"{path}: frames, logits and embedding must be float32")

    def _graph_file(self, runtime: Runtime) -> GraphFile | None:
        return self.manifest.graphs.onnx if runtime == "onnx" else self.manifest.graphs.tflite

    def _inside(self, file: str) -> Path:
        """Return the path of ``file``, refusing a link that leads out of the folder."""
        path = self.path / file
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise ModelError(f"{path} leads out of the model's folder")
        return path


def _golden(arrays: Mapping[str, NDArray[Any]], embedded: bool) -> Golden:
    logits = arrays["logits"]
    embedding = arrays["embedding"] if embedded else np.zeros((len(logits), 0), np.float32)
    allowed = float(arrays["embedding_tolerance"]) if embedded else 0.0
    return Golden(arrays["frames"], logits, float(arrays["tolerance"]), embedding, allowed)


def load_bundle(path: Path) -> Bundle:
    """Load the model in folder ``path``.

    Checked here, in this order: keys and values of ``model.yaml``, the frontend's fingerprint,
    presence, size and checksum of each graph. The graph's signature is checked when it is
    opened, see :func:`edgeaudio.backends.open_graph`.

    Raises
    ------
    ModelError
        Saying what is wrong, in which file, and what to do.
    """
    path = Path(path)
    if not holds_model(path):
        raise ModelError(
            f"{path} holds no model: no {MANIFEST_FILE}", hint="List models with: edgeaudio models list"
        )
    bundle = Bundle(path, load_manifest(path / MANIFEST_FILE))
    runtimes: tuple[Runtime, ...] = ("onnx", "litert")
    for runtime in runtimes:
        if bundle.has_graph(runtime):
            bundle.read_graph(runtime)
    return bundle
