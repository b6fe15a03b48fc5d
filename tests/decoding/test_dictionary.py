from __future__ import annotations

import gzip

import pytest

from edgeaudio.decoding import files
from edgeaudio.decoding.dictionary import read_lexicon
from edgeaudio.errors import InputError

TEXT = """\
;;; A comment.
READ  R EH1 D
read(2) R IY1 D  # in the present
read(3) R EH0 D
a AH
# another

a(2) EY
"""


@pytest.mark.parametrize("name", ["x.dict", "x.dict.gz"])
def test_variants_are_gathered_without_stress_and_once_each(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(TEXT.encode()) if name.endswith(".gz") else TEXT.encode())
    assert read_lexicon(path) == {"read": ["R EH D", "R IY D"], "a": ["AH", "EY"]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "dictionary is empty"),
        ("a AH\nb\n", r":2:2: the word 'b' has no phones"),
        ("a AH\nb B, IY\n", r":2:3: 'B,' is no phone"),
        ("a " + "AH " * 400_000, ":1: longer than"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, problem):
    path = tmp_path / "x.dict"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_lexicon(path)


def test_a_file_that_unfolds_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_CHARACTERS", 1000)
    path = tmp_path / "x.dict.gz"
    path.write_bytes(gzip.compress(b"a AH\n" * 1000))
    with pytest.raises(InputError, match="more than 1000 characters"):
        read_lexicon(path)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_lexicon(tmp_path / "none")
    with pytest.raises(InputError, match="cannot read"):
        read_lexicon(tmp_path)
