"""``tools/emulate-pi``: the same answers on an emulated Raspberry Pi, and how many instructions they take."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgeaudio.evaluation.manifest import Row, iter_clip
from tools.emulated.counting import TOLERANCE, moved, per_second
from tools.emulated.device import (
    CORES,
    REPOSITORY,
    Core,
    Device,
    MissingError,
    default_cache,
    install,
    missing_packages,
    qemu_version,
)
from tools.emulated.page import DOCUMENT, counts_table, known_counts, page, parity_table, write_page
from tools.emulated.parity import Answers, Comparison, compare

GUEST = "tools.emulated.guest"
SMOKE_CORE = "cortex-a72"
_EXIT_FAILED, _EXIT_MISSING = 1, 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 1 when answers or counts differ, 6 when something must be installed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.smoke and options.write_docs:
        parser.error("--smoke runs one core only: too little for the documentation")
    cache: Path = options.cache.resolve()
    if cache.is_relative_to(REPOSITORY):
        parser.error(f"--cache {options.cache} lies in the repository; choose a folder outside")
    try:
        device = _device(cache, may_install=options.install)
    except MissingError as missing:
        if options.or_skip:
            print(f"emulated Raspberry Pi: SKIPPED, nothing was checked; missing: {missing}")
            return 0
        print(f"tools/emulate-pi: missing: {missing}", file=sys.stderr)
        return _EXIT_MISSING
    cores = [core for core in CORES if not options.smoke or core.name == SMOKE_CORE]
    search = not (options.smoke or options.without_search)
    examined = _examine(device, cores, search=search)
    print(f"{parity_table(examined.compared)}\n\n{counts_table(examined.counts)}", flush=True)
    wrong = examined.differences()
    if options.write_docs and not wrong:
        write_page(page(examined.counts, examined.compared, examined.versions, search=search))
    elif options.check or options.smoke:
        wrong += _moved(examined.counts, all_counted=search)
    for line in wrong:
        print(f"FAILED: {line}", file=sys.stderr)
    return _EXIT_FAILED if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/emulate-pi", description=__doc__)
    parser.add_argument(
        "--smoke", action="store_true", help=f"{SMOKE_CORE} only, --without-search, --check; for CI"
    )
    parser.add_argument(
        "--without-search",
        action="store_true",
        help="leave out what looks for words in captions: compiling it takes longer than everything else",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"fail when a count is off its table by more than {100 * TOLERANCE:g} %%",
    )
    parser.add_argument("--write-docs", action="store_true", help="replace docs/emulated-pi.md")
    parser.add_argument(
        "--install", action="store_true", help="install missing Debian packages, as root or with sudo"
    )
    parser.add_argument(
        "--or-skip", action="store_true", help="succeed, and say so, where something is missing"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        metavar="DIR",
        help="where the userland lies (%(default)s)",
    )
    return parser


def _device(cache: Path, *, may_install: bool) -> Device:
    if packages := missing_packages(cache):
        if not may_install:
            raise MissingError(
                f"{', '.join(packages)}; install with: sudo apt-get install {' '.join(packages)}"
            )
        install(packages)
    return Device(cache)


class _Examined(NamedTuple):
    """What was found, by core."""

    compared: dict[str, list[Comparison]]
    counts: dict[str, dict[str, float]]
    versions: list[str]

    def differences(self) -> list[str]:
        """Say where the device's answers are not this machine's."""
        return [
            f"{core}: {each.name} differs by {each.difference:.3g}, at most {each.allowed:.3g}: {each.note}"
            for core, comparisons in self.compared.items()
            for each in comparisons
            if not each.holds
        ]


def _examine(device: Device, cores: Sequence[Core], *, search: bool) -> _Examined:
    """Compare and count on each core."""
    options = ["--search"] if search else []
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        recordings = folder / "recordings.npz"
        np.savez(recordings, words=_recording("demo.flac"), sentences=_recording("speech.flac"))
        here = _answers_here(recordings, options)
        # Side by side: what else runs on this machine changes no count.
        names = [core.name for core in cores]
        answers = pool.map(lambda core: _answers(device, core, recordings, options), cores)
        compared = {core: compare(here, found) for core, found in zip(names, answers, strict=True)}
        # Only now: the comparison has compiled everything, and Numba keeps it.
        counted = pool.map(lambda core: _counts(device, core, recordings, options), cores)
        counts = dict(zip(names, counted, strict=True))
    return _Examined(compared, counts, _versions(device, cores[0]))


def _answers_here(recordings: Path, options: list[str]) -> Answers:
    path = recordings.with_name("here.npz")
    command = [sys.executable, "-m", GUEST, "answers", str(recordings), str(path), *options]
    subprocess.run(command, check=True, cwd=REPOSITORY)
    return _load(path)


def _answers(device: Device, core: Core, recordings: Path, options: list[str]) -> Answers:
    _say(f"{core.name}: comparing answers with x86 (the first time, everything is compiled: many minutes)")
    path = recordings.with_name(f"{core.name}.npz")
    device.run(core, [GUEST, "answers", str(recordings), str(path), *options])
    return _load(path)


def _counts(device: Device, core: Core, recordings: Path, options: list[str]) -> dict[str, float]:
    _say(f"{core.name}: counting instructions")
    path = recordings.with_name(f"{core.name}.readings")
    names = device.run(core, [GUEST, "count", str(recordings), *options], counts=path).splitlines()
    # The last reading is that of the process's end.
    return per_second(names, [int(line) for line in path.read_text(encoding="ascii").splitlines()][:-1])


def _recording(name: str) -> np.ndarray:
    path = REPOSITORY / "edgeaudio" / "assets" / name
    return np.concatenate([block.copy() for block in iter_clip(Row(path, str(path)))])


def _load(path: Path) -> Answers:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _versions(device: Device, core: Core) -> list[str]:
    """Say what ran on both sides."""
    here = subprocess.run(
        [sys.executable, "-m", GUEST, "versions"], check=True, cwd=REPOSITORY, capture_output=True
    )
    there = json.loads(device.run(core, [GUEST, "versions"]))
    qemu = ".".join(map(str, qemu_version()))
    return [
        f"{side}: {', '.join(f'{name} {version}' for name, version in versions.items())}."
        for side, versions in ((f"Emulated (QEMU {qemu})", there), ("x86", json.loads(here.stdout)))
    ]


def _moved(counts: dict[str, dict[str, float]], *, all_counted: bool) -> list[str]:
    try:
        known = known_counts(DOCUMENT.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [f"{DOCUMENT.name}: {error}; write it anew: tools/emulate-pi --write-docs"]
    lines = [
        f"{core}: {line}"
        for core, found in counts.items()
        for line in moved(found, known.get(core, {}), all_counted=all_counted)
    ]
    return lines + (["if that is meant: tools/emulate-pi --write-docs, and commit the page"] if lines else [])


def _say(text: str) -> None:
    print(f"emulate-pi: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
