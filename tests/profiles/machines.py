"""Copies of what real machines say in ``/proc`` and ``/dev``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["BOARDS", "Board", "build"]

A53, A57, A72, A76, A78AE = "0xd03", "0xd07", "0xd08", "0xd0b", "0xd42"


class Board(NamedTuple):
    """What is in its files; None for a file that is not there."""

    model: str | None
    parts: tuple[str, ...]
    profile: str
    gpu: str | None = None


BOARDS = (
    Board("Raspberry Pi Zero 2 W Rev 1.0", (A53,), "raspberry-pi-zero-2w"),
    Board("Raspberry Pi 3 Model B Plus Rev 1.3", (A53,), "raspberry-pi-3"),
    Board("Raspberry Pi 3 Model A Plus Rev 1.0", (A53,), "raspberry-pi-3"),
    Board("Raspberry Pi Compute Module 3 Plus Rev 1.0", (A53,), "raspberry-pi-3"),
    Board("Raspberry Pi 4 Model B Rev 1.4", (A72,), "raspberry-pi-4"),
    Board("Raspberry Pi 400 Rev 1.0", (A72,), "raspberry-pi-4"),
    Board("Raspberry Pi Compute Module 4S Rev 1.0", (A72,), "raspberry-pi-4"),
    Board("Raspberry Pi 5 Model B Rev 1.0", (A76,), "raspberry-pi-5"),
    Board("Raspberry Pi 500 Rev 1.0", (A76,), "raspberry-pi-5"),
    Board("NVIDIA Jetson Nano Developer Kit", (A57,), "jetson-nano"),
    # JetPack 5 leaves "Jetson" out, Super kits put more words in.
    Board("NVIDIA Orin Nano Developer Kit", (A78AE,), "jetson-orin-nano"),
    Board("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", (A78AE,), "jetson-orin-nano"),
    Board("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", (A78AE,), "jetson-orin-nano"),
    Board("NVIDIA Jetson AGX Orin Developer Kit", (A78AE,), "jetson-agx-orin"),
    Board("Jetson AGX Orin", (A78AE,), "jetson-agx-orin"),
    # Containers see the processor, but no device tree.
    Board(None, (A53,), "raspberry-pi-zero-2w"),
    Board(None, (A72,), "raspberry-pi-4"),
    # The same processors on other boards, and boards that nobody knows.
    Board("Radxa ROCK 4C+", (A53, A72), "generic"),
    Board("Raspberry Pi Model B Rev 2", (), "generic"),
    Board("Xunlong Orange Pi Zero2", (A53,), "generic"),
    Board(None, (), "generic"),
)


def build(root: Path, model: str | None, parts: tuple[str, ...], gpu: str | None = None) -> Path:
    """Write a machine's files below `root`."""
    (root / "proc").mkdir(parents=True)
    cores = "".join(
        f"processor\t: {core}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n"
        for core, part in enumerate(part for part in parts for _ in range(4))
    )
    (root / "proc/cpuinfo").write_text(cores)
    if model is not None:
        (root / "proc/device-tree").mkdir()
        (root / "proc/device-tree/model").write_bytes(model.encode() + b"\0")
    if gpu is not None:
        folder = root / "proc/driver/nvidia/gpus/0000:01:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t {gpu}\nIRQ:   \t\t 104\n")
    return root
