"""Which profile a machine gets, and which ones are refused on it."""

from __future__ import annotations

import logging
import platform

import msgspec
import pytest

from edgeaudio.backends import providers
from edgeaudio.errors import ConfigError
from edgeaudio.profiles import Match, Profile, choice, choose_profile, detect, load_profile, read_hardware
from edgeaudio.profiles.choice import check_cores
from tests.profiles.machines import BOARDS, build


def machine(monkeypatch, root, architecture):
    """Let this machine say what is below `root`."""
    monkeypatch.setattr(platform, "machine", lambda: architecture)
    monkeypatch.setattr(choice, "read_hardware", lambda: read_hardware(root))


def install_gpu(monkeypatch, *names):
    """Pretend that onnxruntime was built with these providers."""
    monkeypatch.setattr(providers, "is_installed", lambda provider: provider in ("cpu", *names))


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: f"{board.model}-{'-'.join(board.parts)}")
def test_each_board_is_recognised(tmp_path, monkeypatch, board):
    machine(monkeypatch, build(tmp_path / "r", board.model, board.parts, board.gpu), "aarch64")
    found = detect()
    assert found[0].profile.name == board.profile
    assert found[-1].profile.name == "generic"
    if board.model is not None and board.profile != "generic":
        assert board.model in found[0].reason


def test_a_desktop_without_a_gpu(tmp_path, monkeypatch):
    machine(monkeypatch, build(tmp_path / "r", None, ()), "x86_64")
    assert [found.profile.name for found in detect()] == ["desktop-cpu", "generic"]


def test_a_desktop_with_a_gpu(tmp_path, monkeypatch):
    machine(monkeypatch, build(tmp_path / "r", None, (), "Tesla T4"), "x86_64")
    found = detect()
    assert [choice.profile.name for choice in found] == ["desktop-cuda", "desktop-cpu", "generic"]
    assert found[0].reason == "cuda device: Tesla T4, architecture: x86_64"


def test_an_arm_server_with_a_gpu_is_no_desktop(tmp_path, monkeypatch):
    machine(monkeypatch, build(tmp_path / "r", None, ("0xd40",), "NVIDIA GH200"), "aarch64")
    assert detect()[0].profile.name == "generic"


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"device_tree": ("raspberry pi 4 model b",)}, True),
        ({"device_tree": ("Raspberry Pi 40",)}, False),
        ({"device_tree": ("pberry Pi 4",)}, False),
        ({"cpu_part": ("0xd08",)}, True),
        ({"device_tree": ("Raspberry Pi 4",), "cpu_part": ("0xd03",)}, False),
        ({"device_tree": ("Raspberry Pi 4",), "architecture": ("aarch64",)}, True),
        ({"cuda_device": ("any",)}, False),
        ({}, True),
    ],
)
def test_every_rule_that_can_be_answered_must_hold(tmp_path, monkeypatch, match, fits):
    machine(monkeypatch, build(tmp_path / "r", "Raspberry Pi 4 Model B Rev 1.4", ("0xd08",)), "aarch64")
    monkeypatch.setattr(choice, "list_profiles", lambda: ["mine"])
    monkeypatch.setattr(choice, "load_profile", lambda name: Profile(name=name, match=Match(**match)))
    assert bool(detect()) is fits


def test_the_chosen_profile_is_named_in_the_log(tmp_path, monkeypatch, caplog):
    machine(monkeypatch, build(tmp_path / "r", "Raspberry Pi 5 Model B Rev 1.0", ("0xd0b",)), "aarch64")
    with caplog.at_level(logging.INFO, logger="edgeaudio"):
        assert choose_profile().name == "raspberry-pi-5"
    assert caplog.messages == [
        "profile raspberry-pi-5 (device tree: Raspberry Pi 5 Model B Rev 1.0, cpu part: 0xd0b)"
    ]


def test_what_was_asked_for_overrides_the_machine(caplog):
    with caplog.at_level(logging.INFO, logger="edgeaudio"):
        assert choose_profile("raspberry-pi-3").name == "raspberry-pi-3"
    assert caplog.messages == ["profile raspberry-pi-3 (as asked for)"]


