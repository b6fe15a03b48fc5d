"""Search over the words of a language, weighed by its n-grams or held to its grammar."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np

from edgeaudio.decoding import pool as pools
from edgeaudio.decoding.base import Hypothesis, LogProbs, Word
from edgeaudio.decoding.hotwords import Hotwords, with_hotwords
from edgeaudio.decoding.kernel_lexicon import advance, finish, keep
from edgeaudio.decoding.language import Language
from edgeaudio.decoding.lexicon_beam import NOTHING, PLACE, Beam, Count, Scale
from edgeaudio.decoding.units import Units, frames_of, spelling, token_index
from edgeaudio.decoding.vocabulary import lay_out
from edgeaudio.errors import UsageError

__all__ = ["LexiconDecoder", "SearchSettings"]

_POOL = 16_384
"""Words that may be undecided at once, over all hypotheses."""
_PIECE = 256
"""Frames between looks at what has become stable."""
_LEAST_SHARE = 1e-3


class SearchSettings(Protocol):
    """What a manifest says about the search, see :class:`edgeaudio.models.manifest.Search`."""

    @property
    def beam_width(self) -> int:
        """So many hypotheses survive a frame."""

    @property
    def beam_score(self) -> float:
        """So much worse than the best one they may be, natural logarithm."""

    @property
    def language_weight(self) -> float:
        """Multiplies the language model's natural logarithms."""

    @property
    def word_bonus(self) -> float:
        """Added for each word."""

    @property
    def blank_scale(self) -> float:
        """Multiplies the probability of blank."""


