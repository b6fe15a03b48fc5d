"""``edgeaudio train vad`` from recordings on disk to a bundle that runs."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.verify import verify
from edgeaudio.tasks.vad import Vad
from tests.cli.conftest import Run

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="tools/test --train installs PyTorch")


@needs_torch
def test_a_vad_is_trained_measured_and_described(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeaudio.training import vad, vad_bundle, vad_material
    from edgeaudio.training.nets import NetSpec
    from tests.training.test_vad import write_corpora

    small = NetSpec(80, 1, ((8, 5, 2),), ((3, 1),), -9.0, 4.0)
    monkeypatch.setattr(vad, "NET", small)
    monkeypatch.setattr(vad, "LAYOUT", replace(vad.LAYOUT, n_frames=200))
    monkeypatch.setattr(vad, "_BATCH_SIZE", 4)
    for module, names in (
        (vad, ("_HEARD_WHILE_TRAINING",)),
        (vad_bundle, ("_CHOSEN_ON", "_MEASURED_ON")),
        (vad_material, ("_MADE_SOUNDS", "_BABBLES", "_MADE_ROOMS")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, 2)
    write_corpora(tmp_path / "data", n_speakers=30)
    output = tmp_path / "vad-mine"
    given = ["train", "vad", "--data", tmp_path / "data", "--output", output, "--minutes", "0.01", "--json"]
    given += ["--cache", tmp_path / "cache", "--checkpoint-dir", tmp_path / "kept", "--workers", "0"]
    done = run(*given)
    assert done.code == 0, done.err
    results = json.loads(done.out)
    bundle = load_bundle(output)
    assert all(check.outcome != "failed" for check in verify(bundle))
    assert bundle.manifest.results == results
    assert set(results["speech in noise"]) == {"no noise", "20 dB", "10 dB", "5 dB", "0 dB"}
    assert Vad.load(output).threshold == results["threshold"]["threshold"]
    card = (output / "README.md").read_text()
    assert "| talk |" in card
    assert "| 5 dB |" in card
    refused = run(*given)
    assert refused.code == 2
    assert "holds a model already" in refused.err


@needs_torch
def test_a_vad_needs_recordings(run: Run, tmp_path: Path) -> None:
    refused = run("train", "vad", "--output", tmp_path / "vad-mine")
    assert refused.code == 2
    assert "--data DIR" in refused.err
