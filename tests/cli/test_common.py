"""Option types, tables and clocks of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgeaudio.cli.common import (
    is_same_file,
    print_table,
    probability,
    process_age_s,
    quiet_libraries,
    seconds,
    size,
)


@pytest.mark.parametrize("text", ["7", "0", "1", "-0.1", "nan", "inf", "half"])
def test_a_threshold_is_a_probability(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"between 0 and 1|no number"):
        probability(text)


def test_a_probability_is_read() -> None:
    assert probability("0.25") == 0.25


@pytest.mark.parametrize("text", ["-1", "61", "nan", "1m"])
def test_seconds_have_bounds(text: str) -> None:
    with pytest.raises(click.BadParameter):
        seconds(0, 60)(text)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("100MB", 100_000_000), ("1.5 gb", 1_500_000_000), ("500KiB", 512_000), ("77", 77), ("1b", 1)],
)
def test_sizes_are_read(text: str, n_bytes: int) -> None:
    assert size(text) == n_bytes


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1e9", "10 apples", "nan", "9" * 400])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no size"):
        size(text)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_age_counts_from_the_start_of_the_process() -> None:
    code = (
        "import time; time.sleep(0.5)\nfrom edgeaudio.cli.common import process_age_s; print(process_age_s())"
    )
    before = process_age_s()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = process_age_s()
    assert before is not None
    assert after is not None
    # Both clocks of the parent's tick in 10 ms.
    assert 0.49 <= float(done.stdout) <= after - before + 0.02


def test_numbers_are_ranged_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("index", "name"), [("0", "hw"), ("12", "USB microphone")])
    assert capsys.readouterr().out == "index  name\n    0  hw\n   12  USB microphone\n"


def test_what_c_libraries_print_is_kept_from_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_libraries():
        os.write(2, b"ALSA lib pcm.c: noise\n")
        sys.stderr.write("our own words\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "our own words\nafterwards\n"


def test_one_file_has_many_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    (tmp_path / "b.wav").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    assert is_same_file(path, "./a.wav")
    assert is_same_file(path, tmp_path / "b.wav")
    (tmp_path / "c.wav").touch()
    for other in ("c.wav", "missing.wav", "-", "a\0.wav"):
        assert not is_same_file(path, other)
    assert not is_same_file(tmp_path / "missing.wav", "missing.wav")
