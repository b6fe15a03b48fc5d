"""The shipped recogniser on real speech: the bundled recording, and voices it was not trained on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import edgeaudio
from edgeaudio.decoding.text import normalise
from edgeaudio.evaluation.alignment import align
from tests.cli.conftest import Run

ASSETS = Path(edgeaudio.__file__).parent / "assets"
MODEL = "captions-en-small"
MOST_ERRORS_BUNDLED = 0.35
"""Of a voice from the training, close to the microphone."""
MOST_ERRORS_UNSEEN = 0.47
"""Of recordings and speakers that were kept apart; their transcripts are themselves a machine's."""


def test_the_bundled_speech_is_written_down_sentence_by_sentence(run: Run) -> None:
    outcome = run("caption", ASSETS / "speech.flac", "--fast", "--json")
    finals = [event for event in map(json.loads, outcome.out.splitlines()) if event["final"]]
    with (ASSETS / "speech.tsv").open(encoding="utf-8") as file:
        said = list(csv.DictReader(file, delimiter="\t"))
    assert len(finals) == len(said)
    for event, sentence in zip(finals, said, strict=True):
        # Words lie within their sentence, give or take two of the network's frames and a step.
        assert float(sentence["start_s"]) - 0.25 < event["words"][0]["start_s"]
        assert event["words"][-1]["end_s"] < float(sentence["end_s"]) + 0.25
    reference = normalise(" ".join(sentence["text"] for sentence in said))
    pairs = align(reference, normalise(" ".join(event["text"] for event in finals)))
    assert sum(a != b for a, b in pairs) <= MOST_ERRORS_BUNDLED * len(reference)


@pytest.mark.shared
def test_speakers_kept_apart_are_understood_as_well_as_stated(
    run: Run, shared_dir: Path, tmp_path: Path
) -> None:
    corpus = shared_dir / "data" / "librispeech_part"
    with (corpus / "manifest.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["label"] == "recognised"]
    lines = ["path\tspeaker\ttext"]
    lines += [f"{corpus / row['path']}\t{row['speaker']}\t{row['text']}" for row in rows[::8]]
    (tmp_path / "unseen.tsv").write_text("\n".join(lines) + "\n")
    outcome = run("evaluate", "captions", tmp_path / "unseen.tsv", "--json")
    report = json.loads(outcome.out)
    assert report["wer"] <= MOST_ERRORS_UNSEEN
    # The promised delay, by the recogniser's own word times.
    assert report["word_delay_s"]["median"] <= 0.9
    assert report["final_delay_s"]["median"] <= 0.8 + 0.5
