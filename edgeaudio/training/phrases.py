"""Whether a phrase will do as a wake word, and what else people say that sounds like it.

Both go by pronunciation: that of the shipped English lexicon, and of its letter-to-sound rules for
words that the lexicon lacks. Neither torch nor a speech engine is loaded.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from edgeaudio.decoding.text import normalise
from edgeaudio.errors import UsageError
from edgeaudio.training.phones import VOWELS, n_syllables
from edgeaudio.training.soundalikes import Phones, Scores, Sounds, english

__all__ = ["COMMANDS", "Phrase", "check_phrase", "confusables"]

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")

MAX_WORDS, MAX_SYLLABLES = 6, 15
MIN_SYLLABLES, MIN_PHONES = 2, 4
_MAX_CHARACTERS = 200
_MAX_CLUSTER = 4
"""Consonants in a row that English can say: "twelfths"."""

MAX_CONFUSABLES = 150

# Of each kind so many for one of weight 1. Near words are what a model errs on.
_WEIGHTS = {
    "parts": 6.0,
    "near": 5.0,
    "replaced": 5.0,
    "rhymes": 2.0,
    "beginnings": 2.0,
    "pairs": 1.0,
    "rhythm": 1.0,
}
_SHORTEST_PART = 3
_PAIRED = 3


@dataclass(frozen=True)
class Phrase:
    """A phrase that can be said: in lower case, its words, and the phones of each."""

    text: str
    words: tuple[str, ...]
    phones: tuple[Phones, ...]

    @property
    def n_syllables(self) -> int:
        """Of all words together."""
        return sum(map(n_syllables, self.phones))


def check_phrase(text: str, *, allow_short: bool = False) -> Phrase:
    """Return a phrase as people say it, if a model can be made to wake at it.

    Parameters
    ----------
    text : str
        English words in letters; hyphens count as blanks.
    allow_short : bool
        Take a phrase that everyday speech is full of, as commands are.

    Raises
    ------
    UsageError
        The phrase is empty, too short or too long, has digits or signs, or a word that nobody can say.

    Examples
    --------
    >>> check_phrase("Hey  Computer").text
    'hey computer'
    >>> check_phrase("yes")
    Traceback (most recent call last):
    edgeaudio.errors.UsageError: 'yes' is too short to wake at: ...
    """
    _check_letters(text)
    words = tuple(text.translate(_PLAIN_SIGNS).lower().split())
    if len(words) > MAX_WORDS:
        raise UsageError(
            f"the phrase has {len(words)} words, more than {MAX_WORDS}",
            hint="Two to four syllables are best.",
        )
    phrase = Phrase(" ".join(words), words, tuple(map(_phones, words)))
    if phrase.n_syllables > MAX_SYLLABLES:
        raise UsageError(
            f"{phrase.text!r} has {phrase.n_syllables} syllables, more than {MAX_SYLLABLES}",
            hint="Two to four are best.",
        )
    n_phones = sum(map(len, phrase.phones))
    if not allow_short and (phrase.n_syllables < MIN_SYLLABLES or n_phones < MIN_PHONES):
        call = "okay" if phrase.words[0] == "hey" else "hey"
        raise UsageError(
            f"{phrase.text!r} is too short to wake at: {_plural(phrase.n_syllables, 'syllable')} of "
            f"{_plural(n_phones, 'sound')} ({' '.join(sum(phrase.phones, ()))}), at least {MIN_SYLLABLES} "
            f"of {MIN_PHONES} are needed; everyday speech is full of such sounds and would set it off",
            hint=f"Put a word before it, such as '{call} {phrase.text}'.",
        )
    return phrase


_PLAIN_SIGNS = str.maketrans("-\u2010\u2011\u2019", "   '")


def _check_letters(text: str) -> None:
    """Refuse what is no row of English words, before anything looks at it closely."""
    if len(text) > _MAX_CHARACTERS:
        raise UsageError(f"the phrase has {len(text)} characters, more than {_MAX_CHARACTERS}")
    plain = text.translate(_PLAIN_SIGNS)
    if not plain.strip(" '\t\n"):
        raise UsageError("the phrase is empty", hint='Write what is to be said, such as "hey computer".')
    strange = sorted(set(re.sub(r"[A-Za-z'\s]", "", plain)))
    if strange:
        said = " ".join(normalise(text))
        what = "digits" if all(sign.isdigit() for sign in strange) else "what is no English letter"
        shown = " ".join(sign if sign.isprintable() else ascii(sign) for sign in strange)
        raise UsageError(
            f"the phrase {text!r} has {what}: {shown}",
            hint=f'Write it as it is said, such as "{said}".' if said else "Write it in English letters.",
        )


def _phones(word: str) -> Phones:
    """How a word is said, if anybody can."""
    readings = english().readings(word)
    phones = readings[0] if readings else ()
    clusters = re.findall("c+", "".join("v" if phone in VOWELS else "c" for phone in phones))
    sayable = n_syllables(phones) > 0 and max(map(len, clusters), default=0) <= _MAX_CLUSTER
    if not english().is_listed(word) and not (sayable and re.search("[aeiouy]", word)):
        raise UsageError(
            f"nobody can tell how to say {word!r}",
            hint='Write it as it sounds: "tee vee", not "tv".',
        )
    return phones


def _plural(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def confusables(words: Sequence[str], *, limit: int = MAX_CONFUSABLES) -> list[str]:
    """Phrases that a model of these words must not take for one: English words that sound like them.

    Of each phrase its parts, words that differ in few and like sounds, rhymes, words that begin alike,
    pairs of words that run together like it, the phrase with one word replaced by a near one, and common
    words of the same rhythm. What sounds the same is left out, as is what holds a whole phrase: it
    would teach the model that the phrase is none.

    Parameters
    ----------
    words : sequence of str
        Words and phrases of the model.
    limit : int
        At most so many, shared by `words`.

    Returns
    -------
    list of str
        In a fixed order, for each phrase the most important first; none twice.
    """
    sounds = english()
    targets = [tuple(word.split()) for word in words]
    forbidden = [_Forbidden(target, sounds.phrase_readings(target)) for target in targets]
    lists = [_alike(target, sounds) for target in targets]
    found: dict[str, None] = {}
    for row in zip_longest(*(_allowed(own, forbidden, sounds) for own in lists)):
        for phrase in row:
            if len(found) == limit:
                return list(found)
            if phrase is not None:
                found[phrase] = None
    return list(found)


@dataclass(frozen=True)
class _Forbidden:
    """A phrase that no negative may hold."""

    words: tuple[str, ...]
    readings: list[Phones]

    def is_in(self, words: tuple[str, ...], readings: list[Phones]) -> bool:
        """Whether it is among `words`, or cannot be told from them by ear."""
        if _holds(words, self.words):
            return True
        for own in self.readings:
            # A long phrase has been heard before the word that holds it has ended: "computers".
            inside = n_syllables(own) >= MIN_SYLLABLES
            if any(_holds(other, own) if inside else other == own for other in readings):
                return True
        return False


def _holds(row: tuple[str, ...], part: tuple[str, ...]) -> bool:
    return any(row[i : i + len(part)] == part for i in range(len(row) - len(part) + 1))


def _allowed(candidates: Iterable[str], forbidden: list[_Forbidden], sounds: Sounds) -> Iterator[str]:
    seen = set()
    for phrase in candidates:
        words = tuple(phrase.split())
        if phrase not in seen:
            seen.add(phrase)
            readings = sounds.phrase_readings(words)
            if not any(one.is_in(words, readings) for one in forbidden):
                yield phrase


def _alike(words: tuple[str, ...], sounds: Sounds) -> Iterator[str]:
    """All kinds of confusable phrases, so mixed that each beginning of the list holds its share."""
    readings = sounds.phrase_readings(words)
    if not readings:
        return iter(())
    phones = readings[0]
    beginnings, endings = sounds.beginnings(phones), sounds.endings(phones)
    whole = beginnings[-1]
    kinds: dict[str, Iterable[str]] = {
        "parts": _spans(words),
        "near": sounds.near(whole),
        "rhymes": sounds.near(whole, sounds.rhymes(phones)),
        "beginnings": sounds.near(whole, sounds.alliterations(phones)),
        "rhythm": _rhythm(words, sounds),
    }
    if len(words) > 1:
        kinds["replaced"] = _replaced(words, sounds)
    else:
        kinds["parts"] = _exact_parts(beginnings, endings, sounds)
    if n_syllables(phones) > 1:
        kinds["pairs"] = _pairs(beginnings, endings, sounds)
    return _mixed(kinds)


def _mixed(kinds: dict[str, Iterable[str]]) -> Iterator[str]:
    def timed(number: int, kind: str) -> Iterator[tuple[float, int, str]]:
        for i, phrase in enumerate(kinds[kind]):
            yield (i + 1) / _WEIGHTS[kind], number, phrase

    for _, _, phrase in heapq.merge(*(timed(number, kind) for number, kind in enumerate(kinds))):
        yield phrase


def _spans(words: tuple[str, ...]) -> Iterator[str]:
    """Neighbouring words of a phrase, the longest rows first."""
    for n in range(len(words) - 1, 0, -1):
        for i in range(len(words) - n + 1):
            yield " ".join(words[i : i + n])


def _exact_parts(beginnings: Scores, endings: Scores, sounds: Sounds) -> Iterator[str]:
    """Words that a word begins or ends with, the longest first: "compute" and "pewter" of "computer"."""
    for n in range(len(beginnings) - 2, _SHORTEST_PART - 1, -1):
        for part in (beginnings[n], endings[-1 - n]):
            yield from sounds.near(part, sounds.exact(part))


def _pairs(beginnings: Scores, endings: Scores, sounds: Sounds) -> Iterator[str]:
    """Pairs of words that run together like the phrase, the nearest first: "calm pewter"."""
    found: list[tuple[float, str]] = []
    for split in range(2, len(beginnings) - 2):
        for score, word in sounds.nearest(beginnings[split], _PAIRED):
            ends = sounds.nearest(endings[split], _PAIRED)
            found += [(score + its_score, f"{word} {its_word}") for its_score, its_word in ends]
    used: Counter[str] = Counter()
    for _, pair in sorted(found):
        if max(used[word] for word in pair.split()) < _PAIRED:
            used.update(pair.split())
            yield pair


def _replaced(words: tuple[str, ...], sounds: Sounds) -> Iterator[str]:
    """The phrase with a near word in one place, each place in its turn."""
    near = [sounds.near(sounds.beginnings(sounds.readings(word)[0])[-1]) for word in words]
    for row in zip(*near, strict=False):
        for i, other in enumerate(row):
            yield " ".join((*words[:i], other, *words[i + 1 :]))


def _rhythm(words: tuple[str, ...], sounds: Sounds) -> Iterator[str]:
    """Common words of as many syllables, after the phrase's own first word in every second one."""
    others = [sounds.rhythm(sounds.readings(word)[0]) for word in words]
    for i, row in enumerate(zip(*(own[place:] for place, own in enumerate(others)), strict=False)):
        yield " ".join((words[0], *row[1:]) if i % 2 and len(words) > 1 else row)
