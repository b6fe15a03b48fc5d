from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeaudio.errors import EdgeAudioError, InputError, MissingDependencyError, OutputError
from edgeaudio.training import narration
from edgeaudio.training.narration import narrate
from edgeaudio.training.synth import EngineVoices

TEXT = "\n".join(
    f"the {colour} {thing} is {how} today."
    for colour in ("red", "green", "blue", "white", "black")
    for thing in ("house", "lamp", "door", "table", "chair", "window", "garden", "river")
    for how in ("old", "new", "open", "closed", "broken", "dry")
)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT + "\nno.\nit's not for engines to say.\n" + "a very " * 20 + "long one.\n")
    return path


class Engines:
    """Two engines that write a manifest instead of speaking; one of them may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self.error: EdgeAudioError | None = None
        self.report = [
            EngineVoices("espeak-ng", ("en",), (), ""),
            EngineVoices("flite", ("slt",), (), ""),
            EngineVoices("festival", (), ("kal_diphone",), "apt install festival"),
        ]
        monkeypatch.setattr(narration, "synthesise", self.speak)
        monkeypatch.setattr(narration, "voice_report", lambda: self.report)

    def speak(self, phrases: list[str], folder: Path, *, engines: list[str], **options: Any) -> None:
        self.asked.append((engines[0], phrases))
        folder.mkdir(parents=True)
        if self.error is not None and engines == ["flite"]:
            raise self.error
        (folder / "manifest.tsv").write_text("path\n")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    return Engines(monkeypatch)


def test_engines_take_turns_and_say_each_sentence_once(tmp_path: Path, text: Path, engines: Engines) -> None:
    done: list[float] = []
    narrate(text, tmp_path / "out", hours=1.0, seed=1, progress=done.append)
    assert [name for name, _ in engines.asked] == ["espeak-ng", "flite", "espeak-ng"]
    said = [phrase for _, phrases in engines.asked for phrase in phrases]
    assert len(said) == len(set(said)) == 240
    assert not any("'" in phrase or "very" in phrase for phrase in said)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "espeak-ng-0",
        "espeak-ng-200",
        "flite-100",
    ]
    assert done[-1] == 1.0


def test_hours_limit_it(tmp_path: Path, text: Path, engines: Engines) -> None:
    narrate(text, tmp_path / "out", hours=0.1, seed=1)
    assert sum(len(phrases) for _, phrases in engines.asked) == round(0.1 * 3600 / 3.5)


def test_what_is_there_is_not_made_again(tmp_path: Path, text: Path, engines: Engines) -> None:
    narrate(text, tmp_path / "out", hours=1.0, seed=1)
    narrate(text, tmp_path / "out", hours=1.0, seed=1)
    assert len(engines.asked) == 3


def test_an_engine_that_fails_is_left_out(tmp_path: Path, text: Path, engines: Engines) -> None:
    engines.error = EdgeAudioError("No speech came back.")
    narrate(text, tmp_path / "out", hours=1.0, seed=1)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["espeak-ng-0", "espeak-ng-200"]


def test_a_full_disk_is_not_taken_for_an_engine(tmp_path: Path, text: Path, engines: Engines) -> None:
    engines.error = OutputError("no space left")
    with pytest.raises(OutputError):
        narrate(text, tmp_path / "out", hours=1.0, seed=1)


def test_without_engines_there_is_a_hint(tmp_path: Path, text: Path, engines: Engines) -> None:
    engines.report = [EngineVoices("festival", (), ("kal_diphone",), "apt install festival")]
    with pytest.raises(MissingDependencyError) as caught:
        narrate(text, tmp_path / "out", hours=1.0, seed=1)
    assert caught.value.hint == "apt install festival"


@pytest.mark.usefixtures("engines")
def test_a_text_without_sentences_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("no.\nyes.\n")
    with pytest.raises(InputError, match=r"text\.txt: no sentence of 3 to 16 words"):
        narrate(path, tmp_path / "out", hours=1.0, seed=1)


def test_engines_that_all_fail_are_an_error(tmp_path: Path, text: Path, engines: Engines) -> None:
    engines.report = [EngineVoices("flite", ("slt",), (), "")]
    engines.error = EdgeAudioError("No speech came back.")
    with pytest.raises(InputError, match="no engine could speak"):
        narrate(text, tmp_path / "out", hours=1.0, seed=1)
