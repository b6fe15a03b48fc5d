"""Parts for tests of programs that use edgeaudio: audio, networks and spotters that follow a script.

They are what edgeaudio's own tests use, and promise the same as the real parts.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from edgeaudio.backends.base import Signature
from edgeaudio.errors import UsageError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import Decision, GraphFile, Graphs, ModelManifest
from edgeaudio.sources.array import ArraySource
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.types import Frames

__all__ = ["ArraySource", "ScriptedBackend", "chunkings", "scripted_manifest", "scripted_spotter"]

_SURE = 8.0
"""A logit whose softmax against zeros, and whose sigmoid, are nearly 1."""


class ScriptedBackend:
    """A streaming network that answers from a script, whatever it hears.

    Parameters
    ----------
    script : array_like, shape [n, n_labels]
        One row of logits for each output frame; after the last row, zeros.
    step_frames, n_bands, n_out : int
        Frames a step, their bands, and output frames a step.

    Examples
    --------
    >>> backend = ScriptedBackend([[0.0, 1.0], [2.0, 3.0]], step_frames=8, n_out=2)
    >>> backend.step(np.zeros((8, 40), np.float32)).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    >>> backend.step(np.zeros((8, 40), np.float32)).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """

    runtime = "scripted"

    def __init__(self, script: ArrayLike, *, step_frames: int = 8, n_bands: int = 40, n_out: int = 2) -> None:
        self._script = np.asarray(script, np.float32)
        n_labels = self._script.shape[1]
        self._signature = Signature(step_frames, n_bands, n_out, n_labels, ())
        self._logits = np.zeros((n_out, n_labels), np.float32)
        self.n_steps = 0

    @property
    def signature(self) -> Signature:
        """Shapes of what goes in and comes out."""
        return self._signature

    def step(self, frames: Frames) -> Frames:
        """Return the next rows of the script; a view valid until the next step.

        Raises
        ------
        ValueError
            `frames` has not the shape ``[step_frames, n_bands]``.
        """
        expected = (self._signature.step_frames, self._signature.n_bands)
        if frames.shape != expected:
            raise ValueError(f"a step takes frames of shape {expected}, got {frames.shape}")
        n_out = self._signature.n_out
        rows = self._script[self.n_steps * n_out : (self.n_steps + 1) * n_out]
        self._logits[: len(rows)] = rows
        self._logits[len(rows) :] = 0.0
        self.n_steps += 1
        return self._logits

    def reset(self) -> None:
        """Go back to the script's first row."""
        self.n_steps = 0


def scripted_manifest(labels: Iterable[str], decision: Decision | None = None) -> ModelManifest:
    """Return the manifest of a model that needs no graph: 80 ms steps, 40 ms output frames, sigmoid."""
    spec = FrontendSpec()
    return ModelManifest(
        name="scripted",
        kind="commands",
        version="1",
        description="Follows a script",
        licence="Apache-2.0",
        data=(),
        frontend=spec,
        frontend_fingerprint=spec.fingerprint,
        labels=tuple(labels),
        activation="sigmoid",
        step_frames=8,
        stride=4,
        receptive_field_frames=100,
        graphs=Graphs(onnx=GraphFile(file="none.onnx", sha256="0" * 64)),
        states=(),
        decision=decision or Decision(threshold=0.6, smoothing_ms=40.0, refractory_ms=500.0),
    )


def scripted_spotter(words: Iterable[tuple[float, str]]) -> Spotter:
    """Return a spotter that hears each word as ending at the given second, whatever it hears.

    Parameters
    ----------
    words : iterable of (float, str)
        Seconds since the stream's start, and a word.

    Raises
    ------
    UsageError
        A word ends before the first 40 ms of the stream have passed.
    """
    words = sorted(words)
    manifest = scripted_manifest(dict.fromkeys(word for _, word in words))
    frame_s = manifest.stride * manifest.frontend.hop_ms / 1000
    rows = [int(at_s / frame_s) - 1 for at_s, _ in words]
    if rows and rows[0] < 0:
        raise UsageError(
            f"a word cannot end {words[0][0]:g} s after the stream's start: give {frame_s:g} s or more"
        )
    script = np.full((max(rows, default=0) + 1, len(manifest.labels)), -_SURE, np.float32)
    for row, (_, word) in zip(rows, words, strict=True):
        script[row, manifest.labels.index(word)] = _SURE
    return Spotter(ScriptedBackend(script), manifest)


def chunkings(n: int, *, seed: int = 0) -> Iterator[list[int]]:
    """Yield instructive ways to cut `n` things into consecutive chunks.

    All at once, one by one (the first 300), primes, powers of two, chunks of nothing in
    between, and three random ones. The lengths of each sum to `n`.

    Examples
    --------
    >>> all(sum(lengths) == 1000 for lengths in chunkings(1000))
    True
    """
    draw = random.Random(seed)  # noqa: S311 - reproducible on purpose
    patterns: list[Iterable[int]] = [
        [n],
        [1] * min(n, 300),
        [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47] * (n // 300 + 1),
        [0, 128, 0, 0, 256, 1, 0] * (n // 385 + 1),
        *([draw.choice((0, 1, draw.randrange(1, 2000))) for _ in range(n)] for _ in range(3)),
    ]
    for pattern in patterns:
        yield _fitted(pattern, n)


def _fitted(lengths: Iterable[int], n: int) -> list[int]:
    """Cut the list off, or add one chunk, so that it sums to `n`."""
    fitted = []
    left = n
    for length in lengths:
        if left == 0:
            break
        fitted.append(min(length, left))
        left -= fitted[-1]
    return [*fitted, left] if left else fitted
