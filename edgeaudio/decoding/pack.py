"""``language.bin``: a lexicon and its n-gram in one file that is mapped into memory as it lies.

All numbers are little-endian. A header, then the arrays, each at a multiple of 64 bytes, zeros
between them::

    magic "EDGELANG"   version uint32   CRC-32 of all that follows uint32
    start state uint64   number of elements of each array uint64 × 16   arrays

Places follow from the counts, so that a file holds no place that could lead astray.
"""

from __future__ import annotations

import mmap
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.automaton import N_CODES, Automaton
from edgeaudio.decoding.files import replacing
from edgeaudio.decoding.language import Language
from edgeaudio.decoding.ngrams import SPECIAL_WORDS
from edgeaudio.errors import ModelError

__all__ = ["MAX_BYTES", "MAX_PHONES", "read_language", "write_language"]

MAX_BYTES = 2**30
MAX_PHONES = 255

_MAGIC = b"EDGELANG"
_VERSION = 1
_LAYOUT = (
    ("word_bytes", "<u1"),
    ("word_offsets", "<u4"),
    ("phone_names", "<u1"),
    ("pron_word", "<i4"),
    ("phone_offsets", "<i4"),
    ("phones", "<u1"),
    ("pron_score", "<f4"),
    ("arc_offsets", "<u4"),
    ("arc_word", "<u4"),
    ("arc_score", "<u1"),
    ("arc_next", "<u4"),
    ("score_codebook", "<f4"),
    ("backoff_score", "<f4"),
    ("backoff_state", "<i4"),
    ("unigram_score", "<f4"),
    ("unigram_next", "<u4"),
)
_HEADER = struct.Struct(f"<8sIIQ{len(_LAYOUT)}Q")
_CHECKED_FROM = 16
_ALIGNMENT = 64
_HEAD_BYTES = 4096
_REBUILD = "Copy it again, or make it anew with: edgeaudio train language"

Arrays = dict[str, Any]


def write_language(language: Language, path: Path) -> None:
    """Write `language` to `path`, which is either the old file or the whole new one at any moment.

    Raises
    ------
    OutputError
        The file cannot be written.
    ValueError
        The language was extended at run time, so that its words are in no order to be found by.
    """
    if language.is_extended:
        raise ValueError("an extended language cannot be packed")
    arrays = [_array_of(language, name).astype(dtype) for name, dtype in _LAYOUT]
    data = bytearray(
        _HEADER.pack(_MAGIC, _VERSION, 0, language.start_state, *(len(array) for array in arrays))
    )
    for array in arrays:
        data += bytes(-len(data) % _ALIGNMENT) + array.tobytes()
    struct.pack_into("<I", data, _CHECKED_FROM - 4, zlib.crc32(memoryview(data)[_CHECKED_FROM:]))
    with replacing(path) as file:
        file.write(data)


def read_language(path: Path) -> Language:
    """Map the file at `path` into memory and check all of it.

    Raises
    ------
    ModelError
        The file is missing, too large, damaged, or holds what could not be looked up safely.
    """
    mapped = _map(path)
    arrays, start_state = _arrays(path, mapped)
    for problem in (*_lexicon_problems(arrays), *_automaton_problems(arrays, start_state)):
        raise ModelError(f"{path}: {problem}", hint=_REBUILD)
    names = tuple(arrays.pop("phone_names").tobytes().decode().split())
    automaton = Automaton(*(arrays.pop(name) for name in Automaton._fields))
    return Language(**arrays, phone_names=names, automaton=automaton, start_state=start_state)


def _array_of(language: Language, name: str) -> NDArray[Any]:
    if name == "phone_names":
        return np.frombuffer(" ".join(language.phone_names).encode(), dtype=np.uint8)
    array: NDArray[Any] = getattr(language.automaton if name in Automaton._fields else language, name)
    return array


def _map(path: Path) -> mmap.mmap:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is not a regular file")
        with path.open("rb") as file:
            _check_kind(path, file.read(_HEAD_BYTES))
            if status.st_size > MAX_BYTES:
                raise ModelError(f"{path} is larger than the {MAX_BYTES // 2**20} MB allowed here")
            if status.st_size < _HEADER.size:
                raise ModelError(f"{path}: damaged, only {status.st_size} bytes", hint=_REBUILD)
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"cannot read {path}: {reason}") from error


def _check_kind(path: Path, head: bytes) -> None:
    """Refuse what does not begin like a packed language, and tell what becomes one."""
    if head.startswith(_MAGIC):
        return
    making = "edgeaudio train language {} --lexicon DICTIONARY --output FOLDER"
    if b"\\data\\" in head:
        what, hint = "an ARPA file, which must be packed", f"Run: {making.format(f'--from-arpa {path}')}"
    elif head.startswith(b"mmap lm "):
        what = "a KenLM binary, which cannot be read"
        hint = f"Pack the ARPA file that it was made from: {making.format('--from-arpa FILE')}"
    else:
        what = "no packed language"
        hint = f"Make one from text: {making.format('TEXT...')}; or with --from-arpa FILE from an ARPA file."
    raise ModelError(f"{path} is {what}", hint=hint)


