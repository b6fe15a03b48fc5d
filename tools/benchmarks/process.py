"""Commands run as whole processes, and what they used."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_BYTES_PER_S = 2 * 16_000
_BLOCK_BYTES = _BYTES_PER_S * 20 // 1000

EDGEAUDIO = (sys.executable, "-m", "edgeaudio")

# Largest memory includes that of whoever forked the process: a small one does it, not the benchmark.
_LAUNCHER = """
import os, resource, sys
child = os.fork()
if not child:
    os.execvp(sys.argv[2], sys.argv[2:])
status = os.waitpid(child, 0)[1]
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as report:
    report.write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Usage:
    """CPU time (user and system) of a finished process, its largest memory, and what it wrote."""

    cpu_s: float
    rss_mb: float
    stdout: str
    stderr: str


def run_measured(command: Sequence[str], stdin: Path | None = None, *, paced: bool = False) -> Usage:
    """Run a command to its end.

    Parameters
    ----------
    command : sequence of str
    stdin : Path, optional
        File that becomes its standard input.
    paced : bool
        The file holds 16 kHz s16le audio: write it into a pipe as a microphone would deliver it.

    Raises
    ------
    RuntimeError
        It failed; with what it wrote on standard error.
    """
    with (
        (stdin or Path(os.devnull)).open("rb") as source,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.NamedTemporaryFile("r") as report,
    ):
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", _LAUNCHER, report.name, *command],
            stdin=subprocess.PIPE if paced else source,
            stdout=out,
            stderr=err,
        )
        if process.stdin is not None:
            _feed(process.stdin, source)
        process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{texts[1]}")
        cpu_s, largest_kib = report.read().split()
    return Usage(float(cpu_s), float(largest_kib) / 1024, *texts)


def _feed(pipe: IO[bytes], audio: IO[bytes]) -> None:
    started = time.monotonic()
    n_written = 0
    with pipe:
        while block := audio.read(_BLOCK_BYTES):
            n_written += len(block)
            # A block exists when its last sample has been captured.
            time.sleep(max(0.0, started + n_written / _BYTES_PER_S - time.monotonic()))
            pipe.write(block)
            pipe.flush()
