"""The command: words, files, and what it refuses before it works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeaudio.sinks.clips import write_wav
from edgeaudio.types import Samples
from tests.cli.conftest import Run
from tests.explaining.conftest import in_noise  # noqa: F401 - a fixture


@pytest.fixture
def clip(tmp_path: Path, in_noise: Samples) -> Path:  # noqa: F811
    path = tmp_path / "word.wav"
    write_wav(path, in_noise)
    return path


def test_it_says_what_mattered(run: Run, clip: Path) -> None:
    outcome = run("explain", clip, "--model", "wake-computer")
    assert outcome.code == 0
    first, second, third = outcome.out.splitlines()
    assert first.startswith("wake-computer told 'computer': score 1.00 at 2.")
    assert second.startswith("Most of what spoke for it lies from 1.")
    assert "hidden" in third


def test_a_page_and_figures(run: Run, clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "why.html"
    arguments = (
        "explain",
        clip,
        "--model",
        "commands-12-raw",
        "--label",
        "unknown",
        "--output",
        output,
        "--json",
    )
    outcome = run(*arguments)
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert (found["clip"], found["label"], found["method"]) == ("word.wav", "unknown", "gradients")
    assert found["output"] == str(output)
    assert (found["threshold"], found["told"], found["mattered"]["low_hz"]) == (None, False, None)
    assert [step["hidden"] for step in found["faithfulness"]["curve"]] == [0.05, 0.1, 0.2, 0.4]
    assert found["difference_from_runtime"] < 0.05
    assert output.read_text(encoding="utf-8").startswith("<!doctype html>")

    # What is there stays there, unless it is to be replaced.
    output.write_text("mine")
    refused = run(*arguments)
    assert (refused.code, output.read_text()) == (2, "mine")
    assert "--overwrite" in refused.err
    assert run(*arguments, "--overwrite").code == 0
    assert output.read_text() != "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--output", "why.svg"), 2, "must end in .png or .html"),
        (("--output", "/nowhere/why.png"), 8, "does not exist"),
        (("--overwrite",), 2, "nothing to replace"),
        (("--channel", "3"), 2, "channel"),
        (("--model", "captions-en-small"), 5, "makes captions"),
        (("--model", "wake-komputer"), 5, "Did you mean 'wake-computer'?"),
        (("--label", "computers"), 2, "Did you mean 'computer'?"),
        (("--at", "100"), 2, "lasts 3.00 s"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, clip: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    outcome = run("explain", clip, "--model", "wake-computer", *arguments)
    assert outcome.code == code
    assert words in outcome.err


def test_recordings_that_cannot_be_explained(run: Run, tmp_path: Path) -> None:
    missing = run("explain", tmp_path / "none.wav", "--model", "wake-computer")
    assert (missing.code, "No such file" in missing.err) == (3, True)
    (tmp_path / "empty.wav").write_bytes(b"")
    empty = run("explain", tmp_path / "empty.wav", "--model", "wake-computer")
    assert (empty.code, "contains no audio" in empty.err) == (3, True)


def test_what_is_read_is_not_written(run: Run, clip: Path) -> None:
    same = clip.with_suffix(".png")
    same.write_bytes(clip.read_bytes())
    outcome = run("explain", same, "--model", "wake-computer", "--output", same, "--overwrite")
    assert (outcome.code, "is what is read" in outcome.err) == (2, True)
