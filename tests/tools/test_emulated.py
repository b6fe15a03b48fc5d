from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.emulated import __main__ as command
from tools.emulated import device, page
from tools.emulated.__main__ import main
from tools.emulated.counting import MARK, moved, per_second
from tools.emulated.device import CORES, MissingError, cpuinfo, missing_packages
from tools.emulated.page import counts_table, known_counts, parity_table
from tools.emulated.parity import Answers, Comparison, compare

TOOL = Path(__file__).resolve().parents[2] / "tools" / "emulate-pi"


# --- counting -----------------------------------------------------------------------------------


def test_what_a_run_costs_however_long_it_is_does_not_count() -> None:
    start, each_second = 1_000_000, 250
    readings = [10, 10 + start + 4 * each_second, 7_000_000, 7_000_000 + start + 16 * each_second]
    assert per_second(["frontend"], readings) == {"frontend": each_second}


def test_the_search_is_what_the_network_leaves_of_the_recogniser() -> None:
    def readings(each_second: int) -> list[int]:
        return [0, 4 * each_second, 0, 16 * each_second]

    names = ["captions-en-small, acoustic model, litert", "captions-en-small, litert"]
    found = per_second(names, readings(700) + readings(1000))
    assert found["captions-en-small, search and writing"] == 300


@pytest.mark.parametrize(
    ("readings", "message"),
    [([0, 1, 1], "3 readings"), ([0, 9, 9, 18], "no more instructions"), ([], "0 readings")],
)
def test_a_counter_that_did_not_count_is_noticed(readings: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        per_second(["frontend"], readings)


def test_two_percent_are_allowed_in_either_direction() -> None:
    known = {"same": 1e6, "a little": 1e6, "more": 1e6, "less": 1e6}
    found = {"same": 1e6, "a little": 1.0199e6, "more": 1.0201e6, "less": 0.9799e6}
    lines = moved(found, known, all_counted=True)
    assert [line.split(":")[0] for line in lines] == ["less", "more"]
    assert "+2.0 % against 1.000 in the table" in lines[1]


def test_rows_that_only_one_side_has_are_named() -> None:
    assert moved({"new": 1.0}, {"old": 1.0}, all_counted=True) == [
        "new: not in the table",
        "old: in the table, and not counted any more",
    ]
    assert moved({}, {"old": 1.0}, all_counted=False) == []


# --- the page -------------------------------------------------------------------------------------


def _counts() -> dict[str, dict[str, float]]:
    return {core.name: {"frontend, 40 bands": 1_234_567.0, "whole": 9.5e9} for core in CORES}


def test_the_table_is_read_as_it_was_written() -> None:
    read = known_counts("text\n\n" + counts_table(_counts()) + "\n\n| other | table |\n")
    assert read.keys() == _counts().keys()
    for core, counts in _counts().items():
        assert read[core] == pytest.approx(counts, abs=500)  # three decimals of a million


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "there is no table"),
        (
            counts_table({"a": {"x": 1e6}, "b": {"x": 1e6}}).replace("1.000 | 1.000", "1.000"),
            "x: 1 counts for 2",
        ),
        (counts_table({"a": {"x": 1e6}}).replace("1.000", "nan"), "x, a: nan is no count"),
        (counts_table({"a": {"x": 1e6}}).replace("1.000", "-1"), "x, a: -1 is no count"),
        (counts_table({"a": {"x": 1e6}}).replace("1.000", "many"), "many"),
    ],
)
def test_a_spoilt_table_is_refused(table: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        known_counts(table)


def test_the_page_says_what_a_count_is_and_what_ran() -> None:
    compared = {core.name: [Comparison("frames log_mel", 1e-7, 1e-5, "3 rows")] for core in CORES}
    text = page.page(
        _counts(), compared, ["Emulated (QEMU 7.2.22): numpy 2.4.6.", "x86: numpy 2.4.6."], search=True
    )
    assert "a proxy for cost, never milliseconds" in text
    assert "numpy 2.4.6" in text
    assert known_counts(text).keys() == _counts().keys()
    assert "| frames log_mel | 3 rows | 1e-07 | 1e-07 | 1e-07 | 1e-05 | kept |" in text


def test_a_difference_that_is_too_large_stands_out_in_the_table() -> None:
    good, bad = Comparison("logits x", 0.1, 0.2), Comparison("logits x", np.nan, 0.2)
    assert "**exceeded**" in parity_table({"a": [good], "b": [bad]})
    assert "**exceeded**" not in parity_table({"a": [good], "b": [good]})


# --- answers --------------------------------------------------------------------------------------


def _answers(**changes: object) -> Answers:
    words = [
        {"text": "good", "start_sample": 0, "end_sample": 9, "confidence": 0.9},
        {"text": "day", "start_sample": 9, "end_sample": 20, "confidence": 0.8},
    ]
    detection = {"type": "detection", "name": "go", "score": 0.8, "start_sample": 1, "end_sample": 5}
    events = {
        "spotter": [detection],
        "recogniser": [
            {"type": "caption", "final": False, "words": words[:1]},
            {"type": "caption", "final": True, "words": words},
        ],
    }
    answers: dict[str, np.ndarray] = {
        "frames log_mel": np.linspace(-5, 5, 80, dtype=np.float32).reshape(2, 40),
        "tolerance spotter": np.array(0.1),
        "logits spotter onnx": np.ones((4, 3), np.float32),
        **{f"events {name}": np.array(json.dumps(each)) for name, each in events.items()},
    }
    return {**answers, **{name.replace("_of_", " "): np.asarray(change) for name, change in changes.items()}}


def test_equal_answers_hold() -> None:
    compared = compare(_answers(), _answers())
    assert [each.name for each in compared] == [
        "frames log_mel",
        "logits spotter onnx",
        "events spotter",
        "scores spotter",
        "events recogniser",
        "scores recogniser",
    ]
    assert all(each.holds and each.difference == 0 for each in compared)


def _broken(there: Answers) -> list[str]:
    return [each.name for each in compare(_answers(), there) if not each.holds]


def test_arrays_may_differ_by_their_tolerance() -> None:
    frames, logits = _answers()["frames log_mel"], _answers()["logits spotter onnx"]
    assert (
        _broken({**_answers(), "frames log_mel": frames + 5e-6, "logits spotter onnx": logits + 0.09}) == []
    )
    assert _broken({**_answers(), "frames log_mel": frames + 2e-5}) == ["frames log_mel"]
    assert _broken({**_answers(), "logits spotter onnx": logits + 0.11}) == ["logits spotter onnx"]


@pytest.mark.parametrize("value", [np.full((4, 3), np.nan), np.ones((4, 2)), np.ones((0, 3))])
def test_what_cannot_be_compared_does_not_hold(value: np.ndarray) -> None:
    assert _broken({**_answers(), "logits spotter onnx": value}) == ["logits spotter onnx"]


def test_an_answer_that_one_side_owes_does_not_hold() -> None:
    there = dict(_answers())
    del there["logits spotter onnx"]
    assert _broken(there) == ["logits spotter onnx"]


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ('"go"', '"no"', ["events spotter"]),
        ('"start_sample": 1,', '"start_sample": 2,', ["events spotter"]),
        ('"score": 0.8', '"score": 0.83', ["scores spotter"]),
        ('"score": 0.8', '"score": 0.81', []),
    ],
)
def test_decisions_are_the_same_to_the_sample(old: str, new: str, broken: list[str]) -> None:
    events = str(_answers()["events spotter"])
    assert old in events
    assert _broken({**_answers(), "events spotter": np.array(events.replace(old, new))}) == broken


