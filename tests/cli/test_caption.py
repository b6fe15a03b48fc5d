"""`edgeaudio caption` in one process: formats, files, options, bad input."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from edgeaudio.cli import caption
from tests.cli.conftest import Run, record

pytestmark = pytest.mark.usefixtures("scripted")

SRT = "1\n00:00:00,400 --> 00:00:01,560\none two three\n\n2\n00:00:03,400 --> 00:00:04,560\none two three\n\n"
VTT = "WEBVTT\n\n" + re.sub(r"^[12]\n", "", SRT, flags=re.MULTILINE).replace(",", ".")


def test_text_is_a_line_a_caption_and_a_summary_ends_it(run: Run, five_seconds: Path) -> None:
    outcome = run("caption", five_seconds, "--fast")
    assert (outcome.code, outcome.out) == (0, "one two three\none two three\n")
    lines = outcome.err.splitlines()
    assert re.fullmatch(r"heard     5\.0 s in \d+\.\d s, real-time factor 0\.\d{4}", lines[0])
    assert lines[1:] == ["captions  2, 6 words", "lost      nothing"]


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"]])
def test_json_is_a_line_an_event(run: Run, five_seconds: Path, option: list[str]) -> None:
    events = [json.loads(line) for line in run("caption", five_seconds, "--fast", *option).out.splitlines()]
    finals = [event for event in events if event["final"]]
    assert [event["text"] for event in finals] == ["one two three"] * 2
    assert [event["caption_id"] for event in finals] == [1, 2]
    times = [(word["start_s"], word["end_s"]) for word in finals[1]["words"]]
    assert times == [(3.4, 3.76), (3.8, 4.16), (4.2, 4.56)]
    for before, event in itertools.pairwise(events):
        if before["caption_id"] == event["caption_id"]:
            assert event["words"][: len(before["words"])] == before["words"]


@pytest.mark.parametrize(("form", "expected"), [("srt", SRT), ("vtt", VTT)])
def test_subtitles(run: Run, five_seconds: Path, form: str, expected: str) -> None:
    assert run("caption", five_seconds, "--fast", "--format", form).out == expected


def test_live_draws_where_it_is_asked_to(run: Run, five_seconds: Path) -> None:
    out = run("caption", five_seconds, "--fast", "--format", "live").out
    assert "one two \x1b[2mthree\x1b[22m" in out


def test_a_replay_is_the_same_byte_for_byte(run: Run, five_seconds: Path) -> None:
    args = ("caption", five_seconds, "--fast", "--json")
    assert run(*args).out == run(*args).out


@pytest.mark.parametrize(
    ("name", "options", "expected", "records"),
    [
        ("a.srt", [], SRT, "cues"),
        ("a.vtt", ["--format", "srt"], VTT, "cues"),
        ("a.txt", ["--json"], "one two three\none two three\n", "captions"),
        ("a", ["--format", "srt"], SRT, "cues"),
        ("a.log", [], "one two three\none two three\n", "captions"),
        ("a", ["--format", "live"], "one two three\none two three\n", "captions"),
    ],
)
def test_a_file_beside_standard_output(
    run: Run,
    five_seconds: Path,
    tmp_path: Path,
    *,
    name: str,
    options: list[str],
    expected: str,
    records: str,
) -> None:
    outcome = run("caption", five_seconds, "--fast", "--output", tmp_path / name, *options)
    assert outcome.code == 0
    assert (tmp_path / name).read_text() == expected
    assert outcome.out != ""
    assert f"file      2 {records} written to {tmp_path / name}\n" in outcome.err


def test_a_file_of_events_holds_what_is_printed(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    outcome = run("caption", five_seconds, "--fast", "--json", "--output", tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == outcome.out


def test_a_file_is_appended_to(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run("caption", five_seconds, "--fast", "--output", tmp_path / "a.srt")
    assert (tmp_path / "a.srt").read_text().startswith(SRT + "3\n00:00:04,960 --> ")


def test_the_hook_gets_final_captions(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    got = tmp_path / "got"
    outcome = run("caption", five_seconds, "--fast", "--exec", f"sh -c 'cat >> {shlex.quote(str(got))}'")
    assert [json.loads(line)["text"] for line in got.read_text().splitlines()] == ["one two three"] * 2
    assert "command   2 run\n" in outcome.err


def test_a_longer_silence_makes_longer_captions(run: Run, five_seconds: Path) -> None:
    outcome = run("caption", five_seconds, "--fast", "--end-silence", "3")
    assert outcome.out == "one two three one two three\n"


def test_a_short_silence_makes_shorter_captions(run: Run, five_seconds: Path) -> None:
    # Shorter than what Endpoint allows between sentences.
    assert run("caption", five_seconds, "--fast", "--end-silence", "0.1").out.count("\n") >= 2


def test_a_caption_ends_at_its_longest(run: Run, tmp_path: Path) -> None:
    minute = record(tmp_path / "a.wav", 20.0)
    lines = run("caption", minute, "--fast", "--end-silence", "3", "--max-length", "5").out.splitlines()
    assert len(lines) >= 4
    assert " ".join(lines) == " ".join(["one two three"] * 7)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--format", "ass"], "'ass' is not one of"),
        (["--json", "--format", "srt"], "both --json and --format srt"),
        (["--exec", "no-such-program"], "'no-such-program' was not found"),
        (["--device", "usb"], "both a source and --device"),
        (["--give-up", "3"], "--give-up is for microphones"),
        (["--channel", "3"], "has 1 channel, there is no channel 3"),
        (["--end-silence", "0"], "0 s is not between 0.1 and 30"),
        (["--end-silence", "nan"], "nan s is not between"),
        (["--max-length", "500"], "500 s is not between 2 and 120"),
        (["--end-complete", "1"], "--end-complete is for orders"),
        (["--grammar", "a.jsgf", "--hotword", "edge"], "--grammar allows its own words only"),
        (["--hotword", " "], "a --hotword is empty"),
        (["--decoder", "magic"], "'magic' is not one of"),
    ],
)
def test_options_that_make_no_sense(run: Run, five_seconds: Path, args: list[str], message: str) -> None:
    outcome = run("caption", five_seconds, "--fast", *args)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_what_is_listened_to_is_not_written_to(run: Run, five_seconds: Path) -> None:
    before = five_seconds.read_bytes()
    outcome = run("caption", five_seconds, "--fast", "--output", five_seconds)
    assert outcome.code == 2
    assert "is what is listened to" in outcome.err
    assert five_seconds.read_bytes() == before


@pytest.mark.parametrize("name", ["no/such/a.srt", "."])
def test_a_file_that_cannot_be_is_refused_before_anything_is_heard(
    run: Run, five_seconds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(caption, "_load", lambda _: pytest.fail("the model was loaded"))
    outcome = run("caption", five_seconds, "--fast", "--output", tmp_path / name)
    assert (outcome.code, outcome.out) == (8, "")
    assert "captions cannot be written there" in outcome.err


def test_a_file_that_holds_something_else_is_left_alone(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.srt").write_text("Dear diary\n")
    outcome = run("caption", five_seconds, "--fast", "--output", tmp_path / "diary.srt")
    assert outcome.code == 8
    assert "holds something else" in outcome.err
    assert (tmp_path / "diary.srt").read_text() == "Dear diary\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_captions_go_on_when_the_disk_is_full(run: Run, five_seconds: Path) -> None:
    outcome = run("caption", five_seconds, "--fast", "--output", "/dev/full")
    assert outcome.code == 8
    assert outcome.out == "one two three\none two three\n"
    assert outcome.err.count("/dev/full cannot be written: No space left") == 1
    assert "file      0 captions written to /dev/full, 2 not\n" in outcome.err
    assert "captions could not be written: 0 captions written to /dev/full, 2 not\n" in outcome.err


def test_a_terminal_is_no_audio(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    outcome = run("caption", "-")
    assert outcome.code == 2
    assert "| edgeaudio caption -" in outcome.err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("missing.wav", None, "No such file"), ("text.wav", b"no sound\n" * 20, "is not a sound file")],
)
def test_files_that_are_no_audio(
    run: Run, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    outcome = run("caption", tmp_path / name, "--fast")
    assert (outcome.code, outcome.out) == (3, "")
    assert message in outcome.err
