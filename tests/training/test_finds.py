"""Finds of a phrase, with a captions model that hears the same in every recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from edgeaudio.errors import InputError, OutputError, UsageError
from edgeaudio.evaluation.labels import Aligner
from edgeaudio.evaluation.manifest import read_manifest
from edgeaudio.tasks.acoustic import StreamingAcoustic
from edgeaudio.testing import ScriptedBackend, scripted_captions_manifest
from edgeaudio.training.finder import Finder
from edgeaudio.training.finds import find_occurrences

PHONES = ("W", "AH", "N", "T", "UW", "F", "AO", "R")
SPOKEN = {"one": ["W AH N"], "two": ["T UW"], "four": ["F AO R"], "wan": ["W AO N"]}
SURE = 12.0
AUDIO = np.random.default_rng(2).normal(0, 0.1, 48_000).astype(np.float32)


def aligner(phones: Sequence[str]) -> Aligner:
    """Hears these phones from 0.4 s on, each for 40 ms, with as much between them."""
    manifest = scripted_captions_manifest(list(PHONES))
    rows = np.zeros((60, 1 + len(PHONES)), np.float32)
    rows[:, 0] = SURE
    for i, phone in enumerate(phones):
        rows[10 + 2 * i, [0, 1 + PHONES.index(phone)]] = 0.0, SURE
    acoustic = StreamingAcoustic(ScriptedBackend(rows, step_frames=16, n_out=4, rest=rows[-1]), manifest)
    lexicon: Any = SimpleNamespace(pronounce=lambda word: [said.split() for said in SPOKEN.get(word, [])])
    return Aligner(acoustic, manifest, lexicon)


def finder(said: str = "W AH N T UW") -> Finder:
    return Finder(aligner(said.split()), "One  two")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Five recordings in which all sounds alike; their transcripts differ."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    texts = {"unknown": "", "said": "One, two!", "another": "four", "wrong": "one two four four four four"}
    lines = ["path\tspeaker\tsplit\tlabel\ttext\tlicence"]
    for name, text in texts.items():
        # Without a transcript a short recording may be the phrase, badly said.
        soundfile.write(
            folder / f"{name}.wav", np.tile(AUDIO, 4 if name == "unknown" else 1), 16_000, "FLOAT"
        )
        speaker = "" if name == "unknown" else "anna"
        lines.append(f"{name}.wav\t{speaker}\ttest\t\t{text}\tCC0-1.0")
    soundfile.write(folder / "labelled.wav", AUDIO, 16_000, "FLOAT")
    lines.append("labelled.wav\tbob\t\tOne_two\ten\t")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_finds_become_a_corpus(corpus: Path, tmp_path: Path) -> None:
    done = []
    out = find_occurrences(
        corpus, "one two", tmp_path / "finds", finder=finder(), progress=lambda *n: done.append(n)
    )
    assert done == [(i, 5) for i in range(1, 6)]
    rows = {row["recording"]: row for row in table(out)}
    assert set(rows) == {"unknown.wav", "said.wav", "labelled.wav", "wrong.wav"}, "another text has no phrase"
    assert {row["label"] for row in rows.values()} == {"one two"}
    assert (rows["said.wav"]["speaker"], rows["said.wav"]["split"]) == ("anna", "test")
    assert rows["said.wav"]["licence"] == "CC0-1.0"
    assert rows["unknown.wav"]["speaker"] == "unknown.wav", "nobody says who speaks"
    for row in rows.values():
        # Sounds show from 0.4 to 0.76 s; 50 ms more at both ends, and 100 and 150 ms of surroundings.
        assert float(row["start"]) == pytest.approx(0.1, abs=1e-5)
        assert float(row["end"]) == pytest.approx(0.56, abs=1e-5)
        clip, rate = soundfile.read(out / row["path"], dtype="float32")
        assert rate == 16_000
        assert len(clip) / rate == pytest.approx(float(row["seconds"]), abs=1e-5)
        start = round((0.4 - 0.05 - 0.1) * rate)
        # FLAC has 16 bits.
        np.testing.assert_allclose(clip, AUDIO[start : start + len(clip)], atol=2**-15)
    assert len(read_manifest(out / "manifest.tsv", require=["label"])) == 4
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_nearly_is_the_phrase_is_a_near_miss(corpus: Path, tmp_path: Path) -> None:
    # "Wan two": one of five sounds is another.
    with pytest.raises(InputError, match=r"(?s)'one two' was found in none of 5 recordings; .* at 0\.35 s"):
        find_occurrences(corpus, "one two", tmp_path / "finds", finder=finder("W AO N T UW"))
    assert not (tmp_path / "finds").exists()
    finds = finder("W AO N T UW")
    verdicts = {
        row.path.stem: [f.verdict for f in finds(row)] for row in read_manifest(corpus / "manifest.tsv")
    }
    assert verdicts == {
        "unknown": ["near"],
        "another": ["near"],
        **{name: ["doubtful"] for name in ("said", "wrong", "labelled")},
    }
    out = find_occurrences(
        corpus, "one two", tmp_path / "both", finder=finder("W AH N T UW AH AO T F W AO N T UW")
    )
    assert [row["label"] for row in table(out) if row["recording"] == "said.wav"] == [
        "one two",
        "near_miss",
    ]


def test_errors_come_before_the_work_or_name_the_recording(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    for folder, phrase, out, error, message in (
        (tmp_path / "empty", "one two", "finds", InputError, "there is no recording in this folder"),
        (tmp_path / "absent", "one two", "finds", InputError, "cannot read .*absent"),
        (corpus, "h3y", "finds", UsageError, "digits"),
        (corpus, "one two", "corpus", OutputError, "exists already"),
    ):
        with pytest.raises(error, match=message):
            find_occurrences(folder, phrase, tmp_path / out, finder=finder())
    for path in corpus.glob("*.wav"):
        path.write_text("no audio")
    with pytest.raises(InputError, match="none of the 5 recordings can be read"):
        find_occurrences(corpus, "one two", tmp_path / "finds", finder=finder())
    assert "manifest.tsv:2: cannot read" in caplog.text


def test_nothing_that_sounds_alike(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing in 5 recordings sounds like 'one two'"):
        find_occurrences(corpus, "one two", tmp_path / "finds", finder=finder("F AO R"))


def table(folder: Path) -> list[dict[str, str]]:
    header, *lines = (line.split("\t") for line in (folder / "manifest.tsv").read_text().splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]
