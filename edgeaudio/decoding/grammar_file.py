"""The text of a grammar: from characters to a tree, with the place of every mistake.

The format is the JSpeech Grammar Format (JSGF, W3C note of 2000) with one statement more,
``pronounce``; docs/grammars.md tells it to its users.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from edgeaudio.config import nearest
from edgeaudio.decoding.grammar_tree import (
    NULL,
    VOID,
    Choice,
    Node,
    Optional,
    Place,
    Reference,
    Repeat,
    Rule,
    RuleSet,
    Sequence,
    Spoken,
    Tagged,
)

__all__ = ["parse_grammar"]

_MAX_DEPTH = 50
"""Brackets within brackets: far more than anybody reads, far fewer than Python's stack holds."""
_MAX_WORD = 60


class _Token(NamedTuple):
    kind: str
    text: str
    place: Place


_TOKEN = re.compile(
    r"""
    (?P<space>\s+ | //[^\n]* | \#[^\n]* | /\*.*?\*/)
  | (?P<open_comment>/\*)
  | (?P<weight>/[^/\n]*/)
  | (?P<rule><[^<>\n]*>)
  | (?P<tag>\{(?:[^{}\\\n]|\\.)*\})
  | (?P<quoted>"[^"\n]*")
  | (?P<mark>[=|;()\[\]*+])
  | (?P<word>[^\s=|;()\[\]*+<>{}"/\#]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_RULE_NAME = re.compile(r"\w[\w.-]*")
_WORD = re.compile(r"'?[^\W\d_]+(?:'[^\W\d_]+)*'?")
"""Letters, with apostrophes between, before or after them: don't, 'em, boys'."""
_UNFINISHED = {
    "<": "the name of a rule ends with '>' on the same line",
    "{": "a tag ends with '}' on the same line; no braces within it",
    "}": "there is no '{' before this '}'",
    ">": "there is no '<' before this '>'",
    '"': "a quotation ends with '\"' on the same line",
    "/": "a weight is a number between two slashes, as in /2/; a comment begins with //",
}


def parse_grammar(text: str, origin: str) -> RuleSet:
    """Read the text of a grammar.

    Parameters
    ----------
    text : str
        The contents of the file.
    origin : str
        What error messages call it.

    Raises
    ------
    ConfigError
        The text is wrong; with line and column.
    """
    return _Parser(text, origin).parse()


def _tokens(text: str, origin: str) -> Iterator[_Token]:
    line, line_start, at = 1, 0, 0
    if text.startswith("\ufeff"):
        at = line_start = 1
    while at < len(text):
        place = Place(origin, line, at - line_start + 1)
        match = _TOKEN.match(text, at)
        if match is None:
            problem = _UNFINISHED.get(text[at], f"{text[at]!r} means nothing here")
            raise place.error(problem)
        kind = match.lastgroup or ""
        if kind == "open_comment":
            raise place.error("this comment never ends", "Close it with */")
        if kind != "space":
            yield _Token(kind, match[0], place)
        newlines = match[0].count("\n")
        if newlines:
            line += newlines
            line_start = at + match[0].rfind("\n") + 1
        at = match.end()
    yield _Token("end", "", Place(origin, line, at - line_start + 1))


class _Parser:
    """Recursive descent, one token ahead."""

    def __init__(self, text: str, origin: str) -> None:
        self._stream = _tokens(text, origin)
        self._next = next(self._stream)
        self._latest = self._next
        self._depth = 0
        self._set = RuleSet(origin)

    def parse(self) -> RuleSet:
        while self._next.kind != "end":
            self._statement()
        if not self._set.rules:
            raise self._next.place.error(
                "the grammar has no rules", "Write one, such as:  public <lamp> = turn the lamp (on | off);"
            )
        return self._set

    def _take(self) -> _Token:
        self._latest = self._next
        if self._next.kind != "end":
            self._next = next(self._stream)
        return self._latest

    def _is_mark(self, *marks: str) -> bool:
        return self._next.kind == "mark" and self._next.text in marks

    def _expect(self, mark: str, after: str) -> None:
        if not self._is_mark(mark):
            raise self._next.place.error(f"expected '{mark}' {after}, found {_shown(self._next)}")
        self._take()

    def _statement(self) -> None:
        token = self._next
        if token.kind == "rule":
            return self._rule(public=False)
        keyword = token.text if token.kind == "word" else ""
        if keyword == "public":
            self._take()
            return self._rule(public=True)
        if keyword == "grammar":
            return self._header()
        if keyword == "pronounce":
            return self._pronounce()
        if keyword == "import":
            raise token.place.error(
                "grammars cannot import others", "Copy the rules that are needed into this file."
            )
        hint = "A statement is  <name> = …;  or  public <name> = …;"
        near = nearest(keyword, ["public", "grammar", "pronounce"]) if keyword else None
        if near:
            hint = f"Did you mean '{near}'?"
        raise token.place.error(f"no statement begins with {_shown(token)}", hint)

    def _header(self) -> None:
        self._take()
        name = self._take()
        if name.kind != "word":
            raise name.place.error(f"expected a name behind 'grammar', found {_shown(name)}")
        self._set.name = name.text
        self._expect(";", "behind the grammar's name")

    def _rule(self, *, public: bool) -> None:
        token = self._take()
        if token.kind != "rule":
            raise token.place.error(f"expected the name of a rule, <name>, found {_shown(token)}")
        name = _rule_name(token)
        if name in (NULL, VOID):
            raise token.place.error(f"<{name}> is built in and cannot be defined")
        if name in self._set.rules:
            first = self._set.rules[name].place.line
            raise token.place.error(
                f"rule <{name}> is defined twice, first in line {first}", "Join them with '|', or rename one."
            )
        self._expect("=", f"behind <{name}>")
        node = self._choice()
        self._end_statement(f"at the end of rule <{name}>")
        self._set.rules[name] = Rule(name, public, node, token.place)

    def _end_statement(self, where: str) -> None:
        if self._is_mark(")", "]"):
            mark = self._next.text
            raise self._next.place.error(f"'{mark}' closes nothing that was opened in this rule")
        if self._is_mark("="):
            name = _shown(self._latest)
            raise self._latest.place.error(f"expected ';' before {name}", "Each rule ends with ';'.")
        self._expect(";", where)

    def _choice(self) -> Node:
        options = [self._weighted()]
        while self._is_mark("|"):
            self._take()
            options.append(self._weighted())
        return options[0][1] if len(options) == 1 else Choice(tuple(options))

    def _weighted(self) -> tuple[float, Node]:
        weight = 1.0
        if self._next.kind == "weight":
            token = self._take()
            try:
                weight = float(token.text[1:-1])
            except ValueError:
                weight = -1.0
            if not 1e-6 <= weight <= 1e6:
                raise token.place.error(
                    f"{token.text} is no weight", "A weight is a number from 0.000001 to 1000000, as in /2.5/"
                )
        items: list[Node] = []
        while (item := self._item()) is not None:
            items.append(item)
        if not items:
            raise self._next.place.error(
                f"expected words, found {_shown(self._next)}",
                "What may be left out stands in [ ]; <NULL> says nothing at all.",
            )
        return weight, items[0] if len(items) == 1 else Sequence(tuple(items))

    def _item(self) -> Node | None:
        token = self._next
        node: Node
        if token.kind in ("word", "quoted"):
            self._take()
            node = _spoken(token)
        elif token.kind == "rule":
            self._take()
            node = Reference(_rule_name(token), token.place)
        elif self._is_mark("(", "["):
            node = self._bracket()
        elif token.kind == "tag":
            raise token.place.error("a tag stands behind the words that it is about", "As in: lamp {light}")
        elif token.kind == "weight":
            raise token.place.error(
                "a weight stands at the beginning of an alternative", "As in: (/3/ lamp | /1/ lantern)"
            )
        elif self._is_mark("*", "+"):
            raise token.place.error(f"'{token.text}' has nothing before it that it could repeat")
        else:
            return None
        return self._suffixed(node)

    def _suffixed(self, node: Node) -> Node:
        while True:
            if self._is_mark("*", "+"):
                node = Repeat(node, at_least_once=self._take().text == "+")
            elif self._next.kind == "tag":
                token = self._take()
                tag = re.sub(r"\\(.)", r"\1", token.text[1:-1]).strip()
                if not tag:
                    raise token.place.error("the tag is empty")
                node = Tagged(node, tag, token.place)
            else:
                return node

    def _bracket(self) -> Node:
        opening = self._take()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise opening.place.error(
                f"more than {_MAX_DEPTH} brackets within each other",
                "Give the inner ones a rule of their own.",
            )
        node = self._choice()
        closing = ")" if opening.text == "(" else "]"
        if not self._is_mark(closing):
            place = opening.place
            raise self._next.place.error(
                f"expected '{closing}' for the '{opening.text}' in line {place.line}, column {place.column}, "
                f"found {_shown(self._next)}"
            )
        self._take()
        self._depth -= 1
        return node if closing == ")" else Optional(node)

    def _pronounce(self) -> None:
        self._take()
        token = self._take()
        if token.kind != "word":
            raise token.place.error(f"expected a word behind 'pronounce', found {_shown(token)}")
        word = _spoken(token)
        if not isinstance(word, Spoken):
            raise token.place.error("pronounce one word at a time")
        self._expect("=", f"behind 'pronounce {token.text}'")
        spoken = [self._phones()]
        while self._is_mark("|"):
            self._take()
            spoken.append(self._phones())
        self._end_statement(f"behind the phones of '{token.text}'")
        self._set.pronunciations.setdefault(word.word, []).extend(spoken)
        self._set.pronounced_at.setdefault(word.word, token.place)

    def _phones(self) -> tuple[str, ...]:
        phones = []
        while self._next.kind == "word":
            # Dictionaries mark the stress, which models of phones do not know: AO1 is AO.
            phones.append(self._take().text.upper().rstrip("0123456789"))
        if not phones:
            raise self._next.place.error(
                f"expected phones, found {_shown(self._next)}",
                "As in:  pronounce edgeaudio = EH JH AO D IY OW;",
            )
        return tuple(phones)


def _rule_name(token: _Token) -> str:
    name = token.text[1:-1].strip()
    if not _RULE_NAME.fullmatch(name) or len(name) > _MAX_WORD:
        raise token.place.error(
            f"{token.text} is no name of a rule",
            "Names are letters, digits, '_', '-' and '.', as in <turn_on>",
        )
    return name


def _spoken(token: _Token) -> Node:
    """Turn a token into its words: ``"new york"`` and ``t-shirt`` are two."""
    text = token.text.strip('"').lower().replace("\u2019", "'")
    words = re.split(r"[\s-]+", text.strip().strip("-.,!?")) if text.strip() else []
    for word in words:
        if re.search(r"\d", word):
            raise token.place.error(
                f"'{token.text}' holds digits", "Write numbers as they are spoken: twenty one"
            )
        if not _WORD.fullmatch(word) or len(word) > _MAX_WORD:
            raise token.place.error(
                f"{token.text!r} cannot be spoken", "Words are letters and apostrophes, as in: don't"
            )
    if not words:
        raise token.place.error("there is no word between the quotation marks")
    spoken = tuple(Spoken(word, token.place) for word in words)
    return spoken[0] if len(spoken) == 1 else Sequence(spoken)


def _shown(token: _Token) -> str:
    return "the end of the file" if token.kind == "end" else f"'{token.text}'"
