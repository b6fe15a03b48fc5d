"""Stretches of time against a slow reference, and the promises one would make to a user."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import UsageError
from edgeaudio.models.manifest import Activity
from edgeaudio.tasks.hysteresis import Edge, Hysteresis
from tests.allocation import allocated

FRAME_MS = 40.0
LABELS = ("dog", "rain", "silence")


def activity(**changes):
    return Activity(**({"threshold": 0.5, "silent_labels": ("silence",)} | changes))


def hysteresis(**changes):
    return Hysteresis(LABELS, activity(**changes), frame_ms=FRAME_MS)


def rows(*dog, rain=()):
    """Posteriors of "dog" and "rain", frame by frame."""
    table = np.zeros((max(len(dog), len(rain)), 3), np.float32)
    table[: len(dog), 0] = dog
    table[: len(rain), 1] = rain
    return table


def spans(edges):
    """Label, first frame and first frame after of each stretch that is over."""
    return [(edge.label, edge.start, edge.frame_end) for edge in edges if not edge.began]


def reference(posteriors, rules):
    """What the documentation says, word for word: whole stretches, found by looking ahead."""

    def frames(time_ms):
        return max(1, round(time_ms / FRAME_MS))

    window = frames(rules.smoothing_ms)
    edges = []
    for column, label in enumerate(LABELS):
        if label in rules.silent_labels:
            continue
        mean = [
            sum(map(float, posteriors[max(0, k - window + 1) : k + 1, column])) / window
            for k in range(len(posteriors))
        ]
        threshold = rules.thresholds.get(label, rules.threshold)
        low = [value < threshold * rules.release_ratio for value in mean]
        at = 0
        while at < len(mean):
            sure = at + frames(rules.least_on_ms)
            if mean[at] < threshold or any(low[at:sure]):
                at += 1
                continue
            if sure > len(mean):
                break
            edges.append(Edge(label, True, sure - 1, at, max(mean[at:sure]), sure))
            off = frames(rules.least_off_ms)
            end = next((k for k in range(sure, len(mean) - off + 1) if all(low[k : k + off])), None)
            if end is None:
                break
            edges.append(Edge(label, False, end + off - 1, at, max(mean[at:end]), end))
            at = end + off
    return sorted(edges, key=lambda edge: (edge.frame, LABELS.index(edge.label)))


# Multiples of 1/64: sums are exact in any order, so that the reference must agree to the last bit.
levels = st.integers(0, 64).map(lambda k: k / 64)
streams = st.lists(st.tuples(levels, levels, levels), min_size=1, max_size=80).map(
    lambda table: np.array(table, np.float32)
)
rule_sets = st.builds(
    activity,
    threshold=st.sampled_from([0.25, 0.5, 0.75]),
    thresholds=st.sampled_from([{}, {"rain": 0.875}]),
    release_ratio=st.sampled_from([0.25, 0.5, 1.0]),
    smoothing_ms=st.sampled_from([0.0, 40.0, 80.0, 200.0]),
    least_on_ms=st.sampled_from([0.0, 80.0, 120.0]),
    least_off_ms=st.sampled_from([0.0, 80.0, 160.0]),
)


@settings(max_examples=80, deadline=None)
@given(streams, rule_sets)
def test_equals_the_slow_reference(posteriors, rules):
    assert Hysteresis(LABELS, rules, frame_ms=FRAME_MS).process(posteriors) == reference(posteriors, rules)


@settings(max_examples=80, deadline=None)
@given(streams, rule_sets, st.lists(st.integers(0, 80), max_size=8))
def test_any_chunking_tells_the_same(posteriors, rules, cuts):
    whole = Hysteresis(LABELS, rules, frame_ms=FRAME_MS)
    pieces = Hysteresis(LABELS, rules, frame_ms=FRAME_MS)
    edges = [edge for piece in np.split(posteriors, sorted(cuts)) for edge in pieces.process(piece)]
    assert edges + pieces.flush() == whole.process(posteriors) + whole.flush()


@settings(max_examples=40, deadline=None)
@given(streams, streams, rule_sets)
def test_reset_forgets_everything(before, posteriors, rules):
    used = Hysteresis(LABELS, rules, frame_ms=FRAME_MS)
    used.process(before)
    used.reset()
    assert used.process(posteriors) == Hysteresis(LABELS, rules, frame_ms=FRAME_MS).process(posteriors)


@settings(max_examples=80, deadline=None)
@given(streams, rule_sets)
def test_what_begins_ends_before_it_begins_again(posteriors, rules):
    decider = Hysteresis(LABELS, rules, frame_ms=FRAME_MS)
    edges = decider.process(posteriors) + decider.flush()
    for label in LABELS:
        mine = [edge for edge in edges if edge.label == label]
        assert [edge.began for edge in mine] == [True, False] * (len(mine) // 2)
        bounds = [edge.frame_end if not edge.began else edge.start for edge in mine]
        assert bounds == sorted(bounds)


def test_a_click_shorter_than_the_least_time_on_is_nothing():
    assert hysteresis(least_on_ms=120).process(rows(0.9, 0.9, *[0.0] * 20)) == []


def test_a_dip_shorter_than_the_least_time_off_is_a_part_of_the_sound():
    table = rows(*[0.9] * 5, *[0.0] * 3, *[0.8] * 5, *[0.0] * 5)
    assert spans(hysteresis(least_off_ms=160).process(table)) == [("dog", 0, 13)]
    assert spans(hysteresis(least_off_ms=120).process(table)) == [("dog", 0, 5), ("dog", 8, 13)]


def test_above_the_release_level_it_goes_on():
    assert spans(hysteresis().process(rows(0.0, 0.6, *[0.3] * 9, 0.2))) == [("dog", 1, 11)]


def test_sounds_overlap_and_each_is_told_with_its_own_threshold_and_peak():
    table = rows(0.6, 0.7, 0.6, 0.0, rain=(0.0, 0.6, 0.9, 0.9))
    decider = hysteresis(thresholds={"rain": 0.8})
    edges = decider.process(table) + decider.flush()
    assert [(edge.label, edge.start, edge.frame_end, round(edge.score, 3)) for edge in edges] == [
        ("dog", 0, 1, 0.6),
        ("rain", 2, 3, 0.9),
        ("dog", 0, 3, 0.7),
        ("rain", 2, 4, 0.9),
    ]
    assert decider.threshold_of == {"dog": 0.5, "rain": 0.8}


def test_the_end_of_the_stream_ends_what_goes_on_where_it_was_last_heard():
    decider = hysteresis(least_on_ms=80, least_off_ms=400)
    decider.process(rows(0.9, 0.9, 0.9, 0.0, 0.0, rain=(0.0, 0.0, 0.0, 0.0, 0.9)))
    assert decider.flush() == [Edge("dog", False, 4, 0, pytest.approx(0.9), 3)]
    assert decider.flush() == []


def test_silent_labels_and_broken_numbers_are_no_sounds():
    table = np.zeros((5, 3), np.float32)
    table[:, 2], table[:, 0] = 0.99, np.nan
    assert hysteresis().process(table) == []


def test_a_sound_is_sure_as_late_as_is_said():
    decider = hysteresis(smoothing_ms=120, least_on_ms=100)
    assert (decider.lag_frames, decider.least_on_frames) == (1, 2)
    (edge,) = decider.process(rows(0.0, *[0.9] * 6))
    assert edge.frame - edge.start + 1 == 2
    assert edge.start == 2  # in frame 1 the mean over three is 0.3


def test_a_threshold_that_is_no_probability_is_refused():
    with pytest.raises(UsageError, match="threshold of 'dog'"):
        Hysteresis(LABELS, activity(threshold=1.5), frame_ms=40)


def test_nothing_is_allocated_where_nothing_happens():
    decider = hysteresis(smoothing_ms=120)
    table = np.full((4, 3), 0.1, np.float32)

    def listen():
        for _ in range(200):
            decider.process(table)

    found = allocated(listen)
    # A call's own frame and small integers; 200 rows of smoothed posteriors would be 19 kB.
    assert found.kept < 1000
    assert found.peak < 3000
