"""``edgeaudio train sounds``: what its options may be, and what it says where nothing can be learned."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.training.sound_clips import write_tones

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="tools/test --train installs PyTorch")


def test_options_that_contradict_each_other_are_refused(run: Run, tmp_path: Path) -> None:
    outcome = run(
        "train", "sounds", "--data", tmp_path, "--output", tmp_path / "x", "--minutes", "1", "--epochs", "1"
    )
    assert outcome.code == 2
    assert "--minutes and --epochs exclude each other" in outcome.err
    outcome = run("train", "sounds", "--data", tmp_path)
    assert outcome.code == 2
    assert "nowhere to write the model" in outcome.err


@needs_torch
def test_without_recordings_nothing_is_learned(run: Run, tmp_path: Path) -> None:
    assert "nothing to learn from" in run("train", "sounds", "--output", tmp_path / "x").err
    write_tones(tmp_path / "tones", folds=1)
    places = ("--data", tmp_path / "tones", "--cache", tmp_path / "cache")
    outcome = run("train", "sounds", *places, "--output", tmp_path / "x")
    assert outcome.code == 2
    assert "all recordings are in fold 1" in outcome.err
    assert not (tmp_path / "x").exists()


@needs_torch
def test_cross_validation_measures_and_writes_no_model(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeaudio.training import sounds

    def measured(job: sounds.SoundsJob, reporter: object) -> dict[str, object]:
        assert job.only_cross_validate
        assert job.epochs == 3
        return {"folders": [str(folder) for folder in job.folders]}

    monkeypatch.setattr(sounds, "train_sounds", measured)
    outcome = run(
        "train", "sounds", "--data", "a", "--data", "b", "--cross-validate", "--epochs", "3", "--json"
    )
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == {"folders": ["a", "b"]}
