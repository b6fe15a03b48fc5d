"""From tokens to words: what each token writes, and how words are put together from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from edgeaudio.decoding.base import LogProbs, Word
from edgeaudio.errors import ModelError, UsageError

__all__ = ["Speller", "Units", "frames_of", "spelling", "token_index"]

Units: TypeAlias = Literal["phones", "characters", "pieces"]

_SPACES = frozenset({" ", "|", "<space>", "▁"})
"""How networks call the token between two words."""


def spelling(tokens: Sequence[str], blank: str, units: Units) -> tuple[str, ...]:
    """Return what each token writes; where it begins with a space, a word begins. Blank writes nothing.

    Examples
    --------
    >>> spelling(["<blank>", "|", "a"], "<blank>", "characters")
    ('', ' ', 'a')
    >>> spelling(["<blank>", "▁ed", "ge"], "<blank>", "pieces")
    ('', ' ed', 'ge')
    >>> spelling(["<blank>", "EH"], "<blank>", "phones")
    ('', ' EH')
    """
    return tuple("" if token == blank else _written(token, units) for token in tokens)


def token_index(tokens: Sequence[str], token: str) -> int:
    """Return the place of `token` among `tokens`.

    Raises
    ------
    ModelError
        If it is not there.
    """
    if token not in tokens:
        raise ModelError(f"the model has no token {token!r}", hint=f"It has: {' '.join(tokens)}")
    return list(tokens).index(token)


def frames_of(log_probs: LogProbs, n_tokens: int) -> LogProbs:
    """Return `log_probs` as compiled code wants them: contiguous float32.

    Raises
    ------
    UsageError
        If they are not those of `n_tokens` tokens.
    """
    if log_probs.ndim != 2 or log_probs.shape[1] != n_tokens:
        raise UsageError(f"log-probabilities of shape {log_probs.shape} are none of {n_tokens} tokens")
    return np.ascontiguousarray(log_probs, np.float32)


def _written(token: str, units: Units) -> str:
    if units == "phones":
        return f" {token}"
    if token in _SPACES:
        return " "
    return token.replace("▁", " ") if units == "pieces" else token


@dataclass
class Speller:
    """Puts words together from tokens that come one by one.

    ``words`` are complete, ``letters`` is what the last, unfinished one has so far. A word's evidence
    is the mean of its tokens'.
    """

    written: tuple[str, ...]
    whole: bool
    """Each token is a word of its own."""
    words: list[Word] = field(default_factory=list)
    letters: str = ""
    _start: int = 0
    _end: int = 0
    _evidence: list[float] = field(default_factory=list)

    def add(self, token: int, start_frame: int, end_frame: int, evidence: float) -> None:
        """Take one more token, seen in frames ``[start_frame, end_frame)``."""
        text = self.written[token]
        if text.startswith(" "):
            self.close()
        letters = text.strip()
        if not letters:
            return
        if not self.letters:
            self._start = start_frame
        self.letters += letters
        self._end = end_frame
        self._evidence.append(evidence)
        if self.whole:
            self.close()

    def close(self) -> None:
        """Finish the word that has begun, if any."""
        if self.letters:
            mean = sum(self._evidence) / len(self._evidence)
            self.words.append(Word(self.letters, self._start, self._end, mean))
        self.letters = ""
        self._evidence = []

    def continued(self, tokens: Iterable[tuple[int, int, int, float]]) -> Speller:
        """Return a copy of the unfinished word, without the complete ones, to which `tokens` were added."""
        copy = Speller(self.written, self.whole, [], self.letters, self._start, self._end, [*self._evidence])
        for token in tokens:
            copy.add(*token)
        return copy

    def clear(self) -> None:
        """Forget all words."""
        self.words.clear()
        self.letters = ""
        self._evidence = []
