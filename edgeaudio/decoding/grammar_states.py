"""What a grammar permits, for searching: in each state, each word leads to one other state.

Made from the network of words by forgetting the slots: first deterministic, then small.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from edgeaudio.decoding.grammar_network import Network
from edgeaudio.decoding.grammar_tree import Place

__all__ = ["States", "sentences_automaton"]

_MAX_SETS = 50_000
_MAX_WORK = 1_000_000
"""How many sets of states making a network deterministic may find, and how many states in all of them:
some seconds' work."""

States: TypeAlias = list[tuple[float | None, dict[str, tuple[float, int]]]]
"""For each state: the natural logarithm of ending in it, None where a sentence cannot, and for each word
that may follow (natural logarithm, next state). State 0 is the beginning."""

_Set: TypeAlias = tuple[tuple[int, float], ...]


def sentences_automaton(network: Network, place: Place) -> States:
    """Make a network deterministic and merge what is followed by the same.

    Of several ways to say the same words the likeliest counts (Mohri, "Finite-state transducers in
    language and speech processing", 1997).

    Parameters
    ----------
    network : Network
    place : Place
        Where errors are told to be.

    Raises
    ------
    ConfigError
        It becomes too large, or nothing can be said.
    """
    numbers: dict[_Set, int] = {}
    waiting: list[_Set] = []

    def number(states: _Set) -> int:
        if states not in numbers:
            numbers[states] = len(numbers)
            waiting.append(states)
        return numbers[states]

    number(_closure(network, {network.start: 0.0}))
    made: States = []
    work = 0
    while len(made) < len(waiting):
        states = waiting[len(made)]
        work += len(states)
        if work > _MAX_WORK or len(waiting) > _MAX_SETS:
            raise place.error(
                "the grammar is too large, or has too many ways to say the same words",
                "Use fewer alternatives, '*', '+' and optional words.",
            )
        ending = [score for state, score in states if state == network.end]
        arcs: dict[str, tuple[float, int]] = {}
        for word, targets in _by_word(network, states).items():
            best = max(targets.values())
            rest = {state: round(score - best, 4) for state, score in targets.items()}
            arcs[word] = (best, number(_closure(network, rest)))
        made.append((max(ending) if ending else None, arcs))
    merged = _merged(_trimmed(made))
    if not merged[0][1]:
        raise place.error("no command can ever be spoken", "<VOID> is never spoken, and <NULL> says nothing.")
    return merged


def _closure(network: Network, states: dict[int, float]) -> _Set:
    """Return all states that empty arcs lead to, each with the best score, if words or the end follow."""
    best = dict(states)
    stack = list(states)
    while stack:
        state = stack.pop()
        for to, score, _ in network.empty[state]:
            total = round(best[state] + score, 4)
            if total > best.get(to, -math.inf):
                best[to] = total
                stack.append(to)
    return tuple(sorted((s, score) for s, score in best.items() if network.words[s] or s == network.end))


def _by_word(network: Network, states: _Set) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for state, score in states:
        for word, to in network.words[state]:
            targets = found.setdefault(word, {})
            targets[to] = max(score, targets.get(to, -math.inf))
    return found


def _trimmed(states: States) -> States:
    """Drop all from which no sentence ever ends."""
    before: list[list[int]] = [[] for _ in states]
    for state, (_, arcs) in enumerate(states):
        for _, to in arcs.values():
            before[to].append(state)
    stack = [state for state, (ending, _) in enumerate(states) if ending is not None]
    useful = {0, *stack}
    while stack:
        for state in before[stack.pop()]:
            if state not in useful:
                useful.add(state)
                stack.append(state)
    number = {state: new for new, state in enumerate(sorted(useful))}
    return [
        (ending, {word: (score, number[to]) for word, (score, to) in arcs.items() if to in number})
        for state, (ending, arcs) in enumerate(states)
        if state in number
    ]


def _merged(states: States) -> States:
    """Merge states that no continuation tells apart (Moore's refinement); keeps 0 first."""
    group = [0] * len(states)
    n_groups = 1
    while True:
        seen: dict[object, int] = {}
        refined = []
        for state, (ending, arcs) in enumerate(states):
            key = (
                group[state],
                ending,
                tuple(sorted((word, score, group[to]) for word, (score, to) in arcs.items())),
            )
            refined.append(seen.setdefault(key, len(seen)))
        group = refined
        if len(seen) == n_groups:
            break
        n_groups = len(seen)
    merged: dict[int, tuple[float | None, dict[str, tuple[float, int]]]] = {}
    for state, (ending, arcs) in enumerate(states):
        if group[state] not in merged:
            merged[group[state]] = (
                ending,
                {word: (score, group[to]) for word, (score, to) in arcs.items()},
            )
    return [merged[number] for number in range(n_groups)]
