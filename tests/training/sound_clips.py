"""Recordings of sounds that are easy to tell: a low and a high tone, noise around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from edgeaudio.types import SAMPLE_RATE_HZ, Samples

TONES_HZ = {"low": 300.0, "high": 3000.0}


def tone(label: str, seed: int = 0, seconds: float = 1.0) -> Samples:
    """A tone in the middle three fifths, digital silence around it."""
    rng, n = np.random.default_rng(seed), round(seconds * SAMPLE_RATE_HZ)
    hz = TONES_HZ[label] * rng.uniform(0.95, 1.05)
    samples = 0.3 * np.sin(2 * np.pi * hz * np.arange(n) / SAMPLE_RATE_HZ)
    samples[: n // 5] = samples[n - n // 5 :] = 0.0
    return samples.astype(np.float32)


def write_tones(folder: Path, n: int = 4, folds: int = 2) -> None:
    """A manifest of `n` recordings of each tone, in turn in the folds."""
    folder.mkdir(parents=True)
    lines = ["path\tspeaker\tsplit\tlabel\ttext\tsource\tlicence"]
    for label in TONES_HZ:
        for i in range(n):
            soundfile.write(folder / f"{label}{i}.wav", tone(label, i), SAMPLE_RATE_HZ)
            lines.append(f"{label}{i}.wav\t\t{1 + i % folds}\t{label}\t\tmade here\tCC0-1.0")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")


def write_hiss(folder: Path, rows: list[tuple[str, str, str, str]]) -> None:
    """A manifest of noise, said to be (speaker, split, label, text)."""
    folder.mkdir(parents=True)
    lines = ["path\tspeaker\tsplit\tlabel\ttext"]
    for i, row in enumerate(rows):
        hiss = np.random.default_rng(i).normal(0.0, 0.03, 5 * SAMPLE_RATE_HZ // 4)
        soundfile.write(folder / f"{i}.wav", hiss, SAMPLE_RATE_HZ)
        lines.append("\t".join((f"{i}.wav", *row)))
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
