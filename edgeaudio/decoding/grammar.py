"""Closed grammars: the orders that a device understands, and what each of them means."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from edgeaudio.config import read_bounded
from edgeaudio.decoding.grammar_file import parse_grammar
from edgeaudio.decoding.grammar_network import Action, Network, build_network
from edgeaudio.decoding.grammar_states import States, sentences_automaton
from edgeaudio.decoding.grammar_tree import Place, RuleSet
from edgeaudio.decoding.language import SENTENCE_END, Language
from edgeaudio.decoding.ngrams import SPECIAL_WORDS
from edgeaudio.errors import ConfigError

__all__ = ["Grammar", "Order", "Pronounce"]

_MAX_BYTES = 2 * 2**20

Pronounce: TypeAlias = Callable[[str], Sequence[Sequence[str]]]
"""The pronunciations of a word, each as its phones; none for a word that cannot be pronounced."""


@dataclass(frozen=True)
class Order:
    """What was understood: the command's name, and what its slots were filled with."""

    command: str
    slots: dict[str, str] = field(default_factory=dict)


class Grammar:
    """The orders that can be understood; made by :meth:`read` or :meth:`parse`.

    Examples
    --------
    >>> grammar = Grammar.parse('''
    ...     public <light> = turn (on {state=on} | off {state=off}) the light [in the <room>];
    ...     <room> = kitchen | bed room {bedroom};
    ... ''')
    >>> grammar.understand("turn off the light in the bed room".split())
    Order(command='light', slots={'state': 'off', 'room': 'bedroom'})
    >>> grammar.understand("turn off the kitchen".split()) is None
    True
    """

    def __init__(self, rules: RuleSet) -> None:
        self.name = rules.name or Path(rules.origin).stem
        self.commands = tuple(rule.name for rule in rules.rules.values() if rule.public)
        self.pronunciations: Mapping[str, Sequence[tuple[str, ...]]] = rules.pronunciations
        """Those that the file gives itself, in phones as it writes them."""
        self._rules = rules
        self._network: Network = build_network(rules)
        self.states: States = sentences_automaton(self._network, Place(rules.origin, 1, 1))

    @classmethod
    def read(cls, path: str | Path) -> Grammar:
        """Read a grammar's file.

        Raises
        ------
        ConfigError
            It cannot be read or is wrong; with line and column, and what to do.
        """
        data = read_bounded(Path(path), _MAX_BYTES)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise ConfigError(f"{path}: line {line}: not UTF-8 text", hint="Save it as UTF-8.") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, origin: str = "grammar") -> Grammar:
        """Read a grammar from text; `origin` is what error messages call it."""
        return cls(parse_grammar(text, origin))

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """All words that can be said, ascending."""
        return tuple(sorted({word for _, arcs in self.states for word in arcs}))

    @functools.cached_property
    def n_orders(self) -> float:
        """How many different orders there are; infinity where something is repeated without end."""
        counts: dict[int, float] = {}
        stack = [(0, False)]
        while stack:
            state, below_done = stack.pop()
            ending, arcs = self.states[state]
            if below_done:
                counts[state] = (ending is not None) + sum(counts[to] for _, to in arcs.values())
                continue
            if state in counts:
                continue
            counts[state] = math.inf  # as long as its own followers are counted: a way back here is a circle
            stack.append((state, True))
            stack += [(to, False) for _, to in arcs.values() if to not in counts]
        return counts[0] - (self.states[0][0] is not None)

    def understand(self, words: Iterable[str]) -> Order | None:
        """Return what `words` order, None if that is no whole order.

        Where they can be read in several ways the one of the greatest weight counts, and among equals
        the first in the file. A slot that was filled several times holds all values, joined by blanks.
        """
        reached = _advance(self._network, {self._network.start: (0.0, None)})
        nothing_said = True
        for word in words:
            nothing_said = False
            said: dict[int, tuple[float, _Trace | None]] = {}
            for state, (score, trace) in reached.items():
                for spoken, to in self._network.words[state]:
                    if spoken == word and score > said.get(to, (-math.inf, None))[0]:
                        said[to] = (score, (trace, word))
            reached = _advance(self._network, said)
        if nothing_said or self._network.end not in reached:
            return None
        return _order(reached[self._network.end][1])

    def is_complete(self, words: Iterable[str]) -> bool:
        """Say whether `words` are a whole order, and nothing can follow them in any."""
        state = 0
        for word in words:
            arc = self.states[state][1].get(word)
            if arc is None:
                return False
            state = arc[1]
        ending, arcs = self.states[state]
        return ending is not None and not arcs and state != 0

    def spell(
        self, pronounce: Pronounce, known: Container[str] | None = None, *, own: bool = True
    ) -> dict[str, list[tuple[str, ...]]]:
        """Return the pronunciations of all words: the file's own, else those that `pronounce` gives.

        Parameters
        ----------
        pronounce : callable
        known : container of str, optional
            The units that the model has; pronunciations with others are left out.
        own : bool
            Whether those in the file count.

        Raises
        ------
        ConfigError
            A word cannot be pronounced.
        """
        spoken: dict[str, list[tuple[str, ...]]] = {}
        for word in self.words:
            given = self.pronunciations.get(word) if own else None
            said = [tuple(units) for units in given or pronounce(word)]
            usable = [units for units in said if known is None or all(unit in known for unit in units)]
            spoken[word] = [units for units in dict.fromkeys(usable) if units]
            if not spoken[word]:
                problem = "the model cannot write" if said else "no pronunciation is known for"
                raise self._rules.place_of(word).error(
                    f"{problem} '{word}'",
                    f"Spell it otherwise, or give its phones:  pronounce {word} = EH JH AO D IY OW;",
                )
        return spoken

    def check_phones(self, known: Sequence[str]) -> None:
        """Check that the file's own pronunciations use phones that the model knows.

        Raises
        ------
        ConfigError
            One does not.
        """
        for word, spoken in self.pronunciations.items():
            strange = sorted({phone for phones in spoken for phone in phones} - set(known))
            if strange:
                raise self._rules.pronounced_at[word].error(
                    f"unknown phone '{strange[0]}' in the pronunciation of '{word}'",
                    f"Known phones: {' '.join(known)}",
                )

    def language(self, pronounce: Pronounce) -> Language:
        """Return the grammar as a language, for the search that knows lexicons.

        Raises
        ------
        ConfigError
            A word cannot be pronounced.
        """
        end = SPECIAL_WORDS[SENTENCE_END]
        states = [
            dict(arcs) if ending is None else {**arcs, end: (ending, 0)} for ending, arcs in self.states
        ]
        spoken = {word: [" ".join(phones) for phones in said] for word, said in self.spell(pronounce).items()}
        return Language.closed(spoken, states, 0)


