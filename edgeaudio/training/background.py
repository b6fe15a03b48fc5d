"""The background of a model: how its embedding answers to speech and noise that is no enrolled word."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from edgeaudio.backends import open_graph, stream_embedded
from edgeaudio.errors import InputError, ModelError
from edgeaudio.frontend import Frontend
from edgeaudio.models.background import Background, embedding_fingerprint
from edgeaudio.models.bundle import Bundle
from edgeaudio.training.corpus import Clip, held_out
from edgeaudio.types import SAMPLE_RATE_HZ, Frames

__all__ = ["DEVELOPMENT_SHARE", "make_background"]

SEGMENT_FRAMES = 7
"""140 ms, one or two sounds: a word of 0.4 to 1.1 s is three to eight segments."""
EXCERPT_S = 12.0
DEVELOPMENT_SHARE = 0.2
"""Part of the speakers who stay out of it, so that false alarms can be counted on them."""
_OTHER_SPLITS = ("validation", "dev", "test", "held_out")
_LEAST_S = 0.5


def make_background(
    bundle: Bundle,
    clips: Iterable[Clip],
    *,
    minutes: float = 45.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Background:
    """Hear excerpts of recordings, as many seconds of each corpus as there are or its share allows.

    Parameters
    ----------
    bundle : Bundle
        A model that gives out an embedding.
    clips : iterable of Clip
        Speech and noise; speakers and splits held out for development are left out here.
    minutes : float
        How much audio in all.
    seed : int
        Which excerpts.

    Raises
    ------
    ModelError
        If the model gives out no embedding.
    InputError
        If no recording is left.
    """
    if not bundle.manifest.embedding_width:
        raise ModelError(
            f"model '{bundle.name}' gives out no embedding", hint="Train it anew, or enrol with another."
        )
    chosen = _choose(clips, minutes * 60.0, random.Random(seed))
    graph = open_graph(bundle)
    frontend = Frontend(bundle.manifest.frontend)
    segments: list[Frames] = []
    for done, clip in enumerate(chosen, start=1):
        graph.reset()
        frontend.reset()
        samples = clip.pcm[: round(EXCERPT_S * SAMPLE_RATE_HZ)].astype(np.float32) / np.float32(32768.0)
        _, embeddings = stream_embedded(graph, frontend.process(samples))
        n = len(embeddings) // SEGMENT_FRAMES
        segments.append(embeddings[: n * SEGMENT_FRAMES].reshape(n, SEGMENT_FRAMES, -1).mean(axis=1))
        if progress is not None:
            progress(done, len(chosen))
    ends = np.cumsum([len(part) for part in segments])
    hop_s = bundle.manifest.stride * frontend.hop_samples / SAMPLE_RATE_HZ
    return Background(
        np.concatenate(segments),
        ends,
        SEGMENT_FRAMES,
        float(ends[-1]) * SEGMENT_FRAMES * hop_s,
        embedding_fingerprint(bundle.manifest),
    )


def _choose(clips: Iterable[Clip], seconds: float, draw: random.Random) -> Sequence[Clip]:
    """Recordings of `seconds` in all: the corpora in turn, those with fewer give all that they have."""
    corpora: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        apart = clip.split in _OTHER_SPLITS or held_out(clip, DEVELOPMENT_SHARE)
        if clip.corpus != "rooms" and clip.seconds >= _LEAST_S and not apart:
            corpora[clip.corpus].append(clip)
    if not corpora:
        raise InputError(
            "no recordings for a background", hint="Speech and noise of a second or more are needed."
        )
    for found in corpora.values():
        draw.shuffle(found)
    chosen: list[Clip] = []
    given = dict.fromkeys(corpora, 0.0)
    while corpora and sum(given.values()) < seconds:
        name = min(corpora, key=lambda corpus: given[corpus])
        clip = corpora[name].pop()
        given[name] += min(clip.seconds, EXCERPT_S)
        chosen.append(clip)
        if not corpora[name]:
            del corpora[name]
    return chosen
