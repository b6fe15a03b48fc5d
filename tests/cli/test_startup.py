"""The start: quick with a warm cache, announced with a cold one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgeaudio.cli import evaluate, evaluate_captions, evaluate_wake, label, startup
from edgeaudio.cli.startup import cache_folder
from edgeaudio.errors import OutputError
from tests.cli.conftest import Run
from tests.cli.scripted import ROOT

CODE = """
import sys
import numpy as np
from edgeaudio.cli import common, startup
common._start_logging("warning")
startup.load_numba()
assert "scipy" not in sys.modules and "cffi" not in sys.modules
from edgeaudio.level import LevelMeter
LevelMeter().process(np.zeros(1600, np.float32))
import scipy.linalg
"""


def start(cache: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True, timeout=170
    ).stderr


def test_compiling_is_announced_once_and_needed_once(tmp_path: Path) -> None:
    assert start(tmp_path).count("compiling for this machine") == 1
    assert start(tmp_path) == ""


@pytest.mark.parametrize(
    ("module", "args"),
    [
        (label, ["label", "a.wav"]),
        (evaluate_captions, ["evaluate", "captions", "a.tsv"]),
        (evaluate, ["evaluate", "commands", "a.tsv"]),
        (evaluate_wake, ["evaluate", "wake", "--positives", "a.tsv", "--negatives", "a.tsv"]),
    ],
)
def test_whoever_may_compile_can_announce_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, module: ModuleType, args: list[str]
) -> None:
    def load() -> None:
        raise OutputError("announced")

    monkeypatch.setattr(module, "load_numba", load)
    assert run(*args).err == "edgeaudio: announced\n"


def test_without_a_place_for_compiled_code_it_still_runs(tmp_path: Path) -> None:
    # A file is where the folder should be: what root cannot write to either.
    (tmp_path / "file").touch()
    err = start(tmp_path / "file")
    assert "compiled code cannot be kept" in err
    assert "Set NUMBA_CACHE_DIR" in err
    assert "compiling for this machine" in err


def test_the_chosen_folder_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"


def test_else_it_lies_beside_the_source_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == ROOT / "edgeaudio" / "__pycache__"
    monkeypatch.setattr(startup, "_writable", lambda folder: folder.is_relative_to(tmp_path))
    assert cache_folder() == tmp_path / "numba"


def test_a_user_without_a_home_has_no_folder_there(
    tmp_path: Path, homeless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(startup, "__file__", "/dev/null/cli/startup.py")  # nor is the package's writable
    monkeypatch.chdir(tmp_path)
    assert cache_folder() is None
    assert list(tmp_path.iterdir()) == []
