"""Run a command for each thing heard, beside the engine and never in its way.

The command is an argument list fixed at start; what was heard reaches it only as JSON on its
standard input, never through a shell.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

from edgeaudio.errors import UsageError
from edgeaudio.events import (
    Caption,
    Detection,
    Event,
    SoundEvent,
    SoundStart,
    SpeakerTurn,
    SpeechEnd,
    SpeechStart,
    encode_event,
)

__all__ = [
    "CommandHook",
    "is_detection",
    "is_final_caption",
    "is_sound",
    "is_speech",
    "is_turn",
    "parse_command",
]

_LOG = logging.getLogger(__name__)
_DYING_S = 1.0
"""A killed process is gone at once; one that may not be killed must not hold up those after it."""


def is_detection(event: Event) -> bool:
    """Say whether a word was spotted."""
    return isinstance(event, Detection)


def is_final_caption(event: Event) -> bool:
    """Say whether something was said and is written down for good."""
    return isinstance(event, Caption) and event.final and bool(event.words)


def is_sound(event: Event) -> bool:
    """Say whether a sound was heard, or has begun."""
    return isinstance(event, SoundStart | SoundEvent)


def is_speech(event: Event) -> bool:
    """Say whether speech has begun or ended."""
    return isinstance(event, SpeechStart | SpeechEnd)


def is_turn(event: Event) -> bool:
    """Say whether it was told who spoke."""
    return isinstance(event, SpeakerTurn)


def parse_command(text: str) -> list[str]:
    """Split a command line as a shell would, and find its program.

    Returns
    -------
    list of str
        The arguments, the program with its path.

    Raises
    ------
    UsageError
        If the text is empty, has an open quote, or names no program that can be run.
    """
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"the command {text!r} cannot be read: {error}", hint="Close the quotes.") from None
    if not argv:
        raise UsageError("the command is empty", hint="Give a program and its arguments.")
    program = shutil.which(argv[0])
    if program is None:
        raise UsageError(
            f"the command {argv[0]!r} was not found or cannot be run",
            hint="Give its full path and make it executable (chmod +x).",
        )
    return [program, *argv[1:]]


class CommandHook:
    """A worker that runs one command at a time, with the event as JSON on its standard input.

    What the command prints goes to standard error, so that standard output stays ours. It is
    killed, with all of its process group, when it takes longer than `timeout_s`. Failures are logged
    once a kind and counted in `failures`.

    Parameters
    ----------
    argv : list of str
        Program and arguments, see `parse_command`.
    wanted : callable, optional
        Which events it is run for; by default detections.
    timeout_s : float, optional
        Longest time one run may take.
    queue_size : int, optional
        Events that may wait; further ones are counted as ``"dropped"``.
    wait : bool, optional
        Wait for room in the queue instead: for files, where nothing is lost by waiting.
    """

    def __init__(
        self,
        argv: list[str],
        wanted: Callable[[Event], bool] = is_detection,
        *,
        timeout_s: float = 10.0,
        queue_size: int = 16,
        wait: bool = False,
    ) -> None:
        self.runs = 0
        self.failures: dict[str, int] = {}
        self._argv = argv
        self._wanted = wanted
        self._timeout_s = timeout_s
        self._wait = wait
        self._queue: queue.Queue[bytes | None] = queue.Queue(queue_size)
        self._discard = False
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._worker = threading.Thread(target=self._work, name="edgeaudio-hook", daemon=True)
        self._worker.start()

    def emit(self, event: Event) -> None:
        """Queue a run for an event that is wanted; others are not for the command."""
        if not self._wanted(event):
            return
        try:
            self._queue.put(encode_event(event) + b"\n", block=self._wait)
        except queue.Full:
            self._fail("dropped", f"more than {self._queue.maxsize} events wait for {self._argv[0]}")

    def close(self, *, discard: bool = False) -> None:
        """Wait until the runs under way (unless `discard`: only the present one) have ended."""
        if self._closed:
            return
        self._closed = True
        self._discard = discard
        self._queue.put(None)
        self._worker.join()

    def fact(self) -> tuple[str, str]:
        """Say for the summary how often it ran."""
        failed = "".join(f", {n} {kind}" for kind, n in self.failures.items())
        return "command", f"{self.runs} run{failed}"

    def kill(self) -> None:
        """Kill the present run with its children; takes no lock, for a signal handler."""
        process = self._process
        if process is not None:
            # It may have ended in this very moment, or be another user's: sudo's.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def _work(self) -> None:
        while (line := self._queue.get()) is not None:
            if self._discard:
                self._fail("dropped", "stopped before the command could run")
            else:
                self._run(line)

    def _run(self, line: bytes) -> None:
        self.runs += 1
        output = _stderr_fd()
        try:
            process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # its own group, so that its children can be killed with it
            )
        except OSError as error:
            self._fail("not started", f"{self._argv[0]} could not be started: {error.strerror}")
            return
        self._process = process
        try:
            process.communicate(line, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            if process.stdin:
                process.stdin.close()
            end = "was killed"
            try:
                process.wait(_DYING_S)
            except subprocess.TimeoutExpired:
                end = "cannot be killed and was left running"
            self._fail("timeout", f"{self._argv[0]} {end} after {self._timeout_s:g} s")
            return
        finally:
            self._process = None
        if process.returncode:
            self._fail("failed", f"{self._argv[0]} ended with {_in_words(process.returncode)}")

    def _fail(self, kind: str, message: str) -> None:
        first = kind not in self.failures
        self.failures[kind] = self.failures.get(kind, 0) + 1
        if first:
            _LOG.warning("hook: %s (said once, further ones are counted)", message)


def _stderr_fd() -> int:
    """Return where ``sys.stderr`` leads; the command line may have moved it away from 2."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # absent, in memory, closed
        return 2


def _in_words(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