def test_a_better_match_that_is_not_installed_is_passed_over_with_a_warning(tmp_path, monkeypatch, caplog):
    install_gpu(monkeypatch)
    machine(monkeypatch, build(tmp_path / "r", None, (), "Tesla T4"), "x86_64")
    assert choose_profile().name == "desktop-cpu"
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "the better match desktop-cuda needs what is not installed" in record.message
    assert "pip install 'edgeaudio[gpu]'" in record.message


def test_a_better_match_that_is_installed_is_taken(tmp_path, monkeypatch, caplog):
    install_gpu(monkeypatch, "cuda")
    monkeypatch.setattr(choice, "find_spec", lambda name: object())
    machine(monkeypatch, build(tmp_path / "r", None, (), "Tesla T4"), "x86_64")
    assert choose_profile().name == "desktop-cuda"
    assert not caplog.records


def test_a_gpu_without_what_makes_float_networks_is_passed_over(tmp_path, monkeypatch, caplog):
    """The shipped models are quantized, and a GPU cannot run that: nobody's wake word may fail of it."""
    install_gpu(monkeypatch, "cuda")
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    machine(monkeypatch, build(tmp_path / "r", None, (), "Tesla T4"), "x86_64")
    assert choose_profile().name == "desktop-cpu"
    assert "desktop-cuda needs what is not installed. Install it: pip install onnx." in caplog.text


def test_a_jetson_wants_tensorrt_and_names_nvidias_own_index(tmp_path, monkeypatch, caplog):
    install_gpu(monkeypatch, "cuda")
    monkeypatch.setattr(providers.sys, "version_info", (3, 10))
    board = build(tmp_path / "r", "NVIDIA Jetson Orin Nano Developer Kit", ("0xd42",))
    machine(monkeypatch, board, "aarch64")
    assert choose_profile().name == "generic"
    assert "pypi.jetson-ai-lab.io/jp6" in caplog.text


def test_more_threads_than_cores_are_refused(monkeypatch):
    monkeypatch.setattr(choice, "usable_cores", lambda: frozenset({0, 1}))
    with pytest.raises(ConfigError, match="asks for 64 threads; this process may use cores 0, 1") as caught:
        check_cores(Profile(name="mine", threads=64))
    assert "at most 2" in str(caught.value)
    check_cores(Profile(threads=2))


def test_more_threads_than_affinity_leaves_are_refused(monkeypatch):
    monkeypatch.setattr(choice, "usable_cores", lambda: frozenset(range(64)))
    with pytest.raises(ConfigError, match="3 threads; this process may use 64 cores; affinity leaves it 2"):
        check_cores(Profile(threads=3, affinity=(0, 1)))


def test_cores_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(choice, "usable_cores", lambda: frozenset({0, 1}))
    with pytest.raises(ConfigError, match="affinity names cores 2, 3; this process may use cores 0, 1"):
        check_cores(Profile(name="mine", affinity=(1, 2, 3)))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("genric", "generic"),
        ("raspberry-pi4", "raspberry-pi-4"),
        ("Raspberry-Pi-5", "raspberry-pi-5"),
        ("pi4", "raspberry-pi-4"),
        ("pi zero", "raspberry-pi-zero-2w"),
        ("desktop-gpu", "desktop-cpu"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(wrong, right):
    with pytest.raises(ConfigError, match=f"unknown profile '{wrong}'\n  Did you mean '{right}'"):
        load_profile(wrong)


def test_a_name_like_nothing_lists_what_there_is():
    with pytest.raises(ConfigError, match="Known: desktop-cpu, desktop-cuda, generic, jetson-agx-orin"):
        load_profile("toaster")


def test_a_file_that_is_not_there():
    with pytest.raises(ConfigError, match=r"cannot read mine\.yaml"):
        load_profile("./mine.yaml")


def test_every_rule_outweighs_those_behind_it():
    ranks = list(choice._RANKS.values())
    assert tuple(choice._RANKS) == Match.__struct_fields__
    assert all(rank > sum(ranks[i + 1 :]) for i, rank in enumerate(ranks))


def test_only_generic_fits_every_machine():
    without = [name for name in choice.list_profiles() if load_profile(name).match == Match()]
    assert without == ["generic"]
    assert msgspec.structs.asdict(Match()) == dict.fromkeys(choice._RANKS, ())
