"""What the shipped recogniser hears in recordings: hints that a spotter learns from beside its own task.

A few hundred recordings of a word do not teach a small network what sounds are. The recogniser has
heard tens of hours of speech; while it trains, the spotter also has to say what phones the recogniser
hears, so that it gets its layers from all speech there is and its words from what is labelled. The
recogniser hears the recordings as they are, the spotter hears them in noise and rooms. Nothing of this
is left in the exported network.

Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import open_graph
from edgeaudio.frontend import Frontend
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.tasks.acoustic import StreamingAcoustic
from edgeaudio.training.corpus import Clip, Hints, is_background
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["STEPS_PER_NAT", "TEACHER", "ZERO", "Hearing", "add_hints"]

TEACHER = "captions-en-small"

STEPS_PER_NAT = 32.0
ZERO = 128.0
"""A log probability ``p`` is kept as ``(p + 8) * 32``: 0 to -8 in a byte, whose middle is -4."""
_LOWEST = -2 * ZERO / STEPS_PER_NAT

_TAIL_S = 0.4
"""Answered after a recording's end, since a recogniser answers late."""
_RMS = 0.05


@dataclass(frozen=True)
class Hearing:
    """How a recogniser hears: its name, what its tokens stand for, and how long after a sound it tells it."""

    name: str
    labels: tuple[str, ...]
    delay_samples: int

    @classmethod
    def of(cls, teacher: str | Path = TEACHER) -> Hearing:
        """That of a bundle, by name or folder.

        Raises
        ------
        ModelError
            There is no such recogniser.
        """
        manifest = load_bundle(find_model(teacher)).manifest
        delay = round(manifest.recognition.delay_ms * SAMPLE_RATE_HZ / 1000)
        return cls(f"{manifest.name} {manifest.version}", tuple(manifest.labels), delay)


def add_hints(
    clips: Sequence[Clip],
    cache_dir: Path,
    *,
    teacher: str | Path = TEACHER,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Clip]:
    """The same recordings; those with speech say what the recogniser heard in them.

    Parameters
    ----------
    clips : sequence of Clip
    cache_dir : Path
        Keeps what was heard: a byte for each token and 40 ms.
    teacher : str or Path
        Name or folder of the recogniser.
    progress : callable, optional
        Called with the corpus, the number of its recordings heard so far and their total.

    Raises
    ------
    ModelError
        There is no such recogniser.
    """
    bundle = load_bundle(find_model(teacher))
    by_corpus: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        if not is_background(clip):
            by_corpus[clip.corpus].append(i)
    hinted = list(clips)
    spec = bundle.manifest.frontend
    frame_samples = spec.hop_samples * bundle.manifest.stride
    newest = (bundle.manifest.stride - 1) * spec.hop_samples + spec.window_samples - 1
    for corpus, own in by_corpus.items():
        heard, ends = _heard(bundle, [clips[i] for i in own], cache_dir / "hints", corpus, progress)
        starts = [0, *ends[:-1].tolist()]
        for i, start, end in zip(own, starts, ends.tolist(), strict=True):
            hinted[i] = replace(clips[i], hints=Hints(heard[start:end], frame_samples, newest))
    return hinted


def _heard(
    bundle: Bundle,
    clips: Sequence[Clip],
    folder: Path,
    corpus: str,
    progress: Callable[[str, int, int], None] | None,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Answers to all recordings end to end, and where each one's end."""
    facts = [
        bundle.manifest.name,
        bundle.manifest.version,
        *(f"{clip.key}:{len(clip.pcm)}" for clip in clips),
    ]
    name = f"{corpus}-{hashlib.sha256('|'.join(facts).encode()).hexdigest()[:16]}"
    heard_path, ends_path = folder / f"{name}.u8", folder / f"{name}.npy"
    n_tokens = len(bundle.manifest.labels)
    if not ends_path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        ends: list[int] = []
        # Written under another name first, so that an interrupted run leaves no half cache.
        partial = folder / f"{name}.{os.getpid()}.partial"
        with partial.open("wb") as file:
            for done, answers in enumerate(_answers(bundle, clips), start=1):
                file.write(answers.tobytes())
                ends.append(len(answers) + (ends[-1] if ends else 0))
                if progress is not None:
                    progress(corpus, done, len(clips))
        partial.replace(heard_path)
        np.save(ends_path, np.array(ends, dtype=np.int64), allow_pickle=False)
    ends_array: NDArray[np.int64] = np.load(ends_path, allow_pickle=False)
    return np.memmap(heard_path, dtype=np.uint8, mode="r").reshape(-1, n_tokens), ends_array


def _answers(bundle: Bundle, clips: Sequence[Clip]) -> Iterator[NDArray[np.uint8]]:
    acoustic = StreamingAcoustic(open_graph(bundle), bundle.manifest)
    frontend = Frontend(acoustic.spec)
    tail = np.zeros(round(_TAIL_S * SAMPLE_RATE_HZ) + frontend.spec.window_samples, np.float32)
    for clip in clips:
        acoustic.reset()
        frontend.reset()
        log_probs = acoustic.process(frontend.process(np.concatenate((_leveled(clip.pcm), tail))))
        yield np.clip((log_probs - _LOWEST) * STEPS_PER_NAT, 0, 255).astype(np.uint8)


def _leveled(pcm: NDArray[np.int16]) -> Samples:
    """At the level of usual speech; what is beyond full scale then is cut off."""
    samples = pcm.astype(np.float32)
    rms = float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
    leveled: Samples = np.clip(samples * np.float32(_RMS / (rms + 1.0)), -1.0, 1.0)
    return leveled
