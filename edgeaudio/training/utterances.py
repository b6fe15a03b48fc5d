"""Transcribed recordings as a recogniser learns from them: frames, and the phones of their words."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.dictionary import read_lexicon
from edgeaudio.decoding.g2p import Pronouncer
from edgeaudio.decoding.text import unaccented
from edgeaudio.errors import InputError, MissingDependencyError, OutputError
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.training.vocabulary import say
from edgeaudio.types import Frames

__all__ = ["PHONES", "FrameStore", "Pronunciations", "Utterance", "spoken_words", "transcribed"]

PHONES = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY",
    "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y",
    "Z", "ZH",
)  # fmt: skip
"""The 39 of CMUdict, without stress."""

Tokens = NDArray[np.int32]

SHORTEST_S = 0.2

_UNCLEAR = re.compile(r"\(\(|[\d&$£€=]")
"""Marks of transcribers for what they could not hear, and digits and signs that are read in many ways."""
_REMARK = re.compile(r"\{[^}]*\}|\[[^\]]*\]|<[^>]*>")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc`\u00b4\ufffd", "'"))
"""The last one is what a wrong decoding has made of an apostrophe."""
_SEPARATE = {"thinkengine": "think engine", "onword": "on word"}
"""Invented names of two words, which a guess by their spelling would get wrong."""

_MOST_PHONES_PER_S = 22
"""A phone takes an output frame of 40 ms at the very least, most take twice that."""


def spoken_words(text: str) -> list[str] | None:
    """The words of a transcript in lower case, or None where it does not say what was spoken.

    Examples
    --------
    >>> spoken_words("[cough] It\u2019s Zoë\u2019s well-known 'café'!")
    ["it's", "zoe's", 'well', 'known', 'cafe']
    >>> spoken_words("at 5"), spoken_words("Да")
    (None, None)
    """
    if _UNCLEAR.search(text):
        return None
    plain = unaccented(_REMARK.sub(" ", text).translate(_APOSTROPHES))
    if any(mark.isalpha() and not mark.isascii() for mark in plain):
        return None
    words = (word.strip("'") for word in re.sub(r"[^a-z']+", " ", plain).split())
    return " ".join(_SEPARATE.get(word, word) for word in words).split() or None


class Pronunciations:
    """Words as tokens: the phones of a dictionary, or for other words those that their spelling suggests.

    Parameters
    ----------
    dictionary : Path
        In CMUdict's form.
    pronouncer : Pronouncer
        Guesses the phones of words that it lacks.

    Raises
    ------
    InputError
        The dictionary cannot be read, or has a phone that CMUdict has not.
    """

    def __init__(self, dictionary: Path, pronouncer: Pronouncer) -> None:
        self._lexicon, self._pronouncer = read_lexicon(dictionary), pronouncer
        self._number = {phone: i for i, phone in enumerate(PHONES, 1)}  # 0 is CTC's blank
        self._known: dict[str, list[Tokens]] = {}
        for word, said in self._lexicon.items():
            strange = {phone for one in said for phone in one.split()} - set(PHONES)
            if strange:
                raise InputError(f"{dictionary}: '{word}' has {min(strange)}, which is no phone of CMUdict")

    def of(self, word: str) -> list[Tokens]:
        """All ways to say a word, each an array of tokens 1 to 39; none if it cannot be said.

        Raises
        ------
        InputError
            The pronouncer guesses phones that CMUdict has not.
        """
        if word not in self._known:
            said = say(word, self._lexicon, self._pronouncer)
            try:
                self._known[word] = [
                    np.array([self._number[phone] for phone in one.split()], np.int32) for one in said
                ]
            except KeyError as error:
                raise InputError(
                    f"the language's pronouncer says '{word}' with {error.args[0]}, no phone of CMUdict",
                    hint="Name another --language, made from a dictionary in CMUdict's phones.",
                ) from error
        return self._known[word]


@dataclass(frozen=True)
class Utterance:
    """One recording to learn from: its words, and for each of them its pronunciations as tokens."""

    row: Row
    corpus: str
    seconds: float
    words: tuple[str, ...]
    variants: tuple[list[Tokens], ...]

    def tokens(self, rng: np.random.Generator | None = None) -> Tokens:
        """The phones, each word in its first pronunciation or in one drawn at random."""
        return np.concatenate([
            ways[0 if rng is None else int(rng.integers(len(ways)))] for ways in self.variants
        ])  # fmt: skip


def transcribed(
    corpus: str, rows: Iterable[Row], pronunciations: Pronunciations, *, max_seconds: float = 18.0
) -> list[Utterance]:
    """The recordings of a corpus that can be learned from.

    A recording without text counts if its label is a word or a few (a spoken command). What is
    longer, what holds a word that nobody can pronounce, and what says more than fits, is left out.

    Raises
    ------
    InputError
        A recording whose length is not listed cannot be read.
    MissingDependencyError
        soundfile is not installed.
    """
    kept: list[Utterance] = []
    for row in rows:
        words = spoken_words(row.text or _label_words(row.label)) or []
        variants = [pronunciations.of(word) for word in words]
        if not variants or not all(variants):
            continue
        seconds = _seconds(row) if row.seconds is None else row.seconds
        fits = sum(len(ways[0]) for ways in variants) < seconds * _MOST_PHONES_PER_S
        if fits and SHORTEST_S <= seconds <= max_seconds:
            kept.append(Utterance(row, corpus, seconds, tuple(words), tuple(variants)))
    return kept


def _label_words(label: str) -> str:
    return label.replace("_", " ") if re.fullmatch(r"[a-z]+(_[a-z]+)*", label) else ""


def _seconds(row: Row) -> float:
    """Length by the file's header."""
    try:
        import soundfile
    except ImportError as error:
        raise MissingDependencyError(
            "reading recordings needs soundfile", hint='pip install "edgeaudio[files]"'
        ) from error
    try:
        return float(soundfile.info(row.path).duration)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{row.origin}: cannot read {row.path}: {error}") from error


