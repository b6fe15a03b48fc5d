"""All that a spotter is trained and measured on: corpora, own recordings, what engines say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeaudio.errors import UsageError
from edgeaudio.training.build import GENERATE, Recordings, Reporter, SpotterJob
from edgeaudio.training.card import Ingredient
from edgeaudio.training.corpus import Clip, find_manifests, is_background, load_clips
from edgeaudio.training.hints import Hearing, add_hints
from edgeaudio.training.occurrences import LEDGER, MINED, mine, read_judged
from edgeaudio.training.own import (
    NEGATIVES,
    POSITIVES,
    check_own,
    divide,
    own_manifests,
    read_negatives,
    read_positives,
)
from edgeaudio.training.phrases import confusables
from edgeaudio.training.speaking import SENTENCES, describe_engines, speak
from edgeaudio.training.splicing import CORPUS, sounds_right, splice
from edgeaudio.training.spotter import Material, kept_back, said_word
from edgeaudio.training.surroundings import made_noises, made_rooms
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["collect", "surround"]

ENOUGH_SPEECH_S = 3600.0
"""With less real speech of other words, sentences are made."""
ENOUGH_RECORDINGS = 200
"""With fewer real recordings of a word, people's other words are cut into pieces that make it."""
_PIECES_PER_TAKE = 4
"""Recordings put together for each one that engines speak."""
_ROOMS, _NOISES = 40, 16
_YOURS = {
    POSITIVES: "your recordings of the words",
    NEGATIVES: "your recordings of other things",
    f"{NEGATIVES}-noise": "your recordings of noise",
    LEDGER: "what your devices took for the word, as you judged it",
    MINED: "found in your recordings",
}


def collect(job: SpotterJob, words: Sequence[str], reporter: Reporter) -> Recordings:
    """Decode and divide all recordings of a job; what is missing is spoken by the engines.

    Raises
    ------
    UsageError
        The job names nothing to learn from.
    InputError
        A folder or a recording that it names cannot be used.
    MissingDependencyError
        No speech engine is installed and one is needed.
    """
    if job.data is None and job.synthetic is None and not job.own:
        raise UsageError("nothing to learn from", hint="Give --data DIR, --synthetic DIR|generate, or both.")
    check_own(job.positives, job.negatives, words)
    manifests = [] if job.data is None else find_manifests(job.data)
    if job.synthetic == GENERATE:
        for line in describe_engines():
            reporter.tell(line)
    own = _own(job, words, reporter)
    real = load_clips(manifests, job.cache, progress=_decoding(reporter))
    found = [path for folder in (*job.positives, *job.negatives) for path in own_manifests(folder)]
    speech_s = sum(c.seconds for c in (*real, *own) if not is_background(c) and said_word(c, words) is None)
    reporter.tell(_spoken(speech_s / 3600, made=job.synthetic == GENERATE))
    spoken = _synthetic(job, words, reporter, sentences=speech_s < ENOUGH_SPEECH_S)
    synthetic = load_clips(spoken, job.cache, progress=_decoding(reporter))
    parts = [
        Ingredient(corpus, 0, source, "yours to state")
        for corpus, source in _YOURS.items()
        if any(clip.corpus == corpus for clip in own)
    ]
    real = add_hints(real + own, job.cache, progress=_hearing(reporter))
    if pieces := _pieces(job, words, real, reporter):
        parts.append(Ingredient(CORPUS, 0, "put together of recordings named here", "theirs"))
    synthetic = add_hints(synthetic, job.cache, progress=_hearing(reporter)) + pieces
    return Recordings(real, synthetic, [*manifests, *found, *spoken], parts)


def _spoken(hours: float, *, made: bool) -> str:
    if 3600 * hours >= ENOUGH_SPEECH_S:
        return f"real speech of other words: {hours:.1f} hours"
    told = f"real speech of other words: {60 * hours:.0f} minutes, which is little"
    if made:
        told += "; made sentences stand in for it"
    return (
        f"{told}. Expect more false alarms on real voices than are measured here: recordings of other "
        "speech and noise help most (--data, --negatives)"
    )


