"""What a grammar permits and means, as a network of words.

The rules are written into each other, which gives a nondeterministic network whose empty arcs say where
slots begin and end.
"""

from __future__ import annotations

import math
import re
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
    RuleSet,
    Sequence,
    Spoken,
    Tagged,
    nodes_of,
)

__all__ = ["Action", "Network", "build_network"]

_MAX_STATES = 200_000
_MAX_LEVELS = 200
"""Nodes within nodes, written into each other: more would overflow Python's stack."""
_SLOT_NAME = re.compile(r"[^\W\d][\w.-]*")
_STEP = 0.05
"""To which natural logarithms of weights are rounded, so that the automaton's sums repeat."""
_HINT_TAG = "Write {name} behind what fills the slot, or {name=value} to fill it with a value."


class Action(NamedTuple):
    """What passing an empty arc means.

    ``open`` begins to collect words; ``close`` fills slot `name` with what was collected; ``replace``
    throws it away for `value`; ``set`` fills slot `name` with `value`; ``command`` says which it is.
    """

    kind: str
    name: str = ""
    value: str = ""


class Network:
    """States joined by words and by empty arcs; sentences go from state `start` to state `end`."""

    def __init__(self) -> None:
        self.words: list[list[tuple[str, int]]] = []
        self.empty: list[list[tuple[int, float, Action | None]]] = []
        self.start = self.add()
        self.end = self.add()

    def add(self) -> int:
        """Add a state."""
        self.words.append([])
        self.empty.append([])
        return len(self.words) - 1

    def link(self, state: int, to: int, score: float = 0.0, action: Action | None = None) -> None:
        """Join two states by an empty arc."""
        self.empty[state].append((to, score, action))


def build_network(rules: RuleSet) -> Network:
    """Write all commands of a grammar out.

    Raises
    ------
    ConfigError
        A rule does not exist or contains itself, there is no command, or all of it is too large.
    """
    _check_references(rules)
    return _Writer(rules).write()


def _check_references(rules: RuleSet) -> None:
    known = {*rules.rules, NULL, VOID}
    for rule in rules.rules.values():
        for node in nodes_of(rule.node):
            if isinstance(node, Reference) and node.rule not in known:
                near = nearest(node.rule, list(rules.rules))
                raise node.place.error(
                    f"there is no rule <{node.rule}>",
                    f"Did you mean <{near}>?" if near else f"Define it:  <{node.rule}> = …;",
                )


