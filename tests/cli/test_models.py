"""`edgeaudio models`: list, show, verify, and what they say of broken models."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from edgeaudio.cli import wake
from edgeaudio.cli.several import Choice
from edgeaudio.models import catalogue
from tests.cli import scripted
from tests.cli.conftest import Run
from tests.networks import write_captions_bundle, write_random_bundle
from tests.quartznet import Export


@pytest.fixture(scope="session")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "random"
    write_random_bundle(folder)
    return folder


@pytest.fixture
def bundle(random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only model there is, to be broken."""
    monkeypatch.setattr(catalogue, "search_path", lambda: (tmp_path / "models",))
    return Path(shutil.copytree(random_bundle, tmp_path / "models" / "random"))


def change(bundle: Path, **facts: object) -> None:
    path = bundle / "model.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **facts}))


def test_lists_what_can_be_heard(run: Run, bundle: Path) -> None:
    outcome = run("models", "list")
    assert outcome.code == 0
    header, line = outcome.out.splitlines()
    assert header.split() == ["name", "kind", "version", "hears"]
    assert line.split()[:3] == ["random", "commands", "1"]
    assert "silence" not in line


def test_classifiers_say_what_they_tell_of_and_how(run: Run, bundle: Path) -> None:
    activity = {"threshold": 0.5, "least_off_ms": 400.0, "silent_labels": ["unknown", "silence"]}
    facts = {**yaml.safe_load((bundle / "model.yaml").read_text()), "kind": "sounds", "activity": activity}
    del facts["decision"]
    (bundle / "model.yaml").write_text(yaml.safe_dump(facts))
    (_, line) = run("models", "list").out.splitlines()
    assert line.split() == ["random", "sounds", "1", "yes", "no"]
    (listed,) = json.loads(run("models", "list", "--json").out)
    assert listed["silent_labels"] == ["unknown", "silence"]
    shown = run("models", "show", "random").out
    assert "\nactivity" in shown
    assert "least_off_ms 400" in shown


def test_recognisers_say_what_they_hear_too(run: Run, bundle: Path) -> None:
    write_captions_bundle(bundle.parent / "captions", language="english-small")
    lines = run("models", "list").out.splitlines()
    assert "speech in 3 phones, words of english-small" in lines[1]
    facts = json.loads(run("models", "list", "--json").out)
    assert [fact["kind"] for fact in facts] == ["captions", "commands"]
    shown = run("models", "show", "captions").out
    assert "\ncaptions" in shown
    assert "language english-small" in shown
    assert "\ndecision" not in shown
    assert run("models", "verify", "captions").code == 0


def test_a_broken_model_is_listed_as_such(run: Run, bundle: Path) -> None:
    change(bundle, colour="blue")
    assert "random  broken" in run("models", "list").out
    [entry] = json.loads(run("models", "list", "--json").out)
    assert "colour" in entry["error"]


def test_no_models_at_all(run: Run, bundle: Path) -> None:
    shutil.rmtree(bundle)
    assert run("models", "list").out.startswith("no models in ")
    assert json.loads(run("models", "list", "--json").out) == []


def test_shows_the_facts_of_a_card(run: Run, bundle: Path) -> None:
    change(bundle, results={"test": {"accuracy": 0.9512, "clips": 2858}})
    outcome = run("models", "show", "random")
    assert outcome.code == 0
    lines = dict(line.split(None, 1) for line in outcome.out.splitlines() if not line.startswith("result"))
    assert lines["licence"] == "Apache-2.0"
    assert lines["graphs"].startswith("model.onnx ")
    assert lines["folder"] == str(bundle)
    assert "accuracy 0.9512, clips 2858" in outcome.out


@pytest.mark.parametrize("command", ["list", "show", "verify"])
@pytest.mark.parametrize("facts", [{"version": "1\a\x9b2J"}, {"col\aour\x9b": "blue"}])
def test_a_model_cannot_steer_the_terminal(
    run: Run, bundle: Path, command: str, facts: dict[str, str]
) -> None:
    change(bundle, **facts)
    outcome = run("models", command, *(["random"] if command == "show" else []))
    assert outcome.out + outcome.err
    assert all(character.isprintable() for character in (outcome.out + outcome.err).replace("\n", ""))


def test_shows_them_to_programs(run: Run, bundle: Path) -> None:
    facts = json.loads(run("models", "show", str(bundle), "--json").out)
    assert facts["licence"] == "Apache-2.0"
    assert facts["bytes"]["model.onnx"] == (bundle / "model.onnx").stat().st_size


