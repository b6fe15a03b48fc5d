"""The command as a process: signals, pipes, terminals."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.scripted import COMMAND, ROOT, on_a_terminal, read_until, running

WAIT_S = 60.0
"""For things that take a second, on a machine that may be busy with other tests."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_with_a_summary(one_minute: Path, number: signal.Signals) -> None:
    with running("wake", one_minute, "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["name"] == "computer"
        process.send_signal(number)
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert b"detected  computer" in err
    assert b"lost      nothing" in err
    assert b"Traceback" not in err


def test_a_signal_during_the_start_is_not_lost(one_minute: Path) -> None:
    with running("wake", one_minute, "--log-level", "debug") as process:
        read_until(process, b"first frame after")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WAIT_S)
    assert process.returncode == 0


# In the place of click, which every command loads. An exception in the second is printed, and lost.
LOADING = {
    "plain": """
import sys, time
print("loading", file=sys.stderr, flush=True)
time.sleep(600)
""",
    "weak reference": """
import sys, time, weakref
def gone(_reference):
    print("loading", file=sys.stderr, flush=True)
    time.sleep(600)
thing = {0}
reference = weakref.ref(thing, gone)
del thing
""",
}


@pytest.mark.parametrize("loading", LOADING)
def test_an_interrupt_while_it_still_loads_ends_it_without_a_word(tmp_path: Path, loading: str) -> None:
    (tmp_path / "click.py").write_text(LOADING[loading])
    with running("wake", "missing.wav", real=True, search=f"{tmp_path}:{ROOT}") as process:
        read_until(process, b"loading")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (130, b"")


def test_a_second_interrupt_ends_it_at_once_with_its_hook(one_minute: Path, tmp_path: Path) -> None:
    # The hook keeps the clean end waiting for up to ten minutes.
    pid = tmp_path / "pid"
    hook = f"sh -c 'echo $$ > {pid}.part; mv {pid}.part {pid}; exec sleep 600'"
    with running("wake", one_minute, "--exec", hook, "--exec-timeout", "600") as process:
        deadline = time.monotonic() + WAIT_S
        while not pid.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        deadline = time.monotonic() + WAIT_S
        while process.poll() is None:
            assert time.monotonic() < deadline
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)  # a person's pace; the loop ends on the process's end
        assert time.monotonic() < deadline - 30, "it waited for the hook"
    assert process.returncode == -signal.SIGINT
    while Path("/proc", pid.read_text().strip(), "exe").exists():  # a zombie has none
        assert time.monotonic() < deadline, "the hook outlived it"
        time.sleep(0.02)


def test_timeout_ends_it_cleanly(one_minute: Path) -> None:
    # coreutils' timeout signals its child, and then the whole group that the child is in.
    with running("wake", one_minute) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert b"lost      nothing" in err


def test_a_closed_pipe_ends_it_quietly(five_seconds: Path) -> None:
    with running("wake", five_seconds, "--json", "--fast", "--log-level", "error") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(WAIT_S) == 0


def test_a_reader_that_leaves_is_noticed_before_the_next_word(one_minute: Path) -> None:
    started = time.monotonic()
    with running("wake", one_minute, "--log-level", "error") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(WAIT_S) == 0
    assert time.monotonic() - started < 45, "it went on to the end of the file"


def test_a_reader_that_leaves_before_the_answer_is_no_failure() -> None:
    with running("models", "list") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(WAIT_S) == 0


def test_standard_output_may_be_closed_from_the_start(five_seconds: Path) -> None:
    line = [*COMMAND, "wake", str(five_seconds), "--fast"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *line], cwd=ROOT, capture_output=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_an_error(five_seconds: Path) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        running("wake", five_seconds, "--fast", stdout=full) as process,
    ):
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 8
    assert b"could not be written to standard output: No space left" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_a_list_is_an_error() -> None:
    with Path("/dev/full").open("wb") as full, running("models", "list", stdout=full) as process:
        _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (
        8,
        b"edgeaudio: the output cannot be written: No space left on device\n",
    )


def test_errors_that_nobody_reads_are_no_trouble() -> None:
    with running("wake", "missing.wav") as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(WAIT_S) == 3


def test_nothing_but_the_summary_is_said(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    # Another rate: the resampler complains at exit where somebody still holds it.
    soundfile.write(tmp_path / "a.wav", np.full(44_100, 0.1), 44_100)
    with running("wake", tmp_path / "a.wav", "--fast", "--log-level", "error") as process:
        _, err = process.communicate(timeout=WAIT_S)
    assert [line.split()[0] for line in err.splitlines()] == [b"heard", b"detected", b"lost"]


def test_raw_audio_comes_in_through_a_pipe() -> None:
    pcm = np.random.default_rng(1).integers(-1000, 1000, 2 * 16_000).astype("<i2").tobytes()
    with running("wake", "-", "--json", stdin=subprocess.PIPE) as process:
        # One byte too many: half a sample.
        out, err = process.communicate(pcm + b"\x01", timeout=WAIT_S)
    assert process.returncode == 0
    assert [json.loads(line)["name"] for line in out.splitlines()] == ["computer"] * 2
    assert b"1 of 2 bytes left out" in err
    assert b"heard     2.0 s" in err


def test_a_silent_pipe_can_be_interrupted() -> None:
    with running("wake", "-", "--log-level", "debug", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(bytes(2 * 16_000))
        process.stdin.flush()
        read_until(process, b"first frame after")
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0


def test_a_terminal_gets_a_calm_line_and_the_words_above_it(one_minute: Path) -> None:
    screen, code = on_a_terminal("wake", one_minute, until=b"computer 1.00, 0 s ago")
    assert code == 0
    assert re.search(r"\r[█▏▎▍▌▋▊▉·]+ +-\d+ dBFS  listening 0 s\x1b\[K", screen)
    assert re.search(r"\r\x1b\[K0\.[45]\d s  computer  1\.00  latency 0\.\d\d s\r\n", screen)
    assert "computer 1.00, 0 s ago" in screen
    before_summary = screen.partition("heard  ")[0]
    assert before_summary.endswith("\r\x1b[K"), "the live line was left behind"
    # At most ten drawings a second; a drawing begins with a return and is no erasure.
    heard_s = float(re.findall(r"heard +([\d.]+) s", screen)[0])
    assert len(re.findall(r"\r[^\n\x1b]", screen)) <= 10 * (heard_s + 1)
