"""`edgeaudio profiles`, and `--profile` of the commands that listen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeaudio.backends import providers
from edgeaudio.cli import listening
from edgeaudio.cli.listening import SourceOptions
from edgeaudio.profiles import Profile, choice, json_schema, list_profiles, load_profile, read_hardware
from edgeaudio.sources import microphone
from tests.cli.conftest import Run
from tests.profiles.machines import build


@pytest.fixture
def pi4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a Raspberry Pi 4."""
    pretend(
        tmp_path,
        monkeypatch,
        model="Raspberry Pi 4 Model B Rev 1.4",
        parts=("0xd08",),
        architecture="aarch64",
    )


def pretend(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    model: str | None,
    parts: tuple[str, ...],
    architecture: str,
    gpu: str | None = None,
) -> None:
    import edgeaudio.profiles as package

    root = build(tmp_path / "machine", model, parts, gpu)
    monkeypatch.setattr("platform.machine", lambda: architecture)
    for place in (choice, package):
        monkeypatch.setattr(place, "read_hardware", lambda: read_hardware(root))


@pytest.mark.usefixtures("pi4")
def test_the_list_marks_the_best_match(run: Run) -> None:
    outcome = run("profiles", "list")
    assert outcome.code == 0
    header, *lines = outcome.out.splitlines()
    assert header.split() == ["name", "for", "hop", "computes", "with"]
    assert [line.strip("* ").split()[0] for line in lines] == list_profiles()
    assert [line.split()[1] for line in lines if line.startswith("*")] == ["raspberry-pi-4"]


@pytest.mark.usefixtures("pi4")
def test_the_list_for_programs(run: Run) -> None:
    found = json.loads(run("profiles", "list", "--json").out)
    assert [profile["name"] for profile in found if profile["best_match"]] == ["raspberry-pi-4"]
    assert all(profile["budgets"]["cpu_share"] > 0 for profile in found)
    assert set(found[0]) == {*Profile.__struct_fields__, "best_match"}


@pytest.mark.usefixtures("pi4")
def test_detect_says_what_fits_and_why(run: Run) -> None:
    outcome = run("profiles", "detect")
    assert outcome.code == 0
    assert "device tree   Raspberry Pi 4 Model B Rev 1.4" in outcome.out
    assert "device tree: Raspberry Pi 4 Model B Rev 1.4, cpu part: 0xd08" in outcome.out
    assert outcome.out.splitlines()[-1] == "used: raspberry-pi-4"
    found = json.loads(run("profiles", "detect", "--json").out)
    assert found["chosen"] == "raspberry-pi-4"
    assert found["machine"]["cpu_parts"] == ["0xd08"]
    assert [fit["name"] for fit in found["fitting"]] == ["raspberry-pi-4", "generic"]


def test_detect_says_what_the_better_match_needs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "is_installed", lambda provider: provider == "cpu")
    pretend(tmp_path, monkeypatch, model=None, parts=(), architecture="x86_64", gpu="NVIDIA RTX A2000")
    lines = run("profiles", "detect").out.splitlines()
    assert lines[-2] == "used: desktop-cpu"
    assert lines[-1].startswith("The better match desktop-cuda needs what is not installed. Install it: pip")


@pytest.mark.parametrize("name", list_profiles())
def test_what_is_shown_is_a_profile_file_again(run: Run, name: str, tmp_path: Path) -> None:
    outcome = run("profiles", "show", name)
    assert outcome.code == 0
    path = tmp_path / "copy.yaml"
    path.write_text(outcome.out)
    assert load_profile(path) == load_profile(name)
    assert outcome.out.startswith("# The budgets are estimates: nothing was measured on this device.\n")
    assert json.loads(run("profiles", "show", name, "--json").out)["name"] == name


@pytest.mark.usefixtures("pi4")
def test_without_a_name_the_one_that_is_used_is_shown(run: Run) -> None:
    assert "\nname: raspberry-pi-4\n" in run("profiles", "show").out


def test_a_file_is_shown_with_what_it_leaves_out(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nmeasured: {made: '2026-11-21T15:00:00Z', device: a Pi}\n")
    out = run("profiles", "show", path).out
    assert "hop_ms: 80\n" in out
    assert "estimates" not in out


def test_the_schema_for_editors(run: Run) -> None:
    assert json.loads(run("profiles", "show", "--schema").out) == json_schema()
    assert run("profiles", "show", "generic", "--schema").code == 2


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("hop_msec: 80", 7, "Did you mean 'hop_ms'"),
        ("budgets: {cpu_share: 0}", 7, "`$.budgets.cpu_share`"),
        ("threads: 64", 7, "asks for 64 threads; this process may use"),
        ("affinity: [900]", 7, "affinity names core 900; this process may use"),
        ("runtime: [onnx]\nproviders: [cuda]\nprecision: float32", 6, "pip install 'edgeaudio[gpu]'"),
        ("max_lag_ms: 150", 2, "max_lag_ms is 150, less than two hops of 80 ms"),
    ],
)
def test_a_wrong_profile_ends_it_before_it_listens(
    run: Run, five_seconds: Path, tmp_path: Path, *, text: str, code: int, said: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\n{text}\n")
    outcome = run("wake", five_seconds, "--fast", "--profile", path)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err


@pytest.mark.parametrize("command", ["wake", "caption", "label"])
def test_an_unknown_profile_names_the_nearest(run: Run, five_seconds: Path, command: str) -> None:
    outcome = run(command, five_seconds, "--profile", "raspberrypi-4")
    assert (outcome.code, outcome.out.startswith("{")) == (7, False)
    assert "unknown profile 'raspberrypi-4'\n  Did you mean 'raspberry-pi-4'?" in outcome.err


@pytest.mark.usefixtures("pi4", "scripted")
@pytest.mark.parametrize("command", ["wake", "caption"])
def test_the_profile_is_named_in_the_log(run: Run, five_seconds: Path, command: str) -> None:
    args = (command, five_seconds, "--fast", "--log-level", "info")
    reason = "device tree: Raspberry Pi 4 Model B Rev 1.4, cpu part: 0xd08"
    assert f"INFO: profile raspberry-pi-4 ({reason})" in run(*args).err
    assert "INFO: profile raspberry-pi-5 (as asked for)" in run(*args, "--profile", "raspberry-pi-5").err


def test_float32_hears_the_same_words(run: Run, tmp_path: Path) -> None:
    demo = Path(listening.__file__).parents[1] / "assets" / "demo.flac"
    path = tmp_path / "float.yaml"
    path.write_text("name: float\nruntime: [onnx]\nprecision: float32\n")
    heard = [
        [
            (event["name"], event["end_sample"])
            for line in run("wake", demo, "--fast", "--json", "--profile", profile).out.splitlines()
            if (event := json.loads(line))["type"] == "detection"
        ]
        for profile in ("generic", path)
    ]
    assert len(heard[0]) >= 2
    assert [name for name, _ in heard[0]] == [name for name, _ in heard[1]]
    # A score that crosses the threshold in the next output frame, of 40 ms, is the same decision.
    for (_, one), (_, other) in zip(*heard, strict=True):
        assert abs(one - other) <= 0.08 * 16000


def test_a_microphone_gets_the_block_and_latency_of_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(microphone, "Microphone", lambda device, **options: asked.append(options))
    options = SourceOptions(source=None, fast=False, device=None, channel=None, give_up_s=None)
    for profile in (Profile(block_ms=10, latency=25), Profile()):
        listening.open_source(options, profile)
    wanted = [(given["block_ms"], given["latency"]) for given in asked]
    assert wanted == [(10, 0.025), (40, "high")]
