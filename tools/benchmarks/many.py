"""What each further wake word costs: one to ten models in one daemon, beside another engine's."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgeaudio.models.catalogue import find_model
from tools.benchmarks.daemon import OPEN, Cost, Recording, record
from tools.benchmarks.process import EDGEAUDIO, run_measured
from tools.benchmarks.report import Limit, Report, Table

OURS, MICRO = "edgeaudio", "pymicro-wakeword"
MAX_OF_ONE, MAX_OF_MICRO = 0.7, 0.5
PACKAGES = ["numba", "ai-edge-litert", "onnxruntime", "pymicro-wakeword", "pymicro-features"]

# As its users write it for several words: one frontend, whose features every model gets.
_MICRO_SCRIPT = """
import itertools, sys
from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model
names = itertools.islice(itertools.cycle(Model), int(sys.argv[1]))
models = [MicroWakeWord.from_builtin(name) for name in names]
frontend = MicroWakeWordFeatures()
while block := sys.stdin.buffer.read(2048):
    for features in frontend.process_streaming(block):
        for model in models:
            model.process_streaming(features)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --model and --backend."""
    parser.add_argument(
        "--model", default="wake-computer", help="copied under other names (default: %(default)s)"
    )
    parser.add_argument("--backend", choices=["litert", "onnx"], help="instead of the profile's")


def run(options: argparse.Namespace) -> Report:
    """Measure each number of models on a short and a long recording; the difference is free of start-up."""
    if importlib.util.find_spec("pymicro_wakeword") is None:
        # Not left out: a comparison that passes without what it compares with would be worth nothing.
        sys.exit("tools/bench many needs pymicro-wakeword: pip install --group bench")
    counts = (1, 10) if options.smoke else (1, 2, 5, 10)
    seconds = (5, 65) if options.smoke else (30, 330)
    repetitions = 1 if options.smoke else 5
    with tempfile.TemporaryDirectory() as folder:
        copies = _copies(find_model(options.model), Path(folder), max(counts))
        choice = ["--backend", options.backend] if options.backend else []

        def command(engine: str, n: int, recording: Recording) -> list[str]:
            if engine == MICRO:
                return [sys.executable, "-c", _MICRO_SCRIPT, str(n)]
            models = [word for copy in copies[:n] for word in ("--model", str(copy))]
            return [*EDGEAUDIO, "wake", str(recording.wav), "--fast", "--json", *choice, *models]

        recordings = [record(Path(folder), None, length) for length in seconds]
        costs = _costs(command, counts, recordings, seconds[1] - seconds[0], repetitions)
    return _report(costs, counts, seconds, repetitions)


def _copies(folder: Path, parent: Path, n: int) -> list[Path]:
    """Write copies of a model that have names of their own."""
    copies = []
    for i in range(n):
        copy = parent / f"word-{i}"
        shutil.copytree(folder, copy)
        manifest = copy / "model.yaml"
        text = re.sub(
            r"^name: .*$", f"name: word-{i}", manifest.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        manifest.write_text(text, encoding="utf-8")
        copies.append(copy)
    return copies


def _costs(
    command: Callable[[str, int, Recording], list[str]],
    counts: tuple[int, ...],
    recordings: list[Recording],
    seconds: int,
    repetitions: int,
) -> dict[tuple[str, int], Cost]:
    runs = [(engine, n) for n in counts for engine in (OURS, MICRO)]
    for engine in (OURS, MICRO):  # compiles, and fills the file cache
        run_measured(command(engine, 1, recordings[0]), recordings[0].raw)
    cpu_ms: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    rss_mb: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    for _ in range(repetitions):
        for engine, n in runs:  # by turns, so that a slow minute of the machine hits all
            before, after = (run_measured(command(engine, n, one), one.raw) for one in recordings)
            cpu_ms[engine, n].append(1000 * (after.cpu_s - before.cpu_s) / seconds)
            rss_mb[engine, n].append(after.rss_mb)
    return {key: Cost(cpu_ms[key], statistics.median(rss_mb[key])) for key in runs}


def _report(
    costs: dict[tuple[str, int], Cost],
    counts: tuple[int, ...],
    seconds: tuple[int, int],
    repetitions: int,
) -> Report:
    rows = []
    for n in counts:
        ours, micro = costs[OURS, n], costs[MICRO, n]
        rows.append(
            [
                str(n),
                f"{ours.median_ms:.2f} ({min(ours.cpu_ms):.2f} to {max(ours.cpu_ms):.2f})",
                f"{ours.rss_mb:.0f}",
                f"{micro.median_ms:.2f} ({min(micro.cpu_ms):.2f} to {max(micro.cpu_ms):.2f})",
                f"{micro.rss_mb:.0f}",
                f"{ours.median_ms / micro.median_ms:.2f}",
            ]
        )
    most = counts[-1]
    further, memory = ({e: _slope(costs, e, most, what) for e in (OURS, MICRO)} for what in (_ms, _mb))
    rows.append(
        [
            "each further one",
            f"{further[OURS]:.2f}",
            f"{memory[OURS]:.1f}",
            f"{further[MICRO]:.2f}",
            f"{memory[MICRO]:.1f}",
            f"{further[OURS] / further[MICRO]:.2f}",
        ]
    )
    columns = ["models", f"{OURS}, CPU ms per audio second", "RSS MB", f"{MICRO}, CPU ms", "RSS MB"]
    of_one = further[OURS] / costs[OURS, 1].median_ms
    return Report(
        title="Several wake words at once",
        tables=[Table([*columns, "edgeaudio takes"], rows)],
        limits=[
            Limit("a further model, CPU of a daemon with one", of_one, MAX_OF_ONE),
            Limit(
                f"a further model, CPU of one in {MICRO}",
                further[OURS] / further[MICRO],
                MAX_OF_MICRO,
                smoke_limit=1.0,
            ),
        ],
        notes=[
            f"CPU time of whole processes, one thread each: {seconds[1]} s of audio minus {seconds[0]} s "
            f"({repetitions} runs by turns; median, and range), so start-up is left out. Ours are copies of "
            f"one model; {MICRO}'s are the four that it brings, over and over, behind one frontend.",
            f"{OPEN} was not run: its package carries no models, and nothing is downloaded here.",
        ],
        packages=PACKAGES,
    )


def _ms(cost: Cost) -> float:
    return cost.median_ms


def _mb(cost: Cost) -> float:
    return cost.rss_mb


def _slope(
    costs: dict[tuple[str, int], Cost], engine: str, most: int, what: Callable[[Cost], float]
) -> float:
    return (what(costs[engine, most]) - what(costs[engine, 1])) / (most - 1)
