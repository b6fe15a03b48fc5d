"""`edgeaudio vad` in one process: output, options, clips, bad input."""

from __future__ import annotations

import json
import shlex
import wave
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.tasks.vad import Vad
from edgeaudio.testing import scripted_vad
from tests.cli.conftest import Run, record

SECOND = 16_000


@pytest.mark.usefixtures("scripted")
def test_people_get_a_line_a_start_and_end_and_the_share_of_speech(run: Run, five_seconds: Path) -> None:
    outcome = run("vad", five_seconds, "--fast")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    # From 0.52 s less 0.1 s to 1 s, as far as the windows of the last frame reach.
    assert lines[:3] == ["0.42 s  speech …", "1.01 s  end of 0.6 s of speech", "1.42 s  speech …"]
    assert len(lines) == 10
    assert "speech    3.0 s in 5 stretches, 59 % of what was heard\n" in outcome.err
    assert "lost      nothing\n" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_programs_get_one_json_object_a_line(run: Run, five_seconds: Path) -> None:
    outcome = run("vad", five_seconds, "--fast", "--json")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert [event["type"] for event in events] == ["speech_start", "speech_end"] * 5
    for start, end in zip(events[::2], events[1::2], strict=True):
        assert start["start_sample"] == end["start_sample"]
        assert end["end_s"] - start["start_s"] == pytest.approx(0.6, abs=0.03)
    assert run("vad", five_seconds, "--fast", "--json").out == outcome.out


@pytest.mark.usefixtures("scripted")
def test_the_hook_gets_starts_and_ends(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    got = tmp_path / "got"
    command = f"sh -c 'cat >> {shlex.quote(str(got))}'"
    outcome = run("vad", five_seconds, "--fast", "--json", "--exec", command)
    assert got.read_text() == outcome.out
    assert "command   10 run\n" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_each_stretch_of_speech_becomes_a_clip(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    outcome = run("vad", five_seconds, "--fast", "--json", "--save-clips", tmp_path / "clips")
    assert "clips     5 saved\n" in outcome.err
    with wave.open(str(five_seconds)) as file:
        heard = np.frombuffer(file.readframes(6 * SECOND), np.int16)
    ends = [event for line in outcome.out.splitlines() if (event := json.loads(line))["type"] == "speech_end"]
    for clip, event in zip(sorted((tmp_path / "clips").iterdir()), ends, strict=True):
        assert clip.name.endswith("-speech.wav")
        with wave.open(str(clip)) as file:
            kept = np.frombuffer(file.readframes(6 * SECOND), np.int16)
        # 0.2 s more than the speech, as far as the recording goes.
        wanted = heard[event["start_sample"] : event["end_sample"] + SECOND // 5]
        assert np.array_equal(kept, wanted)


@pytest.mark.usefixtures("scripted")
def test_nothing_heard_is_told(run: Run, tmp_path: Path) -> None:
    outcome = run("vad", record(tmp_path / "short.wav", 0.4), "--fast")
    assert (outcome.code, outcome.out) == (0, "")
    assert "speech    none\n" in outcome.err


def test_what_cannot_be_is_refused(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    for args, code, words in (
        (["--threshold", "1.5"], 2, "not between 0 and 1"),
        (["--pre-roll", "-1"], 2, "not between 0 and 60 s"),
        (["--model", "no-such-model"], 5, "no-such-model"),
        (["--model", "commands-12"], 5, "edgeaudio wake --model commands-12"),
        (["--device", "1"], 2, "both a source and --device"),
        (["--save-clips", tmp_path / "a" / "b" / ("x" * 300)], 8, "clips cannot be saved"),
    ):
        outcome = run("vad", five_seconds, "--fast", *args)
        assert outcome.code == code, outcome.err
        assert words in outcome.err
    assert run("vad", tmp_path / "none.wav").code == 3


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """A detector behind `--vad` that hears speech from 1.2 s to 2.8 s; what it was loaded with."""
    loaded: list[dict[str, object]] = []

    def load(name: str, **options: object) -> Vad:
        loaded.append({"name": name, **options})
        return scripted_vad([(1.2, 2.8)])

    monkeypatch.setattr(Vad, "load", load)
    return loaded


@pytest.mark.usefixtures("scripted")
def test_wake_words_count_only_in_speech(
    run: Run, five_seconds: Path, spoken: list[dict[str, object]]
) -> None:
    """Words end every second from 0.5 s on, and take one."""
    outcome = run("wake", five_seconds, "--fast", "--json", "--vad")
    assert outcome.code == 0
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert [round(event["end_s"], 1) for event in events] == [1.5, 2.5, 3.5]
    assert {event["type"] for event in events} == {"detection"}
    assert "unspoken  2 left out\n" in outcome.err
    assert [one["name"] for one in spoken] == ["vad-small"]
    assert len(run("wake", five_seconds, "--fast").out.splitlines()) == 5


@pytest.mark.usefixtures("scripted")
def test_captions_are_made_of_speech_only(
    run: Run, five_seconds: Path, spoken: list[dict[str, object]]
) -> None:
    """The script of the recogniser begins anew where the gate opens: its words are those from 0.4 s on."""
    outcome = run("caption", five_seconds, "--fast", "--json", "--vad")
    assert outcome.code == 0
    finals = [event for line in outcome.out.splitlines() if (event := json.loads(line))["final"]]
    assert [final["text"] for final in finals] == ["one two three"]
    assert finals[0]["start_s"] == pytest.approx(1.2 + 0.4, abs=0.05)
    assert "gate      1.7 s passed\n" in outcome.err  # and the step that decides it
    assert spoken[0]["least_off_ms"] == 1000.0


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize("command", ["wake", "caption"])
def test_what_follows_vad_is_a_model_or_else_the_source(
    run: Run, five_seconds: Path, spoken: list[dict[str, object]], command: str
) -> None:
    assert run(command, "--fast", "--vad", five_seconds).code == 0
    assert run(command, "--fast", "--vad", "commands-12", five_seconds).code == 0
    assert [one["name"] for one in spoken] == ["vad-small", "commands-12"]
    outcome = run(command, "--fast", five_seconds, "--vad", "no-such-model")
    assert outcome.code == 5
    assert "no-such-model" in outcome.err
