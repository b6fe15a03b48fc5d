"""Hear the same recordings with each, and write the table."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeaudio.decoding.text import normalise
from edgeaudio.errors import EdgeAudioError, InputError
from edgeaudio.evaluation.alignment import align
from edgeaudio.evaluation.captions import TAIL_S
from edgeaudio.evaluation.commands import select_rows
from edgeaudio.evaluation.intervals import bootstrap_interval
from edgeaudio.evaluation.manifest import Row, read_clip, read_manifest
from edgeaudio.evaluation.mixing import NoiseBank, active_rms, add_noise, in_quiet
from edgeaudio.training.captions import MANY_SPEAKERS, is_kept_back
from edgeaudio.types import SAMPLE_RATE_HZ, Samples
from tools.benchmarks.report import Table, circumstances, write_between
from tools.captioning.ears import Ear, Ours, PocketSphinx

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "captions.md"
CORPORA = ("librispeech_part", "speechocean762", "wuw2_telephone")
SNRS_DB = (None, 10.0)
_BABBLE = ("cinematic",)
"""Noise in which somebody speaks."""


@dataclass
class Score:
    """Of one recogniser on one set, a number each recording."""

    errors: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)

    def cell(self) -> str:
        """The word error rate with its interval."""
        low, high = bootstrap_interval(self.errors, self.words, self.speakers)
        return f"{sum(self.errors) / sum(self.words):.1%} ({100 * low:.1f} to {100 * high:.1f})"

    def less_than(self, other: Score) -> str:
        """By how many points this one errs more or less than the other, on the same recordings."""
        more = [mine - theirs for mine, theirs in zip(self.errors, other.errors, strict=True)]
        low, high = bootstrap_interval(more, self.words, self.speakers)
        text = f"{100 * sum(more) / sum(self.words):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        return f"**{text}**" if low > 0 or high < 0 else text


def main() -> int:
    """Run the tool; the exit code is edgeaudio's own for what went wrong."""
    parser = argparse.ArgumentParser(prog="tools/compare-captions", description=__doc__)
    parser.add_argument("recordings", type=Path, help="folder of corpora, each with a manifest.tsv")
    parser.add_argument("--model", default="captions-en-small", help="name or folder of the recogniser")
    parser.add_argument("--count", type=int, default=60, help="recordings of each corpus, at most")
    parser.add_argument("--write-docs", action="store_true", help=f"replace the table of {DOCUMENT.name}")
    options = parser.parse_args()
    try:
        text = _page(options.recordings, options.model, options.count, sys.argv[2:])
    except EdgeAudioError as error:
        print(f"tools/compare-captions: {error}", file=sys.stderr)
        return error.exit_code
    print(text)
    if options.write_docs:
        write_between(DOCUMENT, "bench:compare-captions", text)
    return 0


def held_out(recordings: Path, corpus: str, count: int) -> list[Row]:
    """Recordings with people's own transcripts whose speakers ``edgeaudio train captions`` keeps apart."""
    path = recordings / corpus / "manifest.tsv"
    rows = [row for row in read_manifest(path) if row.label != "recognised"]
    many = len({row.speaker for row in rows}) >= MANY_SPEAKERS
    chosen = [row for row in rows if is_kept_back(row, many=many)]
    if not chosen:
        raise InputError(f"{path}: nobody in it is kept apart", hint=f"Corpora heard: {', '.join(CORPORA)}")
    return select_rows(chosen, limit=count)


def mixtures(rows: Sequence[Row], noise: NoiseBank, snr_db: float | None) -> Iterator[Samples]:
    """Each recording with quiet behind it; all of it amid noise, the same at every call."""
    for index, row in enumerate(rows):
        clip = read_clip(row)
        samples = in_quiet(clip, 0, round(TAIL_S * SAMPLE_RATE_HZ))
        if snr_db is not None:
            excerpt = noise.excerpt(np.random.default_rng([index, 1]), len(samples))
            samples = add_noise(samples, excerpt, speech_rms=active_rms(clip), snr_db=snr_db)
        yield samples


def score(ear: Ear, rows: Sequence[Row], audio: Iterator[Samples]) -> Score:
    """Word errors of one recogniser in each recording."""
    result = Score(speakers=[row.speaker or row.origin for row in rows])
    for row, samples in zip(rows, audio, strict=True):
        said = normalise(row.text)
        result.errors.append(sum(a != b for a, b in align(said, ear.write_down(samples))))
        result.words.append(len(said))
    return result


def _page(recordings: Path, model: str, count: int, arguments: Sequence[str]) -> str:
    noises = [row for row in read_manifest(recordings / "noise" / "manifest.tsv") if row.label not in _BABBLE]
    noise = NoiseBank(noises)
    ours, theirs = ears = (Ours(model), PocketSphinx())
    table, heard_s = [], 0.0
    for corpus in CORPORA:
        rows = held_out(recordings, corpus, count)
        for snr_db in SNRS_DB:
            print(f"{corpus}, {_named(snr_db)}", file=sys.stderr, flush=True)
            mine, other = (score(ear, rows, mixtures(rows, noise, snr_db)) for ear in ears)
            heard_s += sum(len(samples) for samples in mixtures(rows, noise, snr_db)) / SAMPLE_RATE_HZ
            facts = [corpus, _named(snr_db), str(len(rows)), str(sum(mine.words))]
            table.append([*facts, mine.cell(), other.cell(), mine.less_than(other)])
    columns = ["recordings of", "noise", "recordings", "words", ours.name, theirs.name, "difference, points"]
    costs = " and ".join(f"{ear.name} {ear.busy_s / heard_s:.3f}" for ear in ears)
    return "\n\n".join(
        (
            circumstances(["pocketsphinx", "onnxruntime", "numpy"]),
            f"    tools/compare-captions RECORDINGS {shlex.join(arguments)}".rstrip(),
            "Word errors on speakers that were not trained on, as they are and with noise so much below the "
            f"speech; {ours.name} as a stream in blocks of 80 ms, its committed words; {theirs.name} each "
            "recording at once, with the model, dictionary and trigrams that it comes with. In parentheses "
            f"95 % by a bootstrap over speakers. {ours.name} learned amid the same noises, from others who "
            "speak in the same corpora. Seconds of CPU time a second of audio, features and search included: "
            f"{costs}.",
            Table(columns, table).markdown(),
        )
    )


def _named(snr_db: float | None) -> str:
    return "none" if snr_db is None else f"{snr_db:g} dB"


if __name__ == "__main__":
    sys.exit(main())
