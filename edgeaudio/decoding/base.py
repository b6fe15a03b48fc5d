"""What the recogniser asks of a decoder, and what it gets back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoder", "Hypothesis", "LogProbs", "Word"]

LogProbs = NDArray[np.float32]
"""``[n_frames, n_tokens]``: natural logarithms of the tokens' probabilities in each output frame."""


@dataclass(frozen=True)
class Word:
    """A word of a hypothesis.

    Frames are output frames counted from the decoder's last reset: the first and the one behind the
    last in which the word's tokens were seen. ``evidence`` is the raw figure behind a confidence (the
    higher, the surer), calibrated by whoever knows the model.
    """

    text: str
    start_frame: int
    end_frame: int
    evidence: float


@dataclass(frozen=True)
class Hypothesis:
    """The best reading of everything heard since the last reset.

    ``stable`` counts its leading words that every surviving hypothesis shares: they cannot change any
    more. ``partial`` is the beginning of an unfinished word, where the units are letters.
    ``quiet_frames`` counts the frames since the last token that is no blank; all frames since the
    reset if there was none. ``score`` is the natural logarithm of the reading's probability as the search
    counts it.
    """

    words: tuple[Word, ...]
    stable: int
    partial: str
    quiet_frames: int
    score: float


class Decoder(Protocol):
    """Reads log-probabilities as they come and knows at any time what was probably said.

    The result is the same however the frames are cut into calls. Nothing is allocated by
    ``process`` after the first calls.
    """

    def process(self, log_probs: LogProbs) -> None:
        """Read ``[n, n_tokens]`` further output frames, n of any size."""

    def hypothesis(self) -> Hypothesis:
        """Return the best reading as of now."""

    def commit(self, n_words: int) -> None:
        """Give up every hypothesis that does not begin with the first `n_words` of the best one."""

    def flush(self) -> Hypothesis:
        """Return the final reading: unfinished words and the end of the sentence are decided."""

    def reset(self) -> None:
        """Forget everything read, in place."""
