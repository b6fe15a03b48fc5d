from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.errors import InputError, OutputError
from edgeaudio.evaluation.label_files import LabelFile
from edgeaudio.evaluation.labels import Label, LabelledWord
from edgeaudio.evaluation.manifest import Row, read_manifest

LABEL = Label("go home", (LabelledWord("go", 0.25, 0.5, 0.9), LabelledWord("home", 0.5, 1.0, 0.7)), 1.5)
NOTHING = Label("", (), 2.0)
NAMES = ("a.wav", "b c.wav", "sub/d.wav")


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    (tmp_path / "sub").mkdir()
    for name in NAMES:
        (tmp_path / name).touch()
    return [
        Row(tmp_path / name, f"{name}!", speaker="s", text=text)
        for name, text in zip(NAMES, ("", "", "x"), strict=True)
    ]


def fill(path: Path, rows: list[Row]) -> bytes:
    file = LabelFile(path)
    for row, label in zip(rows, (LABEL, NOTHING, None), strict=True):
        if not file.holds(row):
            file.add(row, label)
    file.close()
    return path.read_bytes()


def test_a_manifest_has_all_recordings(tmp_path: Path, rows: list[Row]) -> None:
    fill(tmp_path / "out.tsv", rows)
    found = read_manifest(tmp_path / "out.tsv")
    assert [row.path for row in found] == [tmp_path / name for name in NAMES]
    assert [(row.text, row.seconds, row.speaker) for row in found] == [
        ("go home", 1.5, "s"),
        ("", 2.0, "s"),
        ("x", None, "s"),
    ]


def test_json_has_words_with_their_times(tmp_path: Path, rows: list[Row]) -> None:
    first, second = fill(tmp_path / "out.json", rows).splitlines()
    assert json.loads(first) == {
        "path": "a.wav",
        "seconds": 1.5,
        "text": "go home",
        "confidence": 0.8,
        "words": [
            {"word": "go", "start_s": 0.25, "end_s": 0.5, "confidence": 0.9},
            {"word": "home", "start_s": 0.5, "end_s": 1.0, "confidence": 0.7},
        ],
    }
    assert (json.loads(second)["path"], json.loads(second)["words"]) == ("b c.wav", [])


def test_ctm_has_a_line_a_word(tmp_path: Path, rows: list[Row]) -> None:
    lines = fill(tmp_path / "out.ctm", rows).decode().splitlines()
    assert [line for line in lines if not line.startswith(";;")] == [
        "a.wav 1 0.25 0.25 go 0.90",
        "a.wav 1 0.50 0.50 home 0.70",
    ]


@pytest.mark.parametrize("name", ["out.tsv", "out.json", "out.ctm"])
def test_whatever_a_crash_leaves_is_completed(tmp_path: Path, rows: list[Row], name: str) -> None:
    path = tmp_path / name
    complete = fill(path, rows)
    for length in range(len(complete) + 1):
        path.write_bytes(complete[:length])
        assert fill(path, rows) == complete, f"cut off after {length} bytes"


def test_a_complete_file_is_left_alone(tmp_path: Path, rows: list[Row]) -> None:
    fill(tmp_path / "out.tsv", rows)
    file = LabelFile(tmp_path / "out.tsv")
    assert all(file.holds(row) for row in rows)
    file.close()


@pytest.mark.parametrize("name", ["out.tsv", "out.json", "out.ctm"])
@pytest.mark.parametrize("text", [b"my diary\n", b'{"a": 1}\n', b"path\ttext\nx\ty\n", b"unfinished"])
def test_another_file_is_not_touched(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(OutputError, match="something else than labels"):
        LabelFile(tmp_path / name)
    assert (tmp_path / name).read_bytes() == text


def test_names_that_cannot_be_are_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not tell the format"):
        LabelFile(tmp_path / "out.doc")
    with pytest.raises(OutputError, match="No such file"):
        LabelFile(tmp_path / "none" / "out.tsv")
    file = LabelFile(tmp_path / "out.tsv")
    with pytest.raises(InputError, match=r"^origin: .* tabs"):
        file.add(Row(tmp_path / "a\tb.wav", "origin"), LABEL)
    file.close()
    assert len((tmp_path / "out.tsv").read_bytes().splitlines()) == 1


@given(st.binary(max_size=60))
def test_no_contents_crash_it(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    try:
        LabelFile(path).close()
    except OutputError:
        assert path.read_bytes() == data
