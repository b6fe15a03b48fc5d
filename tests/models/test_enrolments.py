"""What was enrolled: written whole, for its owner only, and read strictly."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from edgeaudio.errors import ModelError, OutputError, UsageError
from edgeaudio.models.enrolments import (
    ENROLMENT_FILE,
    Enrolment,
    Estimate,
    WordNumbers,
    check_name,
    enrolments_folder,
    find_enrolment,
    list_enrolments,
    load_enrolment,
    remove_enrolment,
    save_enrolment,
)

NUMBERS = WordNumbers(
    segments=2,
    segment_frames=7,
    mean=(0.0, 1.0),
    deviation=(1.0, 2.0),
    weights=(0.6, 0.8),
    threshold=0.3,
    slope=9.0,
)
WORD = Enrolment(
    name="jarvis",
    kind="word",
    model="commands-12",
    model_version="1",
    fingerprint="0" * 64,
    created="2026-01-01T00:00:00+00:00",
    recordings=5,
    estimate=Estimate(missed=1, of=5, interval=(0.036, 0.624)),
    word=NUMBERS,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def test_what_is_saved_is_loaded_and_only_its_owner_may_read_it() -> None:
    folder = save_enrolment(WORD)
    assert load_enrolment(find_enrolment("jarvis")) == WORD
    assert stat.S_IMODE((folder / ENROLMENT_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == [ENROLMENT_FILE]


def test_they_are_listed_and_removed() -> None:
    assert list_enrolments() == []
    save_enrolment(WORD)
    save_enrolment(msgspec.structs.replace(WORD, name="athena"))
    assert list_enrolments() == ["athena", "jarvis"]
    with pytest.raises(ModelError, match="Did you mean 'jarvis'"):
        find_enrolment("jarviss")
    with pytest.raises(ModelError, match="nothing is enrolled as"):
        remove_enrolment("../models")
    remove_enrolment("jarvis")
    assert list_enrolments() == ["athena"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: word", "kind: song", "kind"),
        ("slope: 9.0", "slope: -1.0", "slope"),
        ("weights: [0.6, 0.8]", "weights: [0.6]", "differ in length"),
        ("deviation: [1.0, 2.0]", "deviation: [1.0, 0.0]", "no positive number"),
        ("threshold: 0.3", "threshold: .nan", "not finite"),
        ("segments: 2", "segments: 3", "no multiple"),
        ("recordings: 5", "recordings: 5\nrecordngs: 5", "Did you mean 'recordings'"),
        ("kind: word", "kind: verifier", "needs the section"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(old: str, new: str, message: str) -> None:
    path = save_enrolment(WORD) / ENROLMENT_FILE
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ModelError, match=message):
        load_enrolment(path.parent)


@pytest.mark.parametrize("name", ["", "Jarvis", "a/b", "../x", ".hidden", "x" * 65])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        check_name(name)


def test_a_folder_that_cannot_be_written_is_told(home: Path) -> None:
    enrolments_folder().parent.mkdir(parents=True)
    enrolments_folder().write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        save_enrolment(WORD)
