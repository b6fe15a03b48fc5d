"""Transcribed recordings as a recogniser learns from them: frames, and the phones of their words."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.dictionary import read_lexicon
from edgeaudio.decoding.g2p import Pronouncer
from edgeaudio.errors import InputError
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

_UNCLEAR = re.compile(r"\(\(|\d")
"""Marks of transcribers for what they could not hear, and digits, which can be read in many ways."""
_REMARK = re.compile(r"\{[^}]*\}|\[[^\]]*\]|<[^>]*>")
_SEPARATE = {"thinkengine": "think engine", "onword": "on word"}


def spoken_words(text: str) -> list[str] | None:
    """The words of a transcript in lower case, or None where it does not say what was spoken."""
    if _UNCLEAR.search(text):
        return None
    text = _REMARK.sub(" ", text).lower().replace("\u2019", "'")
    for joined, apart in _SEPARATE.items():
        text = text.replace(joined, apart)
    words = [word.strip("'") if word.strip("'") else "" for word in re.sub(r"[^a-z']+", " ", text).split()]
    return [word for word in words if word] or None


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
        """All ways to say a word, each an array of tokens 1 to 39; none if it cannot be said."""
        if word not in self._known:
            said = say(word, self._lexicon, self._pronouncer)
            self._known[word] = [
                np.array([self._number[phone] for phone in one.split()], np.int32) for one in said
            ]
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
        chosen = [v[0 if rng is None else int(rng.integers(len(v)))] for v in self.variants]
        return np.concatenate(chosen)


def transcribed(
    corpus: str, rows: Iterable[Row], pronunciations: Pronunciations, *, max_seconds: float = 18.0
) -> list[Utterance]:
    """The recordings of a corpus that can be learned from.

    A recording without text counts if its label is a word or a few (a spoken command). What is
    longer, what holds a word that nobody can pronounce, and what says more than fits, is left out.
    """
    kept: list[Utterance] = []
    for row in rows:
        words = spoken_words(row.text or _label_words(row.label)) or []
        variants = [pronunciations.of(word) for word in words]
        if not variants or not all(variants):
            continue
        seconds = _seconds(row) if row.seconds is None else row.seconds
        # A phone takes 40 ms at the very least, most take twice that.
        said = sum(len(v[0]) for v in variants) < seconds * 22
        if said and SHORTEST_S <= seconds <= max_seconds:
            kept.append(Utterance(row, corpus, seconds, tuple(words), tuple(variants)))
    return kept


def _label_words(label: str) -> str:
    return label.replace("_", " ") if re.fullmatch(r"[a-z]+(_[a-z]+)*", label) else ""


def _seconds(row: Row) -> float:
    """Length by the file's header."""
    import soundfile

    try:
        return float(soundfile.info(row.path).duration)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{row.origin}: cannot read {row.path}: {error}") from error


class FrameStore:
    """The frames of many recordings, computed once and kept as float16 in a memory map.

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
    """

    def __init__(
        self,
        rows: Sequence[Row],
        spec: FrontendSpec,
        folder: Path,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        names = "\n".join(f"{row.path} {row.path.stat().st_size}" for row in rows)
        digest = hashlib.sha256(f"{spec.fingerprint}\n{names}".encode()).hexdigest()[:16]
        path, ends = folder / f"frames-{digest}.f16", folder / f"frames-{digest}.npy"
        if not ends.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            # Written under another name first, so that an interrupted run leaves no half cache.
            partial = folder / f"{path.name}.{os.getpid()}.partial"
            counts = [0]
            with partial.open("wb") as file:
                for i, frames in enumerate(_frames(rows, spec)):
                    file.write(frames.astype(np.float16).tobytes())
                    counts.append(len(frames))
                    if progress is not None and i % 64 == 0:
                        progress(i / len(rows))
            partial.replace(path)
            np.save(ends, np.cumsum(counts), allow_pickle=False)
        self._ends: NDArray[np.int64] = np.load(ends, allow_pickle=False)
        shape = (int(self._ends[-1]), spec.n_bands)
        self._table: NDArray[np.float16] = (
            np.memmap(path, np.float16, "r", shape=shape) if shape[0] else np.zeros(shape, np.float16)
        )

    def __getitem__(self, i: int) -> Frames:
        """Return the frames of recording ``i``, ``[n, n_bands]`` float32, a copy."""
        return np.asarray(self._table[self._ends[i] : self._ends[i + 1]], np.float32)

    def __len__(self) -> int:
        return len(self._ends) - 1


def _frames(rows: Sequence[Row], spec: FrontendSpec) -> Iterator[Frames]:
    frontend = Frontend(spec)
    for row in rows:
        frontend.reset()
        yield frontend.process(np.ascontiguousarray(read_clip(row), np.float32))
