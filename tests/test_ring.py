"""The ring against a slow, obvious model, across threads, and without allocations."""

from __future__ import annotations

import threading
from collections import deque
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from edgeaudio.events import Gap, GapCause
from edgeaudio.ring import CAPACITY, LOST, READ, WRITTEN, RingBuffer, load_acquire, store
from edgeaudio.types import Samples
from tests.allocation import allocated

CAUSES = get_args(GapCause)


def numbered(ring: RingBuffer, n: int) -> Samples:
    """A block whose samples are their own absolute indices; float32 counts exactly to 2**24."""
    return np.arange(ring.end, ring.end + n, dtype=np.float32)


class Model:
    """The contract, with Python lists: what lies in front of the reader, in order."""

    def __init__(self, capacity: int, log_entries: int) -> None:
        self.capacity, self.log_entries = capacity, log_entries
        self.ahead: deque[float | tuple[int, str]] = deque()
        self.pending: tuple[int, str] | None = None
        self.end = self.position = self.dropped = 0

    def write(self, n: int) -> int:
        stored = sum(isinstance(item, float) for item in self.ahead)
        if stored + n > self.capacity or not self.publish():
            self.dropped += n
            self.note(n, "ring_full")
            return 0
        self.ahead.extend(float(i) for i in range(self.end, self.end + n))
        self.end += n
        return n

    def lose(self, n: int, cause: str) -> None:
        self.note(n, cause)
        self.publish()

    def note(self, n: int, cause: str) -> None:
        if self.pending is not None and self.pending[1] != cause:
            self.publish()
        lost, cause = self.pending or (0, cause)
        self.pending = (lost + n, cause)
        self.end += n

    def publish(self) -> bool:
        if self.pending is None:
            return True
        if sum(isinstance(item, tuple) for item in self.ahead) >= self.log_entries:
            return False
        self.ahead.append(self.pending)
        self.pending = None
        return True

    def available(self) -> int:
        return next((i for i, item in enumerate(self.ahead) if isinstance(item, tuple)), len(self.ahead))

    def read(self, n: int) -> list[float]:
        self.position += n
        return [float(self.ahead.popleft()) for _ in range(n)]  # type: ignore[arg-type]

    def take_gap(self) -> Gap | None:
        if not self.ahead or isinstance(self.ahead[0], float):
            return None
        n, cause = self.ahead.popleft()
        gap = Gap(start_sample=self.position, n_samples=n, cause=cause)  # type: ignore[arg-type]
        self.position += n
        return gap


operations = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 13)),
        st.tuples(st.just("read"), st.integers(0, 20)),
        st.tuples(st.just("gap"), st.just(0)),
        st.tuples(st.sampled_from(CAUSES), st.integers(0, 1000)),
    ),
    max_size=200,
)


@settings(max_examples=150)
@given(capacity=st.integers(13, 30), steps=operations)
def test_every_sequence_behaves_as_the_model(capacity: int, steps: list[tuple[str, int]]) -> None:
    ring, model = RingBuffer(capacity), Model(capacity, log_entries=64)
    for what, n in steps:
        if what == "write":
            assert ring.write(numbered(ring, n)) == model.write(n)
        elif what == "gap":
            assert ring.take_gap() == model.take_gap()
        elif what != "read":
            ring.lose(n, what)  # type: ignore[arg-type]
            model.lose(n, what)
        elif n > model.available():
            assert ring.peek(n) is None
        else:
            view = ring.peek(n)
            assert view is not None
            assert view.tolist() == list(range(ring.position, ring.position + n)) == model.read(n)
            ring.advance(n)
        assert ring.available == model.available()
        assert (ring.position, ring.end, ring.dropped) == (model.position, model.end, model.dropped)
        assert ring.cut_short == any(isinstance(item, tuple) for item in model.ahead)


def test_full_ring_loses_the_newest_blocks_whole_and_as_one_gap() -> None:
    ring = RingBuffer(10)
    assert [ring.write(numbered(ring, 4)) for _ in range(5)] == [4, 4, 0, 0, 0]
    assert (ring.dropped, ring.high_water, ring.written) == (12, 8, 8)
    assert ring.take_gap() is None
    ring.advance(8)
    assert ring.write(numbered(ring, 4)) == 4
    assert ring.available == 0
    assert ring.take_gap() == Gap(start_sample=8, n_samples=12, cause="ring_full")
    view = ring.peek(4)
    assert view is not None
    assert view.tolist() == [20, 21, 22, 23]


