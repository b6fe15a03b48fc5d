"""What everything at once costs, and each further task: one `edgeaudio listen` with ever more of them."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgeaudio.models.catalogue import find_model
from edgeaudio.models.manifest import MANIFEST_FILE, load_manifest
from tools.benchmarks.daemon import Cost, Recording, record
from tools.benchmarks.process import EDGEAUDIO, run_measured
from tools.benchmarks.report import Limit, Report, Table

TASKS = {"caption": "captions-en-small", "vad": "vad-small", "sounds": "sounds-home", "wake": "wake-computer"}
"""Each kind with its model, in the order in which they are added: those with one frontend first."""
CLASSIFIERS = ("vad", "sounds")
MAX_REAL_TIME_FACTOR, MAX_CLASSIFIER_MS = 0.05, 1.0
PACKAGES = ["numba", "ai-edge-litert", "onnxruntime"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --tasks, --audio and --backend."""
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=list(TASKS),
        default=list(TASKS),
        help="which, in this order (default: all)",
    )
    parser.add_argument("--audio", type=Path, metavar="MANIFEST", help="recordings instead of the demo")
    parser.add_argument("--backend", choices=["litert", "onnx"], help="instead of the profile's")


def run(options: argparse.Namespace) -> Report:
    """Measure each task alone and with all before it, on a short and a long recording."""
    seconds = (5, 45) if options.smoke else (30, 330)
    repetitions = 1 if options.smoke else 5
    listed = options.tasks
    chosen = [(kind,) for kind in listed] + [tuple(listed[: n + 1]) for n in range(1, len(listed))]
    with tempfile.TemporaryDirectory() as folder:
        recordings = [record(Path(folder), options.audio, length) for length in seconds]
        commands = {
            kinds: [_command(Path(folder), kinds, one, options.backend) for one in recordings]
            for kinds in chosen
        }
        costs = _costs(commands, seconds[1] - seconds[0], repetitions)
    return _report(costs, listed, seconds, repetitions)


def _costs(
    commands: dict[tuple[str, ...], list[list[str]]], length_s: int, repetitions: int
) -> dict[tuple[str, ...], Cost]:
    cpu_ms: dict[tuple[str, ...], list[float]] = {kinds: [] for kinds in commands}
    rss_mb: dict[tuple[str, ...], list[float]] = {kinds: [] for kinds in commands}
    *_, all_tasks = commands.values()
    run_measured(all_tasks[0])  # compiles, and fills the file cache
    for _ in range(repetitions):
        for kinds, (short, long) in commands.items():  # by turns: a slow minute of the machine hits all
            before, after = run_measured(short), run_measured(long)
            cpu_ms[kinds].append(1000 * (after.cpu_s - before.cpu_s) / length_s)
            rss_mb[kinds].append(after.rss_mb)
    return {kinds: Cost(cpu_ms[kinds], statistics.median(rss_mb[kinds])) for kinds in commands}


def _command(folder: Path, kinds: tuple[str, ...], recording: Recording, backend: str | None) -> list[str]:
    """Write a file for `edgeaudio listen`, and return what reads it."""
    path = folder / f"{'-'.join(kinds)}-{recording.wav.stem}.yaml"
    path.write_text(
        f"source: {{file: {{path: {recording.wav}, fast: true}}}}\n"
        f"backend: {backend or 'null'}\n"
        f"tasks: [{', '.join(f'{{{kind}: {{model: {TASKS[kind]}}}}}' for kind in kinds)}]\n"
        "outputs: [stdout: json]\n",
        encoding="utf-8",
    )
    return [*EDGEAUDIO, "listen", str(path)]


def _report(
    costs: dict[tuple[str, ...], Cost], kinds: Sequence[str], seconds: tuple[int, int], repetitions: int
) -> Report:
    rows = []
    further_ms: dict[str, float] = {}
    frontends: set[str] = set()
    for n, kind in enumerate(kinds):
        so_far, alone = costs[tuple(kinds[: n + 1])], costs[kind,]
        if n:
            turns = zip(so_far.cpu_ms, costs[tuple(kinds[:n])].cpu_ms, strict=True)
            further_ms[kind] = statistics.median(after - before for after, before in turns)
        frontends.add(load_manifest(find_model(TASKS[kind]) / MANIFEST_FILE).frontend_fingerprint)
        rows.append(
            [
                TASKS[kind],
                f"{alone.median_ms:.2f} ({min(alone.cpu_ms):.2f} to {max(alone.cpu_ms):.2f})",
                f"{further_ms[kind]:.2f}" if kind in further_ms else "",
                str(len(frontends)),
                f"{so_far.median_ms:.2f} ({min(so_far.cpu_ms):.2f} to {max(so_far.cpu_ms):.2f})",
                f"{so_far.median_ms / 1000:.4f}",
                f"{so_far.rss_mb:.0f}",
            ]
        )
    columns = ["task", "alone, CPU ms per audio second", "further", "frontends"]
    columns += ["together with those above", "real-time factor", "RSS MB"]
    factor = costs[tuple(kinds)].median_ms / 1000
    name = f"real-time factor of all {len(kinds)} tasks on one core"
    limits = [Limit(name, factor, MAX_REAL_TIME_FACTOR, smoke_limit=2 * MAX_REAL_TIME_FACTOR)]
    limits += [
        Limit(f"further CPU of {TASKS[kind]}", further_ms[kind], MAX_CLASSIFIER_MS, " ms")
        for kind in CLASSIFIERS
        if kind in further_ms
    ]
    return Report(
        title="Everything at once",
        tables=[Table(columns, rows)],
        limits=limits,
        notes=[
            "CPU time of whole processes (`edgeaudio listen`, a file as fast as possible): "
            f"{seconds[1]} s of audio minus {seconds[0]} s ({repetitions} runs by turns; median, and range), "
            "so start-up is left out. `further` is what a task costs beside those above it, turn by turn; "
            "tasks with the same features share one frontend.",
        ],
        packages=PACKAGES,
    )
