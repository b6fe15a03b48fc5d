"""The bundled recording through the bundled models: what `tools/try` shows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import edgeaudio
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from tests.cli.conftest import Run

ASSETS = Path(edgeaudio.__file__).parent / "assets"
LATE_S = 0.5
"""How much later than the label a detection may end: models decide after the word."""


@pytest.mark.parametrize("backend", ["litert", "onnx"])
@pytest.mark.parametrize("model", ["wake-computer", "commands-12"])
def test_every_word_of_the_demo_is_heard_once_and_nothing_else(run: Run, model: str, backend: str) -> None:
    outcome = run("wake", ASSETS / "demo.flac", "--fast", "--json", "--model", model, "--backend", backend)
    heard = [json.loads(line) for line in outcome.out.splitlines()]
    with (ASSETS / "demo.tsv").open(encoding="utf-8") as file:
        labels = load_bundle(find_model(model)).manifest.labels
        said = [row for row in csv.DictReader(file, delimiter="\t") if row["name"] in labels]
    assert [event["name"] for event in heard] == [row["name"] for row in said]
    for event, row in zip(heard, said, strict=True):
        assert float(row["start_s"]) < event["end_s"] < float(row["end_s"]) + LATE_S, row