def test_verifies_every_runtime(run: Run, bundle: Path) -> None:
    outcome = run("models", "verify")
    assert outcome.code == 0
    words = [line.split()[:3] for line in outcome.out.splitlines()]
    assert words == [["random", check, "ok"] for check in ("manifest", "golden", "litert", "onnx")]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"colour": "blue"}, "colour"),
        ({"frontend_fingerprint": "0" * 64}, "fingerprint"),
        ({"step_frames": 8}, "the manifest wants"),
    ],
)
def test_a_broken_model_fails(run: Run, bundle: Path, facts: dict[str, object], message: str) -> None:
    change(bundle, **facts)
    outcome = run("models", "verify", "random")
    assert outcome.code == 5
    assert "FAIL" in outcome.out
    assert message in outcome.out
    records = json.loads(run("models", "verify", "random", "--json").out)
    assert "failed" in [record["outcome"] for record in records]


def test_a_damaged_graph_fails(run: Run, bundle: Path) -> None:
    graph = bundle / "model.tflite"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00\x01")
    outcome = run("models", "verify", "random")
    assert outcome.code == 5
    assert "wrong checksum" in outcome.out


@pytest.mark.parametrize("command", ["show", "verify"])
def test_an_unknown_name_is_compared_with_the_known(run: Run, bundle: Path, command: str) -> None:
    outcome = run("models", command, "randon")
    assert outcome.code == 5
    assert "Did you mean 'random'?" in outcome.err


def test_a_model_broken_in_any_way_ends_wake_with_its_reason(
    run: Run, bundle: Path, five_seconds: Path
) -> None:
    change(bundle, colour="blue")
    outcome = run("wake", five_seconds, "--fast", "--model", "random")
    assert (outcome.code, outcome.out) == (5, "")
    assert "colour" in outcome.err


def test_a_model_given_twice_listens_once(
    run: Run, bundle: Path, five_seconds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load(choice: Choice, *settings: object) -> object:
        loaded.append(choice.folder)
        return scripted.load(str(choice.folder), *settings)

    monkeypatch.setattr(wake, "_load", load)
    shutil.copytree(bundle, bundle.parent / "other")
    models = ["random", "other", str(bundle), str(bundle / "model.yaml"), "random"]
    run("wake", five_seconds, "--fast", *(word for model in models for word in ("--model", model)))
    assert loaded == [bundle, bundle.parent / "other"]


@pytest.mark.parametrize("backend", ["onnx", "litert"])
def test_wake_runs_a_real_graph(run: Run, bundle: Path, five_seconds: Path, backend: str) -> None:
    outcome = run("wake", five_seconds, "--fast", "--model", bundle, "--backend", backend)
    assert outcome.code == 0
    assert "heard     5.0 s" in outcome.err


@pytest.fixture
def quartznet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to be added, and nowhere else to add it to than a folder of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    path = tmp_path / "small.onnx"
    path.write_bytes(Export(quantized=True).data)
    return path


def test_a_shorter_lookahead(run: Run, quartznet: Path) -> None:
    assert run("models", "add", quartznet, "--name", "quick", "--lookahead", "0.5").code == 0
    shown = json.loads(run("models", "show", "quick", "--json").out)
    assert shown["captions"]["window"] == {"left_ms": 0.0, "chunk_ms": 640.0, "lookahead_ms": 500.0}
    assert run("models", "add", quartznet, "--name", "late", "--lookahead", "9").code == 2


def test_adds_a_network_and_removes_it(run: Run, quartznet: Path) -> None:
    digest = hashlib.sha256(quartznet.read_bytes()).hexdigest()
    outcome = run("models", "add", quartznet, "--name", "mine", "--sha256", digest)
    assert outcome.code == 0
    assert digest in outcome.out
    assert "edgeaudio caption --model mine" in outcome.out
    assert "Not settled" in run("models", "show", "mine").out
    assert run("models", "verify", "mine").code == 0
    assert run("models", "add", quartznet, "--name", "mine").code == 5
    assert run("models", "remove", "mine").code == 0
    assert "unknown model 'mine'" in run("models", "remove", "mine").err


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["{file}", "--sha256", "0" * 64], 5, "not the one asked for"),
        (["{file}", "--name", "Mine"], 2, "cannot be called 'Mine'"),
        (["http://localhost/net.onnx"], 2, "not an https address"),
        (["https://localhost:9/net.onnx"], 3, "cannot download"),
        (["{folder}/nothing.onnx"], 5, "cannot read"),
        ([__file__], 5, "no ONNX file"),
    ],
)
def test_what_cannot_be_added(run: Run, quartznet: Path, args: list[str], code: int, why: str) -> None:
    outcome = run("models", "add", *(arg.format(file=quartznet, folder=quartznet.parent) for arg in args))
    assert outcome.code == code
    assert why in outcome.err
    assert not (quartznet.parent / "data").exists()
