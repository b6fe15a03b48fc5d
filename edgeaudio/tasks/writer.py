"""Captions while they grow: committed words, the tentative tail, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgeaudio.decoding.base import Hypothesis, Word
from edgeaudio.events import Caption, CaptionWord
from edgeaudio.models.manifest import ModelManifest

if TYPE_CHECKING:
    from edgeaudio.decoding.grammar import Grammar

__all__ = ["CaptionWriter"]

_TENTATIVE_S = 0.3
"""Tentative text alone changes at most so often: what changes more often cannot be read."""


class CaptionWriter:
    """Writes one caption after the other, each word only once.

    A caption that nobody seems to have spoken is withheld, and takes no number.

    Parameters
    ----------
    manifest : ModelManifest
        The model's name, and how the decoder's evidence becomes a confidence.
    spoken : callable
        Turns an output frame of the decoder into an absolute sample.
    is_credible : callable
        Says whether somebody spoke; asked until it once says so.
    grammar : Grammar, optional
        Says what a final text means.
    """

    def __init__(
        self,
        manifest: ModelManifest,
        spoken: Callable[[int], int],
        is_credible: Callable[[Hypothesis], bool],
        grammar: Grammar | None = None,
    ) -> None:
        self._captions = manifest.recognition
        self._name = manifest.name
        self._rate_hz = manifest.frontend.sample_rate_hz
        self._spoken = spoken
        self._is_credible = is_credible
        self._grammar = grammar
        self._last_id = 0
        self.begin()

    @property
    def n_words(self) -> int:
        """How many words are committed."""
        return len(self._words)

    def begin(self) -> None:
        """Begin a new caption; what remains of the last one is forgotten."""
        self._words: list[CaptionWord] = []
        self._tentative = ""
        self._is_shown = False
        self._shown_at = 0
        self._start_sample = 0

    def update(self, found: Hypothesis, needed: int, *, tentative: bool) -> Caption | None:
        """Commit the stable words of what was `found`.

        Parameters
        ----------
        found : Hypothesis
            The caption as it reads now.
        needed : int
            Absolute sample behind the last one that `found` depended on.
        tentative : bool
            Whether to tell of what follows the committed words.

        Returns
        -------
        Caption or None
            None if there is nothing new, or too little time has passed for changes that do not last.
        """
        is_longer = found.stable > self.n_words
        self._commit(found.words[self.n_words : found.stable])
        tail = self._tail(found) if tentative else ""
        waited = not self._is_shown or needed - self._shown_at >= _TENTATIVE_S * self._rate_hz
        if is_longer or (tail != self._tentative and waited):
            return self._tell(found, tail, needed, final=False)
        return None

    def finish(self, found: Hypothesis, n_words: int, needed: int) -> Caption | None:
        """Commit the first `n_words` words, say that the caption is over, and begin the next."""
        self._commit(found.words[self.n_words : n_words])
        caption = self._tell(found, "", needed, final=True)
        self.begin()
        return caption

    def _commit(self, words: Sequence[Word]) -> None:
        for word in words:
            start_sample = self._spoken(word.start_frame)
            if self._words:
                start_sample = max(start_sample, self._words[-1].end_sample)
            self._words.append(
                CaptionWord(
                    text=word.text,
                    start_sample=start_sample,
                    end_sample=max(start_sample, self._spoken(word.end_frame)),
                    confidence=self._captions.confidence(word.evidence),
                )
            )

    def _tail(self, found: Hypothesis) -> str:
        words = [word.text for word in found.words[self.n_words :]]
        return " ".join([*words, found.partial] if found.partial else words)

    def _tell(self, found: Hypothesis, tentative: str, needed: int, *, final: bool) -> Caption | None:
        if not self._is_shown:
            if not self._is_credible(found):
                return None
            self._last_id += 1
            self._is_shown = True
        if self._words:
            self._start_sample = self._words[0].start_sample
        elif found.words:
            self._start_sample = self._spoken(found.words[0].start_frame)
        self._tentative = tentative
        self._shown_at = needed
        order = self._grammar.understand(w.text for w in self._words) if final and self._grammar else None
        return Caption(
            model=self._name,
            caption_id=self._last_id,
            words=tuple(self._words),
            tentative=tentative,
            final=final,
            start_sample=self._start_sample,
            end_sample=needed,
            latency_s=0.0,
            command=order.command if order else None,
            slots=order.slots if order else {},
            sample_rate_hz=self._rate_hz,
        )
