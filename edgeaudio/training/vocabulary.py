"""Which words a recogniser shall know, and how they are said."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from edgeaudio.decoding.dictionary import Lexicon
from edgeaudio.decoding.g2p import Pronouncer
from edgeaudio.training.sentences import Sentence

__all__ = ["choose_words", "held_out_words", "say", "speakable"]

_WORD = re.compile(r"[a-z']*[a-z][a-z']*")
_SUFFIXES = (
    *("s", "'s", "es", "ed", "d", "ing", "ings", "ly", "er", "ers", "est", "ness", "y", "n", "less", "ful"),
)
_PREFIXES = ("un", "re", "in", "dis", "over", "out", "non", "im", "pre")
_SHORTEST_STEM = 3
_EVERY = 50


def speakable(lexicon: Mapping[str, list[str]]) -> Lexicon:
    """Keep the words that are spelled with letters: no abbreviations, no punctuation marks."""
    return {word: said for word, said in lexicon.items() if _WORD.fullmatch(word)}


def held_out_words(lexicon: Mapping[str, list[str]]) -> Lexicon:
    """Return every fiftieth word, whatever other words there are."""
    return {word: said for word, said in lexicon.items() if zlib.crc32(word.encode()) % _EVERY == 0}


def choose_words(
    texts: Sequence[Iterable[Sentence]],
    lexicon: Mapping[str, list[str]],
    pronouncer: Pronouncer,
    *,
    min_count: int,
) -> Lexicon:
    """Choose the words: what the texts hold, and what English makes of that.

    A word that the lexicon lacks is taken, with phones from `pronouncer`, if it occurs `min_count` times
    in the first text, or as often in as many words of another. A word of the lexicon that the texts lack
    is taken if it is an inflection, a derivation or a compound of words of theirs.
    """
    chosen: dict[str, list[str]] = {}
    n_first = 0
    for text in texts:
        counts = Counter(word for sentence in text for word in sentence.words)
        n_words = counts.total()
        n_first = n_first or n_words
        often = min_count * n_words / max(1, n_first)
        # A text of other books has names and old spellings that the dictionary lists, once or twice.
        listed = max(1, often / min_count)
        for word, count in counts.items():
            if word in lexicon and count >= listed:
                chosen[word] = list(lexicon[word])
            elif word not in lexicon and count >= often and word not in chosen:
                chosen[word] = say(word, lexicon, pronouncer)
    known = set(chosen)
    for word, said in lexicon.items():
        if word not in known and _is_derived(word, known):
            chosen[word] = list(said)
    return {word: said for word, said in chosen.items() if said}


def say(word: str, lexicon: Mapping[str, list[str]], pronouncer: Pronouncer) -> list[str]:
    """Return the pronunciations of `word`; a possessive is said as English does; none if there is no way."""
    if word in lexicon:
        return list(lexicon[word])
    if word.endswith("'s") and (stems := say(word[:-2], lexicon, pronouncer)):
        return [f"{stem} {_possessive(stem.split()[-1])}" for stem in stems]
    if not pronouncer.can_pronounce(word):
        return []
    return [phones] if (phones := " ".join(pronouncer.pronounce(word))) else []


def _possessive(last: str) -> str:
    if last in {"S", "Z", "SH", "ZH", "CH", "JH"}:
        return "IH Z"
    return "S" if last in {"P", "T", "K", "F", "TH"} else "Z"


def _is_derived(word: str, known: Collection[str]) -> bool:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and any(stem in known for stem in _stems(word.removesuffix(suffix))):
            return True
    if any(word.startswith(prefix) and word.removeprefix(prefix) in known for prefix in _PREFIXES):
        return True
    inner = range(_SHORTEST_STEM, len(word) - _SHORTEST_STEM + 1)
    return any(word[:place] in known and word[place:] in known for place in inner)


def _stems(rest: str) -> Iterable[str]:
    """What a suffix may have been put to: mak(e), happ(y), stop(p), tri(y)."""
    if len(rest) < _SHORTEST_STEM:
        return ()
    spelled = [rest, rest + "e", rest + "y"]
    if rest[-1] == "i":
        spelled.append(rest[:-1] + "y")
    if rest[-1] == rest[-2]:
        spelled.append(rest[:-1])
    return spelled
