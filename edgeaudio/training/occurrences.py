"""Where the word was really said, or nearly: judged clips of ledgers, and finds in other recordings."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeaudio.errors import InputError
from edgeaudio.evaluation.ledger import read_ledger
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.training.corpus import Clip, load_clips
from edgeaudio.training.finds import NothingFoundError, find_occurrences
from edgeaudio.training.own import own_manifests
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["LEDGER", "MINED", "mine", "read_judged"]

LEDGER, MINED = "ledger", "mined"
"""Corpora that they are counted under."""

OTHER = "nearmiss"
"""The label of what is none of the words; it ends in none, as "near miss" would in "miss"."""
# Of a ledger's clip, counted from its end: the word, and little of what was said before it.
_FROM_S, _TO_S = 2.0, 0.4


def read_judged(folder: Path, words: Sequence[str], tell: Callable[[str], None]) -> list[Clip]:
    """The clips of a ledger that somebody has judged; of all others nothing is known.

    A clip that cannot be read is left out and named.

    Raises
    ------
    InputError
        There is no ledger.
    """
    heard = read_ledger(folder)
    judged = [entry for entry in heard if entry.verdict]
    clips = []
    for entry in judged:
        try:
            samples = read_clip(Row(entry.path, str(folder)))
        except InputError as error:
            tell(f"left out: {error.message.removeprefix(f'{folder}: ')}")
            continue
        end = max(0, len(samples) - round(_TO_S * SAMPLE_RATE_HZ))
        part = samples[max(0, len(samples) - round(_FROM_S * SAMPLE_RATE_HZ)) : end]
        pcm = np.round(np.clip(part, -1.0, 1.0) * 32767.0).astype(np.int16)
        said = entry.verdict == "word" and entry.word in words
        clips.append(Clip(LEDGER, entry.path.name, pcm, entry.word if said else OTHER))
    counts = Counter(clip.label == OTHER for clip in clips)
    tell(
        f"{folder}: {counts[False]} clips of the word, {counts[True]} of something else, "
        f"{len(heard) - len(judged)} not judged yet: left out"
    )
    if len(judged) < len(heard):
        tell(f"to judge them: edgeaudio ledger review {folder}")
    return clips


def mine(
    folder: Path,
    word: str,
    cache: Path,
    tell: Callable[[str], None],
    progress: Callable[[str, int, int], None],
) -> list[Clip]:
    """What is said in a folder of recordings that is the word, or nearly; found once and then kept.

    Raises
    ------
    InputError
        There is no such folder, or nothing in it that can be heard.
    """
    own_manifests(folder)
    listing = sorted((str(path), path.stat().st_size) for path in folder.rglob("*") if path.is_file())
    told = repr((str(folder.resolve()), word, listing))
    found = cache / "finds" / hashlib.sha256(told.encode()).hexdigest()[:16]
    if not (found / "manifest.tsv").is_file():

        def searched(done: int, total: int) -> None:
            progress(f"mining {folder.name}", done, total)

        try:
            find_occurrences(folder, word, found, progress=searched)
        except NothingFoundError as error:
            tell(f"--mine: {error.message}")
            return []
    clips = [
        replace(clip, corpus=MINED, label=word if clip.label == word else OTHER)
        for clip in load_clips([found / "manifest.tsv"], cache)
    ]
    n_said = sum(clip.label == word for clip in clips)
    tell(f"{folder}: {word!r} found {n_said} times, and {len(clips) - n_said} times what sounds like it")
    return clips
