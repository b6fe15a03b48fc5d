"""Whose voices a speaker model learns from, and whose it is measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeaudio.errors import InputError, UsageError
from edgeaudio.evaluation.manifest import Row
from edgeaudio.training.build import Job, Reporter
from edgeaudio.training.corpora import look_for_corpora
from edgeaudio.training.corpus import kept_by_hash, sounds_only

__all__ = ["FEWEST_PEOPLE", "Family", "People", "SpeakerJob", "family_of", "gather"]

FEWEST_PEOPLE = 20
"""Fewer people under one microphone teach the microphone rather than their voices."""
MANY_PEOPLE = 100
"""Only where so many speak are some of them held out."""
HELD_OUT_SHARE = 0.22
_HELD_OUT_SPLITS = ("development", "held_out")
"""Splits like "validation" are often other sentences by the same people: who is held out goes by name."""
_LEFT_OUT_SPLIT = "test"
"""What others measure with is neither learned from nor used to choose thresholds, whoever speaks."""
_MOST_SECONDS = 150.0
"""Of one person: somebody who reads a book tells no more about how people differ."""
_LONGEST_S = 40.0


@dataclass(frozen=True)
class SpeakerJob(Job):
    """Everything the user may choose.

    Parameters
    ----------
    width : int
        Channels of the network; its parameters grow with the square.
    overwrite : bool
        Replace a model that stands where the new one goes.
    """

    width: int = 112
    overwrite: bool = False


@dataclass(frozen=True)
class Family:
    """The people of one collection of recordings, with what each of them said."""

    name: str
    people: dict[str, list[Row]]

    @property
    def seconds(self) -> float:
        """How much there is of all of them."""
        return sum(row.seconds or 0.0 for rows in self.people.values() for row in rows)


@dataclass(frozen=True)
class People:
    """Who is learned from and who is held out, by family, and recordings of noises."""

    training: list[Family]
    held_out: list[Family]
    noises: list[Row]
    used: dict[str, int]
    """Recordings that are learned from, by their folder."""


def family_of(corpus: str) -> str:
    """The collection that a folder holds a part of: what its name says before the last underscore.

    Examples
    --------
    >>> family_of("speech_commands_part"), family_of("speech_commands_half"), family_of("digits")
    ('speech_commands', 'speech_commands', 'digits')
    """
    return corpus.rpartition("_")[0] or corpus


def gather(job: SpeakerJob, reporter: Reporter) -> People:
    """Find who speaks in the folders of a job, and hold some of them out.

    Raises
    ------
    InputError
        Too few people speak, or a corpus is malformed.
    UsageError
        The job names no recordings.
    """
    if job.data is None:
        raise UsageError("nothing to learn from", hint="Name a folder of corpora: --data DIR")
    corpora = look_for_corpora(job.data)
    if not corpora:
        raise InputError(
            f"{job.data}: no recordings in it that say who speaks",
            hint="Known layouts: manifest.tsv with a column speaker, LibriSpeech, Common Voice.",
        )
    spoken, noises = _sort(corpora)
    training: list[Family] = []
    held_out: list[Family] = []
    for name, (people, apart) in spoken.items():
        kept = {person for person in people if len(people) >= MANY_PEOPLE and _is_held_out(name, person)}
        kept |= apart
        learned = {person: _some(rows) for person, rows in people.items() if person not in kept}
        if len(learned) >= FEWEST_PEOPLE:
            training.append(Family(name, learned))
        if kept:
            held_out.append(Family(name, {person: _some(people[person]) for person in sorted(kept)}))
    if not training:
        raise InputError(
            f"{job.data}: no corpus in which {FEWEST_PEOPLE} people speak",
            hint="Manifests need a column speaker; the people of one corpus should share a microphone.",
        )
    folder = {row.path: corpus for corpus, rows in corpora.items() for row in rows}
    learned_from = (row for family in training for own in family.people.values() for row in own)
    used = Counter(folder[row.path] for row in learned_from)
    for what, families in (("learned from", training), ("held out", held_out)):
        listed = (f"{len(one.people)} of {one.name} ({one.seconds / 3600:.1f} h)" for one in families)
        reporter.tell(f"people {what}: {', '.join(listed)}")
    return People(training, held_out, noises, dict(used))


def _sort(
    corpora: Mapping[str, Sequence[Row]],
) -> tuple[dict[str, tuple[dict[str, list[Row]], set[str]]], list[Row]]:
    """By family: people with their recordings, and those whom a split keeps apart; and noises."""
    spoken: dict[str, tuple[dict[str, list[Row]], set[str]]] = {}
    noises: list[Row] = []
    for corpus, rows in corpora.items():
        for row in rows:
            if row.split == _LEFT_OUT_SPLIT:
                continue
            if sounds_only(corpus, row.label):
                noises += [row] * (corpus != "rooms")
            elif row.speaker and (row.seconds is None or row.seconds <= _LONGEST_S):
                people, apart = spoken.setdefault(family_of(corpus), ({}, set()))
                people.setdefault(row.speaker, []).append(row)
                if row.split in _HELD_OUT_SPLITS:
                    apart.add(row.speaker)
    return spoken, noises


def _is_held_out(family: str, person: str) -> bool:
    return kept_by_hash(f"voice {family} {person}", HELD_OUT_SHARE)


def _some(rows: Iterable[Row]) -> list[Row]:
    """Recordings spread over all that a person said, as many as are learned from."""
    every = list(rows)
    chosen: list[Row] = []
    seconds = 0.0
    for i in np.random.default_rng(0).permutation(len(every)):
        if seconds >= _MOST_SECONDS:
            break
        chosen.append(every[int(i)])
        seconds += every[int(i)].seconds or 0.0
    return sorted(chosen, key=lambda row: str(row.path))
