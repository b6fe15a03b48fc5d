"""Raw PCM through real pipes from real processes, fast, slow and broken."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import InputError, UsageError
from edgeaudio.sources import StdinSource
from tests.sources.reading import read_all

PCM = np.random.default_rng(8).integers(-32768, 32768, 200_001).astype("<i2")


@contextmanager
def producer(program: str) -> Iterator[BinaryIO]:
    """The output of a Python program, which finds ``out`` and ``time`` ready."""
    prelude = "import sys, time\nout = sys.stdout.buffer\n"
    with subprocess.Popen([sys.executable, "-c", prelude + program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout
        process.kill()


def test_a_producer_faster_than_real_time_loses_nothing() -> None:
    program = (
        "import random\nrandom.seed(1)\nfor _ in range(20): out.write(random.randbytes(100_000)); out.flush()"
    )
    with producer(program) as pipe:
        source = StdinSource(pipe)
        time.sleep(0.05)  # a reader that comes late; the producer has long filled its pipe
        heard = read_all(source)
    with producer(program) as pipe:
        expected = np.frombuffer(pipe.read(), "<i2")
    assert heard.size == 1_000_000
    np.testing.assert_array_equal(heard * 32768, expected)
    assert source.stats().dropped_samples == 0


def test_a_slow_producer_is_waited_for_and_its_short_reads_joined() -> None:
    # Odd lengths: samples arrive in halves.
    program = "for _ in range(6): out.write(bytes(range(251))); out.flush(); time.sleep(0.02)"
    with producer(program) as pipe:
        source = StdinSource(pipe)
        heard = read_all(source, block=500)
    np.testing.assert_array_equal(heard * 32768, np.frombuffer(bytes(range(251)) * 6, "<i2"))


def test_waiting_honours_its_timeout_and_ends_on_stop() -> None:
    with producer("time.sleep(60)") as pipe:
        source = StdinSource(pipe)
        began = time.monotonic()
        assert source.wait(160, timeout_s=0.1) == 0
        assert 0.1 <= time.monotonic() - began < 5
        threading.Timer(0.05, source.stop).start()
        assert source.wait(160, timeout_s=50) == 0
        assert source.finished
        assert time.monotonic() - began < 10


def test_live_samples_are_as_old_as_their_place_in_the_pipe_says() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe, os.fdopen(write, "wb", buffering=0) as out:
        opened = time.monotonic()
        source = StdinSource(pipe)
        out.write(bytes(3200))
        source.wait(1600, 1.0)
        assert opened <= source.captured_at(0) <= source.captured_at(1599) <= time.monotonic()
        first_read = source.captured_at(1599)
        began = time.monotonic()
        out.write(bytes(640))
        source.wait(1920, 1.0)
        # What arrives now was not there at the read before: it is older by its own length at most.
        assert source.captured_at(1600) >= first_read - 320 / 16000
        assert source.captured_at(1919) >= began - 1 / 16000


def test_an_odd_byte_at_the_end_is_reported_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        heard = read_all(StdinSource(io.BytesIO(PCM.tobytes() + b"\x01")))
    np.testing.assert_array_equal(heard * 32768, PCM)
    assert "1 of 2 bytes left out" in caplog.text


@pytest.mark.parametrize(
    ("start", "kind"), [(b"RIFF", "a WAV file"), (b"ID3\x04", "an MP3 file"), (b"RIF\0", "")]
)
def test_a_file_that_is_piped_in_is_heard_with_a_warning(
    caplog: pytest.LogCaptureFixture, start: bytes, kind: str
) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_all(StdinSource(io.BytesIO(start + bytes(9000)))).size == 4502
    assert caplog.text.count("heard as raw samples") == bool(kind)
    assert kind in caplog.text


@settings(max_examples=25)
@given(
    channels=st.integers(1, 4),
    chunks=st.lists(st.integers(1, 5000), min_size=1, max_size=10),
)
def test_every_cut_of_the_stream_gives_the_same_samples(channels: int, chunks: list[int]) -> None:
    data = PCM[: sum(chunks)].tobytes()[: sum(chunks)]
    whole = len(data) // (2 * channels) * channels
    if whole == 0:
        return
    expected = np.frombuffer(data[: 2 * whole], "<i2").reshape(-1, channels)[:, -1]
    read, write = os.pipe()

    def produce() -> None:
        with os.fdopen(write, "wb", buffering=0) as out:
            for start, n in zip(np.cumsum([0, *chunks]), chunks, strict=False):
                out.write(data[start : start + n])

    thread = threading.Thread(target=produce)
    thread.start()
    with os.fdopen(read, "rb") as pipe:
        heard = read_all(StdinSource(pipe, channels=channels, channel=channels - 1))
    thread.join()
    np.testing.assert_array_equal(heard * 32768, expected)


def test_other_rates() -> None:
    assert read_all(StdinSource(io.BytesIO(PCM[:48_000].tobytes()), sample_rate_hz=48_000)).size == 16_000


@pytest.mark.parametrize("data", [b"", b"\x01"])
def test_a_stream_without_a_sample_is_an_error(data: bytes) -> None:
    with pytest.raises(InputError, match="contains no audio") as error:
        read_all(StdinSource(io.BytesIO(data)))
    assert "before the pipe" in str(error.value)


def test_a_producer_that_dies_at_once() -> None:
    with producer("sys.exit(1)") as pipe, pytest.raises(InputError, match="contains no audio"):
        read_all(StdinSource(pipe))


def test_standard_input_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(PCM.tobytes())))
    assert read_all(StdinSource()).size == PCM.size


def test_a_terminal_and_a_closed_input_are_no_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    controller, terminal = pty.openpty()
    with (
        os.fdopen(terminal, "rb", buffering=0) as stream,
        pytest.raises(UsageError, match="terminal") as error,
    ):
        StdinSource(stream)
    os.close(controller)
    assert "arecord" in str(error.value)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="closed"):
        StdinSource()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StdinSource(io.BytesIO(), channels=2, channel=2), "has 2 channels, there is no channel 2"),
        (lambda: StdinSource(io.BytesIO(), channels=0), "at least one channel"),
    ],
)
def test_options_that_make_no_sense(make: Callable[[], StdinSource], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_audio_that_waited_in_a_live_pipe_is_as_old_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: now_s, sleep=lambda _seconds: None)
    monkeypatch.setattr("edgeaudio.sources.stdin.time", clock)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb", buffering=0) as recorder:
        source = StdinSource(stream)
        for _ in range(20):  # 80 ms of audio in two reads
            now_s += 0.06
            recorder.write(bytes(2 * 960))
            source.wait(960, timeout_s=5)
            now_s += 0.02
            recorder.write(bytes(2 * 320))
            source.wait(1280, timeout_s=5)
            source.ring.advance(1280)
        # Sample 0 of the last 80 ms was captured 80 ms ago, whichever read brought it.
        assert source.captured_at(source.ring.end - 1280) == pytest.approx(now_s - 0.08, abs=1e-9)
        assert source.captured_at(source.ring.end) == now_s