class _Writer:
    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._network = Network()
        self._within: list[str] = []
        self._levels = 0

    def write(self) -> Network:
        network = self._network
        commands = [rule for rule in self._rules.rules.values() if rule.public]
        if not commands:
            first = next(iter(self._rules.rules.values()))
            raise first.place.error(
                "no rule is public, so there is no command", f"Write:  public <{first.name}> = …;"
            )
        for rule in commands:
            begin = network.add()
            network.link(network.start, begin, 0.0, Action("command", rule.name))
            self._within.append(rule.name)
            network.link(self._write(rule.node, begin, in_slot=False), network.end)
            self._within.pop()
        return network

    def _write(self, node: Node, at: int, *, in_slot: bool) -> int:
        """Write `node` behind state `at` and return the state behind it."""
        self._levels += 1
        if self._levels > _MAX_LEVELS:
            raise self._rules.rules[self._within[-1]].place.error(
                "rules and brackets are nested too deeply", "Say the same with fewer rules."
            )
        values = _values(node) if in_slot else []
        if values:
            at = self._empty(at, Action("open"))
        if isinstance(node, Sequence):
            for item in node.items:
                at = self._item(item, at, in_slot=in_slot)
        else:
            at = self._item(node, at, in_slot=in_slot)
        if values:
            at = self._empty(at, Action("replace", value=" ".join(values)))
        self._levels -= 1
        return at

    def _item(self, node: Node, at: int, *, in_slot: bool) -> int:
        if isinstance(node, Spoken):
            end = self._new(node.place)
            self._network.words[at].append((node.word, end))
            return end
        if isinstance(node, Reference):
            return self._reference(node, at, slot=node.rule)
        if isinstance(node, Tagged):
            return self._tagged(node, at, in_slot=in_slot)
        if isinstance(node, Choice):
            return self._choice(node, at, in_slot=in_slot)
        if isinstance(node, Optional):
            end = self._write(node.item, at, in_slot=in_slot)
            self._network.link(at, end)
            return end
        if isinstance(node, Repeat):
            return self._repeat(node, at, in_slot=in_slot)
        return self._write(node, at, in_slot=in_slot)

    def _choice(self, node: Choice, at: int, *, in_slot: bool) -> int:
        heaviest = max(weight for weight, _ in node.options)
        end = self._network.add()
        for weight, item in node.options:
            begin = self._network.add()
            score = round(math.log(weight / heaviest) / _STEP) * _STEP
            self._network.link(at, begin, score)
            self._network.link(self._write(item, begin, in_slot=in_slot), end)
        return end

    def _repeat(self, node: Repeat, at: int, *, in_slot: bool) -> int:
        # Into a state of its own, so that the way back does not also repeat what stands before.
        begin = self._empty(at)
        end = self._empty(self._write(node.item, begin, in_slot=in_slot))
        self._network.link(end, begin)
        if not node.at_least_once:
            self._network.link(begin, end)
        return self._empty(end)

    def _tagged(self, node: Tagged, at: int, *, in_slot: bool) -> int:
        name, is_set, value = (part.strip() for part in node.tag.partition("="))
        if is_set:
            _check_slot_name(name, node)
            at = self._item(node.item, at, in_slot=in_slot)
            return self._empty(at, Action("set", name, value))
        if in_slot:  # its value is seen to where the alternative ends
            return self._item(node.item, at, in_slot=True)
        _check_slot_name(name, node)
        if isinstance(node.item, Reference):
            return self._reference(node.item, at, slot=name)
        at = self._item(node.item, self._empty(at, Action("open")), in_slot=False)
        return self._empty(at, Action("close", name))

    def _reference(self, node: Reference, at: int, *, slot: str) -> int:
        if node.rule == NULL:
            return at
        if node.rule == VOID:
            return self._new(node.place)
        if node.rule in self._within:
            circle = [*self._within[self._within.index(node.rule) :], node.rule]
            raise node.place.error(
                f"rule <{node.rule}> contains itself: {' → '.join(f'<{name}>' for name in circle)}",
                "Repeat with '*' (any number) or '+' (at least one).",
            )
        rule = self._rules.rules[node.rule]
        self._within.append(node.rule)
        # What a name with an underscore, or a command, is used for is only a piece of text.
        if (rule.public or rule.name.startswith("_")) and slot == node.rule:
            at = self._write(rule.node, at, in_slot=False)
        else:
            at = self._write(rule.node, self._empty(at, Action("open"), node.place), in_slot=True)
            at = self._empty(at, Action("close", slot))
        self._within.pop()
        return at

    def _empty(self, at: int, action: Action | None = None, place: Place | None = None) -> int:
        end = self._new(place)
        self._network.link(at, end, 0.0, action)
        return end

    def _new(self, place: Place | None = None) -> int:
        if len(self._network.words) >= _MAX_STATES:
            place = place or self._rules.rules[self._within[-1]].place
            raise place.error(
                f"written out, the grammar has more than {_MAX_STATES} words, brackets and slots",
                f"Rule <{self._within[-1]}> is too large, or used in too many places: say what repeats once.",
            )
        return self._network.add()


def _values(node: Node) -> list[str]:
    """Return the value tags that stand in an alternative itself, not in brackets within it."""
    values: list[str] = []
    for item in node.items if isinstance(node, Sequence) else (node,):
        found: list[str] = []
        while isinstance(item, Tagged):
            if "=" not in item.tag:
                found.append(item.tag)
            item = item.item  # noqa: PLW2901 - down to what is tagged
        values += reversed(found)
    return values


def _check_slot_name(name: str, node: Tagged) -> None:
    if not _SLOT_NAME.fullmatch(name):
        raise node.place.error(f"{{{node.tag}}} names no slot: {name!r} is no name", _HINT_TAG)
