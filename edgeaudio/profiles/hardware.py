"""What a machine says about itself, from a few small files: no program runs and no library is loaded."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edgeaudio.errors import ConfigError

__all__ = ["Hardware", "pin", "read_hardware", "usable_cores"]

_MOST_BYTES = 64 * 1024
"""Of any file that is read here; the cores of the largest boards are told in less."""


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a profile's match rules are compared with; None where the machine does not say."""

    device_tree: str | None
    """The device tree's model, as in ``Raspberry Pi 4 Model B Rev 1.4``."""
    cuda_devices: tuple[str, ...]
    """Names of the NVIDIA GPUs that the driver lists; ``""`` is one without a name."""
    cpu_parts: tuple[str, ...] | None
    """ARM part numbers, each once, as in ``0xd08``; none on other processors."""
    architecture: str
    """As in ``x86_64`` and ``aarch64``."""


def read_hardware(root: Path = Path("/")) -> Hardware:
    """Look at this machine, or at a copy of its ``/proc`` and ``/dev`` below `root`."""
    architecture = platform.machine()
    is_arm = architecture.lower().startswith(("aarch64", "arm"))
    parts = sorted(set(re.findall(r"^CPU part\s*:\s*(0x[0-9a-f]{3})\b", _text(root / "proc/cpuinfo"), re.M)))
    return Hardware(
        device_tree=_text(root / "proc/device-tree/model").strip("\0 \n") or None,
        cuda_devices=tuple(_cuda_devices(root)),
        cpu_parts=tuple(parts) or (None if is_arm else ()),
        architecture=architecture,
    )


def usable_cores() -> frozenset[int]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def pin(cores: Collection[int]) -> None:
    """Have this thread, and all that it starts from now on, run on `cores` only; none: wherever it may now.

    Raises
    ------
    ConfigError
        The system refuses.
    """
    if not cores or not hasattr(os, "sched_setaffinity"):
        return
    try:
        os.sched_setaffinity(0, cores)  # 0 is the calling thread, not its process
    except OSError as error:
        raise ConfigError(
            f"the profile's affinity {sorted(cores)} cannot be had: {error.strerror}",
            hint="Change affinity, or leave it out.",
        ) from None


def _cuda_devices(root: Path) -> list[str]:
    """Return the names of NVIDIA GPUs as their driver tells them, without loading CUDA."""
    found = []
    with contextlib.suppress(OSError):
        for folder in sorted((root / "proc/driver/nvidia/gpus").iterdir()):
            model = re.search(r"^Model:\s*(.*\S)", _text(folder / "information"), re.M)
            found.append(model[1] if model else "")
    # A container may have the device without the driver's names; Windows' Linux has another device.
    others = ("dev/nvidia0", "usr/lib/wsl/lib/libcuda.so.1")
    if not found and any(os.path.exists(root / path) for path in others):  # noqa: PTH110 - never raises
        found.append("")
    return found


def _text(path: Path) -> str:
    """Return what the file says; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
