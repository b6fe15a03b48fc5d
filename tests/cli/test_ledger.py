"""`edgeaudio ledger`, and what `wake --ledger` fills it with."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from edgeaudio.cli import ledger as module
from edgeaudio.evaluation.ledger import read_ledger
from tests.cli.conftest import Run


@pytest.fixture
def kept(run: Run, scripted: None, five_seconds: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "ledger"
    outcome = run("wake", five_seconds, "--fast", "--ledger", folder)
    assert outcome.code == 0
    assert f"is recorded in {folder} and kept for 30 days" in outcome.err
    assert "ledger    5 saved\n" in outcome.err
    return folder


def test_clips_are_listed_for_people_and_programs(run: Run, kept: Path) -> None:
    lines = run("ledger", "list", kept).out.splitlines()
    assert len(lines) == 6
    clips = [json.loads(line) for line in run("ledger", "list", kept, "--json").out.splitlines()]
    assert [(clip["word"], clip["kind"], clip["verdict"]) for clip in clips] == [
        ("computer", "detection", "")
    ] * 5
    assert clips[0]["threshold"] == 0.6


def test_answers_are_stored_one_by_one(run: Run, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = []
    monkeypatch.setattr(module, "_play", lambda path: played.append(path.name))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\nr\nn\nwhat?\ns\nd\n"))
    outcome = run("ledger", "review", kept)
    assert outcome.code == 0
    assert "4 clips: 1 the word, 1 something else, 2 not reviewed" in outcome.err
    assert len(played) == 6  # one of them twice, and the last before the input ended
    assert [clip.verdict for clip in read_ledger(kept)] == ["word", "other", "", ""]


def test_without_a_loudspeaker_the_path_is_said(
    run: Run, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_play", lambda _path: "no device")
    monkeypatch.setattr(sys, "stdin", io.StringIO("q\n"))
    outcome = run("ledger", "review", kept)
    assert "there is no loudspeaker (no device)" in outcome.err
    assert str(read_ledger(kept)[0].path) in outcome.err


def test_a_clip_that_cannot_be_played_is_no_dead_end(
    run: Run, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = read_ledger(kept)[0].path
    broken.write_bytes(b"half of a clip")
    monkeypatch.setattr(sys, "stdin", io.StringIO("d\nq\n"))
    outcome = run("ledger", "review", kept)
    assert outcome.code == 0
    assert "it cannot be played: " in outcome.err
    assert len(read_ledger(kept)) == 4


def test_labels_may_be_given_instead(run: Run, kept: Path) -> None:
    first, second, *_ = (clip.path for clip in read_ledger(kept))
    args = ["--label", f"{first}=word", "--label", f"{second.name}=other"]
    assert run("ledger", "review", kept, *args).out == f"{first.name}  word\n{second.name}  other\n"
    assert [clip.verdict for clip in read_ledger(kept)] == ["word", "other", "", "", ""]
    assert run("ledger", "review", kept, "--label", f"{first}=none").code == 0
    assert read_ledger(kept)[0].verdict == ""


@pytest.mark.parametrize(
    ("label", "message"),
    [("a.flac=word", "there is no clip"), ("a.flac", "is not understood"), ("=", "is not")],
)
def test_labels_that_make_no_sense(run: Run, kept: Path, label: str, message: str) -> None:
    outcome = run("ledger", "review", kept, "--label", label)
    assert outcome.code == 2
    assert message in outcome.err


def test_pruning(run: Run, kept: Path) -> None:
    assert run("ledger", "prune", kept, "--clips", "2").out == "deleted 3, 2 left\n"
    assert run("ledger", "prune", kept, "--all").out == "deleted 2, 0 left\n"
    assert sorted(path.name for path in kept.iterdir()) == [".lock", "manifest.tsv"]


def test_a_folder_without_a_ledger_stays_as_it_is(run: Run, tmp_path: Path) -> None:
    for command in ("list", "review", "prune"):
        outcome = run("ledger", command, tmp_path)
        assert (outcome.code, outcome.out) == (3, "")
        assert "there is no ledger" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("days", ["nan", "inf"])
def test_no_ledger_is_kept_for_what_is_no_number(
    run: Run, five_seconds: Path, tmp_path: Path, days: str
) -> None:
    outcome = run("wake", five_seconds, "--fast", "--ledger", tmp_path / "ledger", "--ledger-days", days)
    assert outcome.code == 2
    assert not (tmp_path / "ledger").exists()


def test_another_corpus_gets_not_even_a_lock(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text("path\tlabel\n")
    before = sorted(tmp_path.iterdir())
    assert run("wake", five_seconds, "--fast", "--ledger", tmp_path).code == 8
    assert sorted(tmp_path.iterdir()) == before