def _arrays(path: Path, mapped: mmap.mmap) -> tuple[Arrays, int]:
    """Views of the mapped file, once its size and checksum are right."""
    _, version, checksum, start_state, *counts = _HEADER.unpack_from(mapped)
    if version != _VERSION:
        raise ModelError(
            f"{path}: written in format {version}, this is edgeaudio for format {_VERSION}", hint=_REBUILD
        )
    places, end = [], _HEADER.size
    for (_, dtype), count in zip(_LAYOUT, counts, strict=True):
        start = end + -end % _ALIGNMENT
        places.append(start)
        end = start + count * np.dtype(dtype).itemsize
    if end != len(mapped):
        raise ModelError(f"{path}: {len(mapped)} bytes, its header speaks of {end}", hint=_REBUILD)
    if zlib.crc32(memoryview(mapped)[_CHECKED_FROM:]) != checksum:
        raise ModelError(f"{path}: wrong checksum, the file is damaged", hint=_REBUILD)
    arrays = {
        name: np.frombuffer(mapped, dtype=dtype, count=count, offset=start)
        for (name, dtype), count, start in zip(_LAYOUT, counts, places, strict=True)
    }
    return arrays, start_state


def _lexicon_problems(arrays: Arrays) -> Iterator[str]:
    text, offsets = arrays["word_bytes"], arrays["word_offsets"]
    special = "".join(SPECIAL_WORDS).encode()
    if not _are_offsets(offsets, len(text), least=1) or (text[: len(special)].tobytes() != special):
        yield "the table of words is broken"
    elif (text <= ord(" ")).any() or (text[offsets[:-1]] & 0xC0 == 0x80).any() or not _is_utf8(text):
        yield "a word is not UTF-8 text, or holds a blank"
    elif offsets[: len(SPECIAL_WORDS) + 1].tolist() != np.cumsum([0, *map(len, SPECIAL_WORDS)]).tolist():
        yield f"the first words are not {' '.join(SPECIAL_WORDS)}"
    names = arrays["phone_names"].tobytes().split()
    if not all(name.isascii() for name in names) or len(set(names)) != len(names) or len(names) > MAX_PHONES:
        yield "the names of the phones are broken"
    words, phones = arrays["pron_word"], arrays["phones"]
    if not _are_offsets(arrays["phone_offsets"], len(phones), least=1) or not _below(phones, len(names)):
        yield "the table of pronunciations is broken"
    if len(arrays["phone_offsets"]) != len(words) + 1 or len(arrays["pron_score"]) != len(words):
        yield "there are more of one thing than of another among the pronunciations"
    if (
        (np.diff(words) < 0).any()
        or (words < len(SPECIAL_WORDS)).any()
        or not _below(words, len(offsets) - 1)
    ):
        yield "a pronunciation belongs to no word"
    if not _are_scores(arrays["pron_score"]):
        yield "a pronunciation's score is no logarithm"


def _automaton_problems(arrays: Arrays, start_state: int) -> Iterator[str]:
    n_states, n_arcs = len(arrays["backoff_state"]), len(arrays["arc_word"])
    n_words = len(arrays["word_offsets"]) - 1
    wanted = {
        "arc_offsets": n_states + 1,
        "arc_score": n_arcs,
        "arc_next": n_arcs,
        "score_codebook": N_CODES,
        "backoff_score": n_states,
        "unigram_score": n_words,
        "unigram_next": n_words,
    }
    for name, count in wanted.items():
        if len(arrays[name]) != count:
            yield f"{len(arrays[name])} elements in {name}, {count} are wanted"
    if not _are_offsets(arrays["arc_offsets"], n_arcs, least=0) or arrays["arc_offsets"][:2].any():
        yield "the table of states is broken"
    if not _below(arrays["arc_word"], n_words):
        yield "an arc names no word"
    if start_state >= n_states or not all(
        _below(arrays[name], n_states) for name in ("arc_next", "unigram_next")
    ):
        yield "an arc leads to no state"
    backoff = arrays["backoff_state"]
    if (backoff < -1).any() or (backoff >= np.arange(n_states)).any():
        yield "backing off leads to no earlier state"
    if not all(_are_scores(arrays[name]) for name in ("score_codebook", "backoff_score", "unigram_score")):
        yield "a score is no logarithm"


def _is_utf8(text: NDArray[Any]) -> bool:
    try:
        text.tobytes().decode()
    except UnicodeDecodeError:
        return False
    return True


def _are_offsets(offsets: NDArray[Any], end: int, *, least: int) -> bool:
    """Whether they begin at 0, end at `end` and are at least `least` apart."""
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != end:
        return False
    return bool((np.diff(offsets.astype(np.int64)) >= least).all())


def _below(numbers: NDArray[Any], limit: int) -> bool:
    return len(numbers) == 0 or int(numbers.max()) < limit


def _are_scores(scores: NDArray[Any]) -> bool:
    """Whether they are finite or -inf; a back-off weight may be above 0."""
    return not (np.isnan(scores).any() or (scores == np.inf).any())
