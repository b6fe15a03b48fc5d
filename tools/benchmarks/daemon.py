"""CPU time and memory of the whole daemon, beside other wake-word engines on the same audio."""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
import wave
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.audio import RATE_HZ, daemon_audio
from tools.benchmarks.process import EDGEAUDIO, Usage, run_measured
from tools.benchmarks.report import Limit, Report, Table

SHORT_S, LONG_S = 30, 330
LIVE_SHORT_S, LIVE_LONG_S = 10, 130
OURS, MICRO, OPEN = "edgeaudio", "pymicro-wakeword okay_nabu", "openWakeWord"
MAX_OF_MICRO, MAX_OF_OPEN = 0.6, 0.1
PACKAGES = ["numba", "ai-edge-litert", "onnxruntime", "pymicro-wakeword", "pymicro-features"]

_OPEN_SCRIPT = """
import sys, numpy as np
from openwakeword.model import Model
model = Model(inference_framework="onnx")
while block := sys.stdin.buffer.read(2 * 1280):
    model.predict(np.frombuffer(block, np.int16))
"""


@dataclass(frozen=True)
class Recording:
    """The same audio as a WAV file, and as raw samples for standard input."""

    wav: Path
    raw: Path


@dataclass(frozen=True)
class Contestant:
    """How one engine is run by its users: over a recording, and live; both find it on standard input."""

    name: str
    fast: Callable[[Recording], list[str]]
    live: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --audio and --model."""
    parser.add_argument(
        "--audio", type=Path, metavar="MANIFEST", help="recordings to hear; the demo by default"
    )
    parser.add_argument("--model", default="wake-computer", help="our model (default: %(default)s)")


def run(options: argparse.Namespace) -> Report:
    """Measure each contestant on a short and a long recording; the difference is free of start-up."""
    contestants = _contestants(options.model)
    repetitions = 2 if options.smoke else 9
    with tempfile.TemporaryDirectory() as folder:

        def audio(seconds: int) -> Recording:
            return record(Path(folder), options.audio, seconds)

        costs = _fast_costs(contestants, audio(SHORT_S), audio(LONG_S), repetitions)
        tables = [_table(costs, "As fast as it can, in live-size blocks")]
        if not options.smoke:
            live = _live_costs(contestants, audio(LIVE_SHORT_S), audio(LIVE_LONG_S))
            tables.append(_table(live, "Fed in real time through a pipe, 20 ms a write, all at once"))
    notes = [
        f"CPU time of whole processes, one thread each: {LONG_S} s of audio minus {SHORT_S} s ({repetitions} "
        f"runs by turns), live {LIVE_LONG_S} s minus {LIVE_SHORT_S} s; so start-up is left out."
    ]
    if OPEN not in costs:
        notes.append(
            "openWakeWord was not run: its package carries no models, and nothing is downloaded here."
        )
    return Report(
        title="The daemon over five minutes of audio",
        tables=tables,
        limits=_limits(costs),
        notes=notes,
        packages=PACKAGES,
    )


@dataclass(frozen=True)
class Cost:
    """CPU ms per audio second, one value a run, and the largest memory."""

    cpu_ms: list[float]
    rss_mb: float

    @property
    def median_ms(self) -> float:
        """The run in the middle."""
        return statistics.median(self.cpu_ms)


def _fast_costs(
    contestants: Sequence[Contestant], short: Recording, long: Recording, repetitions: int
) -> dict[str, Cost]:
    def measure(contestant: Contestant, recording: Recording) -> Usage:
        return run_measured(contestant.fast(recording), recording.raw)

    for contestant in contestants:
        measure(contestant, short)  # compiles, and fills the file cache
    runs: dict[str, list[tuple[Usage, Usage]]] = {contestant.name: [] for contestant in contestants}
    for _ in range(repetitions):
        for contestant in contestants:  # by turns, so that a slow minute of the machine hits all
            runs[contestant.name].append((measure(contestant, short), measure(contestant, long)))
    return {name: _cost(pairs, LONG_S - SHORT_S) for name, pairs in runs.items()}


def _live_costs(contestants: Sequence[Contestant], short: Recording, long: Recording) -> dict[str, Cost]:
    """All at once: together they take a few thousandths of a core."""
    with ThreadPoolExecutor(2 * len(contestants)) as pool:
        pending = {
            contestant.name: [
                pool.submit(run_measured, contestant.live, recording.raw, paced=True)
                for recording in (short, long)
            ]
            for contestant in contestants
        }
    return {
        name: _cost([(before.result(), after.result())], LIVE_LONG_S - LIVE_SHORT_S)
        for name, (before, after) in pending.items()
    }


def _cost(pairs: Sequence[tuple[Usage, Usage]], seconds: int) -> Cost:
    cpu_ms = [1000 * (after.cpu_s - before.cpu_s) / seconds for before, after in pairs]
    return Cost(cpu_ms, statistics.median(after.rss_mb for _, after in pairs))


def _table(costs: dict[str, Cost], title: str) -> Table:
    rows = [
        [
            name,
            f"{cost.median_ms:.2f}",
            f"{min(cost.cpu_ms):.2f} to {max(cost.cpu_ms):.2f}" if len(cost.cpu_ms) > 1 else "one run",
            f"{costs[OURS].median_ms / cost.median_ms:.2f}",
            f"{cost.rss_mb:.0f}",
        ]
        for name, cost in costs.items()
    ]
    columns = ["daemon", "CPU ms per audio second", "range", "edgeaudio takes", "RSS MB"]
    return Table(columns, rows, title=title)


def _limits(costs: dict[str, Cost]) -> list[Limit]:
    limits = []
    for other, limit, smoke_limit in ((MICRO, MAX_OF_MICRO, 1.2), (OPEN, MAX_OF_OPEN, 0.2)):
        if other in costs:
            ratio = costs[OURS].median_ms / costs[other].median_ms
            limits.append(Limit(f"CPU time, of {other}", ratio, limit, smoke_limit=smoke_limit))
    return limits


def _contestants(model: str) -> list[Contestant]:
    def ours(name: str, *choice: str) -> Contestant:
        options = ["--json", "--model", model, *choice]
        return Contestant(
            name,
            lambda recording: [*EDGEAUDIO, "wake", str(recording.wav), "--fast", *options],
            [*EDGEAUDIO, "wake", "-", *options],
        )

    def other(name: str, *arguments: str) -> Contestant:
        command = [sys.executable, *arguments]
        return Contestant(name, lambda _: command, command)

    if importlib.util.find_spec("pymicro_wakeword") is None:
        # Not left out: a comparison that passes without what it compares with would be worth nothing.
        sys.exit("tools/bench daemon needs pymicro-wakeword: pip install --group bench")
    contestants = [
        ours(OURS),
        ours("edgeaudio, onnxruntime", "--backend", "onnx"),
        other(MICRO, "-m", "pymicro_wakeword", "--model", "okay_nabu"),
    ]
    if _open_wake_word_has_models():
        contestants.append(other(OPEN, "-c", _OPEN_SCRIPT))
    return contestants


def _open_wake_word_has_models() -> bool:
    spec = importlib.util.find_spec("openwakeword")
    if spec is None or spec.origin is None:
        return False
    return any((Path(spec.origin).parent / "resources" / "models").glob("*.onnx"))


def record(folder: Path, manifest: Path | None, seconds: int) -> Recording:
    """Write :func:`daemon_audio` into ``folder``, both ways."""
    samples = daemon_audio(manifest, seconds)
    recording = Recording(folder / f"{seconds}.wav", folder / f"{seconds}.raw")
    recording.raw.write_bytes(samples.tobytes())
    with wave.open(str(recording.wav), "wb") as file:
        file.setparams((1, 2, RATE_HZ, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())
    return recording
