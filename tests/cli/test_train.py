"""``edgeaudio train`` from recordings on disk to a bundle that runs, with words that are easy to tell."""

import importlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

import edgeaudio
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.verify import verify
from tests.cli.conftest import Run
from tests.quartznet import Export

RATE = 16_000
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="tools/test --train installs PyTorch")


def chirp(rng: np.random.Generator, low_hz: float, high_hz: float) -> np.ndarray:
    """A second with a sweep of 0.4 s somewhere in its middle."""
    n = round(0.4 * RATE)
    phase = 2 * np.pi * np.cumsum(np.linspace(low_hz, high_hz, n)) / RATE * rng.uniform(0.9, 1.1)
    x = rng.normal(0.0, 0.001, RATE)
    start = int(rng.integers(0.2 * RATE, 0.4 * RATE))
    x[start : start + n] += 0.3 * np.hanning(n) * np.sin(phase)
    return x


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    sweeps = {"rising": (400.0, 2500.0), "fall": (2500.0, 400.0), "flat": (1000.0, 1000.0)}
    folder = tmp_path / "data" / "chirps"
    folder.mkdir(parents=True)
    lines = ["path\tspeaker\tlabel\ttext\tsource\tlicence"]
    for label, (low, high) in sweeps.items():
        for i in range(24):
            soundfile.write(folder / f"{label}{i}.wav", chirp(rng, low, high), RATE)
            lines.append(f"{label}{i}.wav\tspeaker{i}\t{label}\t\tmade here\tCC0-1.0")
    for i in range(8):
        soundfile.write(folder / f"hush{i}.wav", rng.normal(0.0, 0.003, 3 * RATE), RATE)
        lines.append(f"hush{i}.wav\t\tsilence\t\tmade here\tCC0-1.0")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def common(tmp_path: Path, data: Path, name: str) -> list[str | Path]:
    places = ["--data", data, "--output", tmp_path / name, "--cache", tmp_path / "cache"]
    places += ["--checkpoint-dir", tmp_path / "checkpoints"]
    return [*places, "--workers", "0", "--minutes", "0.05"]


def spotter(tmp_path: Path, data: Path, name: str) -> list[str | Path]:
    return [*common(tmp_path, data, name), "--synthetic", "none"]


@needs_torch
def test_commands_end_in_a_bundle_that_runs(run: Run, tmp_path: Path, data: Path) -> None:
    outcome = run(
        "train", "commands", "--words", "rising, fall", *spotter(tmp_path, data, "sweeps"), "--json"
    )
    assert outcome.code == 0, outcome.err
    results = json.loads(outcome.out)
    scores = results["chirps, held-out speakers"]
    assert set(scores) == {"float", "int8"}
    assert scores["int8"]["clips"] == scores["float"]["clips"] > 5
    assert "real recordings: {'rising': " in outcome.err

    bundle = load_bundle(tmp_path / "sweeps")
    assert bundle.manifest.labels == ("rising", "fall", "unknown", "silence")
    assert bundle.manifest.results == results
    assert {check.outcome for check in verify(bundle)} <= {"ok", "skipped"}
    assert "| chirps | " in (tmp_path / "sweeps" / "README.md").read_text()

    again = run(
        "train",
        "commands",
        "--words",
        "rising fall",
        *spotter(tmp_path, data, "sweeps"),
        "--resume",
        "--overwrite",
        "--refit",
        "0.01",
        "--json",
    )
    # Nothing is left to do but to learn from those who were held out.
    assert again.code == 0, again.err
    found = json.loads(again.out)
    assert found.keys() == results.keys() | {"measured with"}
    assert found["chirps, held-out speakers"]["int8"]["clips"] == scores["int8"]["clips"]
    assert "held-out people were learned from at last" in (tmp_path / "sweeps" / "README.md").read_text()


@needs_torch
def test_a_wake_word_ends_in_a_bundle_that_runs(run: Run, tmp_path: Path, data: Path) -> None:
    outcome = run("train", "wake", "Rising", *spotter(tmp_path, data, "wake-rising"), "--refit", "0.01")
    assert outcome.code == 0, outcome.err
    assert f"wrote {tmp_path / 'wake-rising'}" in outcome.out
    assert "missed, real recordings" in outcome.out
    manifest = load_bundle(tmp_path / "wake-rising").manifest
    assert manifest.kind == "wake"
    assert manifest.labels == ("rising", "unknown", "silence")
    assert manifest.results["missed, real recordings"]["of"] > 5
    assert "the other half alone" in manifest.results["measured with"]["people"]


