"""Quantiles and their intervals: against numpy, and against processes whose mean is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.profiling.statistics import _blocks, quantile, summarise


def lingering(n, rng, keep=0.95):
    """Values about 1 of which each resembles the one before, as under a neighbour that comes and goes."""
    x = np.empty(n)
    x[0] = rng.normal()
    for i in range(1, n):
        x[i] = keep * x[i - 1] + np.sqrt(1 - keep**2) * rng.normal()
    return 1 + 0.1 * x


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_a_value_that_was_seen(values, q):
    found = quantile(np.array(values), q)
    assert found in values
    assert np.mean(np.array(values) <= found) >= q - 1e-12
    assert np.mean(np.array(values) < found) <= q


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=100), st.floats(0.001, 1000))
def test_intervals_lie_within_what_was_seen(values, length_s):
    moments = np.linspace(0, length_s, len(values))
    found = summarise(moments, np.array(values))
    for low, high in (found.mean_interval, found.p95_interval):
        # A mean of equal numbers is off by some of its last bits.
        assert min(values) * (1 - 1e-9) <= low <= high <= max(values) * (1 + 1e-9)
    assert found.p50 <= found.p95 <= found.p99 <= found.largest == max(values)


def test_the_same_values_give_the_same_intervals():
    rng = np.random.default_rng(1)
    moments, values = np.sort(rng.uniform(0, 60, 700)), rng.gamma(2, 1, 700)
    assert summarise(moments, values) == summarise(moments, values)


def test_the_interval_of_the_mean_holds_the_truth_although_neighbours_resemble_each_other():
    """Of 60 runs the truth may be missed by 5 %; a short run's bootstrap is known to miss some more."""
    rng = np.random.default_rng(7)
    moments = np.arange(750) * 0.08
    held, naive = 0, 0
    for _ in range(60):
        values = lingering(750, rng)
        low, high = summarise(moments, values).mean_interval
        held += low <= 1 <= high
        naive += abs(values.mean() - 1) <= 1.96 * values.std() / np.sqrt(750)
    assert held >= 0.80 * 60
    assert naive <= 0.55 * 60  # what drawing single values would promise and not keep


def test_the_interval_of_the_95th_percentile_holds_the_truth():
    rng = np.random.default_rng(3)
    moments = np.arange(750) * 0.08
    runs = [summarise(moments, rng.exponential(1, 750)).p95_interval for _ in range(60)]
    truth = -np.log(0.05)
    assert sum(low <= truth <= high for low, high in runs) >= 0.85 * 60


@pytest.mark.parametrize("length_s", [0.5, 4.0, 30.0, 60.0, 3600.0])
def test_stretches_of_time_are_equally_long(length_s):
    """The last moment lies on the end of the last one, and is no stretch of its own."""
    n_in_each = np.bincount(_blocks(np.linspace(0.0, length_s, 2000)))
    assert 8 <= len(n_in_each) <= 20 or length_s < 1
    assert n_in_each.min() >= 0.8 * n_in_each.max()


def test_one_value_is_all_that_is_known():
    found = summarise(np.array([3.0]), np.array([0.5]))
    assert found.mean == found.p50 == found.p99 == found.largest == 0.5
    assert found.mean_interval == found.p95_interval == (0.5, 0.5)
