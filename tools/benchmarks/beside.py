"""Whether captions on the same microphone make a wake word later."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio import ArraySource, Engine, Recognizer, Spotter
from edgeaudio.evaluation.manifest import Row, iter_clip
from edgeaudio.events import Caption, Detection
from edgeaudio.stats import EngineStats
from edgeaudio.types import SAMPLE_RATE_HZ
from tools.benchmarks.audio import DEMO
from tools.benchmarks.report import Limit, Report, Table

MAX_RATIO = 1.1
PACKAGES = ["numba", "ai-edge-litert", "onnxruntime"]
_SPEECH = DEMO.with_name("speech.flac")
_MARGIN_S = 0.3
"""What is heard before and behind each word."""


@dataclass
class Heard:
    """What one of the two daemons noticed, over all its turns."""

    latencies_s: list[float] = field(default_factory=list)
    caption_words: int = 0
    stats: list[EngineStats] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --wake and --captions."""
    parser.add_argument("--wake", default="wake-computer", help="model to spot with (default: %(default)s)")
    parser.add_argument(
        "--captions", default="captions-en-small", help="model to write with (default: %(default)s)"
    )
    parser.add_argument("--language", help="instead of the model's own")


def run(options: argparse.Namespace) -> Report:
    """Play wake words amid running speech in real time, by turns with and without captions beside."""
    spotter = Spotter.load(options.wake)
    recognizer = Recognizer.load(options.captions, language=options.language)
    alone, beside = Heard(), Heard()
    for turn in _turns(2 if options.smoke else 10, set(spotter.manifest.labels)):
        _listen(Engine(ArraySource(turn, paced=True), spotter), alone)
        _listen(Engine(ArraySource(turn, paced=True), spotter, recognizer), beside)
    if not alone.latencies_s or not beside.latencies_s or not beside.caption_words:
        raise RuntimeError("nothing was detected or written, so there is nothing to compare")
    ratio = _p95(beside.latencies_s) / _p95(alone.latencies_s)
    heard_s = sum(stats.processed_samples for stats in beside.stats) / SAMPLE_RATE_HZ
    captions = [stats.captions for stats in beside.stats if stats.captions is not None]
    return Report(
        title="A wake word with captions beside it",
        tables=[
            Table(
                ["`latency_s` of the wake word", "median", "95th percentile", "largest", "events"],
                [_row("alone", alone), _row("with captions", beside)],
            ),
            Table(
                ["captions meanwhile", ""],
                [
                    ["words", str(beside.caption_words)],
                    ["CPU time, s per s of audio", f"{sum(one.busy_s for one in captions) / heard_s:.4f}"],
                    [
                        "largest backlog, s",
                        f"{max(one.high_water_samples for one in captions) / SAMPLE_RATE_HZ:.2f}",
                    ],
                    ["skipped, s", f"{sum(one.skipped_samples for one in captions) / SAMPLE_RATE_HZ:.2f}"],
                ],
            ),
        ],
        limits=[Limit("95th percentile, with captions to alone", ratio, MAX_RATIO, "", 2 * MAX_RATIO)],
        notes=[
            f"{heard_s:.0f} s of wake words amid running speech, in real time, in turns of some 25 s, each "
            "once without and once with captions."
        ],
        packages=PACKAGES,
    )


def _turns(n: int, labels: set[str]) -> Iterator[NDArray[np.float32]]:
    """Every word of the demo that the spotter knows, several times, between pieces of running speech."""
    demo, speech = _read(DEMO), _read(_SPEECH)
    with DEMO.with_suffix(".tsv").open(encoding="utf-8", newline="") as file:
        words = [row for row in csv.DictReader(file, delimiter="\t") if row["name"] in labels]
    spans = [(float(word["start_s"]) - _MARGIN_S, float(word["end_s"]) + _MARGIN_S) for word in words]
    rng = np.random.default_rng(0)
    for _ in range(n):
        parts = []
        for start_s, end_s in spans * (8 // len(spans) + 1):
            begin = rng.integers(0, len(speech) - 2 * SAMPLE_RATE_HZ)
            # Of any length: each word has its own place in the engine's blocks.
            parts.append(speech[begin : begin + rng.integers(SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ)])
            parts.append(demo[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)])
        yield np.concatenate(parts)


def _read(path: Path) -> NDArray[np.float32]:
    return np.concatenate([block.copy() for block in iter_clip(Row(path, str(path)))])


def _listen(engine: Engine, heard: Heard) -> None:
    with engine:
        for event in engine:
            if isinstance(event, Detection):
                heard.latencies_s.append(event.latency_s)
            elif isinstance(event, Caption) and event.final:
                heard.caption_words += len(event.words)
    heard.stats.append(engine.stats())


def _row(what: str, heard: Heard) -> list[str]:
    figures = [float(np.median(heard.latencies_s)), _p95(heard.latencies_s), max(heard.latencies_s)]
    return [what, *(f"{figure:.4f}" for figure in figures), str(len(heard.latencies_s))]


def _p95(values: list[float]) -> float:
    return float(np.percentile(values, 95))