def test_only_final_words_are_decisions() -> None:
    events = json.loads(str(_answers()["events recogniser"]))
    events[0]["words"] = []
    assert _broken({**_answers(), "events recogniser": np.array(json.dumps(events))}) == []
    events[1]["words"].pop()
    assert _broken({**_answers(), "events recogniser": np.array(json.dumps(events))}) == ["events recogniser"]


def test_silence_on_both_sides_proves_nothing() -> None:
    silent = {**_answers(), "events spotter": np.array("[]")}
    assert "events spotter" in [each.name for each in compare(silent, silent) if not each.holds]


# --- the device -----------------------------------------------------------------------------------


def test_processors_look_as_their_kernels_show_them() -> None:
    text = cpuinfo(CORES[1])
    assert text.count("processor\t:") == 4
    assert "CPU part\t: 0xd08\n" in text
    # The Raspberry Pi 4's processor was built without the cryptography instructions that the core offers.
    assert " aes " not in text
    assert " asimddp" in cpuinfo(CORES[2])


@pytest.mark.parametrize("interface", [1, 2])
def test_the_plugin_compiles(interface: int) -> None:
    flags = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsyntax-only",
        f"-DINTERFACE={interface}",
        f"-DMARK={MARK}",
    ]
    if device.shutil.which("cc") is None:
        pytest.skip("no C compiler")
    subprocess.run(["cc", *flags, TOOL.parent / "emulated" / "count.c"], check=True)


def test_missing_programs_are_named_with_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_packages(tmp_path) == ["qemu-user", "gcc", "libc6-dev", "mmdebstrap"]


def test_without_root_rights_the_command_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(device.shutil, "which", lambda program: None)
    with pytest.raises(
        MissingError, match=r"root rights, for:\n  sudo mmdebstrap .*--arch=arm64 .*bookworm /"
    ):
        device.Device(tmp_path)


def test_a_download_that_fails_is_told_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(device.os, "geteuid", lambda: 0)
    program = tmp_path / "mmdebstrap"
    program.write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(MissingError, match=r"(?s)could not be fetched:\n  mmdebstrap .*no network"):
        device.Device(tmp_path / "cache")


