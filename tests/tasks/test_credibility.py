from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.decoding.base import Word
from edgeaudio.tasks.credibility import is_credible, speech_margin

BLANK, A, B = range(3)


def log_probs(*frames):
    """Frames as (token, by how much it is more probable than the others)."""
    logits = np.zeros((len(frames), 3))
    for row, (token, margin) in enumerate(frames):
        logits[row, token] = margin
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def word(start, end):
    return Word("word", start, end, 0.0)


def test_each_sound_counts_once_with_its_clearest_frame():
    heard = log_probs((BLANK, 9.0), (A, 2.0), (A, 3.0), (A, 1.0), (B, 4.0), (BLANK, 9.0), (B, 1.5))
    assert speech_margin(heard, BLANK, [word(0, 7)]) == pytest.approx(3.0 + 4.0 + 1.5, abs=1e-5)


def test_what_lies_between_words_does_not_count():
    heard = log_probs((A, 2.0), (B, 3.0), (A, 4.0))
    assert speech_margin(heard, BLANK, [word(0, 1), word(2, 3)]) == pytest.approx(6.0, abs=1e-5)
    assert speech_margin(heard, BLANK, []) == 0.0
    assert speech_margin(heard[:0], BLANK, []) == 0.0


@pytest.mark.parametrize(("n_words", "least"), [(1, 9.0), (2, 13.0), (5, 25.0)])
def test_more_words_need_more_sound(n_words, least):
    words = [word(2 * i, 2 * i + 1) for i in range(n_words)]
    for excess, expected in ((0.01, True), (-0.01, False)):
        each = (least + excess) / n_words
        heard = log_probs(*[(A, each), (BLANK, 9.0)] * n_words)
        assert is_credible(heard, BLANK, words) is expected


def test_no_words_are_not_credible():
    assert not is_credible(log_probs((A, 20.0)), BLANK, [])
