"""The measure of what code allocates: it sees a leak, and not what somebody else did once."""

from __future__ import annotations

from tests.allocation import allocated


def test_what_each_call_keeps_is_seen():
    kept = []
    assert 50_000 <= allocated(lambda: kept.append(bytes(50_000))).kept < 51_000


def test_what_each_call_needs_for_a_moment_is_seen():
    found = allocated(lambda: len(bytes(50_000)))
    assert found.kept < 100
    assert 50_000 <= found.peak < 51_000


def test_garbage_that_only_the_collector_frees_counts_as_kept():
    def loop():
        items = [bytes(50_000)]
        items.append(items)

    assert allocated(loop).kept >= 50_000


def test_what_others_allocate_or_free_in_one_round_is_not():
    theirs = []
    steps = [lambda: None] * 5
    steps[1:3] = lambda: theirs.append(bytes(50_000)), theirs.clear
    rest = iter(steps)

    def one_round():
        next(rest)()

    assert allocated(one_round).kept < 100
