"""Events as lines of text and JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from edgeaudio.errors import OutputError
from edgeaudio.events import Clipping, DeviceLost, DeviceRestored, DigitalSilence, Event, Gap
from edgeaudio.sinks.lines import JsonLines, PlainLines, describe
from tests.sinks.samples import detection


def test_a_detection_reads_as_documented() -> None:
    event = detection("computer", end_s=12.48, score=0.973, snr_db=14.2, latency_s=0.118)
    assert describe(event) == "12.48 s  computer  0.97  SNR 14 dB  latency 0.12 s"


def test_a_replay_has_no_latency_to_tell() -> None:
    assert describe(detection("go", end_s=1.0, latency_s=0.0)) == "1.00 s  go  0.90  SNR 12 dB"


def test_an_unknown_snr_is_left_out() -> None:
    assert describe(detection("go", end_s=1.0, snr_db=None)) == "1.00 s  go  0.90  latency 0.10 s"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            Gap(start_sample=16000, n_samples=8000, cause="consumer_lag"),
            "1.00 s  lost 0.50 s: the computer was too slow",
        ),
        (
            Gap(start_sample=0, n_samples=0, cause="device_overflow"),
            "0.00 s  lost some audio: the device overflowed",
        ),
        (
            DeviceLost(start_sample=32000, device="USB Mic", reason="unplugged"),
            "2.00 s  microphone USB Mic is gone (unplugged); trying to open it again",
        ),
        (
            DeviceRestored(start_sample=32000, device="USB Mic", away_s=3.21, attempts=4),
            "2.00 s  microphone USB Mic is back after 3.2 s",
        ),
        (
            DigitalSilence(start_sample=0, n_samples=32000, ended=False),
            "0.00 s  digital silence for 2.0 s: is the microphone muted?",
        ),
        (
            DigitalSilence(start_sample=0, n_samples=48000, ended=True),
            "3.00 s  sound is back after 3.0 s of digital silence",
        ),
        (
            Clipping(start_sample=16000, n_samples=40),
            "1.00 s  clipping: 40 samples at full scale; turn the gain down",
        ),
    ],
)
def test_trouble_is_told_in_words(event: Event, line: str) -> None:
    stream = io.BytesIO()
    PlainLines(stream).emit(event)
    assert stream.getvalue().decode() == line + "\n"


def test_a_name_cannot_steer_a_terminal_or_begin_a_line() -> None:
    assert describe(detection("go\n\x1b[2J", end_s=1.0)) == "1.00 s  go??[2J  0.90  SNR 12 dB  latency 0.10 s"


def test_json_is_one_object_a_line() -> None:
    stream = io.BytesIO()
    sink = JsonLines(stream)
    sink.emit(detection("go", end_s=1.5))
    sink.emit(Gap(start_sample=16000, n_samples=160, cause="ring_full"))
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["type"], first["name"], first["end_s"]) == ("detection", "go", 1.5)
    assert (second["type"], second["cause"], second["start_s"]) == ("gap", "ring_full", 1.0)


def test_each_line_is_flushed() -> None:
    raw = io.BytesIO()
    buffered = io.BufferedWriter(raw)
    JsonLines(buffered).emit(detection("go", end_s=1.0))
    assert raw.getvalue().endswith(b"}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_output_error() -> None:
    with pytest.raises(OutputError, match="No space left"), Path("/dev/full").open("wb", buffering=0) as full:
        JsonLines(full).emit(detection("go", end_s=1.0))  # type: ignore[arg-type]
