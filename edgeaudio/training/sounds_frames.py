"""Feature frames of recordings of sounds, as they are and as they might have been.

A recording is heard in several takes: played slower and faster, in rooms. That changes its spectrum in
ways that frames cannot imitate, so takes are computed once, from samples, and kept as float16 in the
cache folder. What frames can imitate (level, colour, other sounds beside it) is drawn anew for every
example, see :mod:`edgeaudio.training.sounds_batches`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.training.augment import add_room, prepare_room
from edgeaudio.training.batches import offline_frames
from edgeaudio.training.corpus import Clip
from edgeaudio.training.sounds_corpus import BACKGROUND, PIECE, SPEECH, SoundSet
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

__all__ = ["Ear", "Take", "Takes", "frontend_ear", "level_db", "make_takes", "sounding"]

TAKES, FEW_TAKES = 9, 2
"""Of a recording that accuracy is measured on, and of all others."""
LONGEST_S = 6.0
SPEED = (0.8, 1.25)
ROOM_EVERY = 3
SPEECH_CLIPS = 750
"""Of speech there is far more than of anything else, and it is told apart most easily."""
PIECES = 10
"""A long background is heard in up to so many stretches."""

AUDIBLE_DB = 30.0
"""Below a recording's loudest moment: what is quieter does not count as the sound."""
LEAST_LEVEL_DB = -20.0
"""About -68 dBFS: below that there is nothing to hear at all."""
BRIDGED_FRAMES = 100
"""Between two ticks of a clock, or two barks, it is still the same clock and dog."""


@dataclass(frozen=True)
class Ear:
    """How samples become frames, whose last axis lies along ``positions`` from 0, the lowest, to 1."""

    name: str
    frames_of: Callable[[Samples], Frames]
    positions: NDArray[np.float32]
    floor: float


@dataclass(frozen=True)
class Take:
    """``frames [n, n_bands] float16`` (natural logarithms of powers), and ``active [n]``: where it sounds."""

    frames: NDArray[np.float16]
    active: NDArray[np.bool_]


@dataclass(frozen=True)
class Takes:
    """A recording in all its takes, the first one as it is."""

    clip: Clip
    takes: tuple[Take, ...]


def frontend_ear(spec: FrontendSpec) -> Ear:
    """Frames as a model of this frontend hears them."""
    frontend = Frontend(spec)
    positions = np.linspace(0.0, 1.0, spec.n_bands, dtype=np.float32)
    return Ear(spec.fingerprint, lambda samples: offline_frames(frontend, samples), positions, spec.log_floor)


def level_db(frames: Frames) -> NDArray[np.float32]:
    """The level of each frame: the power of all its bands, without a reference."""
    power = np.exp(frames, dtype=np.float32).sum(-1)
    level: NDArray[np.float32] = 10.0 * np.log10(power + np.float32(1e-9))
    return level


def sounding(frames: Frames) -> NDArray[np.bool_]:
    """Where a recording sounds, pauses bridged: ``[n]``.

    Recordings of sounds are padded with zeros, and hold a second of bark in five. A label is true
    where there is something to hear.
    """
    active = np.zeros(len(frames), np.bool_)
    level = level_db(frames)
    if len(level) >= 5:
        level = np.convolve(level, np.ones(5) / 5, mode="same").astype(np.float32)
    loud = np.flatnonzero(level > max(float(level.max(initial=-99.0)) - AUDIBLE_DB, LEAST_LEVEL_DB))
    for stretch in np.split(loud, np.flatnonzero(np.diff(loud) > BRIDGED_FRAMES) + 1):
        if len(stretch):
            active[stretch[0] : stretch[-1] + 1] = True
    return active


