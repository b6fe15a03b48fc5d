from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeaudio.decoding.spotting import PhraseSearch, Spot

BLANK, K, A, T, O = range(5)  # noqa: E741
WAYS = [[K, A, T], [K, O, T]]


def heard(tokens: list[int]) -> NDArray[np.float32]:
    """A network that is sure of one token in each frame: the others have a thousandth."""
    rows = np.full((len(tokens), 5), np.log(1e-3), np.float32)
    rows[np.arange(len(tokens)), tokens] = np.log(1 - 4e-3)
    return rows


def search(most_frames: int = 12, most_mismatch: float = 3.0) -> PhraseSearch:
    return PhraseSearch(WAYS, blank=BLANK, most_frames=most_frames, most_mismatch=most_mismatch)


def test_all_ways_to_say_a_phrase_are_found_among_other_sounds() -> None:
    one = search()
    one.process(heard([O, BLANK, K, A, A, T, BLANK, O, O, A, K, BLANK, O, T, T, BLANK, K, A]))
    assert one.flush() == [Spot(2, 6, 0.0), Spot(10, 14, 0.0)]


def test_a_wrong_sound_costs_its_part() -> None:
    one = search()
    # A as sure as can be, where T belongs: log(0.996 / 0.001) for one of three sounds.
    one.process(heard([BLANK, K, A, O, BLANK]))
    (spot,) = one.flush()
    assert spot.mismatch == pytest.approx(np.log(996) / 3, rel=1e-3)
    strict = search(most_mismatch=2.0)
    strict.process(heard([BLANK, K, A, O, BLANK]))
    assert strict.flush() == []


def test_what_takes_too_long_is_another_thing() -> None:
    slow = heard([K, *[BLANK] * 6, A, *[BLANK] * 6, T])
    for most_frames, n in ((15, 1), (14, 0)):
        one = search(most_frames, most_mismatch=0.5)
        one.process(slow)
        assert len(one.flush()) == n


def test_the_result_is_the_same_for_every_chunking() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 2, (200, 5)).astype(np.float32)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    whole, parts = search(), search()
    whole.process(rows)
    found = whole.flush()
    assert len(found) > 3
    assert all(a.end_frame <= b.start_frame for a, b in itertools.pairwise(found))
    for _ in range(2):
        for part in np.split(rows, [0, 1, 8, 8, 77, 150]):
            parts.process(part)
        assert parts.flush() == found
        parts.reset()
    assert parts.flush() == []
