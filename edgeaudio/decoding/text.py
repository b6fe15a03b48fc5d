"""English as people write it, turned into words as a lexicon lists them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

__all__ = ["normalise", "number_words", "unaccented"]

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_THOUSANDS = ("", "thousand", "million", "billion", "trillion")
_MAX_DIGITS = 15
"""Of numbers that are read as such; longer ones are read digit by digit."""
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_CURRENCIES = {"$": "dollar", "£": "pound", "€": "euro"}
_SIGNS = {"&": " and ", "%": " percent ", "@": " at ", "+": " plus ", "=": " equals "}
_CLIPPED = {"'bout", "'cause", "'em", "'round", "'til", "'tis", "'twas", "'twere", "'twill"}
"""Words that begin with an apostrophe; before any other it is a quotation mark."""

_PLAIN = re.compile(r"[a-z ]*")
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc`\u00b4", "'''''")
_INITIALS = re.compile(r"\b(?:[a-z]\.){2,}")
_GROUPED = re.compile(r"(?<=[0-9]),(?=[0-9]{3}\b)")
_ORDINAL = re.compile(r"\b([0-9]+)(?:st|nd|rd|th)\b")
_CLOCK = re.compile(r"\b([0-9]{1,2}):([0-9]{2})\b")
_MONEY = re.compile(r"([$£€])([0-9]+)(?:\.([0-9]{2}))?(?![0-9.]*[0-9])")
_DECIMAL = re.compile(r"([0-9]*)\.([0-9]+)")
_NUMBER = re.compile(r"[0-9]+")


def normalise(text: str) -> list[str]:
    """Return the words of `text`: lower case, a to z and apostrophes, numbers spelled out.

    Examples
    --------
    >>> normalise("It's 3:05 on the 21st – “Mr. O’Brien” owes $2.50!")
    ["it's", 'three', 'oh', 'five', 'on', 'the', 'twenty', 'first', 'mr', "o'brien", 'owes', 'two', \
'dollars', 'fifty']
    """
    if _PLAIN.fullmatch(text):
        return text.split()
    text = unaccented(text.translate(_APOSTROPHES)).translate(_APOSTROPHES)
    text = _GROUPED.sub("", text)
    text = _INITIALS.sub(lambda found: found[0].replace(".", " ") + " ", text)
    for pattern, spoken in _SPOKEN:
        text = pattern.sub(spoken, text)
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    words = (_unquoted(word) for word in re.sub(r"[^a-z']+", " ", text).split())
    return [word for word in words if word]


def unaccented(text: str) -> str:
    """Take accents and upper case off; ligatures and the like become plain letters.

    Examples
    --------
    >>> unaccented("Zoë, ﬁancée")
    'zoe, fiancee'
    """
    marks = unicodedata.normalize("NFKD", text).lower()
    return "".join(mark for mark in marks if not unicodedata.combining(mark))


def number_words(number: int) -> list[str]:
    """Spell out a number from 0 to 10^15 - 1.

    Examples
    --------
    >>> " ".join(number_words(1_000_215))
    'one million two hundred fifteen'
    """
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10], *_rest(number % 10)]
    if number < 1000:
        return [_ONES[number // 100], "hundred", *_rest(number % 100)]
    power = (len(str(number)) - 1) // 3
    many, rest = divmod(number, 1000**power)
    return [*number_words(many), _THOUSANDS[power], *_rest(rest)]


def _rest(number: int) -> list[str]:
    return number_words(number) if number else []


def _spelled(digits: str) -> list[str]:
    """Read digits as a number, or one by one if they are too many or begin with 0."""
    if len(digits) > _MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        return [_ONES[int(digit)] for digit in digits]
    return number_words(int(digits))


def _ordinal(found: re.Match[str]) -> str:
    *words, last = _spelled(found[1])
    regular = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return _padded([*words, _ORDINALS.get(last, regular)])


def _clock(found: re.Match[str]) -> str:
    minute = int(found[2])
    spoken = [*(["oh"] if minute < 10 else []), *number_words(minute)] if minute else []
    return _padded([*number_words(int(found[1])), *spoken])


def _money(found: re.Match[str]) -> str:
    whole = _spelled(found[2])
    name = _CURRENCIES[found[1]] + ("" if whole == ["one"] else "s")
    return _padded([*whole, name, *_rest(int(found[3] or 0))])


def _decimal(found: re.Match[str]) -> str:
    whole = _spelled(found[1]) if found[1] else []
    return _padded([*whole, "point", *(_ONES[int(digit)] for digit in found[2])])


def _number(found: re.Match[str]) -> str:
    digits = found[0]
    if len(digits) == 4 and ("1100" <= digits < "2000" or "2010" <= digits < "2100"):
        # As years are said.
        century, year = int(digits[:2]), int(digits[2:])
        ending = ["hundred"] if year == 0 else (["oh"] if year < 10 else []) + number_words(year)
        return _padded([*number_words(century), *ending])
    return _padded(_spelled(digits))


def _padded(words: list[str]) -> str:
    return f" {' '.join(words)} "


def _unquoted(word: str) -> str:
    bare = word.rstrip("'")
    return bare if bare in _CLIPPED else bare.lstrip("'")


_SPOKEN: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_ORDINAL, _ordinal),
    (_CLOCK, _clock),
    (_MONEY, _money),
    (_DECIMAL, _decimal),
    (_NUMBER, _number),
)