def test_a_full_log_loses_blocks_but_no_position() -> None:
    ring = RingBuffer(1000)
    for _ in range(100):
        ring.write(numbered(ring, 1))
        ring.lose(1, "device_overflow")
    seen, lost = [], 0
    while ring.position < ring.end:
        ring.write(numbered(ring, 1))
        while (view := ring.peek(1)) is not None:
            assert view[0] == ring.position
            seen.append(ring.position)
            ring.advance(1)
        while (gap := ring.take_gap()) is not None:
            lost += gap.n_samples
        if len(seen) > 200:
            break
    assert len(seen) + lost == ring.position
    assert ring.dropped > 0


def test_views_are_lent_not_given() -> None:
    ring = RingBuffer(4)
    ring.write(np.array([1, 2, 3], np.float32))
    view = ring.peek(3)
    assert view is not None
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5
    ring.advance(3)
    ring.write(np.array([7, 8, 9], np.float32))
    assert view.tolist() == [8, 9, 3], "the producer writes where the view looked"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.zeros(9, np.float32), "9 samples never fits a ring of 8"),
        (np.zeros(4), "float64"),
        (np.zeros((4, 2), np.float32), r"shape \(4, 2\)"),
    ],
)
def test_blocks_that_can_never_be_stored_are_refused(block: Samples, message: str) -> None:
    ring = RingBuffer(8)
    with pytest.raises(ValueError, match=message):
        ring.write(block)
    assert (ring.end, ring.dropped) == (0, 0)


def test_advancing_too_far_names_what_there_is() -> None:
    ring = RingBuffer(8)
    ring.write(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="cannot advance by 4 samples at 0: 3 are available"):
        ring.advance(4)
    with pytest.raises(ValueError, match="room for at least one"):
        RingBuffer(0)


@njit(nogil=True)  # not cached: Numba would not see that the ring has changed
def produce(memory: NDArray[np.int64], n_blocks: int) -> None:
    """Write without the GIL, as the realtime thread does; after each loss wait for some room."""
    block = np.empty((37, 1), np.float32)
    for _ in range(n_blocks):
        end = memory[WRITTEN] + memory[LOST]
        for i in range(37):
            block[i, 0] = end + i
        if store(memory, block, 0) == 0:
            while memory[WRITTEN] - load_acquire(memory, READ) + 37 > memory[CAPACITY]:
                pass


def test_a_native_producer_and_a_reader_see_one_stream() -> None:
    # Blocks of 37 in a ring of 101 wrap at ever new places; every sample names its own index.
    ring = RingBuffer(101)
    produce(ring.memory, 0)
    n_blocks = 4000
    producer = threading.Thread(target=produce, args=(ring.memory, n_blocks))
    producer.start()
    read = lost = 0
    while producer.is_alive() or ring.available or ring.cut_short:
        n = ring.available
        view = ring.peek(n)
        assert view is not None
        if n:
            np.testing.assert_array_equal(view, np.arange(ring.position, ring.position + n))
            ring.advance(n)
            read += n
        elif (gap := ring.take_gap()) is not None:
            lost += gap.n_samples
    assert read == ring.written > 37 * 400
    # Losses behind the last stored block stay pending: there is nothing that they would precede.
    assert read + lost == ring.position <= 37 * n_blocks
    assert read + ring.dropped == 37 * n_blocks


def test_steady_use_allocates_nothing() -> None:
    ring = RingBuffer(1600)
    block = np.ones(160, np.float32)

    def once() -> None:
        ring.write(block)
        ring.peek(160)
        ring.advance(160)

    for _ in range(100):
        once()

    def work() -> None:
        for _ in range(2000):
            once()

    # A view is a Python object of about 100 bytes; half a block (320 bytes) would be a copy.
    kept, peak = allocated(work)
    assert kept < 200
    assert peak < 1000
