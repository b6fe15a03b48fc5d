"""A word enrolled from a few recordings: a shipped spotter's embedding with another head.

The network runs as ever. Its embedding is averaged over a few consecutive segments that together are
as long as the word, and compared with what was enrolled in every output frame. What comes out are
logits of one label, so that all else (steps, smoothing, refractory time) is the spotter's own.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import open_graph
from edgeaudio.backends.base import Runtime, Signature, StreamingGraph
from edgeaudio.compiled import cached_njit
from edgeaudio.errors import ModelError
from edgeaudio.models.background import embedding_fingerprint
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.enrolments import Enrolment, WordNumbers, load_enrolment
from edgeaudio.models.manifest import Decision, ModelManifest
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.types import Frames

__all__ = ["EnrolledGraph", "enrolled_manifest", "enrolled_spotter", "model_of", "word_scores"]

_NOTHING_YET = -20.0
"""The logit before a whole word's length has been heard."""


@cached_njit(nogil=True)
def _score(  # noqa: PLR0917 - compiled code takes no keywords
    rows: Frames,
    ring: Frames,
    clock: NDArray[np.int64],
    table: NDArray[np.float64],
    sums: NDArray[np.float64],
    terms: NDArray[np.float64],
    logits: Frames,
) -> None:
    """Write ``slope * (score - threshold)`` of the stretch that ends with each row into `logits` ``[n, 1]``.

    The score is ``weights . z / |z|``; `terms` holds threshold, slope, and what is written before a whole
    stretch was heard.

    `ring` holds the last rows, as many as the stretch has, and `clock` counts all of them; `table`
    ``[3, segments, width]`` holds mean, one over deviation, and weights; `sums` is room for a stretch.
    """
    length, width = ring.shape
    segments = sums.shape[0]
    segment_frames = length // segments
    for i in range(rows.shape[0]):
        ring[clock[0] % length] = rows[i]
        clock[0] += 1
        if clock[0] < length:
            logits[i, 0] = terms[2]
            continue
        sums[:] = 0.0
        for frame in range(length):
            # The oldest row lies where the next one will be written.
            row, segment = (clock[0] + frame) % length, frame // segment_frames
            for k in range(width):
                sums[segment, k] += ring[row, k]
        product, square = 0.0, 0.0
        for segment in range(segments):
            for k in range(width):
                z = (sums[segment, k] / segment_frames - table[0, segment, k]) * table[1, segment, k]
                product += z * table[2, segment, k]
                square += z * z
        score = product / math.sqrt(square) if square > 0.0 else 0.0
        logits[i, 0] = (score - terms[0]) * terms[1]


