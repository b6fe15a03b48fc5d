"""Commands run as whole processes, and what they used."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EDGEAUDIO = (sys.executable, "-m", "edgeaudio")


@dataclass(frozen=True)
class Usage:
    """CPU time (user and system) of a finished process, its largest memory, and what it wrote."""

    cpu_s: float
    rss_mb: float
    stdout: str
    stderr: str


def run_measured(command: Sequence[str], stdin: Path | None = None) -> Usage:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        It failed; with what it wrote on standard error.
    """
    with (
        (stdin or Path(os.devnull)).open("rb") as source,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        # Files, not pipes: a pipe would have to be read while wait4 waits.
        process = subprocess.Popen(command, stdin=source, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{texts[1]}")
    # Linux counts ru_maxrss in KiB.
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, *texts)