class FrameStore:
    """The frames of many recordings, computed once and kept as float16 in a memory map.

    Worker processes that get a copy map the same file.

    Parameters
    ----------
    rows : sequence of Row
    spec : FrontendSpec
    folder : Path
        Cache, 16 kB for a second of speech; the file is named by a hash of what it holds.
    progress : callable, optional
        Called with the part done, 0 to 1.

    Raises
    ------
    InputError
        A recording cannot be read.
    OutputError
        The cache cannot be written.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        spec: FrontendSpec,
        folder: Path,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        names = "\n".join(f"{row.path} {_size(row)}" for row in rows)
        digest = hashlib.sha256(f"{spec.fingerprint}\n{names}".encode()).hexdigest()[:16]
        self._path, ends = folder / f"frames-{digest}.f16", folder / f"frames-{digest}.npy"
        self._n_bands = spec.n_bands
        if not (ends.is_file() and self._path.is_file()):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _compute(rows, spec, self._path, ends, progress)
            except OSError as error:
                raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error
        self._ends: NDArray[np.int64] = np.load(ends, allow_pickle=False)
        self._map()

    def _map(self) -> None:
        shape = (int(self._ends[-1]), self._n_bands)
        self._table: NDArray[np.float16] = (
            np.memmap(self._path, np.float16, "r", shape=shape) if shape[0] else np.zeros(shape, np.float16)
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_table"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()

    def __getitem__(self, i: int) -> Frames:
        """Return the frames of recording ``i``, ``[n, n_bands]`` float32, a copy."""
        return np.asarray(self._table[self._ends[i] : self._ends[i + 1]], np.float32)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each recording."""
        return np.diff(self._ends)


def _size(row: Row) -> int:
    try:
        return row.path.stat().st_size
    except OSError as error:
        raise InputError(f"{row.origin}: cannot read {row.path}: {error.strerror or error}") from error


def _compute(
    rows: Sequence[Row],
    spec: FrontendSpec,
    path: Path,
    ends: Path,
    progress: Callable[[float], None] | None,
) -> None:
    """Write both files under other names first, so that an interrupted run leaves no half cache."""
    partial, partial_ends = (file.with_name(f"{file.name}.{os.getpid()}.partial") for file in (path, ends))
    frontend = Frontend(spec)
    counts = [0]
    try:
        with partial.open("wb") as file:
            for i, row in enumerate(rows):
                frontend.reset()
                frames = frontend.process(np.ascontiguousarray(read_clip(row), np.float32))
                file.write(frames.astype(np.float16).tobytes())
                counts.append(len(frames))
                if progress is not None and i % 64 == 0:
                    progress(i / len(rows))
        with partial_ends.open("wb") as file:
            np.save(file, np.cumsum(counts), allow_pickle=False)
        partial.replace(path)
        partial_ends.replace(ends)
    finally:
        partial.unlink(missing_ok=True)
        partial_ends.unlink(missing_ok=True)
