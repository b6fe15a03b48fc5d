"""The emulated device: a userland of 64-bit ARM in a cache folder, and QEMU to run it, core by core."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.emulated.counting import MARK

__all__ = ["CORES", "Core", "Device", "MissingError", "default_cache", "install", "missing_packages"]

_HERE = Path(__file__).resolve().parent
REPOSITORY = _HERE.parents[1]
_REQUIREMENTS = _HERE / "requirements.txt"
SUITE = "bookworm"
"""Debian 12, as Raspberry Pi OS; brings Python 3.11."""
_PACKAGES = ("python3", "libstdc++6")
_PYTHON = "usr/bin/python3.11"
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux2014", "manylinux_2_17")
_NO_CRYPTO = "fp asimd evtstrm crc32 cpuid"


@dataclass(frozen=True)
class Core:
    """A processor core: what its boards' kernels say of it in /proc/cpuinfo."""

    name: str
    boards: str
    part: str
    features: str


CORES = (
    Core("cortex-a53", "Raspberry Pi 3, Zero 2 W", "0xd03", _NO_CRYPTO),
    Core("cortex-a72", "Raspberry Pi 4", "0xd08", _NO_CRYPTO),
    Core(
        "cortex-a76",
        "Raspberry Pi 5",
        "0xd0b",
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    ),
)


class MissingError(Exception):
    """Something that has to be installed first; the message is for people, with the command that does it."""


