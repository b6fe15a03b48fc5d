"""Several models in one `edgeaudio wake`: whose words they are, each one's threshold, and what they share."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

import edgeaudio
from edgeaudio.cli.several import choose_models, threshold
from edgeaudio.errors import UsageError
from tests.cli.conftest import Run
from tests.cli.scripted import ROOT

DEMO = Path(edgeaudio.__file__).parent / "assets" / "demo.flac"
MODELS = ROOT / "models"


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """A copy of a model that calls itself otherwise."""
    folder = tmp_path / "copy"
    shutil.copytree(MODELS / "wake-computer", folder)
    text = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(text.replace("name: wake-computer", "name: my-word", 1))
    return folder


def heard(out: str) -> Counter[tuple[str, str]]:
    events = [json.loads(line) for line in out.splitlines()]
    return Counter((event["model"], event["name"]) for event in events if event["type"] == "detection")


def test_together_they_say_what_each_says_alone(run: Run, renamed: Path) -> None:
    models = ["wake-computer", "commands-12", "commands-12-raw", str(renamed)]
    alone = [run("wake", DEMO, "--fast", "--json", "--model", model) for model in models]
    assert not any("models  " in outcome.err for outcome in alone)
    together = run(
        "wake", DEMO, "--fast", "--json", *(word for model in models for word in ("--model", model))
    )
    assert heard(together.out) == sum((heard(outcome.out) for outcome in alone), Counter())
    assert {model for model, _ in heard(together.out)} == {*models[:3], "my-word"}
    shared = "wake-computer, commands-12, my-word"
    raw = "with another frontend, computed besides: commands-12-raw (waveform)"
    assert f"models    {shared}; {raw}\n" in together.err


def test_people_see_whose_word_it_was(run: Run) -> None:
    outcome = run("wake", DEMO, "--fast", "--model", "wake-computer", "--model", "commands-12")
    assert "s  computer (wake-computer)  0." in outcome.out
    assert "(commands-12)  0." in outcome.out
    assert "models    wake-computer, commands-12\n" in outcome.err
    assert "computer (wake-computer) " in outcome.err.partition("detected  ")[2]


def test_each_has_its_own_threshold(run: Run, renamed: Path) -> None:
    words = ["--model", "wake-computer", "--model", str(renamed)]
    outcome = run(
        "wake", DEMO, "--fast", "--json", *words, "--threshold", "0.5", "--threshold", "my-word=0.9999"
    )
    assert {model for model, _ in heard(outcome.out)} == {"wake-computer"}


def test_a_threshold_names_a_model_as_its_option_its_folder_or_its_events_do(renamed: Path) -> None:
    names = ["wake-computer", str(renamed)]
    for name in (str(renamed), "copy", "my-word"):
        first, second = choose_models(names, [threshold("0.4"), threshold(f"{name}=0.7")])
        assert (first.threshold, second.threshold) == (0.4, 0.7)
    first, second = choose_models(names, [threshold("my-word=0.7")])
    assert (first.threshold, second.threshold) == (None, 0.7)


def test_a_model_under_a_name_and_a_path_counts_once() -> None:
    choices = choose_models(["commands-12", str(MODELS / "commands-12"), "commands-12"], [])
    assert [choice.folder.name for choice in choices] == ["commands-12"]


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        (["wake-komputer=0.5"], "none of the models that listen"),
        (["0.5", "0.6"], "given twice for all models"),
        (["wake-computer=0.5", "./models/wake-computer=0.6"], r"given twice for \./models/wake-computer"),
    ],
)
def test_thresholds_that_make_no_sense(
    monkeypatch: pytest.MonkeyPatch, thresholds: list[str], message: str
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UsageError, match=message):
        choose_models(["wake-computer", "./models/wake-computer"], list(map(threshold, thresholds)))


def test_two_models_of_one_name_are_refused(run: Run, tmp_path: Path) -> None:
    shutil.copytree(MODELS / "wake-computer", tmp_path / "other")
    outcome = run("wake", DEMO, "--fast", "--model", "wake-computer", "--model", tmp_path / "other")
    assert (outcome.code, outcome.out) == (2, "")
    assert "two different models are named 'wake-computer'" in outcome.err