class LexiconDecoder:
    """Finds the most probable words of a language, spoken or spelled.

    A word's evidence is the logarithm of the share of all probability that its hypotheses had while it
    was undecided, plus a part of what its tokens lacked in comparison with each frame's most probable ones.

    Parameters
    ----------
    language : Language
        Words, how they are pronounced, and what may follow what.
    tokens : sequence of str
        What the columns of the log-probabilities stand for.
    blank : str
        CTC's blank among them.
    units : {"phones", "characters"}
    search : SearchSettings
    hotwords : Hotwords, optional
        Phrases that are likely to be said; words that the language lacks become part of it.
    pronounce : callable, optional
        Guesses the phones of such words, see :class:`edgeaudio.decoding.g2p.Pronouncer`.
    merge : {"add", "max"}
        What happens to the probabilities of hypotheses that meet.

    Raises
    ------
    ModelError
        If no word of the language can be written with the tokens, or `blank` is none of them.
    UsageError
        If a hotword cannot be written or pronounced.
    """

    def __init__(  # noqa: PLR0917 - as all decoders: tokens, blank, units, then how to search
        self,
        language: Language,
        tokens: Sequence[str],
        blank: str,
        units: Units,
        search: SearchSettings,
        hotwords: Hotwords | None = None,
        *,
        pronounce: Callable[[str], Sequence[str]] | None = None,
        merge: Literal["add", "max"] = "add",
    ) -> None:
        self._written = spelling(tokens, blank, units)
        if hotwords is not None:
            language = with_hotwords(language, hotwords, self._written, units, pronounce)
        self._language = language
        self._n_tokens = len(tokens)
        self._max_width = search.beam_width
        self._automaton = language.automaton
        self._trie, self._words = lay_out(
            language,
            self._written,
            units,
            hotwords,
            weight=search.language_weight,
            word_bonus=search.word_bonus,
        )
        self._pool = pools.new_pool(max(_POOL, 4 * search.beam_width))
        self._beam = _new_beam(search, len(tokens))
        counts = self._beam.counts
        counts[Count.BLANK] = token_index(tokens, blank)
        counts[Count.SPACE] = self._written.index(" ") if " " in self._written else NOTHING
        counts[Count.ADD] = merge == "add"
        self._stable: list[Word] = []
        self.reset()
        # Compiled, or read from Numba's cache, before somebody speaks; the root keeps everything.
        keep(self._beam, self._pool, int(self._pool.marks[pools.Mark.ROOT]))

    @property
    def beam_width(self) -> int:
        """How many hypotheses survive a frame: at most what the decoder was made with."""
        return int(self._beam.counts[Count.WIDTH])

    @beam_width.setter
    def beam_width(self, width: int) -> None:
        if not 1 <= width <= self._max_width:
            raise UsageError(f"a beam width of {width}", hint=f"From 1 to {self._max_width} is possible.")
        self._beam.counts[Count.WIDTH] = width

    def process(self, log_probs: LogProbs) -> None:
        """Read ``[n, n_tokens]`` further output frames, n of any size."""
        frames = frames_of(log_probs, self._n_tokens)
        done = 0
        while done < len(frames):
            done += advance(
                frames[done : done + _PIECE],
                self._beam,
                self._pool,
                self._trie,
                self._words,
                self._automaton,
            )
            if self._pool.marks[pools.Mark.STABLE] > len(self._pool.stable) // 2:
                self._drain()

    def hypothesis(self) -> Hypothesis:
        """Return the best reading as of now."""
        return self._reading(int(self._beam.counts[Count.BEST]))

    def commit(self, n_words: int) -> None:
        """Give up every hypothesis that does not begin with the first `n_words` of the best one."""
        self._drain()
        best = self._beam.here[self._beam.counts[Count.BEST]]
        path = pools.path(self._pool, int(best["back"]))
        undecided = min(n_words - len(self._stable), len(path))
        if undecided > 0:
            keep(self._beam, self._pool, path[undecided - 1])

    def flush(self) -> Hypothesis:
        """Return the best reading that is a whole sentence.

        Where none is, as when a closed grammar was left halfway, its score is -inf and its words are
        the complete ones of the best unfinished reading.
        """
        best, score = finish(self._beam, self._trie, self._words, self._automaton)
        if best == NOTHING:
            best, score = int(self._beam.counts[Count.BEST]), -np.inf
        found = self._reading(best)
        return Hypothesis(found.words, len(found.words), "", found.quiet_frames, float(score))

    def reset(self) -> None:
        """Forget everything read, in place."""
        pools.clear(self._pool)
        self._stable.clear()
        here, counts, scales = self._beam.here, self._beam.counts, self._beam.scales
        here[0] = 0
        here[0]["state"] = self._language.start_state
        here[0]["node"] = len(self._trie.token) + self._n_tokens
        here[0]["blank"] = 1.0
        counts[Count.ACTIVE] = 1
        counts[Count.BEST] = counts[Count.FRAME] = 0
        scales[Scale.TOTAL] = 0.0

    def _drain(self) -> None:
        self._stable += [self._word(node) for node in pools.stable(self._pool)]

    def _word(self, node: np.void) -> Word:
        text = self._language.word(int(node["label"]))
        share = max(float(node["mass"]) / max(1, int(node["frames"])), _LEAST_SHARE)
        evidence = math.log(share) + float(node["evidence"])
        return Word(text, int(node["start"]), int(node["end"]), evidence)

    def _reading(self, i: int) -> Hypothesis:
        self._drain()
        place, pool = self._beam.here[i], self._pool
        undecided = [self._word(pool.nodes[k]) for k in pools.path(pool, int(place["back"]))]
        return Hypothesis(
            (*self._stable, *undecided),
            len(self._stable),
            self._partial(int(place["node"])),
            int(self._beam.counts[Count.FRAME] - place["seen"]),
            float(np.log(place["blank"] + place["token"]) + self._beam.scales[Scale.TOTAL]),
        )

    def _partial(self, node: int) -> str:
        """The letters on the way to `node`; nothing between words, or where the units are phones."""
        letters = ""
        trie = self._trie
        while 0 < node < len(trie.token):
            letters = self._written[trie.token[node]] + letters
            node = int(np.searchsorted(trie.first, node, side="right")) - 1
        return "" if " " in letters else letters


def _new_beam(search: SearchSettings, n_tokens: int) -> Beam:
    width = search.beam_width
    room = 4 * width + 256
    counts, scales = np.zeros(len(Count), np.int64), np.zeros(len(Scale))
    counts[Count.WIDTH], counts[Count.N_TOKENS] = width, n_tokens
    scales[Scale.BEAM] = np.exp(-search.beam_score)
    scales[Scale.BLANK] = search.blank_scale
    scales[Scale.WEIGHT] = search.language_weight
    return Beam(
        here=np.zeros(width, PLACE),
        there=np.zeros(room, PLACE),
        coming=np.zeros(1, PLACE),
        table=np.zeros(1 << (4 * room).bit_length(), np.int64),
        counts=counts,
        scales=scales,
        frame=np.zeros(n_tokens),
        scratch=np.zeros(room),
    )
