"""`edgeaudio sounds` in one process, with a model that takes tones for sounds."""

from __future__ import annotations

import json
import shlex
import wave
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.models.manifest import Activity
from edgeaudio.sinks.clips import write_wav
from tests.cli.conftest import Run
from tests.evaluation.conftest import OTHER_HZ, WORD_HZ, tone, write_tones

SECOND = 16_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1 kHz is a dog, 3 kHz rain, 5 kHz a rooster."""
    return write_tones(
        tmp_path_factory.mktemp("models") / "tones",
        ("dog_bark", "rain", "rooster", "silence"),
        kind="sounds",
        activation="sigmoid",
        activity=Activity(threshold=0.6, least_on_ms=80.0, least_off_ms=200.0, silent_labels=("silence",)),
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dog from 1 to 2 s, rain from 1.5 to 2.5 s, and a dog again, from 4 s to the end at 5 s."""
    samples = np.random.default_rng(1).normal(0, 1e-4, 5 * SECOND).astype(np.float32)
    for hz, start_s, end_s in ((WORD_HZ, 1.0, 2.0), (OTHER_HZ, 1.5, 2.5), (WORD_HZ, 4.0, 5.0)):
        samples[round(start_s * SECOND) : round(end_s * SECOND)] += tone(hz, end_s - start_s, 0.3)
    path = tmp_path_factory.mktemp("audio") / "sounds.wav"
    write_wav(path, samples)
    return path


def told(out: str) -> list[tuple[str, str]]:
    return [(event["type"], event["name"]) for event in map(json.loads, out.splitlines())]


def test_people_get_a_line_a_sound_and_a_summary(run: Run, model: Path, recording: Path) -> None:
    outcome = run("sounds", recording, "--fast", "--model", model)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line.split()[2] for line in lines] == ["dog_bark", "rain", "dog_bark"]
    assert lines[1].endswith("  1.00  for 1.0 s")
    assert "sounds    dog_bark 2, rain 1\n" in outcome.err
    assert "lost      nothing\n" in outcome.err


def test_programs_get_one_json_object_a_line(run: Run, model: Path, recording: Path) -> None:
    outcome = run("sounds", recording, "--fast", "--json", "--model", model)
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert [(event["type"], event["name"]) for event in events] == [
        ("sound", "dog_bark"),
        ("sound", "rain"),
        ("sound", "dog_bark"),
    ]
    # Output frames are 40 ms long, and their windows reach 15 ms further.
    bounds = [(event["start_s"], event["end_s"]) for event in events]
    for found, true in zip(bounds, [(1.0, 2.0), (1.5, 2.5), (4.0, 5.0)], strict=True):
        assert found == pytest.approx(true, abs=0.06)
    assert events[0]["level_dbfs"] == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=3.1)  # both tones
    assert events[0]["snr_db"] > 50
    assert run("sounds", recording, "--fast", "--json", "--model", model).out == outcome.out


def test_onsets_are_told_before_the_sounds(run: Run, model: Path, recording: Path) -> None:
    outcome = run("sounds", recording, "--fast", "--json", "--onsets", "--model", model)
    assert told(outcome.out) == [
        ("sound_start", "dog_bark"),
        ("sound_start", "rain"),
        ("sound", "dog_bark"),
        ("sound", "rain"),
        ("sound_start", "dog_bark"),
        ("sound", "dog_bark"),
    ]
    assert "sounds    dog_bark 2, rain 1\n" in outcome.err


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--only", "rain"], ["rain"]),
        (["--ignore", "dog_bark", "--ignore", "rooster"], ["rain"]),
        (["--threshold", "rain=0.999999"], ["dog_bark", "dog_bark"]),
        (["--threshold", "0.999999", "--threshold", "rain=0.5"], ["rain"]),
    ],
)
def test_one_may_choose_the_sounds(
    run: Run, model: Path, recording: Path, options: list[str], names: list[str]
) -> None:
    outcome = run("sounds", recording, "--fast", "--json", "--model", model, *options)
    assert [name for _, name in told(outcome.out)] == names


def test_the_hook_gets_each_event(run: Run, model: Path, recording: Path, tmp_path: Path) -> None:
    got = tmp_path / "got"
    command = f"sh -c 'cat >> {shlex.quote(str(got))}'"
    outcome = run("sounds", recording, "--fast", "--json", "--onsets", "--model", model, "--exec", command)
    assert got.read_text() == outcome.out
    assert "command   6 run\n" in outcome.err


def test_clips_hold_the_samples_that_were_heard(
    run: Run, model: Path, recording: Path, tmp_path: Path
) -> None:
    options = ("--save-clips", tmp_path / "clips", "--pre-roll", "0.25", "--post-roll", "0.125")
    outcome = run("sounds", recording, "--fast", "--json", "--onsets", "--model", model, *options)
    assert "clips     3 saved\n" in outcome.err
    heard = np.frombuffer(recording.read_bytes()[44:], "<i2")
    events = [event for event in map(json.loads, outcome.out.splitlines()) if event["type"] == "sound"]
    for clip, event in zip(sorted((tmp_path / "clips").iterdir()), events, strict=True):
        assert clip.name.endswith(f"-{event['name']}.wav")
        with wave.open(str(clip)) as file:
            kept = np.frombuffer(file.readframes(9 * SECOND), np.int16)
        assert np.array_equal(kept, heard[event["start_sample"] - 4000 : event["end_sample"] + 2000])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--threshold", "7"], "7 is not between 0 and 1"),
        (["--threshold", "dgo_bark=0.5"], "tells of no sound 'dgo_bark'\n  Did you mean 'dog_bark'?"),
        (["--threshold", "rain=0.5", "--threshold", "rain=0.6"], "given twice for rain"),
        (["--only", "silence"], "tells of no sound 'silence'"),
        (["--ignore", "thunder"], "tells of no sound 'thunder'"),
        (["--ignore", "dog_bark", "--ignore", "rain", "--ignore", "rooster"], "leaves no sound"),
        (["--only", "rain", "--ignore", "rain"], "both --only and --ignore"),
        (["--device", "usb"], "both a source and --device"),
    ],
)
def test_options_that_make_no_sense(
    run: Run, model: Path, recording: Path, args: list[str], message: str
) -> None:
    outcome = run("sounds", recording, "--fast", "--model", model, *args)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_a_spotter_is_refused_with_what_it_is_for(run: Run, recording: Path) -> None:
    outcome = run("sounds", recording, "--fast", "--model", "wake-computer")
    assert (outcome.code, outcome.out) == (5, "")
    assert "it tells no sounds apart\n  Use it so: edgeaudio wake --model wake-computer" in outcome.err