# --- the command ----------------------------------------------------------------------------------


def test_without_the_emulator_the_tool_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--cache", str(tmp_path)]) == 6
    assert "sudo apt-get install qemu-user gcc libc6-dev mmdebstrap" in capsys.readouterr().err
    assert main(["--cache", str(tmp_path), "--or-skip"]) == 0
    assert "SKIPPED, nothing was checked; missing: qemu-user" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--smoke", "--write-docs"], ["--cache", str(TOOL.parent / "cache")], ["x"]]
)
def test_options_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2


def test_the_tool_starts() -> None:
    done = subprocess.run([TOOL, "--help"], capture_output=True, text=True, check=True)
    assert "--write-docs" in done.stdout


class _ScriptedDevice:
    """Answers what it is told to, and counts as many instructions as it is told to for each second."""

    def __init__(self, answers: Answers, each_second: int) -> None:
        self.answers = answers
        self.each_second = each_second

    def run(self, core: device.Core, arguments: list[str], counts: Path | None = None) -> str:
        if arguments[1] == "versions":
            return '{"Python": "3.11.2"}'
        if arguments[1] == "answers":
            np.savez(arguments[3], **self.answers)
            return ""
        assert counts is not None
        readings = [7, 7 + 4 * self.each_second, 100, 100 + 16 * self.each_second, 12345]
        counts.write_text("".join(f"{reading}\n" for reading in readings))
        return "frontend, 40 bands\n"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _ScriptedDevice:
    """Stand for the emulator, with a page of its own; this machine answers as `_answers` does."""
    scripted = _ScriptedDevice(_answers(), 1_000_000)
    for module in (command, page):
        monkeypatch.setattr(module, "DOCUMENT", tmp_path / "emulated-pi.md")
    monkeypatch.setattr(command, "_device", lambda cache, may_install: scripted)
    monkeypatch.setattr(command, "_answers_here", lambda recordings, options: _answers())
    monkeypatch.setattr(command, "qemu_version", lambda: (7, 2, 22))
    return scripted


def test_what_was_written_is_kept_and_a_change_of_the_code_is_noticed(
    scripted: _ScriptedDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 1
    assert "write it anew: tools/emulate-pi --write-docs" in capsys.readouterr().err
    assert main(["--write-docs"]) == 0
    text = page.DOCUMENT.read_text()
    assert "Emulated (QEMU 7.2.22): Python 3.11.2." in text
    assert "| frontend, 40 bands | 1.000 | 1.000 | 1.000 |" in text
    scripted.each_second = 1_010_000
    assert main(["--check"]) == 0
    scripted.each_second = 1_030_000
    assert main(["--smoke"]) == 1
    assert "cortex-a72: frontend, 40 bands: 1.030 million instructions" in capsys.readouterr().err
    assert main([]) == 0


def test_what_was_left_out_is_said(scripted: _ScriptedDevice) -> None:
    assert main(["--write-docs", "--without-search"]) == 0
    assert "    tools/emulate-pi --write-docs --without-search\n" in page.DOCUMENT.read_text()
    assert "**not counted**" in page.DOCUMENT.read_text()
    assert main(["--write-docs"]) == 0
    assert "not counted" not in page.DOCUMENT.read_text()


def test_other_answers_than_here_fail_and_are_not_written_down(
    scripted: _ScriptedDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.answers = {**_answers(), "logits spotter onnx": np.full((4, 3), 2.0, np.float32)}
    assert main(["--write-docs"]) == 1
    assert "cortex-a53: logits spotter onnx differs by 1, at most 0.1" in capsys.readouterr().err
    assert not page.DOCUMENT.exists()


# --- what the device runs, run here -----------------------------------------------------------------


def test_this_machine_answers_twice_the_same_and_the_table_has_every_workload(tmp_path: Path) -> None:
    # In a process of its own, as on the device.
    program = """
import json, sys
import numpy as np
from pathlib import Path
from tools.emulated.__main__ import _recording
from tools.emulated.guest import Recordings, answers, workloads
recordings = Recordings(_recording("demo.flac"), _recording("speech.flac"))
for path in sys.argv[1:]:
    np.savez(path, **answers(recordings, search=False))
print(json.dumps([workload.name for workload in workloads(recordings, search=False)]))
"""
    paths = [tmp_path / "first.npz", tmp_path / "second.npz"]
    done = subprocess.run(
        [sys.executable, "-c", program, *paths],
        cwd=TOOL.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = (dict(np.load(path)) for path in paths)
    assert all(each.difference == 0 for each in compare(first, second))
    assert {name.split()[0] for name in first} == {"frames", "tolerance", "logits", "events"}
    for counts in known_counts(page.DOCUMENT.read_text()).values():
        assert set(json.loads(done.stdout)) <= counts.keys()
