"""`edgeaudio devices` and `edgeaudio doctor`, on machines that lack one thing or another."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from edgeaudio import backends, profiles
from edgeaudio.cli import startup
from edgeaudio.errors import MissingDependencyError
from edgeaudio.models import catalogue
from edgeaudio.profiles import Choice, Profile
from edgeaudio.sources import devices
from edgeaudio.sources.devices import DeviceInfo
from tests.cli.conftest import Run
from tests.networks import write_random_bundle

USB = DeviceInfo(
    index=0, name="USB Mic", host_api="ALSA", channels=1, default_rate_hz=48000.0, is_default=False
)
ARRAY = DeviceInfo(
    index=11, name="Array", host_api="ALSA", channels=8, default_rate_hz=16000.0, is_default=True
)


def without_portaudio() -> list[DeviceInfo]:
    raise MissingDependencyError("no PortAudio library", hint="sudo apt-get install libportaudio2")


@pytest.fixture
def two_microphones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "list_devices", lambda: [USB, ARRAY])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_random_bundle(folder / "random")
    return folder


@pytest.fixture(autouse=True)
def only_these_models(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "search_path", lambda: (models,))


def findings(run: Run) -> tuple[int, dict[str, dict[str, object]]]:
    outcome = run("doctor", "--json")
    return outcome.code, {finding["name"]: finding for finding in json.loads(outcome.out)}


@pytest.mark.usefixtures("two_microphones")
def test_devices_are_a_table(run: Run) -> None:
    assert run("devices").out.splitlines() == [
        "index     name     host API  channels  rate/Hz",
        "    0     USB Mic  ALSA             1    48000",
        "   11  *  Array    ALSA             8    16000",
    ]


@pytest.mark.usefixtures("two_microphones")
def test_devices_are_json(run: Run) -> None:
    first, second = json.loads(run("devices", "--json").out)
    assert (first["index"], first["is_default"]) == (0, False)
    assert (second["channels"], second["default_rate_hz"], second["is_default"]) == (8, 16000.0, True)


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_no_device_is_an_error_with_advice(
    run: Run, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.setattr(devices, "list_devices", list)
    outcome = run("devices", *args)
    assert outcome.code == 4
    assert "there is no microphone" in outcome.err
    assert outcome.out == ("[]\n" if args else "")


def test_no_portaudio_names_the_package(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "list_devices", without_portaudio)
    outcome = run("devices")
    assert outcome.code == 6
    assert "apt-get install libportaudio2" in outcome.err


@pytest.mark.usefixtures("two_microphones")
def test_a_healthy_machine(run: Run) -> None:
    code, found = findings(run)
    assert code == 0
    for name in ("Python", "numba", "runtime onnx", "runtime litert", "microphones", "model random"):
        assert found[name]["outcome"] == "ok", found[name]
    assert found["microphones"]["detail"] == "2, default: Array"


def test_without_portaudio_files_still_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "list_devices", without_portaudio)
    code, found = findings(run)
    assert code == 0
    assert found["microphones"]["outcome"] == "missing"
    assert found["microphones"]["mend"] == "sudo apt-get install libportaudio2"


@pytest.mark.usefixtures("two_microphones")
def test_one_runtime_is_enough_and_none_is_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "installed_runtimes", lambda: ("onnx",))
    code, found = findings(run)
    assert code == 0
    assert found["runtime litert"]["mend"] == "pip install 'edgeaudio[tflite]'"
    monkeypatch.setattr(backends, "installed_runtimes", lambda: ())
    code, found = findings(run)
    assert code == 6


@pytest.mark.usefixtures("two_microphones")
def test_without_models_nothing_can_be_heard(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(catalogue, "search_path", lambda: (tmp_path,))
    outcome = run("doctor")
    assert outcome.code == 6
    assert "missing models" in outcome.out
    assert outcome.out.endswith("Wake words cannot be spotted here yet.\n")


@pytest.mark.usefixtures("two_microphones")
def test_one_broken_model_does_not_hide_the_others(
    run: Run, models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(models / "random", tmp_path / "good")
    shutil.copytree(models / "random", tmp_path / "bad")
    (tmp_path / "bad" / "model.onnx").write_bytes(b"damaged")
    monkeypatch.setattr(catalogue, "search_path", lambda: (tmp_path,))
    code, found = findings(run)
    assert code == 0
    assert found["model good"]["outcome"] == "ok"
    assert found["model bad"]["outcome"] == "warn"
    assert "checksum" in str(found["model bad"]["detail"])


@pytest.mark.usefixtures("two_microphones")
def test_the_profile_of_this_machine_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = findings(run)
    assert found["profile"]["outcome"] == "ok"
    best, good = Choice(Profile(name="best"), "a GPU", missing="Install it: x"), Choice(Profile(), "all")
    monkeypatch.setattr(profiles, "detect", lambda: [best, good])
    _, found = findings(run)
    assert found["profile"] == {
        "name": "profile",
        "outcome": "warn",
        "detail": "generic; best (a GPU) needs more",
        "mend": "Install it: x",
        "required": False,
    }


@pytest.mark.usefixtures("two_microphones")
def test_the_gpus_onnxruntime_is_one_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr("importlib.metadata.version", version)
    _, found = findings(run)
    assert found["onnxruntime-gpu"]["outcome"] == "ok"
    assert "onnxruntime" not in found


@pytest.mark.usefixtures("two_microphones")
def test_a_place_for_compiled_code_is_looked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "cache_folder", lambda: None)
    _, found = findings(run)
    assert found["compiled code"]["outcome"] == "warn"
    assert "NUMBA_CACHE_DIR" in str(found["compiled code"]["mend"])


@pytest.mark.usefixtures("two_microphones")
def test_a_runtime_folder_that_cannot_be_looked_into(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Too long a name is an error for root, too, whom no permission keeps out.
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/" + "x" * 300)
    monkeypatch.delenv("PULSE_SERVER", raising=False)
    _, found = findings(run)
    assert found["sound server"]["detail"] in {"none seen", "JACK"}


@pytest.mark.usefixtures("two_microphones")
def test_each_trouble_comes_with_what_mends_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "installed_runtimes", lambda: ())
    lines = run("doctor").out.splitlines()
    at = next(i for i, line in enumerate(lines) if "runtime onnx" in line)
    assert lines[at].startswith("missing")
    assert lines[at + 1].strip() == "→ pip install 'edgeaudio[onnx]'"
