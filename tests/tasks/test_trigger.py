"""The decision against a slow reference, and the promises one would make to a user."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import UsageError
from edgeaudio.models.manifest import Decision
from edgeaudio.tasks.trigger import Firing, Trigger

FRAME_MS = 40.0
LABELS = ("go", "stop", "unknown")


def decision(**changes):
    values = {
        "threshold": 0.6,
        "smoothing_ms": FRAME_MS,
        "refractory_ms": 400.0,
        "silent_labels": ("unknown",),
    }
    return Decision(**(values | changes))


def trigger(**changes):
    return Trigger(LABELS, decision(**changes), frame_ms=FRAME_MS)


def rows(*go, stop=()):
    """Posteriors of "go" and "stop", frame by frame."""
    table = np.zeros((max(len(go), len(stop)), 3), np.float32)
    table[: len(go), 0] = go
    table[: len(stop), 1] = stop
    return table


def frames_of(firings):
    return [(firing.frame, firing.label) for firing in firings]


class Word(NamedTuple):
    threshold: float
    release: float


def reference(posteriors, rules):
    """What the documentation says, word for word, with lists and without state arrays."""
    window = max(1, round(rules.smoothing_ms / FRAME_MS))
    refractory, guard = round(rules.refractory_ms / FRAME_MS), round(rules.guard_ms / FRAME_MS)
    words = {}
    for column, label in enumerate(LABELS):
        if label not in rules.silent_labels:
            threshold = rules.thresholds.get(label, rules.threshold)
            words[column] = Word(threshold, threshold * rules.release_ratio)
    armed, last_of, last_any = set(words), {}, -math.inf
    fired = []
    for now in range(len(posteriors)):
        recent = posteriors[max(0, now - window + 1) : now + 1]
        mean = {column: sum(float(row[column]) for row in recent) / window for column in words}
        for column, word in words.items():
            if mean[column] < word.release and now - last_of.get(column, -math.inf) >= refractory:
                armed.add(column)
        crossing = [column for column in words if column in armed and mean[column] >= words[column].threshold]
        armed.difference_update(crossing)
        if crossing and now - last_any >= guard:
            best = max(crossing, key=lambda column: mean[column])  # the first of equals
            fired.append(Firing(now, LABELS[best], mean[best]))
            last_of[best] = last_any = now
    return fired


# Multiples of 1/64: sums are exact in any order, so that the reference must agree to the last bit.
levels = st.integers(0, 64).map(lambda k: k / 64)
streams = st.lists(st.tuples(levels, levels, levels), min_size=1, max_size=120).map(
    lambda table: np.array(table, np.float32)
)
rule_sets = st.builds(
    decision,
    threshold=st.sampled_from([0.25, 0.5, 0.75]),
    thresholds=st.sampled_from([{}, {"stop": 0.875}]),
    smoothing_ms=st.sampled_from([0.0, 40.0, 120.0, 200.0]),
    refractory_ms=st.sampled_from([0.0, 200.0, 1000.0]),
    guard_ms=st.sampled_from([0.0, 80.0, 240.0]),
    release_ratio=st.sampled_from([0.25, 0.5, 1.0]),
)


@settings(max_examples=300, deadline=None)
@given(streams, rule_sets)
def test_equals_the_slow_reference(posteriors, rules):
    assert Trigger(LABELS, rules, frame_ms=FRAME_MS).process(posteriors) == reference(posteriors, rules)


@settings(max_examples=100, deadline=None)
@given(streams, rule_sets, st.lists(st.integers(0, 120), max_size=8))
def test_any_chunking_fires_the_same(posteriors, rules, cuts):
    whole = Trigger(LABELS, rules, frame_ms=FRAME_MS)
    pieces = Trigger(LABELS, rules, frame_ms=FRAME_MS)
    firings = [f for piece in np.split(posteriors, sorted(cuts)) for f in pieces.process(piece)]
    assert firings == whole.process(posteriors)


@settings(max_examples=50, deadline=None)
@given(streams, streams, rule_sets)
def test_reset_forgets_everything(before, posteriors, rules):
    used = Trigger(LABELS, rules, frame_ms=FRAME_MS)
    used.process(before)
    used.reset()
    assert used.process(posteriors) == Trigger(LABELS, rules, frame_ms=FRAME_MS).process(posteriors)


@settings(max_examples=100, deadline=None)
@given(streams, rule_sets)
def test_a_word_never_fires_twice_within_its_refractory_time(posteriors, rules):
    firings = Trigger(LABELS, rules, frame_ms=FRAME_MS).process(posteriors)
    for label in LABELS:
        frames = [firing.frame for firing in firings if firing.label == label]
        assert all(np.diff(frames) >= max(1, rules.refractory_ms / FRAME_MS))


def test_one_utterance_fires_once_however_long_it_lasts():
    assert frames_of(trigger().process(rows(*[0.9] * 200))) == [(0, "go")]


def test_a_dip_above_the_release_level_is_the_same_utterance():
    long_after = [0.9] * 20 + [0.4] * 5 + [0.9] * 20
    assert frames_of(trigger().process(rows(*long_after))) == [(0, "go")]


def test_a_dip_below_the_release_level_is_a_second_utterance():
    long_after = [0.9] * 20 + [0.1] + [0.9] * 20
    assert frames_of(trigger().process(rows(*long_after))) == [(0, "go"), (21, "go")]


def test_an_echo_within_the_refractory_time_is_not_reported_when_that_ends():
    echo = [0.9, 0.9, 0.1, 0.1, 0.9] + [0.9] * 30
    assert frames_of(trigger().process(rows(*echo))) == [(0, "go")]


def test_words_have_their_own_refractory_times():
    both = rows(0.9, 0.0, 0.0, 0.0, stop=(0.0, 0.0, 0.9, 0.0))
    assert frames_of(trigger().process(both)) == [(0, "go"), (2, "stop")]


def test_the_guard_keeps_one_utterance_from_firing_two_words():
    drifting = rows(0.9, 0.5, 0.1, *[0.0] * 20, stop=[0.0, 0.5, *[0.8] * 21])
    assert frames_of(trigger(guard_ms=0.0).process(drifting)) == [(0, "go"), (2, "stop")]
    # Not even when the guard time is over while the other word still stands.
    assert frames_of(trigger(guard_ms=200.0).process(drifting)) == [(0, "go")]


def test_the_surer_of_two_words_wins_and_the_other_stays_quiet():
    both = rows(*[0.7] * 30, stop=[0.8] * 30)
    assert frames_of(trigger().process(both)) == [(0, "stop")]


def test_silent_labels_never_fire():
    posteriors = np.zeros((50, 3), np.float32)
    posteriors[:, 2] = 1.0
    assert trigger().process(posteriors) == []


def test_smoothing_takes_the_mean_and_counts_the_time_before_the_start_as_zero():
    firings = trigger(smoothing_ms=4 * FRAME_MS).process(rows(1.0, 1.0, 1.0, 1.0))
    assert firings == [Firing(2, "go", 0.75)]  # means: 0.25, 0.5, 0.75


def test_labels_may_have_their_own_threshold():
    posteriors = rows(0.7, 0.0, stop=(0.0, 0.7))
    assert frames_of(trigger(thresholds={"stop": 0.8}).process(posteriors)) == [(0, "go")]


def test_a_network_that_says_nan_is_quiet_and_recovers():
    posteriors = rows(math.nan, math.nan, 0.9)
    assert frames_of(trigger(smoothing_ms=0.0).process(posteriors)) == [(2, "go")]


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_that_can_never_or_always_fire_is_refused(threshold):
    with pytest.raises(UsageError, match=rf"'go' is {threshold:g}"):
        trigger(threshold=threshold)


def test_smoothed_posteriors_can_be_read():
    one = trigger(smoothing_ms=2 * FRAME_MS)
    one.process(rows(0.5, 1.0, 0.0))
    assert one.smoothed[:, 0].tolist() == [0.25, 0.75, 0.5]


def test_thresholds_of_the_words_can_be_read():
    assert trigger(thresholds={"stop": 0.8}).threshold_of == {"go": 0.6, "stop": 0.8}


def near(posteriors, *, ratio=0.5, **changes):
    """Near misses of a trigger that hears everything at once, as (highest frame, label, score)."""
    one = Trigger(LABELS, decision(**changes), frame_ms=FRAME_MS, near_ratio=ratio)
    one.process(posteriors)
    return [tuple(peak) for peak in one.near_misses]


def test_a_peak_below_the_threshold_is_one_near_miss_told_with_its_height():
    posteriors = rows(0.0, 0.375, 0.5, 0.375, 0.0, *[0.0] * 20, 0.25)
    assert near(posteriors) == [(2, "go", 0.5)]


def test_a_peak_that_fires_after_all_is_no_near_miss_and_neither_is_what_is_left_of_it():
    assert near(rows(0.5, 0.5, 0.9, 0.5, 0.1, 0.5, 0.1)) == []


def test_a_near_miss_that_lasts_is_told_once_after_the_refractory_time():
    one = Trigger(LABELS, decision(), frame_ms=FRAME_MS, near_ratio=0.5)
    told = [(row, *peak) for row in range(100) for _ in (one.process(rows(0.5)),) for peak in one.near_misses]
    assert told == [(10, 0, "go", 0.5)]


def test_a_near_miss_of_another_word_in_the_guard_time_belongs_to_the_word_that_fired():
    posteriors = rows(0.9, 0.0, 0.0, 0.0, 0.0, 0.0, stop=(0.5, 0.5, 0.0, 0.5, 0.0))
    assert near(posteriors, guard_ms=200.0, refractory_ms=0.0) == []
    assert near(posteriors, refractory_ms=0.0) == [(3, "stop", 0.5)]


def test_a_near_miss_that_lasts_to_the_end_is_told_by_flush():
    one = Trigger(LABELS, decision(), frame_ms=FRAME_MS, near_ratio=0.5)
    one.process(rows(0.0, 0.5, stop=(0.0, 0.4)))
    assert one.near_misses == ()
    one.flush()
    assert one.near_misses == [Firing(1, "go", 0.5)]


@settings(max_examples=100, deadline=None)
@given(streams, rule_sets, st.lists(st.integers(0, 120), max_size=8))
def test_near_misses_change_no_firing_and_no_chunking_changes_them(posteriors, rules, cuts):
    watching = Trigger(LABELS, rules, frame_ms=FRAME_MS, near_ratio=0.5)
    firings, peaks = [], []
    for piece in np.split(posteriors, sorted(cuts)):
        firings += watching.process(piece)
        peaks += watching.near_misses
    assert firings == Trigger(LABELS, rules, frame_ms=FRAME_MS).process(posteriors)
    watching.reset()
    watching.process(posteriors)
    assert list(watching.near_misses) == peaks
    for _, label, score in peaks:
        threshold = watching.threshold_of[label]
        assert threshold / 2 <= score < threshold


@settings(max_examples=100, deadline=None)
@given(streams, rule_sets)
def test_far_below_its_threshold_a_word_has_as_many_near_misses_as_it_would_fire(posteriors, rules):
    posteriors[:, 1:] = 0.0  # with two words, the surer one alone fires
    low = Trigger(LABELS, rules, frame_ms=FRAME_MS)
    high = decision(
        threshold=0.999,
        smoothing_ms=rules.smoothing_ms,
        refractory_ms=rules.refractory_ms,
        guard_ms=0.0,
        release_ratio=rules.release_ratio,
    )
    watching = Trigger(LABELS, high, frame_ms=FRAME_MS, near_ratio=rules.threshold / 0.999)
    fired = low.process(posteriors * np.float32(0.998))
    watching.process(posteriors * np.float32(0.998))
    peaks = list(watching.near_misses)
    watching.flush()
    assert len(peaks) + len(watching.near_misses) == len(fired)
