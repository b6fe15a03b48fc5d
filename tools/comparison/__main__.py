"""``tools/compare-sounds``: train the variants that are not finished yet, and write the table."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.errors import EdgeAudioError
from edgeaudio.training.corpus import default_cache_dir
from edgeaudio.training.loop import LoopSettings
from edgeaudio.training.sounds import BATCHES_PER_EPOCH
from edgeaudio.training.sounds_corpus import SoundSet, read_sounds
from edgeaudio.training.sounds_fit import SoundPlan, fit, heard
from edgeaudio.training.sounds_frames import Takes, make_takes
from edgeaudio.training.sounds_scores import Judged, accuracy
from tools.benchmarks.report import circumstances
from tools.comparison.page import page, write_docs
from tools.comparison.variants import VARIANTS, Variant

_PACKAGES = ["torch", "onnxruntime", "ai-edge-litert"]
_TAKES = 4
"""Of each recording, rather than nine: whole spectra of all are large."""


def main() -> int:
    """Run the tool; the exit code is edgeaudio's own for what went wrong."""
    options = _parse(sys.argv[1:])
    try:
        _compare(options)
    except EdgeAudioError as error:
        print(f"tools/compare-sounds: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/compare-sounds", description="Compare networks and frontends for sounds."
    )
    parser.add_argument("data", type=Path, nargs="+", help="folders, as for edgeaudio train sounds --data")
    parser.add_argument("--epochs", type=int, default=12, help=f"of {BATCHES_PER_EPOCH} batches, for a fold")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="each is one more cross-validation")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--cache", type=Path, default=default_cache_dir(), help="of decoded recordings")
    parser.add_argument("--results", type=Path, help="one JSON file for each fold of each variant")
    parser.add_argument("--write-docs", action="store_true", help="replace the table of docs/sounds.md")
    options = parser.parse_args(arguments)
    options.results = options.results or options.cache / "compared-sounds"
    return options


def _compare(options: argparse.Namespace) -> None:
    sounds = read_sounds(options.data, options.cache, tell=_tell)
    loop = LoopSettings(
        epochs=options.epochs, batches_per_epoch=BATCHES_PER_EPOCH, weight_decay=0.05, average_from=0.8
    )
    found: dict[str, dict[str, Any]] = {}
    for name in options.only or VARIANTS:
        variant = VARIANTS[name]
        takes: list[Takes] = []
        spec = variant.spec(len(sounds.labels))
        folds = []
        for seed in options.seeds:
            for fold in sounds.folds:
                path = options.results / f"{name}-{options.epochs}-{seed}-{fold}.json"
                if not path.is_file():
                    takes = takes or make_takes(sounds, variant.ear(), options.cache, 1, n_takes=_TAKES)
                    plan = SoundPlan(spec, sounds.labels, loop, seed=seed)
                    _keep(path, _fold(variant, sounds, takes, fold, plan))
                folds.append(json.loads(path.read_text(encoding="utf-8")))
                _tell(f"{name}, seed {seed}, fold {fold}: {folds[-1]['right']} of {folds[-1]['clips']}")
        path = options.results / f"{name}-cost.json"
        if not path.is_file():
            _keep(path, {"ms": variant.cost_ms(spec), "circumstances": circumstances(_PACKAGES)})
        cost = json.loads(path.read_text(encoding="utf-8"))
        found[name] = {
            "right": sum(fold["right"] for fold in folds),
            "clips": sum(fold["clips"] for fold in folds),
            "of_folds": [fold["right"] / fold["clips"] for fold in folds],
            "parameters": folds[0]["parameters"],
            **cost,
        }
    seeds = " ".join(map(str, options.seeds))
    command = f"tools/compare-sounds RECORDINGS --epochs {options.epochs} --seeds {seeds}"
    text = page(found, command, options.epochs * BATCHES_PER_EPOCH, len(options.seeds))
    print(text)
    if options.write_docs:
        write_docs(text)


def _fold(
    variant: Variant, sounds: SoundSet, takes: Sequence[Takes], fold: str, plan: SoundPlan
) -> dict[str, Any]:
    """Train without a fold, and count what is right in it."""
    with tempfile.TemporaryDirectory(prefix="edgeaudio-") as scratch:
        net = fit(
            plan,
            [one for one in takes if one.clip.split != fold],
            variant.ear(),
            Path(scratch) / "fold.pt",
            measured=sounds.measured,
            make=variant.make,
        )
    apart = [one for one in takes if one.clip.split == fold and sounds.is_measured(one.clip)]
    posteriors = heard(net, [one.takes[0].frames.astype(np.float32) for one in apart])
    judged = [Judged(one.clip, said, True) for one, said in zip(apart, posteriors, strict=True)]
    score = accuracy(judged, sounds.labels, sounds.sounds)
    parameters = sum(weights.numel() for weights in net.parameters())
    return {"right": score.right, "clips": score.clips, "parameters": parameters}


def _keep(path: Path, facts: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(facts), encoding="utf-8")
    partial.replace(path)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
