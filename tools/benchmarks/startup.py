"""From the start of the process to the first frame heard, with a warm cache."""

from __future__ import annotations

import argparse
import re
import statistics

from tools.benchmarks.audio import DEMO
from tools.benchmarks.process import EDGEAUDIO, run_measured
from tools.benchmarks.report import Limit, Report, Table

LIMIT_S = 1.2
PACKAGES = ["numpy", "numba", "ai-edge-litert", "onnxruntime"]
_FIRST_FRAME = re.compile(r"first frame after ([\d.]+) s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --model."""
    parser.add_argument("--model", default="wake-computer", help="model to load (default: %(default)s)")


def run(options: argparse.Namespace) -> Report:
    """Start the command again and again, with each runtime by turns."""
    repetitions = 2 if options.smoke else 15
    first_frame_s: dict[str, list[float]] = {"litert": [], "onnx": []}
    cpu_s: dict[str, list[float]] = {"litert": [], "onnx": []}
    for turn in range(repetitions + 1):
        for backend, values in first_frame_s.items():
            command = [*EDGEAUDIO, "wake", str(DEMO), "--fast", "--json", "--log-level", "debug"]
            usage = run_measured([*command, "--model", options.model, "--backend", backend])
            found = _FIRST_FRAME.search(usage.stderr)
            if found is None:
                raise RuntimeError(f"no line about the first frame in:\n{usage.stderr}")
            if turn > 0:  # the first one may have had to compile
                values.append(float(found[1]))
                cpu_s[backend].append(usage.cpu_s)
    rows = [
        [
            backend,
            f"{statistics.median(values):.2f}",
            f"{min(values):.2f} to {max(values):.2f}",
            f"{statistics.median(cpu_s[backend]):.2f}",
        ]
        for backend, values in first_frame_s.items()
    ]
    # A loaded machine only ever adds: the smoke run takes its best.
    default = first_frame_s["litert"]
    value = min(default) if options.smoke else statistics.median(default)
    return Report(
        title="Start-up",
        tables=[Table(["backend", "first frame after, s", "range", "CPU s of the run"], rows)],
        limits=[Limit("first frame, default backend", value, LIMIT_S, " s", 2 * LIMIT_S)],
        notes=[
            f"`edgeaudio wake demo.flac --fast` with a warm Numba cache, {repetitions} starts, as the "
            "command itself counts from the start of its process."
        ],
        packages=PACKAGES,
    )
