from pathlib import Path

import pytest

from edgeaudio.errors import InputError
from edgeaudio.training.corpora import find_corpora


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def libri_speech(folder: Path, text: str = "103-1240-0000 CHAPTER ONE\n103-1240-0001 A DAY\n") -> Path:
    chapter = folder / "103" / "1240"
    for number in range(2):
        write(chapter / f"103-1240-000{number}.flac")
    return write(chapter / "103-1240.trans.txt", text)


VALIDATED = (
    "client_id\tpath\tsentence\tup_votes\n"
    "anna\ta.mp3\tHello, world!\t2\nanna\tb.mp3\tAgain.\t2\nben\tc.mp3\tGood night.\t3\n"
)


def common_voice(folder: Path, validated: str = VALIDATED) -> Path:
    for name in "abc":
        write(folder / "clips" / f"{name}.mp3")
    write(folder / "test.tsv", "client_id\tpath\tsentence\nanna\ta.mp3\tHello, world!\n")
    return write(folder / "validated.tsv", validated)


def lj_speech(folder: Path, text: str = "LJ001-0001|In 1455|In fourteen fifty-five\n") -> Path:
    write(folder / "wavs" / "LJ001-0001.wav")
    return write(folder / "metadata.csv", text)


def test_libri_speech_is_read_as_it_is_unpacked(tmp_path: Path) -> None:
    libri_speech(tmp_path / "LibriSpeech" / "train-clean-100")
    libri_speech(tmp_path / "LibriSpeech" / "dev-clean")
    found = find_corpora(tmp_path)
    assert list(found) == ["dev-clean", "train-clean-100"]
    first, second = found["train-clean-100"]
    assert first.path.name == "103-1240-0000.flac"
    assert (first.speaker, first.split, first.text) == ("103", "train", "CHAPTER ONE")
    assert second.origin.endswith("103-1240.trans.txt:2")
    assert {row.split for row in found["dev-clean"]} == {"dev"}


def test_common_voice_keeps_the_speakers_of_its_tests_apart(tmp_path: Path) -> None:
    common_voice(tmp_path / "cv" / "en")
    rows = find_corpora(tmp_path)["en"]
    assert [row.path.name for row in rows] == ["a.mp3", "b.mp3", "c.mp3"]
    # b.mp3 is not in test.tsv, but anna is.
    assert [row.split for row in rows] == ["test", "test", "train"]
    assert rows[0].text == "Hello, world!"
    assert rows[2].speaker == "ben"
    assert rows[2].seconds is None


def test_common_voice_knows_its_durations(tmp_path: Path) -> None:
    common_voice(tmp_path)
    write(tmp_path / "clip_durations.tsv", "clip\tduration[ms]\nb.mp3\t3456\n")
    (rows,) = find_corpora(tmp_path).values()
    assert [row.seconds for row in rows] == [None, 3.456, None]


def test_lj_speech_is_read_in_its_normalised_text(tmp_path: Path) -> None:
    lj_speech(tmp_path / "LJSpeech-1.1")
    (row,) = find_corpora(tmp_path)["LJSpeech-1.1"]
    assert row.text == "In fourteen fifty-five"
    assert row.path == tmp_path / "LJSpeech-1.1" / "wavs" / "LJ001-0001.wav"


def test_all_layouts_are_found_together(tmp_path: Path) -> None:
    libri_speech(tmp_path / "train-other-500")
    common_voice(tmp_path / "en")
    lj_speech(tmp_path / "deep" / "er" / "LJSpeech-1.1")
    write(tmp_path / "own" / "a.wav")
    write(tmp_path / "own" / "manifest.tsv", "path\ttext\na.wav\thello\n")
    assert set(find_corpora(tmp_path)) == {"train-other-500", "en", "LJSpeech-1.1", "own"}


def test_equal_names_are_told_apart_by_their_place(tmp_path: Path) -> None:
    for place in ("first", "second"):
        write(tmp_path / place / "own" / "a.wav")
        write(tmp_path / place / "own" / "manifest.tsv", "path\ttext\na.wav\thello\n")
    assert set(find_corpora(tmp_path)) == {"own", "second/own"}


def test_a_corpus_may_be_the_folder_itself(tmp_path: Path) -> None:
    lj_speech(tmp_path / "LJ")
    assert set(find_corpora(tmp_path / "LJ")) == {"LJ"}


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_without_speech_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no transcribed speech"):
        find_corpora(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "103-1240-0000 CHAPTER ONE\n103-1240-0009 A DAY\n",
            r"trans\.txt:2: there is no 103-1240-0009\.flac",
        ),
        ("../../../etc/passwd X\n", r"trans\.txt:1: there is no passwd\.flac"),
    ],
)
def test_libri_speech_without_its_recordings(tmp_path: Path, text: str, message: str) -> None:
    libri_speech(tmp_path / "train-clean-100", text)
    with pytest.raises(InputError, match=message):
        find_corpora(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("client_id\tpath\nanna\ta.mp3\n", r"validated\.tsv:1: no column 'sentence'"),
        (VALIDATED + "ben\tc.mp3\n", r"validated\.tsv:5: 2 fields, the header has 4"),
        ("", r"validated\.tsv:1: no column 'client_id'"),
    ],
)
def test_malformed_tables_of_common_voice(tmp_path: Path, text: str, message: str) -> None:
    common_voice(tmp_path, text)
    with pytest.raises(InputError, match=message):
        find_corpora(tmp_path)


def test_malformed_durations_of_common_voice(tmp_path: Path) -> None:
    common_voice(tmp_path)
    write(tmp_path / "clip_durations.tsv", "clip\tduration[ms]\nb.mp3\tlong\n")
    with pytest.raises(InputError, match=r"clip_durations\.tsv:2: 'long' is no duration"):
        find_corpora(tmp_path)


def test_malformed_lines_of_lj_speech(tmp_path: Path) -> None:
    lj_speech(tmp_path, "LJ001-0001|a|b\n\nLJ001-0002\n")
    with pytest.raises(InputError, match=r"metadata\.csv:3: no transcript"):
        find_corpora(tmp_path)


def test_what_is_no_text_is_an_error(tmp_path: Path) -> None:
    lj_speech(tmp_path).write_bytes(b"LJ001-0001|\xff\xfe\n")
    with pytest.raises(InputError, match=r"metadata\.csv:1: not UTF-8"):
        find_corpora(tmp_path)
