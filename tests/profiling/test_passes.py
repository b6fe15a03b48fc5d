"""From made-up time stamps to stages, blocks and stalls whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.profiling.passes import Blocks, Clock, Passes, Window, find_blocks, remainder, stage, stalls

MS = 1_000_000
ORIGIN = 7_000_000 * 1000 * MS  # a machine that has been up for 81 days
HOP = 1280


def passes(*spans):
    """Passes from milliseconds after the origin."""
    table = np.array(spans, np.int64).reshape(-1, 2) * MS + ORIGIN
    return Passes(table[:, 0], table[:, 1])


def window(begin_ms, end_ms):
    return Window(ORIGIN, ORIGIN + begin_ms * MS, ORIGIN + end_ms * MS)


def waits(*rows):
    """``(begin_ms, end_ms, available)`` of waits for a hop."""
    return np.array([(ORIGIN + begin * MS, ORIGIN + end * MS, n) for begin, end, n in rows], np.int64)


def blocks_of(waited, heard, restarts=()):
    return find_blocks(waited, heard, restarts, exact_clock(), hop_samples=HOP, first_samples=HOP + 240)


def exact_clock():
    clock = Clock()
    clock.hear(ORIGIN, 0, ORIGIN / 1e9)
    return clock


def test_a_stage_counts_what_ended_in_the_window():
    spans = passes((0, 5), (98, 99), (99, 101), (150, 154), (199, 203))
    found = stage("x", "model", spans, window(100, 200))
    assert (found.count, found.mean_ms, found.max_ms) == (2, 3.0, 4.0)
    assert found.samples == [(0.099, 2.0), (0.150, 4.0)]
    assert found.share == pytest.approx(6 / 100)


def test_waiting_costs_nothing():
    assert stage("wait", "wait", passes((0, 79)), window(0, 100)).share == 0
    assert stage("end to end x", "end to end", passes((0, 79)), window(0, 100)).share == 0


def test_a_stage_without_passes_is_none():
    assert stage("x", "model", passes((0, 5)), window(100, 200)) is None


def test_of_many_passes_an_even_choice_is_kept_and_the_longest():
    begin = np.arange(50_000, dtype=np.int64) * MS + ORIGIN
    duration = np.full(50_000, 1000, np.int64)
    duration[[7, 31_111]] = 5 * MS
    found = stage("x", "model", Passes(begin, begin + duration), Window(ORIGIN, ORIGIN, ORIGIN + 10**12))
    assert found.count == 50_000
    assert len(found.samples) <= 3000
    assert [sample for sample in found.samples if sample[1] == 5.0] == [(0.007, 5.0), (31.111, 5.0)]
    moments = [moment for moment, _ in found.samples]
    assert moments == sorted(moments)
    assert np.diff(moments).max() < 2.1 * 50 / 3000


@given(st.lists(st.tuples(st.integers(0, 20), st.lists(st.integers(1, 9), max_size=4)), max_size=20))
def test_what_remains_of_a_pass_is_what_its_parts_leave(blocks):
    """Passes of known rests, with parts of known lengths in them, and parts between the passes."""
    at, whole, parts = 0, [], []
    for rest, lengths in blocks:
        parts.append((at, at + 1))
        at += 2
        begin = at
        for length in lengths:
            parts.append((at, at + length))
            at += length
        at += rest
        whole.append((begin, at))
        at += 3
    left = remainder(passes(*whole), [passes(*parts[::2]), passes(*parts[1::2])])
    assert (left.duration // MS).tolist() == [rest for rest, _ in blocks]
    assert (left.end == passes(*whole).end).all()


def test_blocks_are_the_waits_after_which_something_was_heard():
    """The first is longer by what a window needs more than a hop, 15 ms."""
    found = blocks_of(
        waits((0, 95, HOP + 240), (96, 120, 300), (120, 175, HOP), (176, 255, HOP + 500)),
        passes((95, 96), (175, 176), (255, 256)),
    )
    assert ((found.read - ORIGIN) // MS).tolist() == [95, 175, 255]
    # A sample is captured at the beginning of its 62.5 µs.
    assert ((found.captured - ORIGIN) / MS).tolist() == pytest.approx([94.9375, 174.9375, 254.9375])
    assert ((found.done[:2] - ORIGIN) // MS).tolist() == [96, 176]


def test_blocks_know_their_samples_again_after_a_loss():
    """Of what was there at 400 ms all but the newest 95 ms were skipped."""
    found = blocks_of(
        waits((0, 95, HOP + 240), (96, 400, 4880), (401, 402, HOP + 240), (403, 480, HOP), (481, 500, 200)),
        passes((95, 96), (402, 403), (480, 481), (500, 501)),
        [(ORIGIN + 400 * MS, 4880)],
    )
    assert ((found.captured - ORIGIN) / MS).tolist() == pytest.approx([94.9375, 399.9375, 479.9375, 492.4375])


def test_a_stream_may_begin_with_a_loss():
    found = blocks_of(waits((0, 1, 0), (2, 200, HOP + 240)), passes((200, 201)), [(ORIGIN + 1 * MS, 1600)])
    assert ((found.captured - ORIGIN) / MS).tolist() == pytest.approx([194.9375])


def test_of_two_losses_before_a_block_the_last_one_counts():
    """A device's gap, and then a jump to the present, with nothing heard in between."""
    found = blocks_of(
        waits((0, 95, HOP + 240), (96, 300, 0), (301, 400, 4000), (401, 402, HOP + 240)),
        passes((95, 96), (402, 403)),
        [(ORIGIN + 300 * MS, 2000), (ORIGIN + 400 * MS, 4880)],
    )
    assert ((found.captured - ORIGIN) / MS).tolist() == pytest.approx([94.9375, 399.9375])


