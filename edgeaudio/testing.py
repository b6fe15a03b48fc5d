"""Parts for tests of programs that use edgeaudio: audio, networks and tasks that follow a script.

They are what edgeaudio's own tests use, and promise the same as the real parts.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from edgeaudio.backends.base import Signature
from edgeaudio.decoding.greedy import GreedyDecoder
from edgeaudio.errors import UsageError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import Activity, Captions, Decision, GraphFile, Graphs, ModelManifest
from edgeaudio.sources.array import ArraySource
from edgeaudio.tasks.acoustic import StreamingAcoustic
from edgeaudio.tasks.classifier import Classifier
from edgeaudio.tasks.endpoint import Endpoint
from edgeaudio.tasks.recognizer import Recognizer
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.tasks.vad import Vad
from edgeaudio.types import Frames

if TYPE_CHECKING:
    from edgeaudio.decoding.grammar import Grammar

__all__ = [
    "ArraySource",
    "ScriptedBackend",
    "chunkings",
    "scripted_captions_manifest",
    "scripted_classifier",
    "scripted_manifest",
    "scripted_recognizer",
    "scripted_spotter",
    "scripted_vad",
]

_SURE = 8.0
"""A logit whose softmax against zeros, and whose sigmoid, are nearly 1."""


class ScriptedBackend:
    """A streaming network that answers from a script, whatever it hears.

    Parameters
    ----------
    script : array_like, shape [n, n_labels]
        One row of logits for each output frame; after the last row, `rest`.
    step_frames, n_bands, n_out : int
        Frames a step, their bands, and output frames a step.
    rest : array_like, shape [n_labels]
        Zeros by default.

    Examples
    --------
    >>> backend = ScriptedBackend([[0.0, 1.0], [2.0, 3.0]], step_frames=8, n_out=2)
    >>> backend.step(np.zeros((8, 40), np.float32)).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    >>> backend.step(np.zeros((8, 40), np.float32)).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """

    runtime = "scripted"
    provider = "cpu"
    precision = "float32"
    threads = 1
    embedding: Frames | None = None

    def __init__(
        self,
        script: ArrayLike,
        *,
        step_frames: int = 8,
        n_bands: int = 40,
        n_out: int = 2,
        rest: ArrayLike = 0.0,
    ) -> None:
        self._script = np.asarray(script, np.float32)
        n_labels = self._script.shape[1]
        self._signature = Signature(step_frames, n_bands, n_out, n_labels, ())
        self._logits = np.zeros((n_out, n_labels), np.float32)
        self._rest = np.asarray(rest, np.float32)
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
        self._logits[len(rows) :] = self._rest
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


def scripted_captions_manifest(words: Iterable[str]) -> ModelManifest:
    """Return the manifest of a recogniser that needs no graph: 160 ms steps, 40 ms output frames.

    Its tokens are whole words.
    """
    spec = FrontendSpec()
    return ModelManifest(
        name="scripted",
        kind="captions",
        version="1",
        description="Follows a script",
        licence="Apache-2.0",
        data=(),
        frontend=spec,
        frontend_fingerprint=spec.fingerprint,
        labels=("<blank>", *dict.fromkeys(words)),
        activation="softmax",
        step_frames=16,
        stride=4,
        receptive_field_frames=100,
        graphs=Graphs(onnx=GraphFile(file="none.onnx", sha256="0" * 64)),
        states=(),
        captions=Captions(units="phones", confidence_offset=3.0),
    )


def scripted_recognizer(
    words: Iterable[tuple[float, float, str]],
    *,
    endpoint: Endpoint | None = None,
    grammar: Grammar | None = None,
) -> Recognizer:
    """Return a recogniser that hears each word in its time, whatever it hears.

    A word is tentative while it is being said, and committed when it has been said.

    Parameters
    ----------
    words : iterable of (float, float, str)
        Where each begins and ends, in seconds since the stream's start, and the word; one after the
        other, each 80 ms or longer.
    endpoint : Endpoint, optional
        When a caption is over; by default after 0.8 s of silence.
    grammar : Grammar, optional
        Says what captions mean.

    Raises
    ------
    UsageError
        Words overlap, or one is too short.
    """
    words = sorted(words)
    manifest = scripted_captions_manifest(word for _, _, word in words)
    frame_s = manifest.stride * manifest.frontend.hop_ms / 1000
    end = 0
    length_s = max((end_s for _, end_s, _ in words), default=0.0)
    rows = np.zeros((round(length_s / frame_s) + 1, len(manifest.labels)), np.float32)
    rows[:, 0] = _SURE
    for start_s, end_s, word in words:
        start, behind = round(start_s / frame_s), round(end_s / frame_s)
        if start < end or behind < start + 2:
            raise UsageError(f"the word '{word}' from {start_s:g} to {end_s:g} s overlaps or is too short")
        end = behind
        # The last frame is left to blank: the same word may follow at once.
        rows[start : behind - 1] = 0.0
        # Twice as sure: less, and it could be a noise.
        rows[start : behind - 1, manifest.labels.index(word)] = 2 * _SURE
    backend = ScriptedBackend(rows, step_frames=16, n_out=4, rest=rows[-1])
    decoder = GreedyDecoder(manifest.labels, "<blank>", "phones")
    return Recognizer(
        StreamingAcoustic(backend, manifest), decoder, manifest, endpoint=endpoint, grammar=grammar
    )


def scripted_vad(speech: Iterable[tuple[float, float]], activity: Activity | None = None) -> Vad:
    """Return a detector that hears speech in these stretches, whatever it hears: 80 ms steps, 40 ms frames.

    Parameters
    ----------
    speech : iterable of (float, float)
        Where each stretch begins and ends, in seconds since the stream's start.
    activity : Activity, optional
        How they are told; by default as soon as they begin and end, and without a pre-roll.
    """
    manifest = msgspec.structs.replace(
        scripted_manifest(["speech"]),
        kind="vad",
        decision=None,
        activity=activity or Activity(threshold=0.6),
    )
    frame_s = manifest.stride * manifest.frontend.hop_ms / 1000
    rows = [(round(start_s / frame_s), round(end_s / frame_s)) for start_s, end_s in speech]
    script = np.full((max((end for _, end in rows), default=0) + 1, 1), -_SURE, np.float32)
    for start, end in rows:
        script[start:end] = _SURE
    return Vad(ScriptedBackend(script, rest=-_SURE), manifest)


def scripted_classifier(
    sounds: Iterable[tuple[float, float, str]],
    *,
    activity: Activity | None = None,
    onsets: bool = False,
) -> Classifier:
    """Return a classifier that hears these sounds, whatever it hears: 80 ms steps, 40 ms frames.

    Parameters
    ----------
    sounds : iterable of (float, float, str)
        Where each begins and ends, in seconds since the stream's start, and its name; they may overlap.
    activity : Activity, optional
        How they are told; by default as soon as they begin and end.
    onsets : bool, optional
        Also tell of them as soon as they begin.
    """
    sounds = tuple(sounds)
    manifest = msgspec.structs.replace(
        scripted_manifest(dict.fromkeys(name for _, _, name in sounds)),
        kind="sounds",
        decision=None,
        activity=activity or Activity(threshold=0.6),
    )
    frame_s = manifest.stride * manifest.frontend.hop_ms / 1000
    n_rows = round(max((end_s for _, end_s, _ in sounds), default=0.0) / frame_s)
    script = np.full((n_rows + 1, len(manifest.labels)), -_SURE, np.float32)
    for start_s, end_s, name in sounds:
        script[round(start_s / frame_s) : round(end_s / frame_s), manifest.labels.index(name)] = _SURE
    return Classifier(ScriptedBackend(script, rest=-_SURE), manifest, onsets=onsets)


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
