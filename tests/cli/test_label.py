"""`edgeaudio label` in one process, with a recogniser and an acoustic model that follow scripts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeaudio.cli import label
from edgeaudio.evaluation.labels import Aligner
from edgeaudio.tasks.acoustic import StreamingAcoustic
from edgeaudio.testing import ScriptedBackend, scripted_captions_manifest, scripted_recognizer
from tests.cli.conftest import Run, record

WORDS = [(0.4, 0.8, "one"), (0.8, 1.2, "two"), (1.6, 2.0, "three")]
SURE = 12.0


def aligner() -> Aligner:
    """Hears the phones W, AH and N from 0.4, T from 0.8 and UW from 1.0 s on."""
    manifest = scripted_captions_manifest(["W", "AH", "N", "T", "UW"])
    rows = np.zeros((40, 6), np.float32)
    rows[:, 0] = SURE
    for phone, start_s, end_s in (
        (1, 0.4, 0.48),
        (2, 0.52, 0.6),
        (3, 0.72, 0.8),
        (4, 0.8, 0.88),
        (5, 1.0, 1.2),
    ):
        rows[round(start_s / 0.04) : round(end_s / 0.04), [0, phone]] = 0.0, SURE
    acoustic = StreamingAcoustic(ScriptedBackend(rows, step_frames=16, n_out=4, rest=rows[-1]), manifest)
    spoken = {"one": [("W", "AH", "N"), ("HH", "W", "AH", "N")], "two": [("T", "UW")]}
    return Aligner(acoustic, manifest, SimpleNamespace(pronounce=lambda word: spoken.get(word, [])))  # type: ignore[arg-type]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label, "load_recognizer", lambda *_: scripted_recognizer(WORDS))
    monkeypatch.setattr(Aligner, "load", lambda *args, **options: aligner())


@pytest.fixture
def corpus(tmp_path: Path, scripted: None) -> Path:
    """A manifest of two recordings without text and one with, and a fourth beside it."""
    for name in ("a.wav", "b.wav", "c.wav", "d.wav"):
        record(tmp_path / name, 3.0)
    path = tmp_path / "manifest.tsv"
    path.write_text("path\tspeaker\ttext\na.wav\ts1\t\nb.wav\ts2\tone two\nc.wav\ts1\t\n")
    return path


def test_recordings_are_written_down_with_times(run: Run, corpus: Path) -> None:
    outcome = run("label", corpus.parent / "a.wav")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert (found["path"], found["text"]) == (str(corpus.parent / "a.wav"), "one two three")
    assert [(word["start_s"], word["end_s"]) for word in found["words"]] == [
        (0.4, 0.76),
        (0.8, 1.16),
        (1.6, 1.96),
    ]
    assert found["confidence"] == pytest.approx(0.95, abs=0.01)


def test_a_folder_is_all_its_recordings(run: Run, corpus: Path) -> None:
    found = [json.loads(line)["path"] for line in run("label", corpus.parent).out.splitlines()]
    assert [Path(path).name for path in found] == ["a.wav", "b.wav", "c.wav", "d.wav"]


def test_what_has_text_is_passed_on(run: Run, corpus: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("out.tsv", "out.json", "out.ctm")]
    options = [part for output in outputs for part in ("--output", output)]
    outcome = run("label", corpus, *options)
    assert (outcome.code, outcome.out) == (0, "")
    lines = [line.split("\t") for line in outputs[0].read_text().splitlines()]
    assert [(line[0], line[2], line[5]) for line in lines] == [
        ("path", "speaker", "text"),
        ("a.wav", "s1", "one two three"),
        ("b.wav", "s2", "one two"),
        ("c.wav", "s1", "one two three"),
    ]
    assert [json.loads(line)["path"] for line in outputs[1].read_text().splitlines()] == ["a.wav", "c.wav"]
    run("label", corpus, "--all", "--output", tmp_path / "all.tsv")
    assert (tmp_path / "all.tsv").read_text().count("one two three") == 3


def test_a_second_run_does_only_what_is_missing(
    run: Run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.json"
    run("label", corpus, "--output", output)
    whole = output.read_bytes()
    first = whole.splitlines(keepends=True)[0]
    output.write_bytes(first + whole[len(first) :][:20])
    assert run("label", corpus, "--output", output).code == 0
    assert output.read_bytes() == whole

    def refuse(options: object) -> None:
        raise AssertionError("nothing is left to do, so nothing needs to be loaded")

    output = tmp_path / "out.tsv"
    run("label", corpus, "--output", output)
    monkeypatch.setattr(label, "load_recognizer", refuse)
    assert run("label", corpus, "--output", output).code == 0


def test_align_finds_the_times_of_a_text(run: Run, corpus: Path) -> None:
    outcome = run("label", corpus, "--align")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert (Path(found["path"]).name, found["text"]) == ("b.wav", "one two")
    assert [(word["word"], word["start_s"], word["end_s"]) for word in found["words"]] == [
        ("one", 0.4, 0.8),
        ("two", 0.8, 1.2),
    ]


def test_what_was_not_said_is_aligned_with_little_confidence(run: Run, corpus: Path) -> None:
    corpus.write_text("path\ttext\nb.wav\tone two\na.wav\tone one\n")
    outcome = run("label", corpus, "--align")
    right, wrong = (json.loads(line)["words"] for line in outcome.out.splitlines())
    assert min(word["confidence"] for word in right) > 0.9
    # It was "two" that was heard there.
    assert wrong[0]["confidence"] > 0.9
    assert wrong[1]["confidence"] < 0.1


def test_a_broken_recording_does_not_stop_the_others(run: Run, corpus: Path) -> None:
    (corpus.parent / "a.wav").write_text("no sound")
    outcome = run("label", corpus)
    assert outcome.code == 3
    assert json.loads(outcome.out)["text"] == "one two three"
    assert "a.wav is not a sound file" in outcome.err
    assert "1 of 2 recordings could not be labelled" in outcome.err


def test_libraries_do_not_talk_about_broken_recordings(run: Run, corpus: Path) -> None:
    # libmpg123 tells on standard error how it looks for a frame.
    (corpus.parent / "a.mp3").write_text("no sound\n" * 20)
    lines = run("label", corpus.parent / "a.mp3").err.splitlines()
    assert [line.split(": ")[:2] for line in lines[:1]] == [["edgeaudio", "WARNING"]]
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.wav"], 3, "cannot read none.wav: No such file"),
        (["empty"], 3, "no recording in this folder"),
        (["a.wav", "--align"], 3, "no recording has any text to align"),
        (["manifest.tsv", "--align", "--all"], 2, "Give one of them"),
        (["manifest.tsv", "--align", "--hotword", "lamp"], 2, "have no use"),
        (["manifest.tsv", "--output", "manifest.tsv"], 2, "is what is read"),
        (["a.wav", "--output", "out.doc"], 8, "does not tell the format"),
        (["a.wav", "--output", "none/out.tsv"], 8, "cannot be written"),
        (["long.tsv", "--align"], 3, "1 of 1 recordings could not be labelled"),
        (["strange.tsv", "--align"], 3, "nothing tells how 'three' is pronounced"),
        ([], 2, "PATH|MANIFEST"),
    ],
)
def test_bad_input(
    run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch, *, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(corpus.parent)
    Path("empty").mkdir()
    Path("long.tsv").write_text(f"path\ttext\na.wav\t{'one two ' * 200}\n")
    Path("strange.tsv").write_text("path\ttext\na.wav\tthree\n")
    outcome = run("label", *arguments)
    assert outcome.code == code
    assert message in outcome.err
    assert "Traceback" not in outcome.err
