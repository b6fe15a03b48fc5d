"""What everything at once costs, and each further task: one engine with ever more of them."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeaudio import ArraySource, Engine
from edgeaudio.backends.base import Runtime
from edgeaudio.profiles import Profile
from edgeaudio.profiling.wanted import Wanted
from edgeaudio.types import SAMPLE_RATE_HZ, Samples
from tools.benchmarks.audio import daemon_audio
from tools.benchmarks.daemon import record
from tools.benchmarks.process import EDGEAUDIO, run_measured
from tools.benchmarks.report import Limit, Report, Table

KINDS = ("captions", "vad", "sounds", "wake")
"""In the order in which they are added: those with one frontend first."""
CLASSIFIERS = ("vad", "sounds")
MAX_REAL_TIME_FACTOR, MAX_CLASSIFIER_MS = 0.05, 1.0
PACKAGES = ["numba", "ai-edge-litert", "onnxruntime"]
_MEMORY_S = 10

Chosen = tuple[Wanted, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --tasks, --audio and --backend."""
    parser.add_argument(
        "--tasks",
        nargs="+",
        metavar="TASK[=MODEL]",
        default=list(KINDS),
        help=f"which, in this order (default: {' '.join(KINDS)})",
    )
    parser.add_argument("--audio", type=Path, metavar="MANIFEST", help="recordings instead of the demo")
    parser.add_argument("--backend", choices=["litert", "onnx"], help="instead of the profile's")


def run(options: argparse.Namespace) -> Report:
    """Measure each task alone, and with all before it."""
    wanted = [Wanted.parse(text) for text in options.tasks]
    seconds, turns = (20, 2) if options.smoke else (60, 12)
    together = [tuple(wanted[: n + 1]) for n in range(len(wanted))]
    chosen = list(dict.fromkeys([(one,) for one in wanted] + together))
    samples = (daemon_audio(options.audio, seconds) / 32768).astype(np.float32)
    cpu_ms: dict[Chosen, list[float]] = {tasks: [] for tasks in chosen}
    for turn in range(turns + 1):
        for tasks, found in cpu_ms.items():  # by turns: a slow minute of the machine hits all
            cost_ms = _cpu_ms(tasks, samples, options.backend)
            if turn:  # the first one fills caches
                found.append(cost_ms)
    with tempfile.TemporaryDirectory() as folder:
        rss_mb = {tasks: _rss_mb(Path(folder), tasks, options.audio) for tasks in together}
    return _report(cpu_ms, rss_mb, seconds, turns)


def _cpu_ms(tasks: Chosen, samples: Samples, backend: Runtime | None) -> float:
    """Return the CPU time of an engine for a second of audio."""
    profile = Profile()
    engine = Engine(ArraySource(samples), *(one.load(profile, backend) for one in tasks), profile=profile)
    engine.run_until_finished()
    return 1000 * engine.stats().busy_s * SAMPLE_RATE_HZ / len(samples)


def _rss_mb(folder: Path, tasks: Chosen, audio: Path | None) -> float:
    """Return the largest memory of `edgeaudio listen` with these tasks."""
    path = folder / "listen.yaml"
    keys = {"captions": "caption"}
    entries = [f"{{{keys.get(one.kind, one.kind)}: {{model: {one.model}}}}}" for one in tasks]
    recording = record(folder, audio, _MEMORY_S)
    path.write_text(
        f"source: {{file: {{path: {recording.wav}, fast: true}}}}\ntasks: [{', '.join(entries)}]\n",
        encoding="utf-8",
    )
    return run_measured([*EDGEAUDIO, "listen", str(path)]).rss_mb


def _report(
    cpu_ms: dict[Chosen, list[float]], rss_mb: dict[Chosen, float], seconds: int, turns: int
) -> Report:
    rows: list[list[str]] = []
    limits: list[Limit] = []
    frontends = set()
    before: Chosen = ()
    for tasks, memory_mb in rss_mb.items():
        newest = tasks[-1]
        frontends.add(newest.load(Profile()).spec)
        so_far = cpu_ms[tasks]
        pairs = zip(so_far, cpu_ms[before], strict=True) if before else ()
        further = [after - without for after, without in pairs]
        rows.append(
            [
                newest.model,
                _spread(cpu_ms[newest,]),
                _spread(further) if further else "",
                str(len(frontends)),
                _spread(so_far),
                f"{statistics.median(so_far) / 1000:.4f}",
                f"{memory_mb:.0f}",
            ]
        )
        if further and newest.kind in CLASSIFIERS:
            middle = statistics.median(further)
            limits.append(Limit(f"further CPU of {newest.model}", middle, MAX_CLASSIFIER_MS, " ms", 3.0))
        before = tasks
    factor = statistics.median(cpu_ms[before]) / 1000
    name = f"real-time factor of all {len(before)} tasks on one core"
    limits.append(Limit(name, factor, MAX_REAL_TIME_FACTOR, smoke_limit=2 * MAX_REAL_TIME_FACTOR))
    columns = ["task", "alone, CPU ms per audio second", "further", "frontends"]
    columns += ["together with those above", "real-time factor", "RSS MB"]
    return Report(
        title="Everything at once",
        tables=[Table(columns, rows)],
        limits=limits,
        notes=[
            f"CPU time of the engine's thread over {seconds} s of audio, {turns} turns; in each, every task "
            "alone and with all those above it. Medians, and from the 10th to the 90th percentile of the "
            "turns. `further` is the difference within a turn: what a task costs beside those above it, "
            "whose frontend it shares where they hear the same features. RSS is the most memory that "
            "`edgeaudio listen` takes.",
        ],
        packages=PACKAGES,
    )


def _spread(values: Sequence[float]) -> str:
    low, middle, high = np.percentile(values, [10, 50, 90])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
