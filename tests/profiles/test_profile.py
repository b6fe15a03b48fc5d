"""What a profile may say: the ones that come along, and files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from edgeaudio.errors import ConfigError
from edgeaudio.profiles import (
    Budgets,
    Measured,
    Profile,
    dump_profile,
    json_schema,
    list_profiles,
    load_profile,
)
from edgeaudio.profiles.choice import _folder

SHIPPED = (
    "desktop-cpu",
    "desktop-cuda",
    "generic",
    "jetson-agx-orin",
    "jetson-nano",
    "jetson-orin-nano",
    "raspberry-pi-3",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "raspberry-pi-zero-2w",
)


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\n{text}\n")
    return path


def test_the_generic_profile_is_the_default():
    assert msgspec.structs.replace(load_profile(), budgets=Budgets()) == Profile()


def test_there_are_ten():
    assert list_profiles() == list(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_profile_that_comes_along(name):
    profile = load_profile(name)
    text = (_folder() / f"{name}.yaml").read_text()
    assert profile.name == name
    # Whoever reads the file finds every setting, and editors find the schema.
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    keys = {line.partition(":")[0] for line in text.splitlines() if line[0] not in " #"}
    assert keys | {"match"} == set(Profile.__struct_fields__) - {"measured"} | {"match"}
    assert all(getattr(profile.budgets, key) for key in Budgets.__struct_fields__)
    # Nobody shall take an estimate for a measurement.
    assert profile.measured is not None or "stimated" in text.partition("budgets:")[2]


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("jetson")])
def test_jetsons_ask_for_tensorrt_first(name):
    assert load_profile(name).providers == ("tensorrt", "cuda", "cpu")


def test_a_file_is_a_profile_too(tmp_path):
    path = write(tmp_path, "hop_ms: 40")
    assert load_profile(path) == load_profile(str(path)) == Profile(name="mine", hop_ms=40)


def test_a_file_without_a_name_is_named_after_itself(tmp_path):
    path = tmp_path / "Living Room.yaml"
    path.write_text("hop_ms: 160\n")
    assert load_profile(path).name == "living-room"


@pytest.mark.parametrize("latency", ["low", "high", 35])
def test_latency_as_a_microphone_takes_it(tmp_path, latency):
    found = load_profile(write(tmp_path, f"latency: {latency}")).capture_latency
    assert found == (latency if isinstance(latency, str) else 0.035)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hop_msec: 80", "hop_msec.*\n.*Did you mean 'hop_ms'"),
        ("hop_ms: 5", "hop_ms"),
        ("hop_ms: 80.5", "hop_ms"),
        ("max_lag_ms: long", "max_lag_ms"),
        ("threshold: 0.5", "threshold"),
        ("budgets: {cpu_share: 0}", r"> 0.0.*budgets\.cpu_share"),
        ("budgets: {memory_mb: 0.0}", r"> 0.0.*budgets\.memory_mb"),
        ("budgets: {p95_word_to_event_ms: -5}", r"> 0.0.*budgets\.p95_word_to_event_ms"),
        ("budgets: {cpu_share: .nan}", r"budgets\.cpu_share"),
        ("budgets: {cpu_share: .inf}", r"budgets\.cpu_share"),
        ("budgets: {p95_ms: 5}", "p95_ms"),
        ("budgets: {cpu_shares: 5}", "Did you mean 'cpu_share'"),
        ("match: {device: [x]}", "Did you mean 'device_tree'"),
        ("match: {device_tree: Raspberry Pi 4}", r"match\.device_tree"),
        ("match: {cpu_part: [0xd08]}", r"match\.cpu_part"),
        ("match: {cpu_part: ['d08']}", r"match\.cpu_part"),
        ("runtime: []", "runtime"),
        ("runtime: [tensorflow]", "tensorflow.*runtime"),
        ("runtime: [onnx, onnx]", "runtime names something twice: onnx, onnx"),
        ("providers: [rocm]", "rocm.*providers"),
        ("providers: [cuda, cpu]", "cuda cannot run int8: write precision: float32"),
        ("providers: [cpu, cuda]\nprecision: float32", "name it last"),
        ("providers: [cuda]\nprecision: float32\nruntime: [litert]", "name onnx among runtime"),
        ("precision: float32\nruntime: [litert]", "only onnx runs float32"),
        ("precision: int4", "int4.*precision"),
        ("threads: 0", "threads"),
        ("affinity: [-1]", "affinity"),
        ("affinity: [1, 1]", "affinity names something twice"),
        ("shed: [wake_word]", "wake_word.*shed"),
        ("latency: medium", "latency"),
        ("latency: 0", "latency is 0 ms, not low, high or 1 to 1000"),
        ("latency: 40.5", "latency"),
        ("block_ms: 0", "block_ms"),
        ("name: mine", "given twice"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_key(tmp_path, text, complaint):
    with pytest.raises(ConfigError, match=f"(?s)mine.yaml.*{complaint}") as caught:
        load_profile(write(tmp_path, text))
    assert caught.value.exit_code == 7


def test_what_is_written_loads_back(tmp_path):
    measured = Measured(
        made="2026-11-21T15:00:00Z",
        device="Raspberry Pi 4 Model B Rev 1.4",
        versions={"edgeaudio": "0.1.0"},
        results={"p95_word_to_event_ms": 61.5, "runtime": "litert"},
    )
    profile = Profile(name="mine", threads=2, budgets=Budgets(cpu_share=0.5), measured=measured, shed=())
    path = tmp_path / "mine.yaml"
    path.write_text(dump_profile(profile))
    assert load_profile(path) == profile


def test_the_schema_beside_the_profiles_is_the_one_of_the_code():
    shipped = json.loads((Path(_folder()) / "schema.json").read_text())
    assert shipped == json_schema(), "edgeaudio profiles show --schema > firmware_profiles/schema.json"


def test_the_schema_tells_of_every_key_and_allows_no_other():
    for name, part in json_schema()["$defs"].items():
        assert part["additionalProperties"] is False, name
        assert part["description"]
        for key, value in part["properties"].items():
            assert len(value.get("description", "")) > 10, f"{name}.{key}"
