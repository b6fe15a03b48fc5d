"""Whether somebody spoke at all: noises resemble short words, but less than words do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeaudio.decoding.base import LogProbs, Word

__all__ = ["is_credible", "speech_margin"]

_LEAST = 5.0
_LEAST_PER_WORD = 4.0
"""Of :func:`speech_margin`. Measured on barks, sneezes and cries against single words of many speakers: per
word, since a bark is soon written as three short words, which have the margin of a long one."""


def speech_margin(log_probs: LogProbs, blank: int, words: Sequence[Word]) -> float:
    """Return by how much more probable than silence the sounds of `words` are, as a natural logarithm.

    Sounds are runs of frames with the same most probable token; each counts once, with its clearest frame.
    What lies between words does not count. Unlike a decoder's score, this depends neither on the language
    nor on how the search is set.

    Parameters
    ----------
    log_probs : array [n_frames, n_tokens]
        From the decoder's last reset on.
    blank : int
        CTC's blank among the tokens.
    words : sequence of Word
    """
    inside = np.zeros(len(log_probs), bool)
    for word in words:
        inside[word.start_frame : word.end_frame] = True
    token = np.where(inside, log_probs.argmax(axis=1), blank)
    begins = np.flatnonzero(np.diff(token, prepend=-1))
    # Where the best token is another one, it is more probable than blank.
    margin = np.where(token == blank, 0.0, log_probs.max(axis=1) - log_probs[:, blank])
    return float(np.maximum.reduceat(margin, begins).sum()) if len(begins) else 0.0


def is_credible(log_probs: LogProbs, blank: int, words: Sequence[Word]) -> bool:
    """Say whether `words` were probably spoken, and were no noise."""
    least = _LEAST + _LEAST_PER_WORD * len(words)
    return bool(words) and speech_margin(log_probs, blank, words) >= least