_Trace: TypeAlias = "tuple[_Trace | None, str | Action]"


def _advance(
    network: Network, reached: dict[int, tuple[float, _Trace | None]]
) -> dict[int, tuple[float, _Trace | None]]:
    """Follow all empty arcs; the first way of the best score wins."""
    best = dict(reached)
    # A stack, with the first arc on top, so that the first in the file is the first to arrive.
    stack = list(reversed(best))
    while stack:
        state = stack.pop()
        score, trace = best[state]
        for to, weight, action in reversed(network.empty[state]):
            total = score + weight
            if total > best.get(to, (-math.inf, None))[0] + 1e-9:
                best[to] = (total, trace if action is None else (trace, action))
                stack.append(to)
    return best


def _order(trace: _Trace | None) -> Order:
    """Read what was passed on the way, from the beginning on."""
    steps: list[str | Action] = []
    while trace is not None:
        trace, passed = trace
        steps.append(passed)
    command = ""
    slots: dict[str, list[str]] = {}
    collected: list[list[str]] = [[]]
    for passed in reversed(steps):
        if isinstance(passed, str):
            collected[-1].append(passed)
        elif passed.kind == "command":
            command = passed.name
        elif passed.kind == "open":
            collected.append([])
        elif passed.kind == "set":
            slots.setdefault(passed.name, []).append(passed.value)
        else:
            inner = collected.pop()
            value = passed.value if passed.kind == "replace" else " ".join(inner)
            collected[-1].append(value)
            if passed.kind == "close":
                slots.setdefault(passed.name, []).append(value)
    return Order(command, {name: " ".join(filter(None, values)) for name, values in slots.items()})
