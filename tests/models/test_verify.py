from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeaudio.models import verify as module
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.manifest import Graphs
from edgeaudio.models.verify import verify
from edgeaudio.training.export import update_manifest
from tests.networks import write_captions_bundle


def outcomes(folder: Path) -> dict[str, tuple[str, str]]:
    return {check.name: (check.outcome, check.detail) for check in verify(load_bundle(folder))}


def test_a_good_bundle_passes_on_both_runtimes(folder: Path) -> None:
    found = outcomes(folder)
    assert list(found) == ["manifest", "golden", "litert", "onnx"]
    assert {outcome for outcome, _ in found.values()} == {"ok"}


def test_a_recogniser_passes_on_the_runtimes_that_it_has_a_graph_for(tmp_path: Path) -> None:
    write_captions_bundle(tmp_path)
    assert {outcome for outcome, _ in outcomes(tmp_path).values()} == {"ok"}
    graphs = load_bundle(tmp_path).manifest.graphs
    update_manifest(tmp_path, graphs=Graphs(onnx=graphs.onnx))
    assert outcomes(tmp_path)["litert"] == ("skipped", "the model has no graph for it")
    assert outcomes(tmp_path)["onnx"][0] == "ok"


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_another_answer_fails(folder: Path, value: float) -> None:
    with np.load(folder / "golden.npz") as arrays:
        golden = dict(arrays)
    golden["logits"][-1, 0] += value
    np.savez(folder / "golden.npz", **golden)
    found = outcomes(folder)
    assert found["golden"][0] == "ok"
    for runtime in ("litert", "onnx"):
        assert found[runtime][0] == "failed"
        assert "differs from golden by" in found[runtime][1]


def test_another_embedding_fails(folder: Path) -> None:
    with np.load(folder / "golden.npz") as arrays:
        golden = dict(arrays)
    golden["embedding"][-1, 0] += 1.0
    np.savez(folder / "golden.npz", **golden)
    for runtime in ("litert", "onnx"):
        assert outcomes(folder)[runtime][0] == "failed"
        assert "its embedding differs from golden by" in outcomes(folder)[runtime][1]


def test_a_missing_golden_file_fails(folder: Path) -> None:
    (folder / "golden.npz").unlink()
    found = outcomes(folder)
    assert list(found) == ["manifest", "golden"]
    assert found["golden"][0] == "failed"


def test_a_wrong_state_at_rest_fails(folder: Path) -> None:
    """Only the first frames can tell: the golden input must begin with a reset."""
    path = folder / "model.yaml"
    text = path.read_text()
    assert "fill: {onnx: 0, tflite: -128}" in text
    path.write_text(text.replace("fill: {onnx: 0, tflite: -128}", "fill: {onnx: 255, tflite: 127}"))
    found = outcomes(folder)
    assert found["litert"][0] == found["onnx"][0] == "failed"


def test_an_absent_runtime_is_skipped_with_its_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed_runtimes", lambda: ("onnx",))
    found = outcomes(folder)
    assert found["litert"] == ("skipped", "not installed: pip install 'edgeaudio[tflite]'")
    assert found["onnx"][0] == "ok"
