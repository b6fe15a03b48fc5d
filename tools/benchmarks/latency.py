"""How long after a word its event arrives, for audio that comes at its own pace."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.benchmarks.audio import DEMO, RATE_HZ, demo, to_int16
from tools.benchmarks.process import EDGEAUDIO
from tools.benchmarks.report import Limit, Report, Table

MAX_MEDIAN_S, MAX_P95_S = 0.25, 0.4
PACKAGES = ["numba", "ai-edge-litert", "onnxruntime"]
_LEAD_S = 4.0
"""Time for the process to start before the first word can be measured."""
_BLOCK_S = 0.02
_MATCH_S = 1.0
"""An event belongs to the word of its name that ended at most this long before or after."""


@dataclass(frozen=True)
class Word:
    """A word of the recording and the second in which it ends."""

    name: str
    end_s: float


@dataclass(frozen=True)
class Arrival:
    """An event, and the second of the recording in which it was read from the pipe."""

    event: dict[str, Any]
    at_s: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --model."""
    parser.add_argument(
        "--model",
        action="append",
        dest="models",
        help="models to listen with, repeatable (default: wake-computer and commands-12)",
    )


def run(options: argparse.Namespace) -> Report:
    """Play the demo in real time, as a file and through a pipe whose pace this process sets."""
    audio, words = _recording(repetitions=1, seconds=10.0) if options.smoke else _recording(repetitions=5)
    models = options.models or ["wake-computer", "commands-12"]
    arguments = ["--json", *(part for model in models for part in ("--model", model))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "paced.wav"
        _write_wav(path, audio)
        # The paced file is heard by a process of its own meanwhile: it costs a thousandth of a core.
        with subprocess.Popen(
            [*EDGEAUDIO, "wake", str(path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as of_file:
            arrivals = _play([*EDGEAUDIO, "wake", "-", *arguments], audio)
            out, _ = of_file.communicate()
    latencies = [event["latency_s"] for event in map(json.loads, out.splitlines()) if _is_word(event)]
    piped = [arrival.event["latency_s"] for arrival in arrivals if _is_word(arrival.event)]
    after_word = _after_words(arrivals, words)
    if not latencies or not after_word:
        raise RuntimeError("nothing was detected, so there is no latency to measure")
    rows = [
        _row("`latency_s`, paced file", latencies),
        _row("`latency_s`, standard input", piped),
        _row("from the end of the word to the line in the pipe", after_word),
    ]
    return Report(
        title="From word to event",
        tables=[Table(["s", "median", "95th percentile", "largest", "events"], rows)],
        limits=[
            Limit(
                "median of `latency_s`", statistics.median(latencies), MAX_MEDIAN_S, " s", 2 * MAX_MEDIAN_S
            ),
            Limit("95th percentile of `latency_s`", _p95(latencies), MAX_P95_S, " s", 2 * MAX_P95_S),
        ],
        notes=[
            "`latency_s` counts from the capture of the last sample that a decision needed. Words end where "
            "`edgeaudio/assets/demo.tsv` says, to about 50 ms; a model may be sure before that."
        ],
        packages=PACKAGES,
    )


def _recording(*, repetitions: int, seconds: float = 60.0) -> tuple[NDArray[np.int16], list[Word]]:
    """The demo, or its first ``seconds``, several times, and its words.

    Each time it is shifted against the engine's blocks.
    """
    once = demo()[: round(seconds * RATE_HZ)]
    lines = DEMO.with_suffix(".tsv").read_text(encoding="utf-8").splitlines()[1:]
    spoken = [Word(name, float(end_s)) for name, _, end_s in (line.split("\t") for line in lines)]
    rng = np.random.default_rng(0)
    parts: list[NDArray[np.float32]] = []
    words: list[Word] = []
    begin = 0
    for repetition in range(repetitions):
        pause_s = _LEAD_S if repetition == 0 else 1.0 + 0.08 * rng.random()
        pause = rng.normal(0, 0.001, round(pause_s * RATE_HZ)).astype(np.float32)
        begin += len(pause)
        words += [Word(word.name, word.end_s + begin / RATE_HZ) for word in spoken]
        parts += [pause, once]
        begin += len(once)
    return to_int16(np.concatenate(parts)), words


def _play(command: list[str], audio: NDArray[np.int16]) -> list[Arrival]:
    """Write the audio to the command as a microphone would deliver it, and note when events come."""
    arrivals: list[tuple[dict[str, Any], float]] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - for mypy

        def read(lines: Any = process.stdout) -> None:
            arrivals.extend((json.loads(line), time.monotonic()) for line in lines)

        reader = threading.Thread(target=read)
        reader.start()
        started = time.monotonic()
        block = round(_BLOCK_S * RATE_HZ)
        for start in range(0, len(audio), block):
            part = audio[start : start + block]
            # A block exists when its last sample has been captured.
            time.sleep(max(0.0, started + (start + len(part)) / RATE_HZ - time.monotonic()))
            process.stdin.write(part.tobytes())
            process.stdin.flush()
        process.stdin.close()
        reader.join()
    return [Arrival(event, at - started) for event, at in arrivals]


def _after_words(arrivals: list[Arrival], words: list[Word]) -> list[float]:
    """For each event that belongs to a word: seconds from the word's end to the event's arrival."""
    delays = []
    for arrival in arrivals:
        if not _is_word(arrival.event):
            continue
        ends = [word.end_s for word in words if word.name == arrival.event["name"]]
        nearest = min(ends, key=lambda end_s: abs(end_s - arrival.at_s), default=None)
        if nearest is not None and abs(nearest - arrival.at_s) <= _MATCH_S:
            delays.append(arrival.at_s - nearest)
    return delays


def _is_word(event: dict[str, Any]) -> bool:
    return bool(event["type"] == "detection")


def _row(what: str, values: list[float]) -> list[str]:
    figures = [statistics.median(values), _p95(values), max(values)]
    return [what, *(f"{figure:.3f}" for figure in figures), str(len(values))]


def _p95(values: list[float]) -> float:
    return float(np.percentile(values, 95))


def _write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    import soundfile

    soundfile.write(path, samples, RATE_HZ)
