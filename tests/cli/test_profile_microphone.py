"""`edgeaudio profile` on a real, virtual microphone, the whole command as a process."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.profiling.files import read_measurement
from tests.cli.scripted import ROOT, running
from tests.pulse import PulseServer, pulse

__all__ = ["pulse"]

pytestmark = pytest.mark.pulse

soundfile = pytest.importorskip("soundfile")


def test_a_microphone_is_measured_with_what_is_said_into_it(pulse: PulseServer, tmp_path: Path) -> None:
    speech, rate_hz = soundfile.read(ROOT / "edgeaudio" / "assets" / "demo.flac", dtype="int16")
    assert rate_hz == 16_000
    options = ("--no-start-up", "--profile", "generic", "--output", tmp_path / "run.json")
    # Twice what is measured: whenever it begins, it hears "computer".
    with (
        pulse.playing(np.tile(speech, 20)),
        running("profile", "--device", "pulse", "--seconds", "12", *options, real=True) as process,
    ):
        out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    assert b"microphone pulse" in out
    assert b"ALSA lib" not in err
    run = read_measurement(tmp_path / "run.json")
    assert run.audio == "microphone pulse"
    assert run.seconds == pytest.approx(12, abs=0.5)
    groups = {stage.group for stage in run.stages}
    assert {"wait", "ring", "frontend", "model", "decode", "event", "end to end"} <= groups
    assert run.tasks[0].events > 0
    ring = next(stage for stage in run.stages if stage.group == "ring")
    # A hop of 80 ms: so many blocks come in 12 s, but for the first and the last one.
    assert ring.count == pytest.approx(12 / 0.08, abs=3)


def test_a_microphone_that_goes_away_ends_nothing(pulse: PulseServer, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(-3000, 3000, 60 * 16_000).astype(np.int16)
    options = ("--no-start-up", "--json", "--output", tmp_path / "run.json")
    with (
        pulse.playing(noise),
        running("profile", "--device", "pulse", "--seconds", "600", *options, real=True) as process,
    ):
        for line in process.stderr or ():
            if b"measuring: " in line:
                break
        pulse.unplug()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert read_measurement(tmp_path / "run.json").seconds > 5
