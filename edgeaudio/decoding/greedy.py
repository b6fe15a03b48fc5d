"""Greedy decoding: the most probable token of each frame, runs collapsed, blanks dropped."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from edgeaudio.compiled import cached_njit
from edgeaudio.decoding.base import Hypothesis, LogProbs
from edgeaudio.decoding.units import Speller, Units, frames_of, spelling, token_index

__all__ = ["GreedyDecoder"]

_ROOM = 1024
"""Tokens that wait for Python to read them."""


class _Run(IntEnum):
    """Fields of the int64 array; a run is a stretch of frames with the same best token."""

    TOKEN = 0
    START = 1
    FRAME = 2  # frames read
    LOUD = 3  # the frame behind the last whose best token is no blank
    WAITING = 4  # finished tokens


class GreedyDecoder:
    """Writes the most probable token of each frame.

    Nothing written ever changes. Words of phones are the phones themselves. A word's evidence is the
    mean over its tokens of the largest log-probability they had.

    Parameters
    ----------
    tokens : sequence of str
        What the columns of the log-probabilities stand for.
    blank : str
        CTC's blank among them.
    units : {"phones", "characters", "pieces"}

    Raises
    ------
    ModelError
        If `blank` is no token.

    Examples
    --------
    >>> decoder = GreedyDecoder(["<blank>", "EH", "JH"], "<blank>", "phones")
    >>> decoder.process(np.log(np.array([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]], np.float32)))
    >>> [(word.text, word.start_frame, word.end_frame) for word in decoder.flush().words]
    [('EH', 0, 1), ('JH', 2, 3)]
    """

    def __init__(self, tokens: Sequence[str], blank: str, units: Units) -> None:
        self._blank = token_index(tokens, blank)
        self._speller = Speller(spelling(tokens, blank, units), whole=units == "phones")
        self._run = np.zeros(len(_Run), np.int64)
        self._evidence = np.zeros(2)  # the run's, and the sum over all frames
        self._tokens = np.zeros((_ROOM, 3), np.int64)
        self._token_evidence = np.zeros(_ROOM)
        self.reset()

    def process(self, log_probs: LogProbs) -> None:
        """Read ``[n, n_tokens]`` further output frames, n of any size."""
        frames = frames_of(log_probs, len(self._speller.written))
        done = 0
        while done < len(frames):
            done += _read(
                frames[done:], self._blank, self._run, self._evidence, self._tokens, self._token_evidence
            )
            if self._run[_Run.WAITING] > _ROOM // 2:
                self._drain()

    def hypothesis(self) -> Hypothesis:
        """Return what is written as of now; all complete words are stable."""
        self._drain()
        return self._written(self._speller.continued(self._open()), len(self._speller.words))

    def commit(self, n_words: int) -> None:
        """Do nothing: there is one hypothesis."""

    def flush(self) -> Hypothesis:
        """Return the final reading, the unfinished word included."""
        self._drain()
        rest = self._speller.continued(self._open())
        rest.close()
        return self._written(rest, len(self._speller.words) + len(rest.words))

    def reset(self) -> None:
        """Forget everything read, in place."""
        self._run[:] = 0
        self._run[_Run.TOKEN] = self._blank
        self._evidence[:] = 0.0
        self._speller.clear()

    def _open(self) -> list[tuple[int, int, int, float]]:
        """The token of the run that has not ended, if it writes anything."""
        token, start, frame = (int(self._run[i]) for i in (_Run.TOKEN, _Run.START, _Run.FRAME))
        return [] if token == self._blank else [(token, start, frame, float(self._evidence[0]))]

    def _drain(self) -> None:
        for i in range(self._run[_Run.WAITING]):
            token, start, end = self._tokens[i].tolist()
            self._speller.add(token, start, end, float(self._token_evidence[i]))
        self._run[_Run.WAITING] = 0

    def _written(self, rest: Speller, stable: int) -> Hypothesis:
        quiet = int(self._run[_Run.FRAME] - self._run[_Run.LOUD])
        words = (*self._speller.words, *rest.words)
        return Hypothesis(words, stable, rest.letters, quiet, float(self._evidence[1]))


@cached_njit(nogil=True)
def _read(log_probs, blank, run, evidence, tokens, token_evidence):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Read frames until all are read or the room for tokens is full; return their number."""
    for t in range(log_probs.shape[0]):
        waiting = run[_Run.WAITING]
        if waiting == tokens.shape[0]:
            return t
        best = blank
        for c in range(log_probs.shape[1]):
            if log_probs[t, c] > log_probs[t, best]:
                best = c
        if best == run[_Run.TOKEN]:
            evidence[0] = max(evidence[0], log_probs[t, best])
        else:
            if run[_Run.TOKEN] != blank:
                tokens[waiting, 0] = run[_Run.TOKEN]
                tokens[waiting, 1] = run[_Run.START]
                tokens[waiting, 2] = run[_Run.FRAME]
                token_evidence[waiting] = evidence[0]
                run[_Run.WAITING] += 1
            run[_Run.TOKEN] = best
            run[_Run.START] = run[_Run.FRAME]
            evidence[0] = log_probs[t, best]
        evidence[1] += log_probs[t, best]
        run[_Run.FRAME] += 1
        if best != blank:
            run[_Run.LOUD] = run[_Run.FRAME]
    return log_probs.shape[0]
