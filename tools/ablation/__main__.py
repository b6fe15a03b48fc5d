"""``tools/ablate``: train the variants that are not finished yet, and write the tables."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeaudio.errors import EdgeAudioError, UsageError
from edgeaudio.training.build import Reporter, SpotterJob
from edgeaudio.training.clip_tests import HeldOutSet, held_out_sets
from edgeaudio.training.collecting import collect, surround
from edgeaudio.training.commands import FULL_STRENGTH, SILENT_LABELS, frames_plan
from edgeaudio.training.corpus import default_cache_dir
from edgeaudio.training.loop import LoopSettings
from edgeaudio.training.phrases import COMMANDS
from edgeaudio.training.spotter import SpotterPlan, gather
from edgeaudio.types import Samples
from tools.ablation.measuring import in_noise, measure
from tools.ablation.page import page, write_docs
from tools.ablation.variants import BASE, VARIANTS, Setup
from tools.benchmarks.report import circumstances

_PACKAGES = ["torch", "onnxruntime", "ai-edge-litert"]
_BUDGET = ("streams", "minutes", "threads", "workers", "seed", "device")
_EPOCHS = 12
"""So many checkpoints in a training, and chances to look for hard negatives."""


def main() -> int:
    """Run the tool; the exit code is edgeaudio's own for what went wrong."""
    options = _parse(sys.argv[1:])
    try:
        _ablate(options)
    except EdgeAudioError as error:
        print(f"tools/ablate: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/ablate", description="Compare networks and recipes.")
    parser.add_argument("data", type=Path, help="folder of corpora, each with a manifest.tsv")
    parser.add_argument("synthetic", help="folder of synthetic corpora, or generate")
    parser.add_argument("--streams", type=int, default=400_000, help="two seconds each, that a variant hears")
    parser.add_argument("--minutes", type=float, help="of training instead, where nothing else runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare data")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--cache", type=Path, default=default_cache_dir(), help="of decoded recordings")
    parser.add_argument("--results", type=Path, help="one JSON file for each finished variant")
    parser.add_argument("--write-docs", action="store_true", help="replace the tables of docs/wake-words.md")
    options = parser.parse_args(arguments)
    options.results = options.results or options.cache / "ablations"
    return options


def _ablate(options: argparse.Namespace) -> None:
    budget = {name: getattr(options, name) for name in _BUDGET}
    found = _finished(options.results, budget)
    due = [name for name in options.only or VARIANTS if name not in found]
    if due:
        setup, tests, noisy = _prepared(options)
        for name in due:
            found[name] = {"circumstances": circumstances(_PACKAGES), **budget}
            changed = VARIANTS[name].change(setup)
            folder = options.results / name
            found[name] |= measure(changed.plan, changed.material, tests, noisy, folder)
            _write(options.results / f"{name}.json", found[name])
            print(f"{name}: {json.dumps(found[name]['results'])}", file=sys.stderr, flush=True)
    if BASE not in found:
        raise UsageError(f"there is nothing to compare with: '{BASE}' is not finished")
    text = page(found, f"tools/ablate RECORDINGS SYNTHETIC {shlex.join(_chosen(options))}".rstrip())
    print(text)
    if options.write_docs:
        write_docs(text)


def _chosen(options: argparse.Namespace) -> list[str]:
    budget = ["--streams", str(options.streams)]
    if options.minutes is not None:
        budget = ["--minutes", f"{options.minutes:g}"]
    return [*budget, "--seed", str(options.seed)]


def _prepared(options: argparse.Namespace) -> tuple[Setup, list[HeldOutSet], list[list[Samples]]]:
    """What all variants have in common: recordings, held-out sets clean and in noise, and the base's plan."""
    job = SpotterJob(
        options.data,
        options.synthetic,
        Path("ablation"),
        options.minutes,
        seed=options.seed,
        cache=options.cache,
    )
    recordings = collect(job, COMMANDS, _Told())
    material = surround(gather(recordings.real, recordings.synthetic, COMMANDS), options.seed)
    tests = held_out_sets(material.development, COMMANDS)
    if not tests:
        raise UsageError("nobody who says the words is left to measure on", hint="Give more speakers.")
    spec, net = frames_plan(len(COMMANDS) + len(SILENT_LABELS))
    plan = SpotterPlan(spec, net, seed=options.seed, workers=options.workers, full_strength=FULL_STRENGTH)
    n_batches = max(_EPOCHS, options.streams // plan.batch_size)
    loop = LoopSettings(options.minutes, _EPOCHS, threads=options.threads, device=options.device)
    plan = replace(plan, loop=replace(loop, batches_per_epoch=n_batches // _EPOCHS))
    made = frozenset(clip.corpus for clip in recordings.synthetic)
    return Setup(plan, material, made), tests, in_noise(tests, material)


class _Told(Reporter):
    def tell(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def _finished(folder: Path, budget: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the finished variants; others than those of this budget are not compared with them."""
    found = {}
    for name in VARIANTS:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        facts = json.loads(path.read_text(encoding="utf-8"))
        if {key: facts[key] for key in budget} != budget:
            raise UsageError(
                f"{path} was made with other options", hint="Name another folder with --results."
            )
        found[name] = facts
    return found


def _write(path: Path, facts: dict[str, Any]) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        json.dump(facts, file, indent=1)
    Path(file.name).replace(path)


if __name__ == "__main__":
    sys.exit(main())
