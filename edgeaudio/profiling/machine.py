"""Where something is measured: board or processor, memory, system, versions, and the CPU a cgroup allows."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgeaudio import __version__
from edgeaudio.profiles import read_hardware
from edgeaudio.profiling.measurement import Machine

__all__ = ["CpuGroup", "cpu_group", "machine"]

_PACKAGES = (
    "numpy",
    "numba",
    "onnxruntime",
    "onnxruntime-gpu",
    "ai-edge-litert",
    "sounddevice",
    "soxr",
)


@dataclass(frozen=True)
class CpuGroup:
    """The cgroup that limits this process's CPU time."""

    folder: Path
    quota_cores: float | None
    """None: it has a name, but no limit."""


def machine(root: Path = Path("/")) -> Machine:
    """Return what can be said of this machine now; `root` is where ``sys`` and ``proc`` lie."""
    group = cpu_group(root)
    return Machine(
        model=_model(root),
        architecture=platform.machine(),
        cores=os.cpu_count() or 1,
        memory_mb=_memory_mb(root),
        system=_system(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions=dict(_versions()),
        quota_cores=group.quota_cores if group is not None else None,
        load_before=_load(),
    )


def cpu_group(root: Path = Path("/")) -> CpuGroup | None:
    """Return the cgroup, of either version, whose CPU quota is the smallest that holds for this process.

    None where there are no cgroups that limit CPU time.
    """
    found: CpuGroup | None = None
    for folder in _cpu_folders(root):
        quota_cores = _quota_cores(folder)
        if found is None or (quota_cores or 1e9) < (found.quota_cores or 1e9):
            found = CpuGroup(folder, quota_cores)
    return found


def _cpu_folders(root: Path) -> Iterator[Path]:
    """The process's own group, then those around it, in each hierarchy that may limit CPU time."""
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":  # version 2; beside version 1 it lies in a folder of its own
            tops = [groups, groups / "unified"]
        elif "cpu" in controllers.split(","):
            tops = [groups / controllers, groups / "cpu"]
        else:
            continue
        top = next((top for top in tops if (top / "cgroup.procs").exists()), None)
        if top is None:
            continue
        # In a container the path may name a group that is not to be seen from inside: then its top counts.
        folder = top / path.strip("/")
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(top) and each.is_dir())


def _quota_cores(folder: Path) -> float | None:
    """Cores that the group's own quota allows."""
    words = _read(folder / "cpu.max").split()
    if not words:
        words = [_read(folder / f"cpu.cfs_{which}_us").strip() for which in ("quota", "period")]
    try:
        quota_us, period_us = float(words[0]), float(words[1])
    except (ValueError, IndexError):
        return None  # "max", or no such file
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _model(root: Path) -> str:
    """The board as the device tree names it, or the processor."""
    board = read_hardware(root).device_tree
    if board is not None:
        return board[:120]
    lines = _read(root / "proc/cpuinfo").splitlines()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    return said.get("Model") or said.get("model name") or platform.processor() or "unknown"


def _memory_mb(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "MemTotal:" and words[1].isdigit():
            return int(words[1]) // 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release()}"


def _versions() -> Iterator[tuple[str, str]]:
    yield "edgeaudio", __version__
    for package in _PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _read(path: Path) -> str:
    """What a small file says; nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(2**16).decode("utf-8", "replace")
    except OSError:
        return ""
