"""What is left out when, as arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.shedding import Shedding


def levels(shedding, lags_s, step_s=0.1):
    return [shedding.review(lag_s, k * step_s) for k, lag_s in enumerate(lags_s)]


def test_nothing_is_left_out_below_a_quarter_of_the_largest_lag():
    assert set(levels(Shedding(2.0), [0.5] * 100)) == {0}


def test_each_level_has_its_share_of_the_lag():
    assert levels(Shedding(2.0), [0.6] * 100)[-1] == 1
    assert levels(Shedding(2.0), [1.1] * 100)[-1] == 2
    jumping = levels(Shedding(2.0), [2.1] * 100)
    assert jumping.index(1) < jumping.index(2) < jumping.index(3)


def test_a_burst_that_is_worked_off_at_once_costs_nothing():
    shedding = Shedding(2.0)
    assert {shedding.review(lag_s, k * 0.004) for k, lag_s in enumerate((8.0, 6.0, 4.0, 2.0, 0.0))} == {0}


def test_levels_are_left_one_by_one_when_it_has_been_calm_for_a_while():
    shedding = Shedding(2.0)
    levels(shedding, [1.5] * 20)
    calm = levels(shedding, [0.0] * 40)
    assert calm[0] == 2
    assert calm[-1] == 0
    assert calm == sorted(calm, reverse=True)
    assert calm.count(1) >= 9  # a second of 0.1 s steps, less one for rounding


def test_calm_that_does_not_last_changes_nothing():
    shedding = Shedding(2.0)
    levels(shedding, [1.5] * 20)
    assert set(levels(shedding, ([0.0] * 5 + [0.6]) * 10)) == {2}


def test_what_may_not_be_left_out_is_not():
    assert set(levels(Shedding(2.0, n_levels=1), [0.9] * 100)) == {0}
    assert levels(Shedding(2.0, n_levels=1), [1.1] * 100)[-1] == 1
    assert set(levels(Shedding(2.0, n_levels=0), [1.9] * 100)) == {0}
    assert 1 in levels(Shedding(2.0, n_levels=0), [2.1] * 100)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.001, 3)), max_size=60), st.integers(0, 2))
def test_the_order_is_always_the_stated_one(steps, n_levels):
    shedding = Shedding(2.0, n_levels)
    now_s, before = 0.0, 0
    for lag_s, pause_s in steps:
        now_s += pause_s
        level = shedding.review(lag_s, now_s)
        if level == shedding.jump:
            assert shedding.level == n_levels
        assert -1 <= level - before <= 1 + pause_s / Shedding.PATIENCE_S
        before = shedding.level


def test_reviews_far_apart_do_what_several_would_have_done():
    assert [Shedding(1.0).review(lag_s, 0.0) for lag_s in (2.0, 9.0)] == [0, 0]
    hopeless, late = Shedding(1.0), Shedding(1.0)
    assert [hopeless.review(2.0, 0.0), hopeless.review(4.0, 2.0), hopeless.level] == [0, 3, 2]
    # Late, not hopeless: nothing is skipped.
    assert [late.review(0.4, 0.0), late.review(0.8, 2.0), late.review(0.8, 4.0)] == [0, 2, 2]