def _decoding(reporter: Reporter) -> Callable[[str, int, int], None]:
    return lambda corpus, done, total: reporter.progress(f"decoding {corpus}", done / total)


def _hearing(reporter: Reporter) -> Callable[[str, int, int], None]:
    return lambda corpus, done, total: reporter.progress(f"listening to {corpus}", done / total)


def _own(job: SpotterJob, words: Sequence[str], reporter: Reporter) -> list[Clip]:
    found: list[Clip] = []

    def add(clips: list[Clip], what: str) -> None:
        if clips:
            division = divide(clips, what)
            reporter.tell(f"{what}: {division.told}")
            found.extend(division.clips)

    tell = reporter.tell
    add([c for folder in job.positives for c in read_positives(folder, words, job.cache, tell)], POSITIVES)
    add([c for folder in job.negatives for c in read_negatives(folder, words, job.cache, tell)], NEGATIVES)
    for folder in job.ledgers:
        judged = read_judged(folder, words, tell)
        add([clip for clip in judged if clip.label in words], f"{LEDGER}, {POSITIVES}")
        add([clip for clip in judged if clip.label not in words], f"{LEDGER}, {NEGATIVES}")
    for folder in job.mined:
        for word in words:
            mined = mine(folder, word, job.cache, tell, _decoding(reporter))
            add([clip for clip in mined if clip.label == word], f"{MINED}, {POSITIVES}")
            # What sounds like one of several words may be another.
            if len(words) == 1:
                add([clip for clip in mined if clip.label != word], f"{MINED}, {NEGATIVES}")
    return found


def _synthetic(job: SpotterJob, words: Sequence[str], reporter: Reporter, *, sentences: bool) -> list[Path]:
    if job.synthetic is None:
        return []
    if job.synthetic != GENERATE:
        return find_manifests(job.synthetic)
    folder = speak(
        words,
        job.cache,
        per_phrase=job.per_phrase,
        seed=job.seed,
        sentences=sentences,
        progress=lambda done: reporter.progress("speaking", done),
    )
    parts = find_manifests(folder)
    return parts if sentences else [path for path in parts if not path.parent.name.endswith(SENTENCES)]


def _pieces(job: SpotterJob, words: Sequence[str], real: Sequence[Clip], reporter: Reporter) -> list[Clip]:
    """What people would sound like who say words that few recordings are of, and what is near these words."""
    count = Counter(said_word(clip, words) for clip in real)
    rare = [word for i, word in enumerate(words) if count[i] < ENOUGH_RECORDINGS]
    if not rare or job.synthetic is None:
        return []
    # Nobody is cut into pieces whom something is measured on.
    sayers = {clip.speaker for clip in real if said_word(clip, words) is not None and kept_back(clip, 0.5)}
    others = [
        clip
        for clip in real
        if said_word(clip, words) is None and clip.speaker not in sayers - {""} and not kept_back(clip, 0.25)
    ]
    near = dict.fromkeys(confusables(words), max(1, job.per_phrase // 25))
    wanted = dict.fromkeys(rare, _PIECES_PER_TAKE * job.per_phrase) | near
    hearing = Hearing.of()
    put_together = splice(
        wanted, others, hearing, seed=job.seed, progress=lambda done: reporter.progress("splicing", done)
    )
    hinted = add_hints(put_together, job.cache, progress=_hearing(reporter))
    pieces = [clip for clip in hinted if sounds_right(clip, hearing)]
    if pieces:
        reporter.tell(f"put together of what people say: {len(pieces)} recordings of phrase and near ones")
    return pieces


def surround(material: Material, seed: int) -> Material:
    """Make rooms and noises where there are no recordings of any."""
    if not material.rooms:
        material = replace(material, rooms=made_rooms(_ROOMS, seed=seed))
    if not material.noises:
        speech = [
            clip.pcm[: 4 * SAMPLE_RATE_HZ] / np.float32(32768.0) for clip in material.pools.speech[:400]
        ]
        material = replace(material, noises=made_noises(speech, _NOISES, seed=seed))
    return material