@needs_torch
@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["commands", "--words", "yes"], 2, "two words or more"),
        (["commands", "--synthetic", "none"], 2, "--data DIR"),
        (["wake"], 2, "no phrase"),
        (["wake", "  "], 2, "phrase is empty"),
        (["wake", "computer", "--data", "/nonexistent/folder"], 3, "is no folder"),
        (["wake", "computer", "--positives", "/nonexistent/folder"], 3, "does not exist"),
        (["wake", "computer", "--minutes", "1", "--epochs", "1"], 2, "exclude each other"),
        (["commands", "--data", "/nonexistent/folder", "--device", "toaster"], 2, "--device toaster"),
        (["wake", "computer", "--device", "cuda:99"], 2, "--device cpu always works"),
        (["commands", "--data", "/nonexistent/folder", "--minutes", "0"], 2, "--minutes"),
    ],
)
def test_wrong_use_is_explained(run: Run, tmp_path: Path, args: list[str], code: int, message: str) -> None:
    outcome = run("train", *args, "--output", tmp_path / "model", "--cache", tmp_path / "cache")
    assert outcome.code == code, outcome.err
    assert message in outcome.err
    assert "speech engines" not in outcome.err  # what is wrong is told before anything else
    assert not (tmp_path / "model").exists()


@needs_torch
def test_the_folder_that_one_is_in_has_a_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "My Model").mkdir()
    monkeypatch.chdir(tmp_path / "My Model")
    assert "the folder's name, 'My Model', cannot be" in run("train", "wake", "computer", "--output", ".").err
    (tmp_path / "hey" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "hey" / "inner")
    for output, name in ((".", "inner"), ("..", "hey")):
        outcome = run("train", "wake", "computer", "--output", output, "--synthetic", "none", "--data", ".")
        assert (outcome.code, f"{name} exists and is no model" in outcome.err) == (2, True), outcome.err


def test_without_torch_the_extra_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is imported anew must not stay behind: later tests have the modules of before.
    monkeypatch.setattr(edgeaudio, "training", importlib.import_module("edgeaudio.training"))
    for loaded in [name for name in sys.modules if name.startswith("edgeaudio.training")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "torch", None)
    outcome = run("train", "commands", "--data", tmp_path, "--output", tmp_path / "model")
    assert outcome.code == 6
    assert 'pip install "edgeaudio[train]"' in outcome.err


@needs_torch
def test_a_child_of_an_added_network_ends_in_a_bundle_that_runs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    network = tmp_path / "net.onnx"
    network.write_bytes(Export(quantized=True).data)
    assert run("models", "add", network, "--name", "parent").code == 0
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ["path\tseconds\tspeaker\tsplit\ttext"]
    for i, split in enumerate(["test", "train", "train"]):
        soundfile.write(folder / f"{i}.wav", np.random.default_rng(i).normal(0.0, 0.1, 2 * RATE), RATE)
        lines.append(f"{i}.wav\t2.0\t{split}er\t{split}\tGood day to you.")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    places = common(tmp_path, folder, "child")
    outcome = run("train", "captions", "--from", "parent", "--lookahead", "0.3", *places, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["words"] == 4
    bundle = load_bundle(tmp_path / "child")
    assert bundle.manifest.recognition.window.lookahead_ms == 300.0
    assert all(check.outcome != "failed" for check in verify(bundle))


@needs_torch
@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--lookahead", "0.5"], "--lookahead is for children"),
        ([], "--lexicon is missing"),
        (["--from", "commands-12", "--synthetic", "x"], "--synthetic is of no use to a child"),
        (["--from", "commands-12", "--lookahead", "2"], "not between 0 and 1.28 s"),
    ],
)
def test_options_for_children_and_for_others(run: Run, tmp_path: Path, args: list[str], why: str) -> None:
    outcome = run("train", "captions", *args, "--data", tmp_path, "--output", tmp_path / "child")
    assert outcome.code == 2
    assert why in outcome.err
