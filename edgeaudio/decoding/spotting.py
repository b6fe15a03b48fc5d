"""Where in recorded speech a phrase may have been said: the phrase's sounds against any others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.base import LogProbs

__all__ = ["PhraseSearch", "Spot"]

_TOKEN_LIMIT = 10.0
"""The most that one token may cost in a frame: a network can be absurdly sure of a wrong sound."""
_NEVER = np.float32(-np.inf)


@dataclass(frozen=True)
class Spot:
    """A place where the phrase may have been said.

    Frames are output frames since the last reset: the first and the one behind the last in which its
    sounds were seen. ``mismatch`` is by how much more probable other sounds are there, a natural
    logarithm per sound; 0 where each frame's most probable token is the one that belongs there.
    """

    start_frame: int
    end_frame: int
    mismatch: float


class PhraseSearch:
    """Viterbi's algorithm over CTC's topology for one phrase, which may begin and end in any frame.

    All else is free: scores are relative to the most probable token of each frame.

    Parameters
    ----------
    ways : sequence of sequence of int
        The tokens of each way to say the phrase.
    blank : int
        CTC's blank.
    most_frames : int
        What takes longer is not the phrase.
    most_mismatch : float
        What disagrees more with what was heard is left out.
    """

    def __init__(
        self, ways: Sequence[Sequence[int]], *, blank: int, most_frames: int, most_mismatch: float
    ) -> None:
        self._ways = [_Way(np.asarray(way)) for way in ways]
        self._blank = blank
        self._most_frames = most_frames
        self._most_mismatch = most_mismatch
        self.reset()

    def process(self, log_probs: LogProbs) -> None:
        """Read ``[n, n_tokens]`` further output frames, n of any size."""
        costs = np.maximum(log_probs - log_probs.max(axis=1, keepdims=True), -_TOKEN_LIMIT)
        for cost in costs:
            for way in self._ways:
                self._note(way, way.step(cost, self._blank, self._frame))
            self._frame += 1

    def _note(self, way: _Way, score: float) -> None:
        """Keep what may be the end of the phrase."""
        start, mismatch = int(way.start[0, -1]), -score / len(way.tokens)
        if mismatch > self._most_mismatch or self._frame + 1 - start > self._most_frames:
            return
        # What only goes on longer, and agrees no better, can be no better in anything.
        if way.latest is None or start != way.latest.start_frame or mismatch < way.latest.mismatch:
            way.latest = Spot(start, self._frame + 1, mismatch)
            self._spots.append(way.latest)

    def flush(self) -> list[Spot]:
        """Return the places found since the last reset, in order.

        They do not overlap: of those that do, the one is kept that agrees best.
        """
        return _apart(self._spots)

    def reset(self) -> None:
        """Forget everything read, in place."""
        for way in self._ways:
            way.reset()
        self._frame = 0
        self._spots: list[Spot] = []


class _Way:
    """One way to say the phrase; row 0 is "the token was the last thing heard", 1 "a blank came after it"."""

    def __init__(self, tokens: NDArray[np.int64]) -> None:
        self.tokens = tokens
        self.score = np.empty((2, len(tokens)), np.float32)
        self.start = np.empty((2, len(tokens)), np.int64)
        # The same token twice needs a blank in between.
        self._differs = tokens[1:] != tokens[:-1]
        self.reset()

    def reset(self) -> None:
        self.score[:] = _NEVER
        self.start[:] = 0
        self.latest: Spot | None = None

    def step(self, cost: LogProbs, blank: int, frame: int) -> float:
        """Read the costs of one frame's tokens, ``[n_tokens]``, and return the whole phrase's score."""
        (seen, silent), (seen_start, silent_start) = self.score, self.start
        direct = self._differs & (seen[:-1] > silent[:-1])
        coming = np.concatenate(([np.float32(0.0)], np.where(direct, seen[:-1], silent[:-1])))
        start = np.concatenate(([frame], np.where(direct, seen_start[:-1], silent_start[:-1])))
        rests = seen > silent
        silent_start[rests] = seen_start[rests]
        np.maximum(seen, silent, out=silent)
        # The earlier of equals: a first sound that goes on belongs to the phrase.
        moves = coming > seen
        seen_start[moves] = start[moves]
        np.maximum(seen, coming, out=seen)
        seen += cost[self.tokens]
        silent += cost[blank]
        return float(seen[-1])


def _apart(spots: Iterable[Spot]) -> list[Spot]:
    """The best of those that overlap."""
    kept: dict[int, Spot] = {}
    for spot in sorted(spots, key=lambda spot: spot.mismatch):
        frames = range(spot.start_frame, spot.end_frame)
        if not any(frame in kept for frame in frames):
            kept.update(dict.fromkeys(frames, spot))
    return sorted(set(kept.values()), key=lambda spot: spot.start_frame)
