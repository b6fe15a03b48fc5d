"""Recordings for training: decoded once, kept as one int16 memory map for each manifest.

Decoding twenty hours of Opus costs minutes, an epoch reads them in seconds; so the samples lie
in a cache folder (``$XDG_CACHE_HOME/edgeaudio``), named by a hash of the manifest's content.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import InputError, UsageError
from edgeaudio.evaluation.manifest import Row, read_clip, read_manifest
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = [
    "Clip",
    "Hints",
    "default_cache_dir",
    "find_manifests",
    "held_out",
    "in_first_half",
    "is_background",
    "kept_by_hash",
    "load_clips",
    "mentions",
    "sounds_only",
    "word_bounds",
]

Pcm = NDArray[np.int16]

_BACKGROUND_FOLDERS = re.compile(r"noise|background|esc\d+|cry|rooms")
"""Folders whose recordings hold sounds, not words."""
_BACKGROUND_LABELS = re.compile(r"silence|noises-.*")


@dataclass(frozen=True)
class Hints:
    """What a recogniser heard in a clip, frame by frame; see :mod:`~edgeaudio.training.hints`.

    ``log_probs`` is ``[n, n_tokens] uint8``. Frame ``i`` has the clip's sample ``i * frame_samples +
    newest`` as its newest one.
    """

    log_probs: NDArray[np.uint8]
    frame_samples: int
    newest: int


@dataclass(frozen=True)
class Clip:
    """One decoded recording.

    ``pcm`` is ``[n_samples] int16`` at 16 kHz, a view into the memory map. ``corpus`` is the
    name of the manifest's folder, ``key`` names the recording inside it.
    """

    corpus: str
    key: str
    pcm: Pcm
    label: str = ""
    speaker: str = ""
    split: str = ""
    text: str = ""
    hints: Hints | None = None

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.pcm) / SAMPLE_RATE_HZ


def default_cache_dir() -> Path:
    """Where decoded recordings and checkpoints go unless the user names another folder.

    Raises
    ------
    UsageError
        The user has no home folder.
    """
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - Path's raises
    if folder.startswith("~"):
        raise UsageError(
            "there is no home folder for decoded recordings and checkpoints",
            hint="Name folders with --cache and --checkpoint-dir, or set XDG_CACHE_HOME.",
        )
    return Path(folder) / "edgeaudio"


def find_manifests(folder: str | Path) -> list[Path]:
    """The ``manifest.tsv`` of a folder or of the folders directly inside it, sorted by name."""
    folder = Path(folder)
    found = [folder / "manifest.tsv"] if (folder / "manifest.tsv").is_file() else []
    found += sorted(folder.glob("*/manifest.tsv"))
    if not found and not folder.is_dir():
        raise InputError(f"{folder} is no folder", hint="Name a folder of corpora.")
    if not found:
        raise InputError(
            f"{folder}: no manifest.tsv in it or in the folders inside it",
            hint="A manifest is tab-separated: path, seconds, speaker, split, label, text.",
        )
    return found


def load_clips(
    manifests: Iterable[Path],
    cache_dir: Path,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Clip]:
    """Decode recordings, or map what an earlier call decoded.

    Parameters
    ----------
    manifests : iterable of Path
    cache_dir : Path
        Created if absent; holds two bytes a sample.
    progress : callable, optional
        Called with the corpus, the number of recordings decoded so far and their total.
    """
    clips: list[Clip] = []
    for manifest in manifests:
        rows = read_manifest(manifest)
        corpus = manifest.parent.name
        samples, ends = _decoded(manifest, rows, cache_dir / "pcm", progress)
        starts = [0, *ends[:-1].tolist()]
        for row, start, end in zip(rows, starts, ends.tolist(), strict=True):
            key = str(row.path.relative_to(manifest.parent))
            clips.append(Clip(corpus, key, samples[start:end], row.label, row.speaker, row.split, row.text))
    return clips


def _decoded(
    manifest: Path, rows: list[Row], folder: Path, progress: Callable[[str, int, int], None] | None
) -> tuple[Pcm, NDArray[np.int64]]:
    """All samples of a manifest end to end, and where each recording ends."""
    content = str(manifest.resolve()).encode() + manifest.read_bytes()
    name = f"{manifest.parent.name}-{hashlib.sha256(content).hexdigest()[:16]}"
    pcm_path, ends_path = folder / f"{name}.i16", folder / f"{name}.npy"
    if not ends_path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        ends: list[int] = []
        # Written under another name first, so that an interrupted run leaves no half cache.
        partial = folder / f"{name}.{os.getpid()}.partial"
        with partial.open("wb") as file:
            for done, row in enumerate(rows, start=1):
                clip = np.round(np.clip(read_clip(row), -1.0, 1.0) * 32767.0).astype("<i2")
                file.write(clip.tobytes())
                ends.append(len(clip) + (ends[-1] if ends else 0))
                if progress is not None:
                    progress(manifest.parent.name, done, len(rows))
        partial.replace(pcm_path)
        np.save(ends_path, np.array(ends, dtype=np.int64), allow_pickle=False)
    ends_array: NDArray[np.int64] = np.load(ends_path, allow_pickle=False)
    return np.memmap(pcm_path, dtype="<i2", mode="r"), ends_array


def held_out(clip: Clip, share: float, *, salt: str = "") -> bool:
    """Whether a recording belongs to the development set: decided by a hash of its speaker.

    Recordings without a speaker are decided one by one. The corpus is not part of the hash, so
    a speaker who appears in two corpora is on the same side in both. Another ``salt`` splits them
    another way.
    """
    return kept_by_hash(salt + (clip.speaker or f"{clip.corpus}/{clip.key}"), share)


def in_first_half(clip: Clip) -> bool:
    """Whether a held-out speaker belongs to the half of them on which the other half's choices are judged."""
    return held_out(clip, 0.5, salt="half ")


