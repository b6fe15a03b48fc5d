"""Cut spoken words out of a stream, one after the other, by their level."""

from __future__ import annotations

import numpy as np

from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["Dictation"]

_STEP = SAMPLE_RATE_HZ // 50
_SETTLING_STEPS = 15
"""The quietest of the first 0.3 s is the room; until then nothing is a word."""
_ABOVE_ROOM_DB = 12.0
_LEAST_DBFS = -60.0
_BEGIN_STEPS = 3
_QUIET_STEPS = 25
_LEAD_STEPS = 20
_MOST_STEPS = 200
_FOLLOWS = 0.02
"""How fast the room's level follows what is heard between words, a step of 20 ms."""


class Dictation:
    """Words of a stream: from 0.4 s before the level rises 12 dB above the room's to 0.5 s of quiet after.

    What goes on for longer than 4 s is no word but a louder room.
    """

    def __init__(self) -> None:
        self._held = np.zeros(0, np.float32)
        self.reset()

    def process(self, samples: Samples) -> list[Samples]:
        """Take ``[n]`` samples in; return the words that ended in them."""
        samples = np.concatenate((self._held, samples))
        n = len(samples) // _STEP
        self._held = samples[n * _STEP :].copy()
        words = []
        for step in samples[: n * _STEP].reshape(n, _STEP):
            word = self._take(step.copy())
            if word is not None:
                words.append(word)
        return words

    def reset(self) -> None:
        """Forget everything heard: the room, and a word that has begun."""
        self._held = self._held[:0]
        self._steps: list[Samples] = []
        self._room_db = np.inf
        self._n_heard = self._n_loud = self._n_quiet = 0
        self._speaking = False

    def _take(self, step: Samples) -> Samples | None:
        level = 10.0 * float(np.log10(np.var(step, dtype=np.float64) + 1e-12))
        self._n_heard += 1
        self._steps.append(step)
        if self._n_heard <= _SETTLING_STEPS:
            self._room_db = min(self._room_db, level)
            return None
        loud = level > max(self._room_db + _ABOVE_ROOM_DB, _LEAST_DBFS)
        self._n_loud = self._n_loud + 1 if loud else 0
        self._n_quiet = 0 if loud else self._n_quiet + 1
        if not self._speaking:
            self._speaking = self._n_loud >= _BEGIN_STEPS
            if not loud:
                self._room_db += _FOLLOWS * (level - self._room_db)
            del self._steps[: -(_LEAD_STEPS + _BEGIN_STEPS)]
            return None
        if self._n_quiet < _QUIET_STEPS and len(self._steps) < _MOST_STEPS:
            return None
        word = np.concatenate(self._steps) if self._n_quiet >= _QUIET_STEPS else None
        if word is None:
            self._room_db = level
        self._speaking = False
        self._n_loud = 0
        del self._steps[:-_LEAD_STEPS]
        return word
