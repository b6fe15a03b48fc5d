"""The phrase in the voices of people who never said it: pieces of their recordings, put together.

A network that hears a phrase from speech engines alone, and people only when they say something else,
learns to tell engines from people. So people have to say the phrase, too. Transcribed recordings are
aligned with what the recogniser hears in them, and where the phrase's sounds occur in a row, they are cut
out. Pieces overlap by one sound and are joined in the middle of it, where it is steadiest; they come from
one speaker if they can, and from one corpus otherwise. Near phrases are put together in the same way, so
that a joint says nothing.

Source: Hunt and Black, "Unit selection in a concatenative speech synthesis system using a large speech
database", 1996, without its costs: variety is wanted here, not beauty.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.training.corpus import Clip, Hints, is_background
from edgeaudio.training.hints import STEPS_PER_NAT, Hearing
from edgeaudio.training.soundalikes import Phones, Sounds, english
from edgeaudio.training.utterances import spoken_words
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["CORPUS", "Places", "Row", "align", "sounds_right", "splice", "tokens_of"]

CORPUS = "pieces"
"""Corpus of all that is put together."""

_LONGEST_S = 20.0
"""Of a recording that is aligned: its table grows with the square."""
_LONGEST_PIECE = 5
"""Sounds, those at both ends among them."""
_ENOUGH = 3
"""Places where a piece occurs, for it to be used where shorter ones would do."""
_PREFER_LONGEST = 0.6
_MOST_MISMATCH = 2.5
"""Natural logarithm per sound by which a transcript may be less probable than what was heard."""
_EDGE_S = 0.11
"""So much of the first sound before its middle, and of the last one behind it, at most."""
_FADE_S, _SHIFT_S, _ENDS_S = 0.02, 0.006, 0.02
_LEVEL = 1600.0
"""RMS of what pieces are cut out of, of 32,768."""

Row: TypeAlias = tuple[int, ...]
"""Tokens, one after the other."""


@cached_njit(nogil=True)
def _align(scores, tokens, first, last):  # type: ignore[no-untyped-def]
    """Fill in the first and last frame of each token (Viterbi over CTC's topology); return the sum of scores.

    `scores` ``[n_frames, n_tokens]``, blank first; there are frames enough for all tokens.
    """
    n, m = len(scores), 2 * len(tokens) + 1
    best = np.full((n, m), -1e30, np.float32)
    came = np.zeros((n, m), np.int8)
    best[0, 0], best[0, 1] = scores[0, 0], scores[0, tokens[0]]
    for t in range(1, n):
        for s in range(m):
            top, step = best[t - 1, s], 0
            if s > 0 and best[t - 1, s - 1] > top:
                top, step = best[t - 1, s - 1], 1
            skips = s > 1 and s % 2 == 1 and tokens[s // 2] != tokens[s // 2 - 1]
            if skips and best[t - 1, s - 2] > top:
                top, step = best[t - 1, s - 2], 2
            best[t, s] = top + scores[t, tokens[s // 2] if s % 2 else 0]
            came[t, s] = step
    s = m - 1 if best[n - 1, m - 1] > best[n - 1, m - 2] else m - 2
    total = best[n - 1, s]
    last[:] = -1
    for t in range(n - 1, -1, -1):
        if s % 2:
            first[s // 2] = t
            if last[s // 2] < 0:
                last[s // 2] = t
        s -= came[t, s]
    return total


@dataclass(frozen=True)
class _Aligned:
    """A recording, its tokens, and the sample in the middle of each."""

    clip: Clip
    tokens: Row
    middles: NDArray[np.int64]
    gain: float

    def cut(self, start: int, end: int) -> Samples:
        """Samples at the level that all pieces have; nothing lies outside the recording."""
        start, end = max(start, 0), min(end, len(self.clip.pcm))
        samples: Samples = self.clip.pcm[start:end].astype(np.float32)
        samples *= np.float32(self.gain)
        return samples

    def edges(self, first: int, last: int) -> tuple[int, int]:
        """Where the first sound begins and the last one ends: half-way to their neighbours, or before."""
        most, middles = round(_EDGE_S * SAMPLE_RATE_HZ), self.middles
        before = (middles[first] - middles[first - 1]) // 2 if first else most
        after = (middles[last + 1] - middles[last]) // 2 if last + 1 < len(middles) else most
        return int(middles[first] - min(most, before)), int(middles[last] + min(most, after))


class Places:
    """Where sounds follow each other in recordings that are aligned with their transcripts.

    Parameters
    ----------
    wanted : iterable of rows
        The tokens of every phrase that is to be said; only their parts are kept.
    """

    def __init__(self, wanted: Iterable[Row]) -> None:
        self._wanted = {part for tokens in wanted for part in _parts(tokens)}
        self._places: dict[Row, list[tuple[int, int]]] = defaultdict(list)

    def add(self, source: int, tokens: Row) -> None:
        """Take in a recording that says `tokens`."""
        for n in range(2, _LONGEST_PIECE + 1):
            for i in range(len(tokens) - n + 1):
                if tokens[i : i + n] in self._wanted:
                    self._places[tokens[i : i + n]].append((source, i))

    def route(
        self, tokens: Row, rng: np.random.Generator, voices: Sequence[tuple[str, str]] = ()
    ) -> list[tuple[int, int, int]] | None:
        """Draw pieces that make a phrase, each beginning with the sound that the one before ends with.

        Parameters
        ----------
        voices : sequence of (corpus, speaker), optional
            Of each source: pieces are then of the first one's speaker, else of its corpus, else any.

        Returns
        -------
        list of (source, first, last)
            Which token of the source is the piece's first and its last; None where some of the sounds never
            follow each other.
        """
        pieces: list[tuple[int, int, int]] = []
        at = 0
        while at < len(tokens) - 1:
            lengths = self._lengths(tokens, at)
            if not lengths:
                return None
            longest = rng.random() < _PREFER_LONGEST
            n = lengths[-1] if longest else lengths[int(rng.integers(len(lengths)))]
            places = self._places[tokens[at : at + n]]
            if pieces and voices:
                corpus, speaker = voices[pieces[0][0]]
                same = [place for place in places if voices[place[0]][0] == corpus]
                own = [place for place in same if speaker and voices[place[0]][1] == speaker]
                places = own or same or places
            source, first = places[int(rng.integers(len(places)))]
            pieces.append((source, first, first + n - 1))
            at += n - 1
        return pieces or None  # a single sound is nothing to put together

    def _lengths(self, tokens: Row, at: int) -> list[int]:
        """How long a piece may be that begins with the token `at`: two at the least, if there are any."""
        most = min(_LONGEST_PIECE, len(tokens) - at)
        occurring = {n: len(self._places.get(tokens[at : at + n], ())) for n in range(2, most + 1)}
        often = [n for n, count in occurring.items() if count >= _ENOUGH]
        return often or [n for n, count in occurring.items() if count]


def tokens_of(reading: Phones, labels: Sequence[str]) -> Row:
    """The columns of a reading's phones, where `labels` says what columns stand for."""
    return tuple(labels.index(phone) for phone in reading)


def _parts(tokens: Row) -> Iterator[Row]:
    for n in range(2, _LONGEST_PIECE + 1):
        for i in range(len(tokens) - n + 1):
            yield tokens[i : i + n]


def _aligned(clips: Iterable[Clip], hearing: Hearing, sounds: Sounds) -> Iterator[_Aligned]:
    for clip in clips:
        if clip.hints is None or is_background(clip) or clip.seconds > _LONGEST_S:
            continue
        words = spoken_words(clip.text or clip.label.replace("_", " "))
        said = [sounds.readings(word) for word in words or ()]
        if not said or not all(said):
            continue
        tokens = tokens_of(sum((ways[0] for ways in said), ()), hearing.labels)
        mismatch, first, last = align(_log_probs(clip.hints), tokens)
        if mismatch > _MOST_MISMATCH:
            continue
        middles = (first + last + 1) * clip.hints.frame_samples // 2 - hearing.delay_samples
        middles = np.clip(middles, 0, len(clip.pcm) - 1)
        speech = clip.pcm[middles[0] : middles[-1] + 1].astype(np.float64)
        rms = float(np.sqrt(np.mean(np.square(speech)))) + 1.0
        yield _Aligned(clip, tokens, middles, _LEVEL / rms)


def align(log_probs: NDArray[np.float32], tokens: Row) -> tuple[float, NDArray[np.int64], NDArray[np.int64]]:
    """Find out when each token was seen.

    Parameters
    ----------
    log_probs : array [n_frames, n_tokens] float32
        Natural logarithms, or all of them more by the same; blank first.
    tokens : row of int

    Returns
    -------
    tuple of (float, array [n] int64, array [n] int64)
        By how much, per token, this is less probable than each frame's most probable ones; infinite where
        the frames are too few. Then the first and last frame of each token.
    """
    first, last = np.zeros(len(tokens), np.int64), np.zeros(len(tokens), np.int64)
    if len(log_probs) < 2 * len(tokens) or not tokens:
        return np.inf, first, last
    total = _align(log_probs, np.array(tokens), first, last)
    return float(log_probs.max(axis=1).sum() - total) / len(tokens), first, last


def _log_probs(hints: Hints) -> NDArray[np.float32]:
    log_probs: NDArray[np.float32] = hints.log_probs.astype(np.float32)
    log_probs /= np.float32(STEPS_PER_NAT)
    return log_probs


def sounds_right(clip: Clip, hearing: Hearing) -> bool:
    """Whether the recogniser hears something like its phrase in a clip that was put together."""
    readings = english().phrase_readings(clip.label.split())
    hints = clip.hints
    return hints is not None and any(
        align(_log_probs(hints), tokens_of(reading, hearing.labels))[0] <= _MOST_MISMATCH
        for reading in readings
    )


def _spoken(sources: Sequence[_Aligned], route: Sequence[tuple[int, int, int]]) -> Samples:
    """The pieces of a phrase, joined in the middle of the sounds that they share."""
    spoken: Samples = np.zeros(0, np.float32)
    for i, (number, first, last) in enumerate(route):
        source = sources[number]
        start, end = source.edges(first, last)
        start = start if i == 0 else int(source.middles[first])
        end = end if i + 1 == len(route) else int(source.middles[last])
        spoken = _joined(spoken, source, start, end)
    return _faded(spoken)


def _joined(spoken: Samples, source: _Aligned, start: int, end: int) -> Samples:
    """Put a piece behind what was spoken, if anything was, faded over where both are most alike."""
    if not len(spoken):
        return source.cut(start, end)
    fade, shift = round(_FADE_S * SAMPLE_RATE_HZ), round(_SHIFT_S * SAMPLE_RATE_HZ)
    fade = min(fade, len(spoken))
    tail = spoken[len(spoken) - fade :]
    begin = max(0, start - fade // 2 - shift)
    around = source.cut(begin, begin + fade + 2 * shift)
    if len(around) >= fade > 0:
        begin += int(np.correlate(around, tail, "valid").argmax())
    piece = source.cut(begin, max(end, begin + fade))
    if len(piece) < fade:
        return np.concatenate((spoken, piece))
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    both = tail * (1 - ramp) + piece[:fade] * ramp
    return np.concatenate((spoken[: len(spoken) - fade], both, piece[fade:]))


def _faded(samples: Samples) -> Samples:
    n = min(round(_ENDS_S * SAMPLE_RATE_HZ), len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, n, dtype=np.float32)
    samples[:n] *= ramp
    samples[len(samples) - n :] *= ramp[::-1]
    return samples


def splice(
    counts: Mapping[str, int],
    clips: Sequence[Clip],
    hearing: Hearing,
    *,
    seed: int,
    progress: Callable[[float], None],
) -> list[Clip]:
    """Say each phrase so many times; phrases that nobody can put together are left out.

    Parameters
    ----------
    counts : mapping
        Phrase → how many clips.
    clips : sequence of Clip
        What pieces are cut out of: those with hints (:mod:`~edgeaudio.training.hints`) and a transcript.
    hearing : Hearing
        Of the recogniser whose hints they carry.
    seed : int
        Equal arguments give equal clips.
    progress : callable
        Called with the part done.

    Returns
    -------
    list of Clip
        Labelled with their phrase; their split is "train".
    """
    sounds = english()
    readings = {
        phrase: [tokens_of(one, hearing.labels) for one in sounds.phrase_readings(phrase.split())]
        for phrase in counts
    }
    places = Places(one for some in readings.values() for one in some)
    sources = list(_aligned(clips, hearing, sounds))
    voices = [(source.clip.corpus, source.clip.speaker) for source in sources]
    for i, source in enumerate(sources):
        places.add(i, source.tokens)
    told = repr((seed, hearing.name, [(clip.corpus, clip.key, len(clip.pcm)) for clip in clips]))
    digest = hashlib.sha256(told.encode()).hexdigest()[:12]
    said: list[Clip] = []
    for done, (phrase, count) in enumerate(counts.items(), start=1):
        ways = readings[phrase]
        for k in range(count if ways else 0):
            rng = np.random.default_rng([seed, zlib.crc32(phrase.encode()), k])
            route = places.route(ways[int(rng.integers(len(ways)))], rng, voices)
            if route is None:
                break
            pcm = np.clip(_spoken(sources, route), -32768.0, 32767.0).astype(np.int16)
            speaker = "/".join(voices[route[0][0]])
            key = f"{digest}/{phrase}/{k}"
            said.append(Clip(CORPUS, key, pcm, label=phrase, speaker=speaker, split="train", text=phrase))
        progress(done / len(counts))
    return said
