"""What this process uses: CPU time, memory, page faults, context switches; and how busy each core was."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edgeaudio.profiling.measurement import CoreShare, Cost

__all__ = ["Counters", "cost", "count"]


@dataclass(frozen=True)
class Counters:
    """The counters of this process and of all cores at one moment; `cost` needs two of them."""

    at_s: float
    cpu_s: float
    rss_mb: float
    peak_rss_mb: float
    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int
    cores: dict[int, tuple[int, int]]
    """By core: ticks in which it was busy, and all ticks. Empty where the system does not tell."""


def count(root: Path = Path("/")) -> Counters:
    """Return the counters as they are now; `root` is where ``proc`` lies."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    rss_mb, peak_rss_mb = _memory_mb(root, used.ru_maxrss)
    return Counters(
        at_s=time.monotonic(),
        cpu_s=time.process_time(),
        rss_mb=rss_mb,
        peak_rss_mb=peak_rss_mb,
        minor_faults=used.ru_minflt,
        major_faults=used.ru_majflt,
        voluntary_switches=used.ru_nvcsw,
        involuntary_switches=used.ru_nivcsw,
        cores=_cores(root / "proc/stat"),
    )


def cost(before: Counters, after: Counters, *, computing_s: float, audio_s: float) -> Cost:
    """Return what was used between two moments.

    Parameters
    ----------
    before, after : Counters
        What `count` returned at each.
    computing_s : float
        CPU time of the engine's threads; ``EngineStats.busy_s``.
    audio_s : float
        Length of the audio that was heard.
    """
    wall_s = after.at_s - before.at_s
    return Cost(
        cpu_share=(after.cpu_s - before.cpu_s) / wall_s if wall_s > 0 else 0.0,
        real_time_factor=computing_s / audio_s if audio_s > 0 else 0.0,
        cores=[
            CoreShare(core=core, busy=(busy - before.cores[core][0]) / ticks)
            for core, (busy, all_ticks) in sorted(after.cores.items())
            # A core may come and go; its counters may stand still while it sleeps.
            if core in before.cores and (ticks := all_ticks - before.cores[core][1]) > 0
        ],
        rss_mb=after.rss_mb,
        peak_rss_mb=after.peak_rss_mb,
        minor_faults=after.minor_faults - before.minor_faults,
        major_faults=after.major_faults - before.major_faults,
        voluntary_switches=after.voluntary_switches - before.voluntary_switches,
        involuntary_switches=after.involuntary_switches - before.involuntary_switches,
    )


def _memory_mb(root: Path, largest: int) -> tuple[float, float]:
    """Resident memory, now and at most. ``ru_maxrss`` would count in whoever started this process."""
    try:
        with (root / "proc/self/status").open(encoding="utf-8", errors="replace") as file:
            said = dict(line.split(":", 1) for line in file if ":" in line)
        return int(said["VmRSS"].split()[0]) / 1024, int(said["VmHWM"].split()[0]) / 1024
    except (OSError, KeyError, ValueError, IndexError):
        unit = 2**20 if sys.platform == "darwin" else 1024
        return largest / unit, largest / unit


def _cores(stat: Path) -> dict[int, tuple[int, int]]:
    """Of each core the ticks that it was busy, for whomever, and all of them."""
    cores = {}
    try:
        with stat.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                name, *words = line.split()
                if not (name.startswith("cpu") and name[3:].isdigit() and len(words) >= 8):
                    continue
                # user nice system idle iowait irq softirq steal; guest time is in user's already
                ticks = [int(word) for word in words[:8]]
                cores[int(name[3:])] = (sum(ticks) - ticks[3] - ticks[4], sum(ticks))
    except (OSError, ValueError):
        return {}
    return cores