def test_a_clock_that_drifts_is_followed():
    """A sound card that is 100 ppm slow: sample 16,000 n is captured at n × 1.0001 s."""
    clock = Clock()
    for second in range(0, 61, 10):
        clock.hear(ORIGIN + round(second * 1.0001e9), second * 16_000, ORIGIN / 1e9 + second * 1.0001)
    seconds = np.arange(60)
    found = clock.captured(ORIGIN + (seconds * 1.0001e9).astype(np.int64), seconds * 16_000)
    # float64 seconds since the start of the machine, as sources tell them, have steps of a microsecond.
    np.testing.assert_allclose((found - ORIGIN) / 1e9, seconds * 1.0001, atol=3e-6)


def blocks(*rows):
    """``(captured_ms, read_ms, done_ms)``; each waited for since the one before was done."""
    captured, read, done = (np.array(column, np.int64) * MS + ORIGIN for column in zip(*rows, strict=True))
    waited_from = np.concatenate(([ORIGIN], done[:-1]))
    return Blocks(captured, np.minimum(waited_from, read), read, done)


def test_a_stall_tells_where_how_long_and_because_of_what():
    late = blocks((80, 81, 82), (160, 160, 300), (240, 300, 302), (320, 320, 321))
    parts = {"frontend": passes((81, 82), (160, 161), (300, 301)), "model": passes((161, 299))}
    [found] = stalls(late, parts, 80.0, window(0, 400))
    assert (found.at_s, found.duration_ms, found.stage) == (0.24, 60.0, "model")


def test_blocks_late_in_a_row_are_one_stall_as_long_as_the_worst_of_them():
    late = blocks((80, 580, 581), (160, 581, 582), (240, 582, 583), (320, 583, 584), (640, 640, 641))
    [found] = stalls(late, {"model": passes((580, 581))}, 80.0, window(0, 700))
    assert (found.at_s, found.duration_ms, found.stage) == (0.08, 500.0, "wait")


def test_half_a_hop_is_no_stall():
    assert stalls(blocks((80, 120, 121), (160, 199, 200)), {}, 80.0, window(0, 300)) == []


def test_nothing_heard_is_no_stall():
    nothing = np.zeros(0, np.int64)
    assert stalls(Blocks(nothing, nothing, nothing, nothing), {}, 80.0, window(0, 300)) == []
