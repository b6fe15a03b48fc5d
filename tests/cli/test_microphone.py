"""The daemon on a real, virtual microphone, the whole command as a process."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.scripted import read_until, running
from tests.pulse import PulseServer, pulse

__all__ = ["pulse"]

pytestmark = pytest.mark.pulse

NOISE = np.random.default_rng(3).integers(-3000, 3000, 30 * 16_000).astype(np.int16)


def test_it_hears_survives_an_unplug_and_sums_up(pulse: PulseServer) -> None:
    player = pulse.play(NOISE)
    try:
        with running("wake", "--device", "pulse", "--json") as process:
            assert process.stdout is not None

            def until(kind: str) -> dict[str, Any]:
                for line in process.stdout or ():
                    event: dict[str, Any] = json.loads(line)
                    if event["type"] == kind:
                        return event
                raise AssertionError(f"it ended without {kind}")

            first = until("detection")
            pulse.unplug()
            lost = until("device_lost")
            pulse.plug()
            restored = until("device_restored")
            gap = until("gap")
            again = until("detection")
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
    finally:
        player.kill()
        player.wait()
    assert process.returncode == 0
    assert first["latency_s"] < 1.0
    assert lost["device"] == restored["device"] == "pulse"
    assert gap["cause"] == "device_lost"
    assert gap["n_samples"] == restored["start_sample"] - lost["start_sample"]
    assert again["start_sample"] >= restored["start_sample"]
    assert b"because the device was away" in err
    assert b"trouble   " in err
    assert b"ALSA lib" not in err
    assert b"Expression" not in err


def test_it_gives_up_when_told_to(pulse: PulseServer) -> None:
    with running("wake", "--device", "pulse", "--give-up", "1", "--log-level", "debug") as process:
        read_until(process, b"first frame after")
        pulse.unplug()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert b"was away for 1 s" in err
    assert b"heard  " in err


def test_captions_survive_an_unplug_and_end_what_was_being_said(pulse: PulseServer, tmp_path: Path) -> None:
    with (
        pulse.playing(NOISE),
        running("caption", "--device", "pulse", "--json", "--output", tmp_path / "a.srt") as process,
    ):
        assert process.stdout is not None
        events: list[dict[str, Any]] = []

        def until(wanted: Callable[[dict[str, Any]], bool]) -> None:
            for line in process.stdout or ():
                events.append(json.loads(line))
                if wanted(events[-1]):
                    return
            raise AssertionError("it ended too soon")

        until(lambda event: event["type"] == "caption" and len(event["words"]) == 1)
        pulse.unplug()
        until(lambda event: event["type"] == "device_lost")
        pulse.plug()
        # The script goes on behind a gap, as the microphone does.
        until(lambda event: event["type"] == "gap")
        until(lambda event: event["type"] == "caption" and event["final"])
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    captions = [event for event in events if event["type"] == "caption"]
    assert [event["final"] for event in captions if event["caption_id"] == 1].count(True) == 1
    assert captions[-1]["latency_s"] < 3.0
    assert "one" in (tmp_path / "a.srt").read_text()
    assert b"trouble   microphone gone 1" in err
    assert b"ALSA lib" not in err
