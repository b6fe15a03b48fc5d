"""The native callback, called as PortAudio calls it: from C, with pointers."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import edgeaudio
from edgeaudio.events import Gap
from edgeaudio.ring import RingBuffer
from edgeaudio.sources.callback import Port, callback_address, receive
from edgeaudio.types import Samples

PACKAGE = Path(edgeaudio.__file__).parent
OVERFLOW = 2
BLOCK_NS = 10_000_000  # 160 samples at 16 kHz

PaStreamCallback = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
)


def call(port: Port, block: NDArray[np.float32], flags: int = 0) -> int:
    callback = PaStreamCallback(callback_address())
    return callback(block.ctypes.data, None, len(block), None, flags, port.address)


def open_port(ring: RingBuffer, channels: int = 1, channel: int | None = None, rate_hz: int = 16000) -> Port:
    port = Port(ring, rate_hz, channels, channel)
    port.unmute()
    return port


def read(ring: RingBuffer) -> Samples:
    view = ring.peek(ring.available)
    assert view is not None
    copy = view.copy()
    ring.advance(view.size)
    return copy


@settings(max_examples=30)
@given(
    channels=st.integers(1, 8), choice=st.integers(-1, 7), lengths=st.lists(st.integers(0, 400), max_size=10)
)
def test_interleaved_blocks_arrive_as_one_channel_or_their_mean(
    channels: int, choice: int, lengths: list[int]
) -> None:
    channel = choice if 0 <= choice < channels else None
    ring = RingBuffer(4000)
    port = open_port(ring, channels, channel)
    blocks = [np.random.default_rng(n).uniform(-1, 1, (n, channels)).astype(np.float32) for n in lengths]
    assert [call(port, block) for block in blocks] == [0] * len(blocks)
    whole = np.concatenate([np.zeros((0, channels), np.float32), *blocks])
    if channel is None:
        # Up to eight additions of values below 1 in float32: 8 * 6e-8.
        np.testing.assert_allclose(read(ring), whole.mean(axis=1), rtol=0, atol=5e-7)
    else:
        np.testing.assert_array_equal(read(ring), whole[:, channel])
    assert port.callbacks == len(blocks)


def test_one_channel_is_copied_bit_for_bit() -> None:
    ring = RingBuffer(1000)
    bits = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint32)
    call(open_port(ring), bits.view(np.float32)[:, None])  # NaN and denormals among them
    np.testing.assert_array_equal(read(ring).view(np.uint32), bits)


def test_a_muted_port_counts_and_stores_nothing() -> None:
    ring = RingBuffer(1000)
    port = Port(ring, 16000, 1, None)
    call(port, np.ones((160, 1), np.float32), OVERFLOW)
    assert (port.callbacks, port.overflows, ring.end, port.origin_s) == (1, 0, 0, None)
    port.unmute()
    call(port, np.ones((160, 1), np.float32))
    port.mute()
    call(port, np.ones((160, 1), np.float32))
    assert (port.callbacks, ring.end) == (3, 160)


def test_an_overflow_is_a_gap_of_unknown_length_before_its_block() -> None:
    ring = RingBuffer(1000)
    port = open_port(ring)
    block = np.ones((160, 1), np.float32)
    call(port, block)
    call(port, block, OVERFLOW)
    call(port, block, flags=1)  # another flag
    assert port.overflows == 1
    assert read(ring).size == 160
    assert ring.take_gap() == Gap(start_sample=160, n_samples=0, cause="device_overflow")
    assert read(ring).size == 320


def test_the_time_of_capture_is_that_of_the_earliest_arrival() -> None:
    ring = RingBuffer(16000)
    port = open_port(ring)
    late_ns = np.random.default_rng(2).integers(0, 8_000_000, 300)
    late_ns[100] = 0
    block = np.zeros((160, 1), np.float32)
    begin_ns = 5_000_000_000
    for i, late in enumerate(late_ns):
        receive(port.words, ring.memory, block, 0, begin_ns + (i + 1) * BLOCK_NS + int(late))
        ring.advance(160)
    assert port.origin_s is not None
    # Of the mean lateness, 4 ms, a 1024th is added by each of the 200 blocks after the earliest.
    assert begin_ns / 1e9 <= port.origin_s < begin_ns / 1e9 + 0.004 * 200 / 1024


@pytest.mark.parametrize("drift", [1e-4, -1e-4])
def test_the_time_of_capture_follows_a_drifting_sound_card(drift: float) -> None:
    ring = RingBuffer(16000)
    port = open_port(ring)
    block = np.zeros((160, 1), np.float32)
    rng = np.random.default_rng(4)
    n_blocks = 60_000  # ten minutes, in which 100 ppm make 60 ms
    for i in range(n_blocks):
        ideal_ns = round((i + 1) * BLOCK_NS * (1 + drift))
        receive(port.words, ring.memory, block, 0, ideal_ns + int(rng.integers(0, 3_000_000)))
        ring.advance(160)
    assert port.origin_s is not None
    newest = port.origin_s + ring.end / 16000
    # Lags by 1024 blocks of drift (1 ms) and stays within the arrivals' lateness (3 ms).
    assert abs(newest - n_blocks * 0.01 * (1 + drift)) < 0.004


def test_time_holds_after_a_year() -> None:
    ring = RingBuffer(1000)
    port = open_port(ring, rate_hz=48000)
    year_samples = 365 * 86400 * 48000
    ring.lose(year_samples, "device_lost")
    receive(port.words, ring.memory, np.zeros((480, 1), np.float32), 0, 365 * 86400 * 10**9 + 10_000_000)
    assert port.origin_s == 0.0


@pytest.mark.parametrize("away_s", [0.0, 0.5, 3600.0, 1e6])
def test_the_time_away_becomes_a_gap_measured_by_the_clock(away_s: float) -> None:
    ring = RingBuffer(1000)
    old = open_port(ring)
    block = np.zeros((160, 1), np.float32)
    receive(old.words, ring.memory, block, 0, 10 * 10**9)
    old.mute()
    new = Port(ring, 16000, 1, None)
    assert old.origin_s is not None
    new.resume(old.origin_s)
    assert new.resumed_at is None
    arrival_ns = 10 * 10**9 + round(away_s * 1e9) + BLOCK_NS
    receive(new.words, ring.memory, block, 0, arrival_ns)
    n = round(away_s * 16000)
    assert new.resumed_at == 160 + n
    assert ring.end == 320 + n
    ring.advance(160)
    assert ring.take_gap() == Gap(start_sample=160, n_samples=n, cause="device_lost")
    assert new.origin_s == pytest.approx(old.origin_s, abs=1e-4)  # rounding to a whole sample: 62.5 us


def test_the_callback_reads_the_clock_of_time_monotonic() -> None:
    ring = RingBuffer(1000)
    port = open_port(ring)
    before = time.monotonic()
    call(port, np.zeros((160, 1), np.float32))
    after = time.monotonic()
    assert port.origin_s is not None
    assert before <= port.origin_s + 0.01 <= after + 1e-9


_USES_BOTH = """
import ctypes
import numpy as np
from edgeaudio.ring import RingBuffer
from edgeaudio.sources.callback import Port, callback_address, receive
ring = RingBuffer(1000)
port = Port(ring, 16000, 1, None)
port.unmute()
block = np.ones((160, 1), np.float32)
receive(port.words, ring.memory, block, 0, 10**9)
kinds = [ctypes.c_void_p] * 2 + [ctypes.c_ulong, ctypes.c_void_p] * 2
callback = ctypes.CFUNCTYPE(ctypes.c_int, *kinds)(callback_address())
callback(block.ctypes.data, None, 160, None, 0, port.address)
print(*ring._view[:320:160], receive.stats.cache_hits.total())
"""


def test_a_change_of_the_ring_is_compiled_into_the_callback(tmp_path: Path) -> None:
    """Numba's cache looks only at the file of the entry point."""
    package = tmp_path / "edgeaudio"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))

    def run() -> list[str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-c", _USES_BOTH]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=170
        ).stdout.split()

    assert run() == ["1.0", "1.0", "0"]
    assert run() == ["1.0", "1.0", "1"]
    source = (package / "ring.py").read_text()
    assert source.count("data[place] = value") == 1
    (package / "ring.py").write_text(source.replace("data[place] = value", "data[place] = value + 1"))
    assert run() == ["2.0", "2.0", "0"]
