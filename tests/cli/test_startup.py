"""The start: quick with a warm cache, announced with a cold one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
