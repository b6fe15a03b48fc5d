"""`edgeaudio caption` as a process: signals, crashes, pipes, terminals."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.scripted import on_a_terminal, running

WAIT_S = 60.0
CUE = r"(\d\d:){2}\d\d[,.]\d{3} --> (\d\d:){2}\d\d[,.]\d{3}\none two three\n\n"
VALID = {
    "srt": rf"(\d+\n{CUE})+",
    "vtt": rf"WEBVTT\n\n({CUE})+",
    "txt": r"(one two three\n)+",
    "json": r"(\{[^\n]*\}\n)+",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_running_caption(one_minute: Path, number: signal.Signals) -> None:
    with running("caption", one_minute, "--json") as process:
        assert process.stdout is not None
        events: list[dict[str, Any]] = []
        for line in process.stdout:
            events.append(json.loads(line))
            if len(events[-1]["words"]) == 2:
                process.send_signal(number)
                break
        out, err = process.communicate(timeout=WAIT_S)
    events += map(json.loads, out.splitlines())
    assert process.returncode == 0
    assert [event["final"] for event in events] == [False] * (len(events) - 1) + [True]
    assert {event["caption_id"] for event in events} == {1}
    assert events[-1]["text"].startswith("one two")
    assert b"captions  1, " in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(("suffix", "n_bytes"), [("srt", 9000), ("vtt", 100), ("txt", 3000), ("json", 5000)])
def test_what_was_written_is_valid_after_a_crash(tmp_path: Path, suffix: str, n_bytes: int) -> None:
    path = tmp_path / f"talk.{suffix}"
    with (
        Path("/dev/zero").open("rb") as audio,  # an hour of it takes seconds
        running("caption", "-", "--output", path, stdin=audio, stdout=subprocess.DEVNULL) as process,
    ):
        deadline = time.monotonic() + WAIT_S
        while not path.exists() or path.stat().st_size < n_bytes:
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.kill()
        process.wait(WAIT_S)
    text = path.read_text()
    assert len(text) >= n_bytes
    assert re.fullmatch(VALID[suffix], text)
    if suffix == "json":
        assert all(json.loads(line)["type"] for line in text.splitlines())


def test_a_closed_pipe_ends_it_quietly(one_minute: Path) -> None:
    with running("caption", one_minute, "--fast", "--log-level", "error") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(WAIT_S) == 0


@pytest.mark.parametrize("form", ["text", "srt"])
def test_a_reader_that_leaves_is_noticed_and_the_file_is_complete(
    one_minute: Path, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "a.txt"
    with running(
        "caption", one_minute, "--format", form, "--output", path, "--log-level", "error"
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(WAIT_S) == 0
    assert re.fullmatch(r"(one two three\n)+(one( two)?\n)?", path.read_text())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("form", ["text", "vtt", "srt"])
def test_a_full_disk_behind_standard_output_is_an_error(five_seconds: Path, form: str) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        running("caption", five_seconds, "--fast", "--format", form, stdout=full) as process,
    ):
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 8
    assert b"could not be written to standard output: No space left" in err
    assert b"Traceback" not in err


def test_raw_audio_comes_in_through_a_pipe() -> None:
    pcm = np.random.default_rng(1).integers(-1000, 1000, 5 * 16_000).astype("<i2").tobytes()
    with running("caption", "-", stdin=subprocess.PIPE) as process:
        out, err = process.communicate(pcm, timeout=WAIT_S)
    assert (process.returncode, out) == (0, b"one two three\none two three\n")
    assert b"heard     5.0 s" in err


def test_news_that_text_has_no_place_for_is_logged() -> None:
    with Path("/dev/zero").open("rb") as audio, running("caption", "-", stdin=audio) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=WAIT_S)
    assert b"edgeaudio: WARNING: 0.00 s  digital silence" in line
    assert b"digital" not in out


def test_a_terminal_gets_text_that_grows(one_minute: Path) -> None:
    pyte = pytest.importorskip("pyte")
    # On a busy machine there may be nothing tentative at first: that is left out while captions are late.
    tentative_then_whole = rb"\x1b\[2mone\x1b\[22m.*three\x1b\[K"
    drawn, code = on_a_terminal("caption", one_minute, until=tentative_then_whole, columns=60)
    assert code == 0
    assert re.search(tentative_then_whole.decode(), drawn, re.DOTALL), "nothing was tentative"
    screen = pyte.Screen(60, 24)
    pyte.Stream(screen).feed(drawn)
    rows = [row.rstrip() for row in screen.display if row.strip()]
    summary = next(i for i, row in enumerate(rows) if row.startswith("heard  "))
    assert rows[0] == "one two three"
    assert all(re.fullmatch("one( two( three)?)?", row) for row in rows[:summary]), (
        "the status line was left behind"
    )
    assert re.search(r"[█▏▎▍▌▋▊▉·]+ +-\d+ dBFS  listening \d+ s", drawn)


@pytest.mark.parametrize("form", ["live", "json"])
def test_a_terminal_that_is_closed_ends_it_quietly(one_minute: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / "talk.txt"
    master, slave = pty.openpty()
    with running("caption", one_minute, "--format", form, "--output", path, stdout=slave) as process:
        os.close(slave)
        assert os.read(master, 1)
        os.close(master)
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(WAIT_S) == 0
    assert path.exists()
