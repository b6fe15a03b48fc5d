"""What a VAD is trained and measured on: who speaks, what else sounds, and who and what is held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import Row, read_clip, read_manifest
from edgeaudio.evaluation.mixing import NoiseBank
from edgeaudio.evaluation.speech import Excerpt, excerpts, speech_by_level
from edgeaudio.training.corpus import Clip, kept_by_hash, sounds_only
from edgeaudio.training.surroundings import made_rooms
from edgeaudio.training.vad_sounds import babble, made_sounds
from edgeaudio.training.vad_streams import Talk
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["SNRS_DB", "HeldOut", "Side", "VadMaterial", "gather", "held_out", "is_clear"]

SNRS_DB = (20.0, 10.0, 5.0, 0.0)
"""Of the mixtures that are measured on, besides the recordings as they are."""

Side = Literal["training", "development", "test"]

_HELD_OUT_SPLITS = ("validation", "dev", "test", "development", "held_out")
_SPEAKERS_SHARE, _NOISE_SHARE = 0.2, 0.3
_MADE_SOUNDS, _BABBLES, _MADE_ROOMS = 144, 16, 30
_MOST_OF_ONE_CORPUS, _MOST_HELD_NOISES = 250, 30
_SPEEDS = (0.65, 1.5)
_LOUD = 1e-4
_LEAST_RANGE_DB = 25.0


@dataclass(frozen=True)
class VadMaterial:
    """Recordings to learn from; ``used`` counts those of each corpus.

    ``sounds`` are noises and single sounds of all kinds but ``babble``.
    """

    talks: list[Talk]
    sounds: list[Samples]
    babble: list[Samples]
    rooms: list[Samples]
    used: dict[str, int] = field(default_factory=dict)


class Described(Protocol):
    """What a manifest says about a recording: a `Clip` has it."""

    @property
    def corpus(self) -> str:
        """The manifest's folder."""

    @property
    def key(self) -> str:
        """The recording's path in it."""

    @property
    def label(self) -> str:
        """What is heard, as far as that is a word."""

    @property
    def speaker(self) -> str:
        """Who speaks."""

    @property
    def split(self) -> str:
        """The corpus's own division."""


def kind_of(recording: Described) -> Literal["room", "noise", "speech", "unknown"]:
    """What a recording is good for; of what is not known, nobody can say whether somebody speaks in it."""
    if recording.corpus == "rooms":
        return "room"
    if sounds_only(recording.corpus, ""):
        return "noise"
    return "unknown" if sounds_only(recording.corpus, recording.label) else "speech"


def side_of(recording: Described, last_fold: str) -> Side:
    """Decide by a hash of the speaker, or the noise, whether a recording is trained on.

    A fifth of the speakers and three tenths of the noises are not, besides the splits that a manifest names;
    of noises in numbered folds those of the last one. Half of them are for development, half for tests.
    """
    name, share = recording.speaker or f"{recording.corpus}/{recording.key}", _SPEAKERS_SHARE
    if kind_of(recording) == "noise":
        name, share = f"{recording.corpus}/{recording.key}", _NOISE_SHARE
    if recording.split.isdigit():
        apart = recording.split == last_fold
    else:
        apart = recording.split in _HELD_OUT_SPLITS
        apart = apart or (recording.split != "train" and kept_by_hash(f"vad {name}", share))
    if not apart:
        return "training"
    return "test" if kept_by_hash(f"test {name}", 0.5) else "development"


def last_fold_of(recordings: Iterable[Described]) -> str:
    """The fold that is held out of a corpus of sounds."""
    return max((recording.split for recording in recordings if recording.split.isdigit()), default="")


