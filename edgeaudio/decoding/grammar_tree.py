"""A grammar as a tree, each part with its place in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, Union

from edgeaudio.errors import ConfigError

__all__ = [
    "NULL",
    "VOID",
    "Choice",
    "Node",
    "Optional",
    "Place",
    "Reference",
    "Repeat",
    "Rule",
    "RuleSet",
    "Sequence",
    "Spoken",
    "Tagged",
    "nodes_of",
]

NULL = "NULL"
"""The rule that says nothing."""
VOID = "VOID"
"""The rule that can never be said."""


class Place(NamedTuple):
    """Where in which file, both counted from 1."""

    origin: str
    line: int
    column: int

    def error(self, problem: str, hint: str | None = None) -> ConfigError:
        """Make the error that says what is wrong here."""
        return ConfigError(f"{self.origin}: line {self.line}, column {self.column}: {problem}", hint=hint)


@dataclass(frozen=True)
class Spoken:
    """One word."""

    word: str
    place: Place


@dataclass(frozen=True)
class Reference:
    """``<room>``, another rule's contents."""

    rule: str
    place: Place


@dataclass(frozen=True)
class Sequence:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several, each with its weight, above 0."""

    options: tuple[tuple[float, Node], ...]


@dataclass(frozen=True)
class Optional:
    """``[item]``, which may be left out."""

    item: Node


@dataclass(frozen=True)
class Repeat:
    """``item*`` or, at least once, ``item+``."""

    item: Node
    at_least_once: bool


@dataclass(frozen=True)
class Tagged:
    """``item {tag}``, which says what the item means."""

    item: Node
    tag: str
    place: Place


Node: TypeAlias = Union[Spoken, Reference, Sequence, Choice, Optional, Repeat, Tagged]


@dataclass(frozen=True)
class Rule:
    """``<name> = node;``; a public one is a command."""

    name: str
    public: bool
    node: Node
    place: Place


@dataclass
class RuleSet:
    """A whole file; ``pronunciations`` maps words to phones as they were written."""

    origin: str
    name: str = ""
    rules: dict[str, Rule] = field(default_factory=dict)
    pronunciations: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    pronounced_at: dict[str, Place] = field(default_factory=dict)

    def place_of(self, word: str) -> Place:
        """Return where a word stands first."""
        for rule in self.rules.values():
            for node in nodes_of(rule.node):
                if isinstance(node, Spoken) and node.word == word:
                    return node.place
        return Place(self.origin, 1, 1)


def nodes_of(node: Node) -> Iterator[Node]:
    """Yield `node` and all that is in it, in the order of the text."""
    yield node
    if isinstance(node, Sequence):
        for item in node.items:
            yield from nodes_of(item)
    elif isinstance(node, Choice):
        for _, item in node.options:
            yield from nodes_of(item)
    elif isinstance(node, (Optional, Repeat, Tagged)):
        yield from nodes_of(node.item)