def make_takes(
    sounds: SoundSet,
    ear: Ear,
    cache: Path,
    seed: int,
    *,
    n_takes: int = TAKES,
    progress: Callable[[float], None] | None = None,
) -> list[Takes]:
    """All takes of all recordings, from the cache if they were made before.

    There are ``n_takes`` of each recording that accuracy is measured on.
    """
    chosen = _chosen(sounds, seed, n_takes)
    told = repr((ear.name, seed, FEW_TAKES, len(sounds.rooms), SPEED, LONGEST_S, PIECES))
    clips = [(clip.corpus, clip.key, clip.label, clip.split, len(clip.pcm), n) for clip, n in chosen]
    digest = hashlib.sha256((told + repr(clips)).encode()).hexdigest()[:16]
    frames_path = cache / "sounds" / f"{digest}.npy"
    index_path = frames_path.with_suffix(".npz")
    if not index_path.is_file():
        frames_path.parent.mkdir(parents=True, exist_ok=True)
        rooms = [prepare_room(room) for room in sounds.rooms]
        made = _listen(chosen, rooms, ear, np.random.default_rng(seed), progress)
        _keep(frames_path, index_path, made)
    frames = np.load(frames_path, mmap_mode="r", allow_pickle=False)
    with np.load(index_path, allow_pickle=False) as index:
        ends, active = index["ends"], index["active"]
    starts = np.concatenate([[0], ends[:-1]])
    takes = [Take(frames[a:b], active[a:b]) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    at = iter(takes)
    return [Takes(clip, tuple(next(at) for _ in range(n))) for clip, n in chosen]


def _chosen(sounds: SoundSet, seed: int, n_takes: int) -> list[tuple[Clip, int]]:
    """The recordings that are heard, and in how many takes."""
    rng = np.random.default_rng(seed)
    corpora: dict[str, list[Clip]] = {}
    chosen = []
    for clip in sounds.clips:
        if sounds.is_measured(clip):
            chosen.append((clip, n_takes))
        elif clip.label == SPEECH:
            if clip.seconds >= 1.0:
                corpora.setdefault(clip.corpus, []).append(clip)
        elif clip.label == BACKGROUND:
            n = int(np.clip(clip.seconds // LONGEST_S, 1, PIECES))
            size = len(clip.pcm) // n
            pieces = [clip.pcm[i * size : (i + 1) * size] for i in range(n)]
            chosen += [
                (Clip(clip.corpus, f"{clip.key}{PIECE}{i}", pcm, BACKGROUND, split=clip.split), FEW_TAKES)
                for i, pcm in enumerate(pieces)
            ]
        else:
            chosen.append((clip, FEW_TAKES))
    for clips in corpora.values():
        n = min(len(clips), SPEECH_CLIPS // len(corpora))
        chosen += [(clips[int(i)], 1) for i in rng.permutation(len(clips))[:n]]
    return chosen


def _listen(
    chosen: Sequence[tuple[Clip, int]],
    rooms: Sequence[Samples],
    ear: Ear,
    rng: np.random.Generator,
    progress: Callable[[float], None] | None,
) -> list[Take]:
    found = []
    for done, (clip, n) in enumerate(chosen):
        samples = _excerpt(clip, rng)
        for i in range(n):
            frames = ear.frames_of(_played(samples, i, rooms, rng))
            found.append(Take(frames.astype(np.float16), sounding(frames)))
        if progress is not None:
            progress((done + 1) / len(chosen))
    return found


def _keep(frames_path: Path, index_path: Path, takes: Sequence[Take]) -> None:
    # Written under a name of its own first: an interrupted run, or another one beside it, leaves no half.
    partial = frames_path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, np.concatenate([take.frames for take in takes]), allow_pickle=False)
    partial.replace(frames_path)
    index: dict[str, Any] = {
        "ends": np.cumsum([len(take.frames) for take in takes]),
        "active": np.concatenate([take.active for take in takes]),
    }
    np.savez(index_path, **index)


def _excerpt(clip: Clip, rng: np.random.Generator) -> Samples:
    longest = round(LONGEST_S * SAMPLE_RATE_HZ)
    pcm = clip.pcm
    if len(pcm) > longest:
        start = int(rng.integers(len(pcm) - longest + 1))
        pcm = pcm[start : start + longest]
    samples: Samples = pcm.astype(np.float32) / np.float32(32768.0)
    # Half a second at least, so that there are frames to choose from.
    return np.pad(samples, (0, max(0, SAMPLE_RATE_HZ // 2 - len(samples))))


def _played(samples: Samples, take: int, rooms: Sequence[Samples], rng: np.random.Generator) -> Samples:
    import soxr

    if take == 0:
        return samples
    speed = float(np.exp(rng.uniform(*np.log(SPEED))))
    played: Samples = soxr.resample(samples, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ, quality="LQ")
    if rooms and take % ROOM_EVERY == ROOM_EVERY - 1:
        played = add_room(played, rooms[int(rng.integers(len(rooms)))], wet=float(rng.uniform(0.2, 1.0)))
    return played