def is_clear(samples: Samples) -> bool:
    """Whether the loudest 20 ms stand out far enough that speech can be told from pauses by its level."""
    frame = SAMPLE_RATE_HZ // 50
    if len(samples) < 5 * frame:
        return False
    power = np.square(samples[: len(samples) // frame * frame].reshape(-1, frame), dtype=np.float64).mean(1)
    return bool(power.max() > np.quantile(power, 0.05) * 10 ** (_LEAST_RANGE_DB / 10) + 1e-8)


def gather(
    clips: Sequence[Clip], *, seed: int, progress: Callable[[float], None] | None = None
) -> VadMaterial:
    """Find what is learned from, and label the speech in it.

    Raises
    ------
    InputError
        There is no speech.
    """
    talks: list[Talk] = []
    noises: dict[str, list[Clip]] = defaultdict(list)
    rooms: list[Samples] = []
    used: dict[str, int] = defaultdict(int)
    last_fold = last_fold_of(clips)
    for i, clip in enumerate(clips):
        if progress is not None and i % 100 == 0:
            progress(i / len(clips))
        kind = kind_of(clip)
        if kind == "room":
            rooms.append(_floats(clip))
        elif kind == "unknown" or side_of(clip, last_fold) != "training":
            continue
        elif kind == "noise":
            noises[clip.corpus].append(clip)
        else:
            samples = _floats(clip)
            if not is_clear(samples):
                continue
            talks.append(Talk(clip, speech_by_level(samples)))
        used[clip.corpus] += 1
    if not talks:
        raise InputError(
            "no speech to learn from", hint="Give recordings of speech, with labels or texts: --data DIR"
        )
    voices = [_floats(talk.clip) for talk in talks[:: max(1, len(talks) // 300)]]
    return VadMaterial(
        talks,
        [*_balanced(noises, seed), *made_sounds(_MADE_SOUNDS, seed=seed)],
        babble(voices, _BABBLES, seed=seed),
        rooms + made_rooms(_MADE_ROOMS, seed=seed),
        dict(used),
    )


@dataclass(frozen=True)
class HeldOut:
    """Recordings to measure with: speech of speakers, and noises, that were not trained on."""

    speech: list[Row]
    noise: list[Row]

    def excerpts(self, snr_db: float | None) -> list[Excerpt]:
        """The speech in quiet, or in noise at a ratio; the same for every model."""
        noise = NoiseBank(self.noise) if snr_db is not None else None
        ratios = () if snr_db is None else (snr_db,)
        return list(excerpts(self.speech, noise=noise, snrs_db=ratios))


def held_out(manifests: Sequence[Path], side: Side, *, count: int) -> HeldOut:
    """Choose recordings of one side: of each speaker one, of all corpora as many, if they have them.

    Raises
    ------
    InputError
        There is no speech, or no noise.
    """
    found = [
        _Found(manifest.parent.name, row, manifest)
        for manifest in manifests
        for row in read_manifest(manifest)
    ]
    last_fold = last_fold_of(found)
    speech: dict[str, dict[str, Row]] = defaultdict(dict)
    noise: dict[str, list[Row]] = defaultdict(list)
    for item in sorted(found, key=lambda item: item.key[::-1]):
        kind = kind_of(item)
        if kind not in {"speech", "noise"} or side_of(item, last_fold) != side:
            continue
        if side == "development" and item.split == "test":
            continue  # what others measure with chooses no threshold
        if kind == "noise" and len(noise[item.corpus]) < _MOST_HELD_NOISES:
            noise[item.corpus].append(item.row)
        elif kind == "speech":
            speech[item.corpus].setdefault(item.speaker or item.key, item.row)
    chosen: list[Row] = []
    pools = [list(rows.values()) for rows in speech.values()]
    while len(chosen) < count and any(pools):
        for pool in pools:
            while pool:
                row = pool.pop()
                if is_clear(read_clip(row)):
                    # Found by its level, whatever a label says about words in it.
                    chosen.append(replace(row, label="", text=row.text or row.label))
                    break
    if not chosen or not noise:
        raise InputError(
            f"no {'noise' if chosen else 'speech'} is left to measure on",
            hint="Give recordings of many speakers, each named in its manifest, and of noise: --data DIR",
        )
    return HeldOut(chosen[:count], [row for rows in noise.values() for row in rows])


@dataclass(frozen=True)
class _Found:
    corpus: str
    row: Row
    manifest: Path

    @property
    def key(self) -> str:
        return str(self.row.path.relative_to(self.manifest.parent))

    @property
    def label(self) -> str:
        return self.row.label

    @property
    def speaker(self) -> str:
        return self.row.speaker

    @property
    def split(self) -> str:
        return self.row.split


def _floats(clip: Clip) -> Samples:
    samples: Samples = clip.pcm.astype(np.float32) / np.float32(32768.0)
    return samples


def _trimmed(samples: Samples) -> Samples:
    """Without the silence that fills short recordings up."""
    loud = np.flatnonzero(np.abs(samples) > _LOUD)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def _balanced(noises: dict[str, list[Clip]], seed: int) -> list[Samples]:
    """Noises, each some times at other speeds; few long ones count as much as many short ones."""
    rng = np.random.default_rng([seed, 5])
    kept: list[Samples] = []
    for clips in noises.values():
        chosen = sorted(clips, key=lambda clip: clip.key[::-1])[:_MOST_OF_ONE_CORPUS]
        for clip in chosen:
            sound = _trimmed(_floats(clip))
            kept.append(sound)
            for _ in range(max(1, _MOST_OF_ONE_CORPUS // 2 // len(chosen) - 1)):
                factor = float(np.exp(rng.uniform(*np.log(_SPEEDS))))
                times = np.arange(int(len(sound) / factor)) * factor
                kept.append(np.interp(times, np.arange(len(sound)), sound).astype(np.float32))
    return kept