class _Scorer:
    """The state of `_score` for one stream."""

    def __init__(self, numbers: WordNumbers, threshold: float, slope: float, nothing_yet: float) -> None:
        shape = (numbers.segments, len(numbers.mean) // numbers.segments)
        rows = (numbers.mean, 1.0 / np.asarray(numbers.deviation), numbers.weights)
        self._table = np.stack([np.asarray(row, np.float64).reshape(shape) for row in rows])
        self._sums = np.zeros(shape)
        self._ring = np.zeros((numbers.segments * numbers.segment_frames, shape[1]), np.float32)
        self._clock = np.zeros(1, np.int64)
        self._terms = np.array((threshold, slope, nothing_yet))

    def process(self, rows: Frames, logits: Frames) -> None:
        _score(rows, self._ring, self._clock, self._table, self._sums, self._terms, logits)

    def reset(self) -> None:
        self._clock[0] = 0


def word_scores(numbers: WordNumbers, embeddings: Frames) -> NDArray[np.float32]:
    """Score of the stretch that ends with each row of ``[n, width]`` embeddings; NaN before a whole one."""
    scores = np.zeros((len(embeddings), 1), np.float32)
    _Scorer(numbers, 0.0, 1.0, np.nan).process(np.ascontiguousarray(embeddings, np.float32), scores)
    return scores[:, 0]


class EnrolledGraph:
    """A network that answers for one enrolled word; see `edgeaudio.backends.base.StreamingGraph`.

    Parameters
    ----------
    graph : StreamingGraph
        The shipped network, which gives out its embedding.
    numbers : WordNumbers
        The word.
    """

    def __init__(self, graph: StreamingGraph, numbers: WordNumbers) -> None:
        under = graph.signature
        self._graph = graph
        self._scorer = _Scorer(numbers, numbers.threshold, numbers.slope, _NOTHING_YET)
        self.signature = Signature(
            under.step_frames, under.n_bands, under.n_out, 1, under.states, under.embedding_width
        )
        self._logits = np.zeros((under.n_out, 1), np.float32)
        self.reset()

    @property
    def runtime(self) -> str:
        """The runtime of the network."""
        return self._graph.runtime

    @property
    def provider(self) -> str:
        """What the network computes with."""
        return self._graph.provider

    @property
    def precision(self) -> str:
        """What the network counts in."""
        return self._graph.precision

    @property
    def threads(self) -> int:
        """How many threads a step of the network may use."""
        return self._graph.threads

    @property
    def embedding(self) -> Frames | None:
        """The network's own."""
        return self._graph.embedding

    def step(self, frames: Frames) -> Frames:
        """Advance by one step; logits ``[n_out, 1]``, a view that the next step overwrites."""
        self._graph.step(frames)
        rows = self._graph.embedding
        if rows is None:
            raise ModelError("this network gives out no embedding", hint="Enrol with another --model.")
        self._scorer.process(rows, self._logits)
        return self._logits

    def reset(self) -> None:
        """Forget everything heard, in place."""
        self._graph.reset()
        self._scorer.reset()


def enrolled_manifest(manifest: ModelManifest, name: str) -> ModelManifest:
    """Return the facts of a spotter for the one word `name`, made of another."""
    return msgspec.structs.replace(
        manifest,
        name=name,
        kind="wake",
        labels=(name,),
        activation="sigmoid",
        decision=Decision(threshold=0.5, smoothing_ms=0.0, refractory_ms=1000.0),
        results={},
    )


def model_of(enrolment: Enrolment) -> Bundle:
    """Load the model that something was enrolled with.

    Raises
    ------
    ModelError
        If it is gone, or another version than that one.
    """
    bundle = load_bundle(find_model(enrolment.model))
    if embedding_fingerprint(bundle.manifest) != enrolment.fingerprint:
        raise ModelError(
            f"'{enrolment.name}' was enrolled with {enrolment.model} {enrolment.model_version}, and what is"
            f" installed is another version of it ({bundle.manifest.version})",
            hint=f"Enrol it again: edgeaudio enrol {enrolment.name} …",
        )
    return bundle


def enrolled_spotter(
    folder: Path,
    *,
    backend: Runtime | None = None,
    threshold: float | None = None,
    profile: Profile | None = None,
) -> Spotter:
    """Load a word that was enrolled; see `Spotter.load`.

    Raises
    ------
    ModelError
        If it cannot be read, is a verifier, or was made with another version of its model.
    """
    enrolment = load_enrolment(folder)
    if enrolment.word is None:
        behind = f"wake --model {enrolment.model} --verifier {enrolment.name}"
        raise ModelError(
            f"'{enrolment.name}' is no word of its own but a voice, enrolled with {enrolment.model}",
            hint=f"Use it so: edgeaudio {behind if enrolment.kind == 'verifier' else 'speaker identify'}",
        )
    bundle = model_of(enrolment)
    width = bundle.manifest.embedding_width
    if len(enrolment.word.mean) != enrolment.word.segments * width:
        raise ModelError(f"'{enrolment.name}' has numbers for an embedding of another width than {width}")
    graph = EnrolledGraph(open_graph(bundle, backend, profile), enrolment.word)
    return Spotter(graph, enrolled_manifest(bundle.manifest, enrolment.name), threshold=threshold)
