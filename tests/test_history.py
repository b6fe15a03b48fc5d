"""The history ring against a plain list that keeps everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.history import History


@given(
    capacity=st.integers(1, 40),
    steps=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 50)), max_size=20),
    start=st.integers(-5, 300),
    length=st.integers(0, 60),
)
def test_reads_what_an_endless_memory_would_read(
    capacity: int, steps: list[tuple[int, int]], start: int, length: int
) -> None:
    history = History(capacity)
    everything: list[float] = []
    for lost, n in steps:
        everything += [0.0] * lost
        block = np.arange(len(everything) + 1, len(everything) + 1 + n, dtype=np.float32)
        history.append(block, len(everything))
        everything += block.tolist()
    oldest = max(0, len(everything) - capacity)
    expected = everything[max(start, oldest) : max(start, oldest, min(start + length, len(everything)))]
    assert history.read(start, start + length).tolist() == expected
    assert history.end_sample == len(everything)


def test_what_was_read_is_a_copy() -> None:
    history = History(4)
    history.append(np.ones(4, np.float32), 0)
    before = history.read(0, 4)
    history.append(np.zeros(4, np.float32), 4)
    assert before.tolist() == [1, 1, 1, 1]


def test_after_a_reset_nothing_old_is_left() -> None:
    history = History(8)
    history.append(np.ones(8, np.float32), 0)
    history.reset(100)
    assert len(history.read(0, 200)) == 0
    history.append(np.full(2, 3, np.float32), 100)
    assert history.read(0, 200).tolist() == [3, 3]


def test_a_block_from_the_past_is_refused() -> None:
    history = History(8)
    history.append(np.ones(5, np.float32), 0)
    with pytest.raises(ValueError, match="at 3 overlaps audio already kept up to 5"):
        history.append(np.ones(1, np.float32), 3)


def test_needs_room() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        History(0)