def default_cache() -> Path:
    """Return the folder in which the userland lies, outside the repository."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "edgeaudio" / "emulated-pi"


def missing_packages(cache: Path) -> list[str]:
    """Return the Debian packages that this machine lacks."""
    needed = {"qemu-aarch64": ["qemu-user"], "cc": ["gcc", "libc6-dev"]}
    if not (_home(cache) / "userland" / _PYTHON).exists():
        needed["mmdebstrap"] = ["mmdebstrap"]
    return [
        package
        for program, packages in needed.items()
        if shutil.which(program) is None
        for package in packages
    ]


def install(packages: Sequence[str]) -> None:
    """Install Debian packages.

    Raises
    ------
    MissingError
        It cannot be done here.
    """
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    if shutil.which("apt-get") is None:
        raise MissingError(f"{', '.join(packages)}: there is no apt-get here that could install them")
    prefix = _as_root(command)
    update = subprocess.run([*prefix, "apt-get", "update", "-q"], capture_output=True, text=True, check=False)
    _run(
        [*prefix, *command],
        "apt-get could not install them" if update.returncode == 0 else "no package lists",
    )


class Device:
    """An emulated device, ready to run Python.

    Parameters
    ----------
    cache : Path
        Where the userland lies, or is put: half a gigabyte. What is there already is used.

    Raises
    ------
    MissingError
        Root rights, or the network, while the userland is not there yet.
    """

    def __init__(self, cache: Path) -> None:
        self._home = _home(cache)
        self._root = self._home / "userland"
        self._home.mkdir(parents=True, exist_ok=True)
        if not (self._root / _PYTHON).exists():
            self._bootstrap()
        if not (self._home / "site").exists():
            self._install_wheels()
        self._plugin = self._compile_plugin()
        for core in CORES:
            self._describe(core)

    def run(self, core: Core, arguments: Sequence[str], counts: Path | None = None) -> str:
        """Run ``python3 -m …`` on ``core`` and return what it printed; its readings go to ``counts``.

        Raises
        ------
        RuntimeError
            It failed; with what it wrote.
        """
        plugin = [] if counts is None else ["-plugin", f"{self._plugin},out={counts}"]
        prefix = self._home / core.name
        command = ["qemu-aarch64", "-cpu", core.name, "-L", str(prefix), *plugin, str(self._root / _PYTHON)]
        environment = {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "PYTHONHOME": str(self._root / "usr"),
            "PYTHONPATH": f"{self._home / 'site'}:{REPOSITORY}",
            "PYTHONNOUSERSITE": "1",
            # The order of sets, and with it the count of instructions, must not change from run to run.
            "PYTHONHASHSEED": "0",
            "NUMBA_CACHE_DIR": str(self._home / f"numba-{core.name}"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        done = subprocess.run(
            [*command, "-m", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"{' '.join(arguments[:2])} on {core.name} ended with {done.returncode}:\n{done.stderr}"
            )
        return done.stdout

    def _bootstrap(self) -> None:
        part = self._home / "userland.part"
        command = [
            "mmdebstrap",
            "--variant=extract",
            "--arch=arm64",
            f"--include={','.join(_PACKAGES)}",
            SUITE,
        ]
        prefix = _as_root([*command, str(self._root)])
        _run([*prefix, "rm", "-rf", str(part)], "an earlier attempt cannot be removed")
        _run([*prefix, *command, str(part)], "Debian for arm64 could not be fetched")
        # What Debian does after unpacking. The emulator would take a minute for it, module by module.
        if sys.version_info[:2] == (3, 11) and os.access(part / "usr/lib/python3.11", os.W_OK):
            command = [sys.executable, "-m", "compileall", "-q", str(part / "usr/lib/python3.11")]
            subprocess.run(command, capture_output=True, check=False)
        part.rename(self._root)

    def _install_wheels(self) -> None:
        part = self._home / "site.part"
        shutil.rmtree(part, ignore_errors=True)
        platforms = [f"--platform={name}_aarch64" for name in _PLATFORMS]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(part), *platforms]
        command += [
            "--only-binary=:all:",
            "--implementation=cp",
            "--python-version=3.11",
            "-r",
            str(_REQUIREMENTS),
        ]
        _run(command, "the packages for arm64 could not be fetched")
        part.rename(self._home / "site")

    def _compile_plugin(self) -> Path:
        plugin = self._home / "count.so"
        interface = 2 if qemu_version()[0] >= 9 else 1
        flags = ["-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden"]
        flags += [f"-DINTERFACE={interface}", f"-DMARK={MARK}"]
        _run(["cc", *flags, str(_HERE / "count.c"), "-o", str(plugin)], "the plugin does not compile")
        return plugin

    def _describe(self, core: Core) -> None:
        """Make a root folder for ``core``: the common userland, and what a kernel would say of the processor.

        onnxruntime and LiteRT look there, and so does LLVM, which compiles for the core that it finds.
        """
        folder = self._home / core.name
        processors = folder / "sys/devices/system/cpu"
        processors.mkdir(parents=True, exist_ok=True)
        (folder / "proc").mkdir(exist_ok=True)
        for name in ("possible", "present", "online"):
            (processors / name).write_text("0-3\n")
        (folder / "proc" / "cpuinfo").write_text(cpuinfo(core))
        for entry in self._root.iterdir():
            link = folder / entry.name
            if not link.exists() and not link.is_symlink():
                link.symlink_to(entry)


def cpuinfo(core: Core, n_cores: int = 4) -> str:
    """Return what Linux would write in /proc/cpuinfo."""
    facts = {
        "BogoMIPS": "108.00",
        "Features": core.features,
        "CPU implementer": "0x41",  # ARM
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": core.part,
        "CPU revision": "3",
    }
    text = "".join(f"{key}\t: {value}\n" for key, value in facts.items())
    return "".join(f"processor\t: {number}\n{text}\n" for number in range(n_cores))


def qemu_version() -> tuple[int, ...]:
    """Return the emulator's version.

    Raises
    ------
    MissingError
        It says none.
    """
    said = _run(["qemu-aarch64", "--version"], "the emulator does not start")
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", said)
    if found is None:
        raise MissingError(
            f"qemu-aarch64 says no version: {said.strip()!r}; install Debian's: apt-get install qemu-user"
        )
    return tuple(map(int, found.groups()))


def _home(cache: Path) -> Path:
    """Return the part of the cache that belongs to these versions: others lie beside it."""
    facts = "\n".join((SUITE, *_PACKAGES, _REQUIREMENTS.read_text(encoding="utf-8")))
    return cache / hashlib.sha256(facts.encode()).hexdigest()[:12]


def _as_root(command: Sequence[str]) -> list[str]:
    """Return what goes before ``command`` to run it with root rights."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    raise MissingError(f"root rights, for:\n  sudo {shlex.join(command)}")


def _run(command: Sequence[str], otherwise: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise MissingError(f"{otherwise}:\n  {shlex.join(command)}\n{last}")
    return done.stdout
