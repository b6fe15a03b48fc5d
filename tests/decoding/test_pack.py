from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.decoding import pack
from edgeaudio.decoding.automaton import Automaton
from edgeaudio.decoding.language import LANGUAGE_FILE, Language
from edgeaudio.decoding.pack import read_language, write_language
from edgeaudio.errors import ModelError, OutputError

NGRAMS = {
    ("<s>",): (-99.0, -0.5),
    ("go",): (-1.0, -0.25),
    ("né",): (-1.5, 0.0),
    ("</s>",): (-2.0, 0.0),
    ("<s>", "go"): (-0.375, -0.125),
    ("<s>", "go", "né"): (-0.0625, 0.0),
}
LANGUAGE = Language.build({"go": ["G OW"], "né": ["N EY", "N IY"]}, NGRAMS)
COUNTS_AT = 24


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / LANGUAGE_FILE
    write_language(LANGUAGE, path)
    return path


def with_checksum(data: bytes) -> bytes:
    return data[:12] + struct.pack("<I", zlib.crc32(data[16:])) + data[16:]


def places(data: bytes) -> dict[str, tuple[int, np.dtype, int]]:
    """Where each array lies, worked out from the description of the format."""
    found, end = {}, COUNTS_AT + 8 * len(pack._LAYOUT)
    for number, (name, dtype) in enumerate(pack._LAYOUT):
        (count,) = struct.unpack_from("<Q", data, COUNTS_AT + 8 * number)
        start = (end + 63) // 64 * 64
        found[name] = start, np.dtype(dtype), count
        end = start + count * np.dtype(dtype).itemsize
    assert end == len(data)
    return found


def spoil(path, name, values):
    """Replace the array `name` by as many other values, with the right checksum."""
    data = bytearray(path.read_bytes())
    start, dtype, count = places(data)[name]
    array = np.resize(np.array(values, dtype=dtype), count)
    data[start : start + array.nbytes] = array.tobytes()
    path.write_bytes(with_checksum(bytes(data)))


def test_what_was_written_is_read(packed):
    language = Language.load(packed)
    assert language.words == LANGUAGE.words
    assert language.phone_names == ("EY", "G", "IY", "N", "OW")
    assert language.start_state == LANGUAGE.start_state
    for word in LANGUAGE.words:
        assert language.word_id(word) == LANGUAGE.word_id(word)
        assert language.pronunciations(word) == LANGUAGE.pronunciations(word)
    for array, other in zip(language.automaton, LANGUAGE.automaton, strict=True):
        np.testing.assert_array_equal(array, other)
        assert array.dtype == other.dtype
        assert not array.flags.writeable
        assert array.flags.aligned
    assert language.log_prob(["go", "né"]) == -0.375 - 0.0625 - 2.0


def test_a_folder_stands_for_its_language(packed):
    assert Language.load(packed.parent).words == LANGUAGE.words


def test_the_file_is_mapped_and_not_read(packed):
    language = Language.load(packed)
    assert str(packed) in Path("/proc/self/maps").read_text(encoding="utf-8")
    # And survives that the file is replaced or removed.
    write_language(Language.build({"no": []}), packed)
    packed.unlink()
    assert language.words == LANGUAGE.words


def test_a_failed_writing_leaves_the_old_file(packed, monkeypatch):
    before = packed.read_bytes()
    monkeypatch.setattr(
        os, "fsync", lambda _fd: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OutputError, match="No space left on device"):
        write_language(Language.build({"no": []}), packed)
    assert packed.read_bytes() == before
    assert list(packed.parent.iterdir()) == [packed]


def test_an_extended_language_is_not_packed(tmp_path):
    with pytest.raises(ValueError, match="extended"):
        write_language(LANGUAGE.extended({"gone": ["G OW N"]}), tmp_path / "x")


