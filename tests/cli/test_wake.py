"""`edgeaudio wake` in one process: output, options, bad input."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.sinks.clips import write_wav
from tests.cli.conftest import Run


@pytest.mark.usefixtures("scripted")
def test_people_get_a_line_a_word_and_a_summary(run: Run, five_seconds: Path) -> None:
    outcome = run("wake", five_seconds, "--fast")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert len(lines) == 5
    assert all("s  computer  1.00" in line for line in lines)
    assert "heard     5.0 s in " in outcome.err
    assert "detected  computer 5\n" in outcome.err
    assert "lost      nothing\n" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_programs_get_one_json_object_a_line(run: Run, five_seconds: Path) -> None:
    outcome = run("wake", five_seconds, "--fast", "--json")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert [event["name"] for event in events] == ["computer"] * 5
    assert [event["type"] for event in events] == ["detection"] * 5
    # The model's frames are 40 ms long, and hear 25 ms windows to their end.
    assert [event["end_s"] for event in events] == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5], abs=0.07)


@pytest.mark.usefixtures("scripted")
def test_a_replay_is_the_same_byte_for_byte(run: Run, five_seconds: Path) -> None:
    args = ("wake", five_seconds, "--fast", "--json")
    assert run(*args).out == run(*args).out


@pytest.mark.usefixtures("scripted")
def test_the_hook_gets_each_event(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    got = tmp_path / "got"
    outcome = run(
        "wake", five_seconds, "--fast", "--json", "--exec", f"sh -c 'cat >> {shlex.quote(str(got))}'"
    )
    assert got.read_text() == outcome.out
    assert "command   5 run\n" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_a_failing_hook_stops_nothing(run: Run, five_seconds: Path) -> None:
    outcome = run("wake", five_seconds, "--fast", "--exec", "sh -c 'exit 9'")
    assert outcome.code == 0
    assert outcome.err.count("exit status 9") == 1
    assert "command   5 run, 5 failed\n" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_a_hanging_hook_is_killed(run: Run, tmp_path: Path) -> None:
    write_wav(tmp_path / "one.wav", np.zeros(16_000, np.float32))
    outcome = run("wake", tmp_path / "one.wav", "--fast", "--exec", "sleep 600", "--exec-timeout", "0.2")
    assert outcome.code == 0
    assert "was killed after 0.2 s" in outcome.err
    assert "command   1 run, 1 timeout\n" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_what_a_hook_prints_stays_out_of_our_output(run: Run, five_seconds: Path) -> None:
    outcome = run("wake", five_seconds, "--fast", "--json", "--exec", "echo lamp")
    assert "lamp" not in outcome.out
    assert outcome.err.count("lamp\n") == 5


@pytest.mark.usefixtures("scripted")
def test_clips_hold_the_samples_that_were_heard(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    options = ("--save-clips", tmp_path / "clips", "--pre-roll", "0.25", "--post-roll", "0.125")
    outcome = run("wake", five_seconds, "--fast", "--json", *options)
    assert "clips     5 saved\n" in outcome.err
    recording = np.frombuffer(five_seconds.read_bytes()[44:], "<i2")
    clips = sorted((tmp_path / "clips").iterdir())
    for clip, line in zip(clips, outcome.out.splitlines(), strict=True):
        event = json.loads(line)
        start, end = max(event["start_sample"] - 4000, 0), event["end_sample"] + 2000
        assert np.array_equal(np.frombuffer(clip.read_bytes()[44:], "<i2"), recording[start:end])


@pytest.mark.usefixtures("scripted")
def test_no_clips_unless_asked_for(
    run: Run, five_seconds: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    run("wake", five_seconds, "--fast")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--threshold", "7"], "7 is not between 0 and 1"),
        (["--exec", "no-such-program"], "'no-such-program' was not found"),
        (["--exec", ""], "the command is empty"),
        (["--device", "usb"], "both a source and --device"),
        (["--give-up", "3"], "--give-up is for microphones"),
        (["--channel", "3"], "has 1 channel, there is no channel 3"),
        (["--channel", "-1"], "-1 is not in the range"),
        (["--clips-limit", "lots"], "'lots' is no size"),
        (["--exec-timeout", "0"], "0 s is not between 0.1 and 3600"),
        (["--log-level", "loud"], "'loud' is not one of"),
    ],
)
def test_options_that_make_no_sense(run: Run, five_seconds: Path, args: list[str], message: str) -> None:
    outcome = run("wake", five_seconds, "--fast", *args)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_an_empty_source_is_not_the_folder_we_are_in(run: Run) -> None:
    outcome = run("wake", "")
    assert outcome.code == 2
    assert "SOURCE is empty" in outcome.err


@pytest.mark.parametrize("args", [[], ["-"]])
def test_only_a_file_can_be_fast(run: Run, args: list[str]) -> None:
    outcome = run("wake", "--fast", *args)
    assert outcome.code == 2
    assert "--fast needs a file" in outcome.err


def test_a_terminal_is_no_audio(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    outcome = run("wake", "-")
    assert outcome.code == 2
    assert "arecord" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_raw_audio_has_no_channels_to_choose_from(run: Run) -> None:
    assert run("wake", "-", "--channel", "0").code == 2


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.wav", None, "No such file"),
        ("empty.wav", b"", "contains no audio"),
        ("text.wav", b"This is no sound at all.\n" * 20, "is not a sound file"),
    ],
)
def test_files_that_are_no_audio(
    run: Run, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    outcome = run("wake", tmp_path / name, "--fast")
    assert (outcome.code, outcome.out) == (3, "")
    assert message in outcome.err
    assert name in outcome.err


@pytest.mark.usefixtures("scripted")
def test_a_truncated_file_is_heard_as_far_as_it_goes(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes(five_seconds.read_bytes()[:60_001])
    outcome = run("wake", cut, "--fast")
    assert outcome.code == 0
    assert "is cut off" in outcome.err
    assert "heard     1.9 s" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_a_clips_folder_that_cannot_be(run: Run, five_seconds: Path) -> None:
    outcome = run("wake", five_seconds, "--fast", "--save-clips", five_seconds)
    assert outcome.code == 8
    assert "clips cannot be saved" in outcome.err


def test_an_unknown_model_is_compared_with_the_known(run: Run, five_seconds: Path) -> None:
    outcome = run("wake", five_seconds, "--fast", "--model", "wake-computr")
    assert outcome.code == 5
    assert "unknown model 'wake-computr'" in outcome.err


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("subtype", "n_channels", "rate_hz"),
    [("DOUBLE", 1, 16_000), ("PCM_24", 2, 16_000), ("PCM_16", 8, 96_000)],
)
def test_every_sample_format_is_heard(
    run: Run, tmp_path: Path, subtype: str, n_channels: int, rate_hz: int
) -> None:
    soundfile = pytest.importorskip("soundfile")
    noise = np.random.default_rng(1).normal(0, 0.05, (2 * rate_hz, n_channels))
    soundfile.write(tmp_path / "a.wav", noise, rate_hz, subtype=subtype)
    outcome = run("wake", tmp_path / "a.wav", "--fast", "--channel", str(n_channels - 1))
    assert outcome.code == 0
    assert "heard     2.0 s" in outcome.err
    assert "detected  computer 2" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_samples_that_are_no_numbers_are_survived_and_counted(run: Run, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    noise = np.random.default_rng(1).normal(0, 0.05, 32_000)
    noise[100:110] = np.nan
    noise[20_000] = np.inf
    soundfile.write(tmp_path / "a.wav", noise, 16_000, subtype="DOUBLE")
    outcome = run("wake", tmp_path / "a.wav", "--fast")
    assert outcome.code == 0
    assert "lost      11 samples that were no sound" in outcome.err
    assert "detected  computer 2" in outcome.err
