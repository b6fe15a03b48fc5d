from __future__ import annotations

import functools

from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.evaluation.alignment import align, distance

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=7)


def slow_distance(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """The definition, word for word."""

    @functools.cache
    def errors(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        return min(
            errors(i - 1, j) + 1,
            errors(i, j - 1) + 1,
            errors(i - 1, j - 1) + (first[i - 1] != second[j - 1]),
        )

    return errors(len(first), len(second))


@given(WORDS, WORDS)
def test_no_alignment_has_fewer_errors_and_both_sides_are_complete(
    said: list[str], written: list[str]
) -> None:
    pairs = align(said, written)
    assert [first for first, _ in pairs if first] == said
    assert [second for _, second in pairs if second] == written
    assert ("", "") not in pairs
    expected = slow_distance(tuple(said), tuple(written))
    assert sum(first != second for first, second in pairs) == expected
    assert distance("".join(said), "".join(written)) == expected


def test_of_equally_few_errors_those_count_that_leave_more_words_right() -> None:
    pairs = align(["turn", "on", "the", "light"], ["turn", "the", "lights", "please"])
    assert pairs == [("turn", "turn"), ("on", ""), ("the", "the"), ("light", "lights"), ("", "please")]


def test_nothing_against_something() -> None:
    assert align([], []) == []
    assert align(["a"], []) == [("a", "")]
    assert align([], ["a", "b"]) == [("", "a"), ("", "b")]
    assert (distance("", ""), distance("abc", ""), distance("", "ab")) == (0, 3, 2)
