"""CPU time and memory of the whole daemon, beside other wake-word engines on the same audio."""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.audio import RATE_HZ, daemon_audio
from tools.benchmarks.process import EDGEAUDIO, run_measured
from tools.benchmarks.report import Limit, Report, Table

SHORT_S, LONG_S = 30, 330
OURS, MICRO, OPEN = "edgeaudio", "pymicro-wakeword okay_nabu", "openWakeWord"
MAX_OF_MICRO, MAX_OF_OPEN = 0.6, 0.1
PACKAGES = ["numba", "ai-edge-litert", "onnxruntime", "pymicro-wakeword", "pymicro-features"]

_OPEN_SCRIPT = """
import sys, wave, numpy as np
from openwakeword.model import Model
model = Model(inference_framework="onnx")
with wave.open(sys.argv[1]) as file:
    while block := file.readframes(1280):
        model.predict(np.frombuffer(block, np.int16))
"""


@dataclass(frozen=True)
class Recording:
    """The same audio as a WAV file and as raw samples, since not everybody reads both."""

    wav: Path
    raw: Path


@dataclass(frozen=True)
class Contestant:
    """How one engine is run over a recording, as its users run it."""

    name: str
    command: Callable[[Recording], list[str]]
    reads_raw: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --audio and --model."""
    parser.add_argument(
        "--audio", type=Path, metavar="MANIFEST", help="recordings to hear; the demo by default"
    )
    parser.add_argument("--model", default="wake-computer", help="our model (default: %(default)s)")


def run(options: argparse.Namespace) -> Report:
    """Measure each contestant on a short and a long recording; the difference is free of start-up."""
    repetitions = 3 if options.smoke else 9
    contestants = _contestants(options.model)
    cpu_ms: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    rss_mb: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    with tempfile.TemporaryDirectory() as folder:
        short, long = (record(Path(folder), options.audio, seconds) for seconds in (SHORT_S, LONG_S))
        for contestant in contestants:
            _measure(contestant, short)  # compiles, and fills the file cache
        for _ in range(repetitions):
            for contestant in contestants:  # by turns, so that a slow minute of the machine hits all
                (short_cpu, _), (long_cpu, rss) = _measure(contestant, short), _measure(contestant, long)
                cpu_ms[contestant.name].append(1000 * (long_cpu - short_cpu) / (LONG_S - SHORT_S))
                rss_mb[contestant.name].append(rss)
    medians = {name: statistics.median(values) for name, values in cpu_ms.items()}
    rows = [
        [
            name,
            f"{medians[name]:.2f}",
            f"{min(cpu_ms[name]):.2f} to {max(cpu_ms[name]):.2f}",
            f"{medians[OURS] / medians[name]:.2f}",
            f"{statistics.median(rss_mb[name]):.0f}",
        ]
        for name in medians
    ]
    notes = [
        f"Whole processes in live-size blocks as fast as they can, one thread each, {repetitions} times by "
        f"turns. CPU time of {LONG_S} s of audio minus that of {SHORT_S} s: start-up is left out."
    ]
    if OPEN not in medians:
        rows.append([OPEN, "not run", "", "", ""])
        notes.append("openWakeWord: its package carries no models, and they could not be downloaded here.")
    columns = ["daemon", "CPU ms per audio second", "range", "edgeaudio takes", "RSS MB"]
    return Report(
        title="The daemon over five minutes of audio",
        tables=[Table(columns, rows)],
        limits=_limits(medians),
        notes=notes,
        packages=PACKAGES,
    )


def _limits(medians: dict[str, float]) -> list[Limit]:
    limits = []
    for other, limit, smoke_limit in ((MICRO, MAX_OF_MICRO, 1.2), (OPEN, MAX_OF_OPEN, 0.2)):
        if other in medians:
            limits.append(
                Limit(f"CPU time, of {other}", medians[OURS] / medians[other], limit, smoke_limit=smoke_limit)
            )
    return limits


def _contestants(model: str) -> list[Contestant]:
    def ours(backend: str | None) -> Callable[[Recording], list[str]]:
        choice = ["--backend", backend] if backend else []
        return lambda audio: [
            *EDGEAUDIO,
            "wake",
            str(audio.wav),
            "--fast",
            "--json",
            "--model",
            model,
            *choice,
        ]

    contestants = [
        Contestant(OURS, ours(None)),
        Contestant("edgeaudio, onnxruntime", ours("onnx")),
        Contestant(
            MICRO,
            lambda _: [sys.executable, "-m", "pymicro_wakeword", "--model", "okay_nabu"],
            reads_raw=True,
        ),
    ]
    if _open_wake_word_has_models():
        contestants.append(
            Contestant(OPEN, lambda audio: [sys.executable, "-c", _OPEN_SCRIPT, str(audio.wav)])
        )
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


def _measure(contestant: Contestant, recording: Recording) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of one run."""
    stdin = recording.raw if contestant.reads_raw else None
    usage = run_measured(contestant.command(recording), stdin)
    return usage.cpu_s, usage.rss_mb
