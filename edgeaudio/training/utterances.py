"""Transcribed recordings as a recogniser learns from them: frames, and the phones of their words."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import InputError
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.training.corpus import Clip
from edgeaudio.types import Frames

__all__ = ["PHONES", "FrameStore", "Lexicon", "Utterance", "spoken_words", "transcribed"]

PHONES = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY",
    "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y",
    "Z", "ZH",
)  # fmt: skip
"""The 39 of CMUdict, without stress."""

Tokens = NDArray[np.int32]

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


class Lexicon:
    """A pronouncing dictionary in CMUdict's format: ``word P H O N E S``, variants as ``word(2)``.

    Parameters
    ----------
    path : path
        Plain or gzipped.
    guess : callable, optional
        Gives phones for words that the dictionary lacks.

    Raises
    ------
    InputError
        The file cannot be read, or a line has an unknown phone.
    """

    def __init__(self, path: str | Path, guess: Callable[[str], Sequence[str]] | None = None) -> None:
        self._guess = guess
        self._variants: dict[str, list[Tokens]] = {}
        number = {phone: i + 1 for i, phone in enumerate(PHONES)}  # 0 is CTC's blank
        opened = gzip.open if str(path).endswith(".gz") else open
        try:
            with opened(path, "rt", encoding="utf-8") as lines:
                for place, line in enumerate(lines, 1):
                    name, *phones = line.split("#")[0].split()
                    try:
                        tokens = [number[phone.rstrip("012")] for phone in phones]
                    except KeyError as error:
                        raise InputError(f"{path}:{place}: {error} is no phone of CMUdict") from error
                    word = re.sub(r"\(\d+\)$", "", name.lower())
                    self._variants.setdefault(word, []).append(np.array(tokens, np.int32))
        except (OSError, UnicodeError, ValueError, EOFError) as error:
            raise InputError(f"{path}: cannot read the dictionary: {error}") from error

    def variants(self, word: str) -> list[Tokens]:
        """All pronunciations as tokens, 1 to 39; none for an unknown word."""
        if word not in self._variants:
            self._variants[word] = self._derived(word)
        return self._variants[word]

    def _derived(self, word: str) -> list[Tokens]:
        if word.endswith("'s") and self._variants.get(word[:-2]):
            return [_possessive(tokens) for tokens in self._variants[word[:-2]]]
        if self._guess is None:
            return []
        number = {phone: i + 1 for i, phone in enumerate(PHONES)}
        phones = self._guess(word)
        return [np.array([number[phone] for phone in phones], np.int32)] if phones else []


def _possessive(tokens: Tokens) -> Tokens:
    last = PHONES[tokens[-1] - 1]
    if last in {"S", "Z", "SH", "ZH", "CH", "JH"}:
        ending = ["IH", "Z"]
    else:
        ending = ["S"] if last in {"P", "T", "K", "F", "TH"} else ["Z"]
    return np.concatenate([tokens, np.array([PHONES.index(p) + 1 for p in ending], np.int32)])


@dataclass(frozen=True)
class Utterance:
    """One recording to learn from: its clip, its words, and for each of them its pronunciations."""

    clip: Clip
    words: tuple[str, ...]
    variants: tuple[list[Tokens], ...]

    def tokens(self, rng: np.random.Generator | None = None) -> Tokens:
        """The phones, each word in its first pronunciation or in one drawn at random."""
        chosen = [v[0 if rng is None else int(rng.integers(len(v)))] for v in self.variants]
        return np.concatenate(chosen)


def transcribed(
    clips: Iterable[Clip], lexicon: Lexicon, *, max_seconds: float = 18.0
) -> tuple[list[Utterance], dict[str, int]]:
    """Utterances that can be learned from, and how many of each corpus cannot.

    A recording without ``text`` counts if its label is one word (a spoken command).
    """
    kept: list[Utterance] = []
    dropped: dict[str, int] = {}
    for clip in clips:
        words = spoken_words(clip.text or _single_word(clip))
        variants = [lexicon.variants(word) for word in words or ()]
        n_tokens = sum(len(v[0]) for v in variants if v)
        # A phone takes 40 ms at the very least, most take twice that.
        fits = 0.2 <= clip.seconds <= max_seconds and n_tokens < clip.seconds * 22
        if variants and all(variants) and fits:
            kept.append(Utterance(clip, tuple(words or ()), tuple(variants)))
        else:
            dropped[clip.corpus] = dropped.get(clip.corpus, 0) + 1
    return kept, dropped


def _single_word(clip: Clip) -> str:
    plain = re.fullmatch(r"[a-z]+(_[a-z]+)*", clip.label)
    return clip.label.replace("_", " ") if plain else ""


class FrameStore:
    """The frames of many clips, computed once and kept as float16 in a memory map.

    Parameters
    ----------
    clips : sequence of Clip
    spec : FrontendSpec
    folder : Path
        Cache; the file is named by a hash of what it holds.
    progress : callable, optional
        Called with the part done, 0 to 1.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        spec: FrontendSpec,
        folder: Path,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        frontend = Frontend(spec)
        sizes = [self._count(len(clip.pcm), spec) for clip in clips]
        self._ends = np.cumsum(np.array([0, *sizes], np.int64))
        names = "\n".join(f"{clip.corpus}/{clip.key} {len(clip.pcm)}" for clip in clips)
        digest = hashlib.sha256(f"{spec.fingerprint}\n{names}".encode()).hexdigest()[:16]
        path = folder / f"frames-{digest}.f16"
        shape = (max(int(self._ends[-1]), 1), spec.n_bands)
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f"{path.name}.{os.getpid()}.partial"
            table = np.memmap(partial, np.float16, "w+", shape=shape)
            for i, clip in enumerate(clips):
                frontend.reset()
                frames = frontend.process(clip.pcm.astype(np.float32) / np.float32(32768.0))
                table[self._ends[i] : self._ends[i + 1]] = frames
                if progress is not None and i % 100 == 0:
                    progress(i / len(clips))
            table.flush()
            partial.replace(path)
        self._table = np.memmap(path, np.float16, "r", shape=shape)

    def __getitem__(self, i: int) -> Frames:
        """Return the frames of clip ``i``, ``[n, n_bands]`` float32, a copy."""
        return np.asarray(self._table[self._ends[i] : self._ends[i + 1]], np.float32)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @staticmethod
    def _count(n_samples: int, spec: FrontendSpec) -> int:
        return max(0, (n_samples - spec.window_samples) // spec.hop_samples + 1)

    def n_frames(self, i: int) -> int:
        """Return the number of frames of clip ``i``."""
        return int(self._ends[i + 1] - self._ends[i])
