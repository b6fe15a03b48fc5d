"""The bundled models side by side: accuracy, size, and cost with each runtime."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from edgeaudio.evaluation.commands import evaluate_commands, select_rows
from edgeaudio.evaluation.manifest import read_manifest
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import list_models
from edgeaudio.tasks.spotter import Spotter
from tools.benchmarks.daemon import LONG_S, SHORT_S, Recording, record
from tools.benchmarks.process import EDGEAUDIO, run_measured
from tools.benchmarks.report import Limit, Report, Table

MAX_LOSS_POINTS = 0.5
PACKAGES = ["numba", "ai-edge-litert", "onnxruntime"]
BACKENDS = ("litert", "onnx")
DAEMONS = {"captions": "caption", "commands": "wake", "sounds": "sounds", "vad": "vad", "wake": "wake"}
"""The command that listens with a model of each kind."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --manifest."""
    parser.add_argument(
        "--manifest",
        type=Path,
        help="also measure the command models on these recordings, of speakers they were not trained on",
    )


def run(options: argparse.Namespace) -> Report:
    """Collect sizes and card figures of every model that can be read, and measure its cost."""
    bundles = [load_bundle(entry.path) for entry in list_models() if entry.manifest is not None]
    cost = _cost_ms(bundles, repetitions=1 if options.smoke else 5)
    rows = []
    for bundle in bundles:
        manifest = bundle.manifest
        rows.append(
            [
                manifest.name,
                manifest.frontend.features,
                f"{_parameters(bundle):,}",
                *(_kilobytes(bundle, file) for file in (manifest.graphs.tflite, manifest.graphs.onnx)),
                *(f"{cost[key]:.2f}" if (key := (manifest.name, one)) in cost else "" for one in BACKENDS),
                *_accuracies(bundle),
            ]
        )
    columns = ["model", "hears", "parameters", "TFLite KB", "ONNX KB", "ms LiteRT", "ms onnxruntime"]
    columns += ["float %", "int8 %"]
    title = "Size, CPU ms per audio second of the whole daemon, and the accuracy that the card states first"
    tables = [Table(columns, rows, title=title)]
    if stated := _card_rows(bundles):
        tables.append(Table(["model", "measured", "result"], stated, title="What the models' cards state"))
    if options.manifest is not None:
        tables.append(_accuracy_table(bundles, options.manifest, 200 if options.smoke else None))
    return Report(
        title="The bundled models",
        tables=tables,
        limits=_limits(bundles),
        packages=PACKAGES,
    )


def _cost_ms(bundles: list[Bundle], repetitions: int) -> dict[tuple[str, str], float]:
    """CPU ms per audio second, by model and backend."""
    measured: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        short, long = (record(Path(folder), None, seconds) for seconds in (SHORT_S, LONG_S))
        for _ in range(repetitions):
            for bundle in bundles:
                if bundle.manifest.kind not in DAEMONS:
                    continue
                for backend in BACKENDS:
                    # The short one comes first: if something must be compiled, then there.
                    short_s = _cpu_s(bundle, backend, short)
                    cpu_s = _cpu_s(bundle, backend, long) - short_s
                    values = measured.setdefault((bundle.name, backend), [])
                    values.append(1000 * cpu_s / (LONG_S - SHORT_S))
    return {key: statistics.median(values) for key, values in measured.items()}


def _cpu_s(bundle: Bundle, backend: str, recording: Recording) -> float:
    command = [*EDGEAUDIO, DAEMONS[bundle.manifest.kind], str(recording.wav), "--fast", "--json"]
    return run_measured([*command, "--model", str(bundle.path), "--backend", backend]).cpu_s


def _parameters(bundle: Bundle) -> int:
    """Weights and biases of all convolutions, without the scales that quantization adds."""
    import onnx

    graph = onnx.load_from_string(bundle.read_graph("onnx")).graph
    weights = {node.input[3] for node in graph.node if node.op_type == "QLinearConv"}
    biases = {node.input[8] for node in graph.node if node.op_type == "QLinearConv" and len(node.input) > 8}
    sizes = {tensor.name: onnx.numpy_helper.to_array(tensor).size for tensor in graph.initializer}
    return int(sum(sizes[name] for name in weights | biases))


def _accuracies(bundle: Bundle) -> list[str]:
    """Of float and int8, with the interval of int8; empty for models that are judged otherwise."""
    for value in bundle.manifest.results.values():
        if isinstance(value, dict) and {"float", "int8"} <= set(value):
            low, high = value["int8"]["interval"]
            interval = f"({100 * low:.1f} to {100 * high:.1f})"
            return [
                f"{100 * value['float']['accuracy']:.1f}",
                f"{100 * value['int8']['accuracy']:.1f} {interval}",
            ]
    return ["", ""]


def _kilobytes(bundle: Bundle, file: Any) -> str:
    return "" if file is None else f"{(bundle.path / file.file).stat().st_size / 1000:.0f}"


def _card_rows(bundles: list[Bundle]) -> list[list[str]]:
    return [
        [bundle.name, what, _flat(value)]
        for bundle in bundles
        for what, value in bundle.manifest.results.items()
    ]


def _flat(value: Any) -> str:
    """Nested figures on one line."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return " to ".join(_flat(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _accuracy_table(bundles: list[Bundle], path: Path, limit: int | None) -> Table:
    rows = select_rows(read_manifest(path, require=["label"]), limit=limit)
    cells = []
    for bundle in bundles:
        if bundle.manifest.decision is None or bundle.manifest.decision.clip is None:
            continue
        for backend in BACKENDS:
            result = evaluate_commands(rows, Scorer(Spotter.load(bundle.path, backend=backend)))
            low, high = result.interval
            interval = f"{100 * low:.2f} to {100 * high:.2f}"
            cells.append([bundle.name, backend, f"{100 * result.accuracy:.2f}", interval, str(result.clips)])
    columns = ["model", "backend", "accuracy %", "95 % interval", "clips"]
    return Table(columns, cells, title=f"Accuracy on {path.parent.name}")


def _limits(bundles: list[Bundle]) -> list[Limit]:
    """What quantization costs, where a card states the accuracy of both forms."""
    limits = []
    for bundle in bundles:
        for what, value in bundle.manifest.results.items():
            if isinstance(value, dict) and {"float", "int8"} <= set(value):
                loss = 100 * (value["float"]["accuracy"] - value["int8"]["accuracy"])
                name = f"{bundle.name}, {what}: points of accuracy lost by int8"
                limits.append(Limit(name, loss, MAX_LOSS_POINTS))
    return limits
