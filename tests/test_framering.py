"""The ring of frames: nothing is torn, reordered or unaccounted for."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.framering import FrameRing
from tests.allocation import allocated

HOP = 160


def block(first_sample, n):
    """Frames whose value says where they begin, exact in float32 below 2^24 hops."""
    starts = first_sample // HOP + np.arange(n)
    return np.repeat(starts.astype(np.float32)[:, None], 3, axis=1)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 9)),
            st.tuples(st.just("restart"), st.integers(0, 50)),
            st.tuples(st.just("read"), st.integers(0, 12)),
        ),
        max_size=60,
    )
)
def test_every_frame_comes_once_at_its_place_or_is_counted_as_lost(steps):
    ring = FrameRing(16, 3, HOP)
    scratch = np.zeros((9, 3), np.float32)
    at, sent, heard, lost, restarts = 0, 0, [], 0, []

    def read(n):
        nonlocal lost
        passed = ring.take_break()
        if passed is not None:
            lost += passed.lost_samples
            restarts.append(passed.at_sample)
            assert ring.position == passed.at_sample
        frames = ring.peek(n)
        assert len(frames) <= n
        np.testing.assert_array_equal(frames, block(ring.position, len(frames)))
        heard.extend(frames[:, 0].astype(int))
        ring.advance(len(frames))
        return passed is not None or len(frames) > 0

    for what, n in steps:
        if what == "write":
            scratch[:n] = block(at, n)  # one buffer, as a frontend's: the ring must have copied it
            assert ring.write(scratch[:n]) in {0, n}
            scratch[:] = -1.0
            at, sent = at + n * HOP, sent + n
        elif what == "restart":
            at += n * HOP
            ring.restart(at)
        else:
            read(n)
    ring.close()
    while read(16):
        pass
    assert heard == sorted(set(heard))
    assert len(heard) * HOP + lost == sent * HOP
    assert ring.waiting == 0
    assert ring.position == at
    assert restarts == sorted(restarts)


def test_a_block_that_finds_no_room_is_lost_whole_and_told_at_its_place():
    ring = FrameRing(8, 3, HOP)
    assert ring.write(block(0, 6)) == 6
    assert ring.write(block(6 * HOP, 6)) == 0
    assert ring.write(block(12 * HOP, 3)) == 0
    assert ring.take_break() is None
    ring.advance(len(ring.peek(8)))
    assert ring.take_break() is None  # it may still grow
    assert ring.write(block(15 * HOP, 2)) == 2
    assert ring.take_break() == (6 * HOP, 9 * HOP, 15 * HOP)
    np.testing.assert_array_equal(ring.peek(8), block(15 * HOP, 2))


def test_a_loss_at_the_very_end_is_told_too():
    ring = FrameRing(4, 3, HOP)
    ring.write(block(0, 3))
    ring.write(block(3 * HOP, 2))
    ring.close()
    ring.advance(3)
    assert ring.take_break() == (3 * HOP, 2 * HOP, 5 * HOP)


def test_a_loss_of_the_source_behind_one_of_the_ring_hides_neither():
    ring = FrameRing(4, 3, HOP)
    ring.write(block(0, 4))
    ring.write(block(4 * HOP, 2))
    ring.restart(100 * HOP)
    ring.advance(4)
    assert ring.take_break() == (4 * HOP, 2 * HOP, 100 * HOP)


def test_no_number_of_breaks_makes_it_grow():
    ring = FrameRing(1000, 3, HOP)
    for k in range(500):
        ring.restart(k * 10 * HOP)
        ring.write(block(k * 10 * HOP, 1))
    assert len(ring._breaks) <= 64
    ring.close()
    read = lost = 0
    while True:
        passed = ring.take_break()
        frames = ring.peek(9)
        if passed is None and not len(frames):
            break
        lost += passed.lost_samples if passed else 0
        read += len(frames)
        ring.advance(len(frames))
    assert (read, lost) == (64, 436 * HOP)


def test_late_is_what_waited_already_when_the_newest_block_came():
    ring = FrameRing(64, 3, HOP)
    ring.write(block(0, 8))
    assert (ring.waiting, ring.late) == (8, 0)
    ring.write(block(8 * HOP, 8))
    assert (ring.waiting, ring.late) == (16, 8)
    ring.advance(12)
    assert (ring.waiting, ring.late, ring.high_water) == (4, 0, 16)


def test_a_view_cannot_be_written():
    ring = FrameRing(8, 3, HOP)
    ring.write(block(0, 4))
    with pytest.raises(ValueError, match="read-only"):
        ring.peek(4)[:] = 0.0


def test_writing_allocates_nothing():
    ring = FrameRing(1000, 80, HOP)
    frames = np.zeros((8, 80), np.float32)

    def pass_on(n):
        for _ in range(n):
            ring.write(frames)
            ring.advance(len(ring.peek(16)))

    pass_on(300)
    kept, peak = allocated(lambda: pass_on(300))
    assert kept < 512  # a counter that grew beyond the small integers is a new object
    assert peak < 1024  # views; a block of 8 frames would be 2560 bytes


def test_two_threads_agree_about_every_frame():
    """A reader that tears a frame, sees it early or spans a break reads another number than its position."""
    ring = FrameRing(50, 3, HOP)
    n_blocks, done = 3000, threading.Event()
    wrong, counted = [], [0, 0]

    def read():
        while not (done.is_set() and not ring.waiting and not ring._breaks):
            passed = ring.take_break()
            counted[1] += passed.lost_samples if passed else 0
            frames = ring.peek(7)
            if not np.array_equal(frames, block(ring.position, len(frames))):
                wrong.append(ring.position)
            ring.advance(len(frames))
            counted[0] += len(frames) * HOP

    reader = threading.Thread(target=read)
    reader.start()
    at = 0
    for k in range(n_blocks):
        if k % 37 == 0:
            at += 5 * HOP
            ring.restart(at)
        ring.write(block(at, 8))
        at += 8 * HOP
    ring.close()
    done.set()
    reader.join(60)
    assert not wrong
    assert sum(counted) == n_blocks * 8 * HOP
    assert ring.position == at
