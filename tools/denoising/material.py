"""The recordings and noises that noise reduction is measured on, and others on which it was tuned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaudio.dsp.denoise import Denoiser
from edgeaudio.evaluation.commands import select_rows
from edgeaudio.evaluation.manifest import Row, read_clip, read_manifest
from edgeaudio.evaluation.mixing import NoiseBank, active_rms, add_noise, in_quiet
from edgeaudio.training.corpus import kept_by_hash
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["AROUND_SAMPLES", "KINDS", "Material", "cleaned"]

KINDS = {
    "steady": ("running_tap", "exercise_bike", "rain"),
    "changing": ("kitchen", "doing_the_dishes", "applause"),
    "music and crowds": ("music", "arcade_music", "crowd_cheering"),
}
DEVELOPMENT = ("pink_noise", "wind", "train", "car_engine", "typing", "snoring", "water", "jazz_guitar")
COMMANDS_SHARE, CAPTIONS_SHARE = 0.2, 0.15
"""Speakers whom commands-12 and captions-en-small were not trained on."""
AROUND_SAMPLES = SAMPLE_RATE_HZ
"""Of noise before and behind each recording: what listens all day knows the noise before a word comes."""


@dataclass(frozen=True)
class Material:
    """Recordings by task, and one bank a noise."""

    commands: list[Row]
    wake: list[Row]
    captions: list[Row]
    negatives: list[Row]
    noises: dict[str, NoiseBank]

    @classmethod
    def read(cls, recordings: Path, share: float, *, development: bool) -> Material:
        """Read the manifests; of each task's recordings, `share` is taken."""

        def rows(corpus: str) -> list[Row]:
            return read_manifest(recordings / corpus / "manifest.tsv")

        def mine(row: Row) -> bool:
            return kept_by_hash("denoise" + (row.speaker or str(row.path.name)), 0.5) == development

        def some(chosen: list[Row], n: int) -> list[Row]:
            return select_rows(list(filter(mine, chosen)), limit=max(1, round(share * n)))

        def held_out(corpus: str, share_out: float) -> list[Row]:
            return [row for row in rows(corpus) if kept_by_hash(row.speaker, share_out)]

        commands = held_out("speech_commands_half", COMMANDS_SHARE)
        books = held_out("librispeech_part", CAPTIONS_SHARE)
        accents = held_out("speechocean762", CAPTIONS_SHARE)
        wake = [r for r in rows("community_wake_words") if r.label in ("computer", "hey_computer")]
        noises: dict[str, list[Row]] = {}
        for row in rows("noise"):
            noises.setdefault(row.label, []).append(row)
        wanted = DEVELOPMENT if development else [name for names in KINDS.values() for name in names]
        return cls(
            commands=some(commands, 400),
            wake=some(wake, 100),
            captions=select_rows(accents if development else books, limit=max(1, round(share * 40))),
            negatives=[*some(books, 20), *some(accents, 240)],
            noises={name: NoiseBank(noises[name]) for name in wanted},
        )

    def mixed(self, row: Row, index: int, snr_db: float | None) -> tuple[Samples, Samples]:
        """A recording amid noise, or in quiet, and the same without it; both with something around."""
        clip = read_clip(row)
        quiet = in_quiet(clip, AROUND_SAMPLES, AROUND_SAMPLES)
        if snr_db is None:
            return quiet, quiet
        rng = np.random.default_rng([index, 1])
        banks = list(self.noises.values())
        noise = banks[index % len(banks)].excerpt(rng, len(quiet))
        return add_noise(quiet, noise, speech_rms=active_rms(clip), snr_db=snr_db), quiet


def cleaned(samples: Samples, strength: str) -> Samples:
    """What noise reduction makes of a recording; ``"off"`` for none."""
    if strength == "off":
        return samples
    denoiser = Denoiser(strength)  # type: ignore[arg-type]
    return np.concatenate([denoiser.process(samples).copy(), denoiser.flush()])
