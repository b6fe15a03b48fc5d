"""A cgroup that allows its processes a part of a core, and busy neighbours in it; mostly root alone may."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

GROUPS = Path("/sys/fs/cgroup")
_PERIOD_US = 10_000
"""Short, so that the processor seems slow rather than stopped for long."""
_MOST_WEIGHT, _MOST_SHARES = 10_000, 2**18
"""Whatever else runs on this machine: what the quota allows is there."""
_REMOVAL_S = 10.0

# It ends with whoever started it, however that ends.
_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


class CannotLimitError(Exception):
    """CPU time cannot be limited here; the message says why."""


class SlowCore:
    """A cgroup with a quota of CPU time; a context manager.

    Parameters
    ----------
    cores : float
        How much of a core its processes may use together, from 0.1 on.

    Raises
    ------
    CannotLimitError
        When it is entered: there are no cgroups for CPU time, or they may not be made.
    """

    def __init__(self, cores: float) -> None:
        self.cores = cores
        self._folder = Path()
        self._neighbours: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> SlowCore:  # noqa: PYI034 - Self is in typing since 3.11 only
        """Make the group."""
        version_1 = next((top for top in (GROUPS / "cpu", GROUPS / "cpu,cpuacct") if top.is_dir()), None)
        top = version_1 or GROUPS
        self._folder = top / f"edgeaudio-slow-{time.monotonic_ns()}"
        quota_us = round(self.cores * _PERIOD_US)
        try:
            if version_1 is None and "cpu" not in (top / "cgroup.subtree_control").read_text().split():
                (top / "cgroup.subtree_control").write_text("+cpu")
            self._folder.mkdir()
            if version_1 is None:
                (self._folder / "cpu.weight").write_text(str(_MOST_WEIGHT))
                (self._folder / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
            else:
                (self._folder / "cpu.shares").write_text(str(_MOST_SHARES))
                (self._folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
                (self._folder / "cpu.cfs_quota_us").write_text(str(quota_us))
        except OSError as error:
            with contextlib.suppress(OSError):
                self._folder.rmdir()
            raise CannotLimitError(f"no cgroup for CPU time can be made here: {error}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the neighbours and remove the group; whoever else is in it has to have ended."""
        self.clear()
        deadline_s = time.monotonic() + _REMOVAL_S
        while True:
            try:
                self._folder.rmdir()
            except OSError:  # the kernel still holds a process that has ended
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.01)
            else:
                return

    def add(self, pid: int) -> None:
        """Put a process into the group, with all its threads."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def crowd(self, n: int) -> None:
        """Start `n` processes in the group that compute all the time."""
        for _ in range(n):
            neighbour = subprocess.Popen([sys.executable, "-S", "-c", _BUSY])
            self._neighbours.append(neighbour)
            self.add(neighbour.pid)

    def clear(self) -> None:
        """End the neighbours."""
        for neighbour in self._neighbours:
            neighbour.kill()
        while self._neighbours:
            self._neighbours.pop().wait()
