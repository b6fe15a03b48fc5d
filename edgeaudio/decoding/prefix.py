"""Prefix beam search: words from letters, pieces or phones, without a lexicon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeaudio.decoding import pool as pools
from edgeaudio.decoding.base import Hypothesis, LogProbs
from edgeaudio.decoding.hotwords import Hotwords, over_tokens
from edgeaudio.decoding.kernel_prefix import NOTHING, PREFIX, Beam, Count, Scale, advance, keep
from edgeaudio.decoding.units import Speller, Units, frames_of, spelling, token_index
from edgeaudio.errors import UsageError

__all__ = ["PrefixDecoder"]

_POOL = 16_384
"""Tokens that may be undecided at once, over all prefixes."""
_PIECE = 256
"""Frames between looks at what has become stable."""


class PrefixDecoder:
    """Finds the most probable sequence of tokens, summed over all its alignments.

    A word's evidence is the mean over its tokens of the largest log-probability they had.

    Parameters
    ----------
    tokens : sequence of str
        What the columns of the log-probabilities stand for.
    blank : str
        CTC's blank among them.
    units : {"phones", "characters", "pieces"}
        Words of phones are the phones themselves.
    beam : int
        So many prefixes survive a frame.
    hotwords : Hotwords, optional
        Phrases that are likely to be said.
    beam_score : float
        So much worse than the best one a survivor may be, natural logarithm.

    Raises
    ------
    ModelError
        If `blank` is no token.
    UsageError
        If a hotword cannot be written with the tokens, or the beam is none.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        blank: str,
        units: Units,
        beam: int = 8,
        hotwords: Hotwords | None = None,
        *,
        beam_score: float = 30.0,
    ) -> None:
        if beam < 1:
            raise UsageError(f"a beam width of {beam}", hint="At least one prefix must survive.")
        written = spelling(tokens, blank, units)
        self._hot = over_tokens(hotwords, written, units)
        self._speller = Speller(written, whole=units == "phones")
        self._max_width = beam
        self._pool = pools.new_pool(max(_POOL, 4 * beam))
        counts, scales = np.zeros(len(Count), np.int64), np.zeros(len(Scale))
        counts[Count.WIDTH], counts[Count.BLANK] = beam, token_index(tokens, blank)
        counts[Count.SPACE] = written.index(" ") if " " in written else NOTHING
        scales[Scale.BEAM] = np.exp(-beam_score)
        room = 4 * beam + 64
        self._beam = Beam(
            here=np.zeros(beam, PREFIX),
            there=np.zeros(room, PREFIX),
            counts=counts,
            scales=scales,
            frame=np.zeros(len(tokens)),
            scratch=np.zeros(room),
            taken=np.zeros((beam, len(tokens)), np.uint8),
            hot_next=self._hot.next_state,
            hot_gain=np.exp(self._hot.score),
        )
        self.reset()
        # Compiled, or read from Numba's cache, before somebody speaks; the root keeps everything.
        keep(self._beam, self._pool, int(self._pool.marks[pools.Mark.ROOT]))

    @property
    def beam_width(self) -> int:
        """How many prefixes survive a frame: at most what the decoder was made with."""
        return int(self._beam.counts[Count.WIDTH])

    @beam_width.setter
    def beam_width(self, width: int) -> None:
        if not 1 <= width <= self._max_width:
            raise UsageError(f"a beam width of {width}", hint=f"From 1 to {self._max_width} is possible.")
        self._beam.counts[Count.WIDTH] = width

    def process(self, log_probs: LogProbs) -> None:
        """Read ``[n, n_tokens]`` further output frames, n of any size."""
        frames = frames_of(log_probs, len(self._beam.frame))
        done = 0
        while done < len(frames):
            done += advance(frames[done : done + _PIECE], self._beam, self._pool)
            if self._pool.marks[pools.Mark.STABLE] > len(self._pool.stable) // 2:
                self._drain()

    def hypothesis(self) -> Hypothesis:
        """Return the best reading as of now."""
        self._drain()
        best = int(self._beam.counts[Count.BEST])
        return self._written(best, self._rest(best), len(self._speller.words))

    def commit(self, n_words: int) -> None:
        """Give up every prefix that does not begin with the first `n_words` words of the best one.

        Only complete words count.
        """
        self._drain()
        rest = self._speller.continued(())
        back = int(self._beam.here[self._beam.counts[Count.BEST]]["back"])
        for number in pools.path(self._pool, back):
            if len(self._speller.words) + len(rest.words) >= n_words:
                break
            rest.add(*self._token(self._pool.nodes[number]))
            if len(self._speller.words) + len(rest.words) == n_words:
                keep(self._beam, self._pool, number)

    def flush(self) -> Hypothesis:
        """Return the final reading, the unfinished word included."""
        self._drain()
        here = self._beam.here[: self._beam.counts[Count.ACTIVE]]
        best = int(np.argmax((here["blank"] + here["token"]) * np.exp(self._hot.end_score[here["hot"]])))
        rest = self._rest(best)
        rest.close()
        return self._written(best, rest, len(self._speller.words) + len(rest.words))

    def reset(self) -> None:
        """Forget everything read, in place."""
        pools.clear(self._pool)
        self._speller.clear()
        here, counts, scales = self._beam.here, self._beam.counts, self._beam.scales
        here[0] = 0
        here[0]["last"] = NOTHING
        here[0]["hash"] = 1
        here[0]["hot"] = self._hot.start
        here[0]["blank"] = 1.0
        counts[Count.ACTIVE] = 1
        counts[Count.BEST] = counts[Count.FRAME] = 0
        scales[Scale.TOTAL] = 0.0

    def _drain(self) -> None:
        for node in pools.stable(self._pool):
            self._speller.add(*self._token(node))

    def _rest(self, i: int) -> Speller:
        """What prefix `i` writes behind the stable words."""
        path = pools.path(self._pool, int(self._beam.here[i]["back"]))
        return self._speller.continued(self._token(self._pool.nodes[number]) for number in path)

    def _token(self, node: np.void) -> tuple[int, int, int, float]:
        return int(node["label"]), int(node["start"]), int(node["end"]), float(node["evidence"])

    def _written(self, i: int, rest: Speller, stable: int) -> Hypothesis:
        prefix = self._beam.here[i]
        return Hypothesis(
            (*self._speller.words, *rest.words),
            stable,
            rest.letters,
            int(self._beam.counts[Count.FRAME] - prefix["seen"]),
            float(np.log(prefix["blank"] + prefix["token"]) + self._beam.scales[Scale.TOTAL]),
        )
