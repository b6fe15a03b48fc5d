"""A turn tells what a few seconds cost, and how late what was heard is."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edgeaudio.errors import EdgeAudioError
from edgeaudio.profiles import Profile
from edgeaudio.profiling import turns
from edgeaudio.profiling.turns import BlockSource, Turn, take_turn
from edgeaudio.testing import scripted_recognizer, scripted_spotter
from edgeaudio.types import Frames
from tests.pulse import until

RATE = 16000
NOISE = np.random.default_rng(5).normal(0, 0.01, 2 * RATE + 7).astype(np.float32)


def turn(task: object, block_ms: int, hop_ms: int = 80, seconds: float = 1.5) -> Turn:
    found = take_turn(
        BlockSource(NOISE, block_ms),
        [task],  # type: ignore[list-item]
        [8],
        Profile(hop_ms=hop_ms),
        warm_up_s=0.3,
        seconds=seconds,
    )
    assert found is not None
    return found


def test_blocks_arrive_whole_in_order_and_on_time() -> None:
    source = BlockSource(NOISE, 40)
    began_s = time.monotonic()
    source.start()
    heard: list[np.ndarray] = []
    while sum(map(len, heard)) < 3 * RATE:
        n = source.wait(640, 1.0)
        assert n % 640 == 0
        block = source.ring.peek(n)
        assert block is not None
        heard.append(block.copy())
        source.ring.advance(n)
        # No sample is there before it was spoken.
        assert time.monotonic() >= source.captured_at(source.ring.position)
    source.stop()
    source.stop()
    assert time.monotonic() - began_s >= 3.0
    audio = np.concatenate(heard)[: 3 * RATE]
    np.testing.assert_array_equal(audio, np.resize(NOISE, len(audio)))
    assert source.finished
    assert source.stats().written_samples >= 3 * RATE


def test_what_waits_in_blocks_and_hops_is_late() -> None:
    """Arithmetic: the last sample of a step at 80k + 15 ms waits for the end of its block and hop."""
    prompt = turn(scripted_spotter([]), block_ms=10)
    long_blocks = turn(scripted_spotter([]), block_ms=320)
    long_hops = turn(scripted_spotter([]), block_ms=10, hop_ms=320)
    assert prompt.p95_ms >= 5.0
    assert prompt.p95_ms < long_blocks.p95_ms
    # A step's end lies 15 ms behind a block's: it waits for the next, 305 ms, 225, 145 or 65; likewise hops.
    assert long_blocks.p95_ms >= 305.0
    assert long_hops.p95_ms >= 245.0
    assert prompt.lost_samples == long_blocks.lost_samples == 0


class Busy:
    """A task that computes for so long a call."""

    name = "busy"

    def __init__(self, work_s: float) -> None:
        self.spec = scripted_spotter([]).spec
        self._work_s = work_s

    def process(self, frames: Frames) -> list[object]:
        began_s = time.thread_time()
        while time.thread_time() - began_s < self._work_s:
            pass
        return []

    def flush(self) -> list[object]:
        return []

    def reset(self, at_sample: int = 0) -> None:
        pass


def test_what_computes_is_dear_and_late() -> None:
    idle, busy = turn(Busy(0.0), 20), turn(Busy(0.024), 20)
    # 24 of 80 ms, and what else is done; a crowded machine may give a process less than it asks for.
    assert 1.5 * idle.cpu_share < busy.cpu_share < 0.9
    assert busy.p95_ms > 24.0


def test_captions_count_in_their_own_thread() -> None:
    found = turn(scripted_recognizer([]), 40)
    assert 5.0 < found.p95_ms < 5000.0


def test_a_turn_ends_early_when_somebody_wants_that() -> None:
    asked: list[float] = []

    def stopping() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 2

    source = BlockSource(NOISE, 20)
    found = take_turn(
        source, [scripted_spotter([])], [8], Profile(), warm_up_s=0.1, seconds=60, stopping=stopping
    )
    assert found is None
    until(lambda: source.finished, 5, "the source is stopped")


def test_what_goes_wrong_in_the_engine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Busy):
        def process(self, frames: Frames) -> list[object]:
            if frames.any():
                raise EdgeAudioError("the graph broke")
            return []

    with pytest.raises(EdgeAudioError, match="the graph broke"):
        turn(Broken(0.0), 20, seconds=0.5)


def test_an_engine_that_heard_nothing_is_as_late_as_the_turn_was_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns._Clock, "process", lambda self, frames: [])
    assert turn(scripted_spotter([]), 20, seconds=0.5).p95_ms == 500.0
