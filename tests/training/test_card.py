from pathlib import Path

import pytest

from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import (
    Decision,
    GraphFile,
    Graphs,
    ModelManifest,
    StateFill,
    StateTensor,
)
from edgeaudio.training.card import Ingredient, ingredients, render_card

SPEC = FrontendSpec()


@pytest.fixture
def manifest() -> ModelManifest:
    return ModelManifest(
        name="lights",
        kind="commands",
        version="1.2.3",
        description="Switches lights.",
        licence="Apache-2.0",
        data=("a",),
        frontend=SPEC,
        frontend_fingerprint=SPEC.fingerprint,
        labels=("on", "off", "unknown", "silence"),
        activation="softmax",
        step_frames=8,
        stride=2,
        receptive_field_frames=117,
        graphs=Graphs(onnx=GraphFile(file="model.onnx", sha256="0" * 64)),
        states=(StateTensor(name="state_a", fill=StateFill(onnx=0, tflite=0)),),
        decision=Decision(
            threshold=0.5, smoothing_ms=100, refractory_ms=700, silent_labels=("unknown", "silence")
        ),
        results={
            "a, held-out speakers": {"int8": {"accuracy": 0.9512, "interval": [0.93, 0.97], "clips": 617}},
            "missed, real recordings": {"missed": 2, "of": 42, "interval": [0.0132, 0.1579]},
            "false alarms per hour": {"rate": 0.44, "interval": [0.05, 1.61], "hours": 4.5},
        },
    )


def test_the_card_states_results_data_and_limits(manifest: ModelManifest) -> None:
    parts = [Ingredient("a", 120, "Somebody's words", "CC-BY-4.0")]
    card = render_card(manifest, parts, "Cooked slowly.")
    assert card.startswith("# lights\n")
    assert "Hears: on, off." in card
    assert "deciding from the last 1.17 s" in card
    assert "- a, held-out speakers: int8 95.12% (93.00% to 97.00%) of 617 recordings" in card
    assert "- missed, real recordings: 2 of 42 (1.3% to 15.8%)" in card
    assert "- false alarms per hour: 0.44 (0.05 to 1.61) in 4.5 h" in card
    assert "| a | 120 | CC-BY-4.0 | Somebody's words |" in card
    assert "Cooked slowly." in card
    assert card.index("## What it cannot do") < card.index("A word inside a sentence")


def test_ingredients_come_from_the_manifests(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "manifest.tsv").write_text(
        "path\tsource\tlicence\nx\tone\tCC0\ny\ttwo\tCC0\nz\tone\tMIT\n", encoding="utf-8"
    )
    (tmp_path / "b" / "manifest.tsv").write_text("path\tlabel\nx\tyes\n", encoding="utf-8")
    manifests = [tmp_path / name / "manifest.tsv" for name in ("a", "b")]
    assert ingredients(manifests, {"a": 3, "b": 1, "c": 5}) == [
        Ingredient("a", 3, "one; two", "CC0; MIT"),
        Ingredient("b", 1, "not stated", "not stated"),
    ]
    assert [part.corpus for part in ingredients(manifests, {"b": 1})] == ["b"]