def test_a_missing_file_and_a_strange_one_are_model_errors(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        Language.load(tmp_path / "nothing.bin")
    with pytest.raises(ModelError, match="No such file"):
        Language.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="not a regular file"):
        Language.load(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is no packed language\n  Make one from text: edgeaudio train language TEXT"),
        (b"hello" * 100, r"is no packed language\n"),
        (
            b"\n\\data\\\nngram 1=4\n",
            r"is an ARPA file.*\n  Run: edgeaudio train language --from-arpa .*file ",
        ),
        (b"mmap lm http://kheafield.com/code", r"is a KenLM binary.*\n.*--from-arpa FILE"),
        (b"EDGELANG" + bytes(20), r"damaged, only 28 bytes\n  Copy it again"),
    ],
)
def test_what_is_no_packed_language_says_how_it_becomes_one(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        Language.load(tmp_path / "file")


def test_another_version_is_named(packed):
    data = bytearray(packed.read_bytes())
    data[8:12] = struct.pack("<I", 2)
    packed.write_bytes(data)
    with pytest.raises(ModelError, match="format 2, this is edgeaudio for format 1"):
        Language.load(packed)


def test_a_file_that_is_too_large_is_not_opened(packed, monkeypatch):
    monkeypatch.setattr(pack, "MAX_BYTES", 100)
    with pytest.raises(ModelError, match="larger than"):
        Language.load(packed)


@given(data=st.data())
@settings(max_examples=60)
def test_no_damaged_file_is_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / LANGUAGE_FILE
    write_language(LANGUAGE, path)
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(whole) - 1))
        flipped = whole[place] ^ data.draw(st.integers(1, 255))
        path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
    else:
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ModelError):
        read_language(path)


@given(counts=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 50), min_size=16, max_size=16))
@settings(max_examples=60)
def test_counts_from_a_hostile_hand_are_refused(tmp_path_factory, counts):
    path = tmp_path_factory.mktemp("hostile") / LANGUAGE_FILE
    write_language(LANGUAGE, path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<16Q", data, COUNTS_AT, *counts)
    path.write_bytes(with_checksum(bytes(data)))
    with pytest.raises(ModelError):
        read_language(path)


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        ("word_bytes", [ord(" ")], "table of words"),
        ("word_offsets", [0], "table of words"),
        ("word_offsets", [2**32 - 1], "table of words"),
        ("phone_names", [ord("X"), ord(" ")], "phones"),
        ("phone_names", [200], "phones"),
        ("pron_word", [0], "belongs to no word"),
        ("pron_word", [99], "belongs to no word"),
        ("pron_word", [4, 3], "belongs to no word"),
        ("phone_offsets", [-1], "table of pronunciations"),
        ("phone_offsets", [0], "table of pronunciations"),
        ("phones", [5], "table of pronunciations"),
        ("pron_score", [np.nan], "no logarithm"),
        ("arc_offsets", [0], "table of states"),
        ("arc_offsets", [1], "table of states"),
        ("arc_word", [5], "names no word"),
        ("arc_next", [99], "leads to no state"),
        ("unigram_next", [2**32 - 1], "leads to no state"),
        ("backoff_state", [0], "no earlier state"),
        ("backoff_state", [-2], "no earlier state"),
        ("backoff_score", [np.inf], "no logarithm"),
        ("score_codebook", [np.nan], "no logarithm"),
        ("unigram_score", [np.inf], "no logarithm"),
    ],
)
def test_arrays_that_would_lead_astray_are_refused(packed, name, values, problem):
    spoil(packed, name, values)
    with pytest.raises(ModelError, match=problem):
        read_language(packed)


def test_a_word_with_a_line_break_or_half_a_letter_is_refused(packed):
    for spelling in ("g\n", "g\xe9"):
        letters = LANGUAGE.word_bytes.tobytes().replace(b"go", spelling.encode("latin-1"))
        spoil(packed, "word_bytes", np.frombuffer(letters, dtype=np.uint8))
        with pytest.raises(ModelError, match=r"table of words is broken|is not UTF-8"):
            read_language(packed)


def test_a_start_that_is_no_state_is_refused(packed):
    data = bytearray(packed.read_bytes())
    struct.pack_into("<Q", data, 16, 99)
    packed.write_bytes(with_checksum(bytes(data)))
    with pytest.raises(ModelError, match="leads to no state"):
        read_language(packed)


def test_every_array_of_the_automaton_is_packed():
    assert set(Automaton._fields) < {name for name, _ in pack._LAYOUT}
