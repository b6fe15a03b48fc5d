from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgeaudio.evaluation.intervals import bootstrap_interval, poisson_interval, wilson_interval

CONFIDENCES = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999])


@given(st.integers(1, 20_000), st.floats(0, 1), CONFIDENCES)
def test_wilson_equals_scipy(trials: int, fraction: float, confidence: float) -> None:
    successes = round(fraction * trials)
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    # Two roundings of the same closed formula.
    assert wilson_interval(successes, trials, confidence=confidence) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )


def test_wilson_at_the_ends_stays_a_probability() -> None:
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.one_of(st.integers(0, 50), st.integers(0, 200_000)), CONFIDENCES)
def test_poisson_equals_the_chi_squared_quantiles(count: int, confidence: float) -> None:
    tail = (1 - confidence) / 2
    low = stats.chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    high = stats.chi2.isf(tail, 2 * count + 2) / 2
    # lgamma of a large count has lost about ten of sixteen digits when it is exponentiated.
    assert poisson_interval(count, 1.0, confidence=confidence) == pytest.approx((low, high), rel=1e-8)


def test_poisson_is_a_rate_over_the_exposure() -> None:
    once = poisson_interval(3, 1.0)
    assert poisson_interval(3, 4.0) == pytest.approx((once[0] / 4, once[1] / 4))
    assert poisson_interval(0, 0.0) == (0.0, math.inf)


def test_bootstrap_draws_speakers_not_recordings() -> None:
    # One speaker of two makes all errors: a draw holds her twice, once or not at all.
    errors, totals, speakers = [10] * 50 + [0] * 50, [10] * 100, ["ann"] * 50 + ["bob"] * 50
    assert bootstrap_interval(errors, totals, speakers) == (0.0, 1.0)
    low, high = bootstrap_interval(errors, totals, [str(i) for i in range(100)])
    # The normal approximation: 0.5 ± 1.96 * 0.05; 2,000 draws leave about 0.01 of noise.
    assert (low, high) == pytest.approx((0.402, 0.598), abs=0.02)


def test_bootstrap_of_one_speaker_draws_her_recordings() -> None:
    low, high = bootstrap_interval([0, 10], [10, 10], ["ann", "ann"])
    assert (low, high) == (0.0, 1.0)


def test_bootstrap_survives_speakers_who_say_nothing() -> None:
    assert bootstrap_interval([3, 0], [10, 0], ["ann", "bob"])[0] == 0.3
