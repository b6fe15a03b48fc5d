"""What a machine says of itself, read from copies of its files."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading

import pytest

from edgeaudio.errors import ConfigError
from edgeaudio.profiles import pin, read_hardware
from edgeaudio.profiles.hardware import usable_cores
from tests.profiles.machines import build


@pytest.fixture(autouse=True)
def arm(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")


def test_a_board_says_its_name_and_its_cores(tmp_path):
    found = read_hardware(build(tmp_path / "r", "Raspberry Pi 4 Model B Rev 1.4", ("0xd08", "0xd03")))
    assert found.device_tree == "Raspberry Pi 4 Model B Rev 1.4"
    assert found.cpu_parts == ("0xd03", "0xd08")
    assert found.cuda_devices == ()
    assert found.architecture == "aarch64"


def test_a_machine_without_any_file_says_nothing(tmp_path):
    found = read_hardware(tmp_path / "nothing")
    assert (found.device_tree, found.cpu_parts, found.cuda_devices) == (None, None, ())


def test_another_architecture_has_no_arm_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert read_hardware(tmp_path).cpu_parts == ()


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff\xfe\0", b"\n \0"])
def test_a_nonsensical_device_tree_is_no_name(tmp_path, content):
    root = build(tmp_path / "r", "x", ())
    (root / "proc/device-tree/model").write_bytes(content)
    found = read_hardware(root).device_tree
    assert found is None or "\0" not in found


def test_a_folder_or_a_file_that_may_not_be_read_is_no_name(tmp_path):
    root = build(tmp_path / "r", None, ())
    (root / "proc/device-tree/model").mkdir(parents=True)
    assert read_hardware(root).device_tree is None


def test_the_driver_tells_the_names_of_gpus(tmp_path):
    assert read_hardware(build(tmp_path / "a", None, (), "NVIDIA RTX A2000")).cuda_devices == (
        "NVIDIA RTX A2000",
    )


@pytest.mark.parametrize("path", ["dev/nvidia0", "usr/lib/wsl/lib/libcuda.so.1"])
def test_a_gpu_without_the_drivers_names_is_one_too(tmp_path, path):
    root = build(tmp_path / "r", None, ())
    (root / path).parent.mkdir(parents=True)
    (root / path).touch()
    assert read_hardware(root).cuda_devices == ("",)


def test_detection_loads_no_runtime_and_no_cuda():
    code = (
        "import sys; from edgeaudio.profiles import detect; detect()\n"
        "print(sorted({'onnxruntime', 'ai_edge_litert', 'torch', 'numba'} & set(sys.modules)))\n"
        "print('cuda' in open('/proc/self/maps').read())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nFalse\n"


def test_only_the_calling_thread_is_moved_and_what_it_starts():
    cores = usable_cores()
    wanted, seen = {min(cores)}, []

    def work():
        pin(wanted)
        inner = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        inner.start()
        inner.join()
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [wanted, wanted]
    assert os.sched_getaffinity(0) == cores


def test_no_cores_named_moves_nothing():
    before = os.sched_getaffinity(0)
    pin(())
    assert os.sched_getaffinity(0) == before


def test_a_core_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"affinity \[1023\] cannot be had"):
        pin((1023,))
