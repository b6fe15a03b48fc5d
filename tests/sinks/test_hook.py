"""The command that runs for each detection: real processes, most of them badly behaved."""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from edgeaudio.errors import UsageError
from edgeaudio.events import Gap
from edgeaudio.sinks.hook import CommandHook, parse_command
from tests.pulse import until
from tests.sinks.samples import detection


def python(code: str, *args: str | Path) -> list[str]:
    return [sys.executable, "-S", "-c", code, *map(str, args)]


def test_the_event_arrives_as_json(tmp_path: Path) -> None:
    out = tmp_path / "out"
    hook = CommandHook(parse_command(f"sh -c 'cat >> {shlex.quote(str(out))}'"))
    hook.emit(detection("computer", end_s=2.0))
    hook.emit(Gap(start_sample=0, n_samples=1, cause="ring_full"))
    hook.emit(detection("go", end_s=3.0))
    hook.close()
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert [event["name"] for event in events] == ["computer", "go"]
    assert (hook.runs, hook.failures) == (2, {})


def test_nothing_heard_is_ever_seen_by_a_shell(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    hook = CommandHook(parse_command("sh -c 'cat > /dev/null; exit $#'"))
    hook.emit(detection(f"$(touch {trap}); `touch {trap}`", end_s=2.0))
    hook.close()
    assert hook.failures == {}
    assert not trap.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("no-such-program --now", "'no-such-program' was not found"),
        ("sh -c 'exit", "cannot be read: No closing quotation"),
        ("/etc/passwd", "cannot be run"),
    ],
)
def test_an_impossible_command_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_command(text)


def test_failures_are_logged_once_a_kind_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    hook = CommandHook(["/bin/sh", "-c", "exit 3"])
    for _ in range(3):
        hook.emit(detection(end_s=1.0))
    hook.close()
    assert hook.failures == {"failed": 3}
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "hook: /bin/sh ended with exit status 3 (said once, further ones are counted)"
    ]


def test_a_program_that_vanished_is_counted(tmp_path: Path) -> None:
    hook = CommandHook([str(tmp_path / "gone")])
    hook.emit(detection(end_s=1.0))
    hook.close()
    assert hook.failures == {"not started": 1}


def test_a_command_that_does_not_read_its_input_is_fine() -> None:
    hook = CommandHook(["/bin/true"])
    hook.emit(detection(end_s=1.0))
    hook.close()
    assert hook.failures == {}


def test_a_hanging_command_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = "sleep 600 & echo $! $$ > {0}.part; mv {0}.part {0}; wait".format(shlex.quote(str(pids)))
    # Long enough for a loaded machine to start a shell, short against the 600 s.
    hook = CommandHook(["/bin/sh", "-c", code], timeout_s=3.0)
    hook.emit(detection(end_s=1.0))
    hook.close()
    assert hook.failures == {"timeout": 1}
    for pid in pids.read_text().split():
        until(lambda process=Path("/proc") / pid: _is_dead(process), 10, f"{pid} dies")


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_command_that_may_not_be_killed_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What runs as another user, through sudo: here the kill is refused instead."""
    real_killpg, groups = os.killpg, []

    def refuse(group: int, _signal: int) -> None:
        groups.append(group)
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", refuse)
    hook = CommandHook(["/bin/sleep", "600"], timeout_s=0.2)
    hook.emit(detection(end_s=1.0))
    hook.emit(detection(end_s=2.0))
    hook.close()
    assert (hook.runs, hook.failures) == (2, {"timeout": 2})
    assert "was left running after 0.2 s" in caplog.text
    for group in groups:
        real_killpg(group, signal.SIGKILL)


def test_a_full_queue_drops_and_never_blocks(tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)"
    hook = CommandHook(python(code, go), queue_size=2, timeout_s=60)
    for _ in range(9):
        hook.emit(detection(end_s=1.0))
    # One may run and two may wait; which of the first three got in depends on when the worker woke up.
    assert hook.failures["dropped"] in (6, 7)
    go.touch()
    hook.close()
    assert hook.runs + hook.failures["dropped"] == 9


def test_a_file_waits_for_its_commands() -> None:
    hook = CommandHook(["/bin/true"], queue_size=1, wait=True)
    for _ in range(8):
        hook.emit(detection(end_s=1.0))
    hook.close()
    assert (hook.runs, hook.failures) == (8, {})


def test_a_hurried_end_leaves_out_what_waits(tmp_path: Path) -> None:
    running = tmp_path / "running"
    hook = CommandHook(["/bin/sh", "-c", 'touch "$0"; exec sleep 600', str(running)], timeout_s=3.0)
    for _ in range(3):
        hook.emit(detection(end_s=1.0))
    until(running.exists, 30, "the command starts")
    hook.close(discard=True)
    assert (hook.runs, hook.failures) == (1, {"timeout": 1, "dropped": 2})


def _is_dead(process: Path) -> bool:
    return not process.exists() or "State:\tZ" in (process / "status").read_text()
