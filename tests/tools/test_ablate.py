"""What differs between the variants, and the tables that are made of their results; nothing is trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

from edgeaudio.errors import InputError, UsageError
from edgeaudio.training.commands import frames_plan
from edgeaudio.training.corpus import Clip
from edgeaudio.training.nets import SpotterNet, to_graph
from edgeaudio.training.spotter import Material, SpotterPlan
from edgeaudio.training.streams import Pools
from tools.ablation import __main__ as tool
from tools.ablation import page
from tools.ablation.variants import BASE, VARIANTS, Setup, small_bands_plan


def clip(corpus: str, label: str) -> Clip:
    return Clip(corpus, f"{corpus}-{label}", np.zeros(800, np.int16), label)


def setup() -> Setup:
    pools = Pools(
        real=[[clip("people", "yes")], [clip("people", "no")]],
        synthetic=[[clip("made", "yes")], [clip("made", "no")]],
        confusable=[[clip("people", "yet")], [clip("made", "yet")]],
        speech=[clip("people", "a sentence"), clip("made", "a sentence")],
    )
    spec, net = frames_plan(4)
    noise = np.ones(800, np.float32)
    return Setup(
        SpotterPlan(spec, net), Material(("yes", "no"), pools, [noise], [noise], []), frozenset({"made"})
    )


def test_every_variant_but_the_base_changes_something() -> None:
    base = setup()
    assert VARIANTS[BASE].change(base) == base
    changed = [repr(variant.change(base)) for variant in VARIANTS.values()]
    assert len(set(changed)) == len(changed)


def test_nothing_synthetic_and_nothing_real_are_left() -> None:
    without = VARIANTS["no-synthetic"].change(setup()).material.pools
    kept = [*without.real, *without.synthetic, *without.confusable, without.speech]
    assert {clip.corpus for clips in kept for clip in clips} == {"people"}
    assert [len(clips) for clips in VARIANTS["no-real"].change(setup()).material.pools.real] == [0, 0]


def test_a_word_that_only_engines_say_is_named() -> None:
    base = setup()
    pools = dataclasses.replace(base.material.pools, real=[[], base.material.pools.real[1]])
    base = dataclasses.replace(base, material=dataclasses.replace(base.material, pools=pools))
    with pytest.raises(InputError, match="no real recording of yes"):
        VARIANTS["no-synthetic"].change(base)


def test_the_network_over_bands_sees_a_second_and_is_small() -> None:
    spec, net = small_bands_plan(12)
    graph = to_graph(SpotterNet(net).eval())
    assert (graph.stride, graph.receptive_field_frames * spec.hop_ms) == (2, pytest.approx(1170))
    assert 30_000 < sum(node.weight.size for node in graph.nodes if hasattr(node, "weight")) < 100_000


def facts(accuracy: float, **changes: Any) -> dict[str, Any]:
    scored = {"accuracy": accuracy, "interval": [accuracy - 0.02, accuracy + 0.02], "clips": 617}
    both = {"float": scored, "int8": scored}
    graph = {"kilobytes": 117, "CPU ms per second of audio": 0.42}
    return {
        "circumstances": "This machine.",
        "streams": 400_000,
        "minutes": None,
        "threads": 1,
        "seed": 1,
        "workers": 1,
        "device": "cpu",
        "results": {"half, held-out speakers": {"clean": both, "noise at 10 dB": both}},
        "parameters": 95_196,
        "steps": 5000,
        "costs": {"parameters": 95_196, "litert": graph, "onnx": graph},
        **changes,
    }


def test_tables_tell_what_is_finished() -> None:
    text = page.page({BASE: facts(0.93), "bands": facts(0.92), "no-noise": facts(0.905)}, "tools/ablate")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 2 + 1 + 2
    assert "| 92.0 % (90.0 to 94.0) |" in rows[2]
    assert "| 117 kB / 117 kB | 0.42 ms / 0.42 ms | 5,000 |" in rows[2]
    assert rows[5].startswith("| without noise and rooms | 90.5 % (88.5 to 92.5) | -2.5 |")


def test_a_network_that_could_not_be_quantized_is_told_as_such() -> None:
    refused = facts(0.9, refused="int8 leaves 3 dB")
    del refused["costs"]
    for results in refused["results"]["half, held-out speakers"].values():
        results.pop("int8", None)
    text = page.page({BASE: facts(0.93), "raw": refused, "no-mining": refused}, "tools/ablate")
    assert "| 1-D on the waveform | 95,196 | refused | refused |" in text
    assert "| without hard negatives | 90.0 % (88.0 to 92.0) in float only | -3.0 |" in text


def test_the_page_keeps_what_people_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "wake-words.md"
    document.write_text("# Words\n\n## Ablations\n\nRead this.\n")
    monkeypatch.setattr(page, "DOCUMENT", document)
    page.write_docs("first")
    page.write_docs("second")
    text = document.read_text()
    assert "Read this." in text
    assert "second" in text
    assert "first" not in text


def test_results_of_another_budget_are_not_compared(tmp_path: Path) -> None:
    budget = {"streams": 400_000, "minutes": None, "threads": 1, "workers": 1, "seed": 1, "device": "cpu"}
    (tmp_path / "mel.json").write_text(json.dumps(facts(0.93)))
    assert list(tool._finished(tmp_path, budget)) == ["mel"]
    with pytest.raises(UsageError, match="made with other options"):
        tool._finished(tmp_path, {**budget, "minutes": 30.0})