def kept_by_hash(name: str, share: float) -> bool:
    """Whether a speaker of this name is held out: a part of all names, by their hash."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def is_background(clip: Clip) -> bool:
    """Whether nobody is meant to speak in a recording."""
    return sounds_only(clip.corpus, clip.label)


def sounds_only(corpus: str, label: str) -> bool:
    """Whether nobody is meant to speak in recordings of that folder with that label."""
    return bool(_BACKGROUND_FOLDERS.search(corpus) or _BACKGROUND_LABELS.fullmatch(label))


def mentions(clip: Clip, words: Iterable[str]) -> bool:
    """Whether a label or transcript contains one of the words (or phrases), in any case."""
    said = " " + re.sub(r"[^a-z']+", " ", f"{clip.label} | {clip.text}".lower()) + " "
    return any(f" {word.lower()} " in said for word in words)


def word_bounds(pcm: Pcm) -> tuple[int, int]:
    """First and last sample of the loudest stretch of speech in a short recording.

    A 10 ms power envelope, smoothed over 30 ms, is compared with a level between the noise (its
    20th percentile) and the peak, a fifth of the way up in dB but at most 30 dB below the peak.
    The stretch grows from the peak across pauses of at most 120 ms, as before the burst of a
    final plosive.
    """
    hop, pause = SAMPLE_RATE_HZ // 100, 12
    n = len(pcm) // hop
    if n < 3:
        return 0, len(pcm)
    blocks = pcm[: n * hop].astype(np.float32).reshape(n, hop)
    power = np.var(blocks, axis=1) + 1.0
    level = 10.0 * np.log10(np.convolve(power, np.ones(3) / 3.0, mode="same"))
    peak, floor = float(level.max()), float(np.percentile(level, 20))
    loud = np.flatnonzero(level > max(floor + 0.2 * (peak - floor), peak - 30.0))
    # Runs of loud blocks, pauses bridged; keep the run that holds the peak.
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > pause) + 1)
    top = int(level.argmax())
    run = next(group for group in groups if group[0] <= top <= group[-1])
    return int(run[0]) * hop, min(int(run[-1] + 1) * hop, len(pcm))
