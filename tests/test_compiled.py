"""Compiled code is kept where it can be, and made anew where it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.compiled import cached_njit

CODE = """
from numba.core import caching

# Where Numba looks for a place; permissions would not keep out root, as whom tests may run.
caching.CacheImpl._locator_classes = []

import numpy as np
from edgeaudio import ArraySource, Engine
from edgeaudio.sources.callback import callback_address
from edgeaudio.testing import scripted_spotter

engine = Engine(ArraySource(np.zeros(16000, np.float32)), scripted_spotter([(0.5, "go")]))
print([event.name for event in engine.run_until_finished()], callback_address() != 0)
"""


def test_everything_runs_where_compiled_code_can_be_kept_nowhere() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("['go'] True\n", "")


USES = """
import helper
from edgeaudio.compiled import cached_njit

@cached_njit(calls=(helper,))
def entry():
    return helper.answer()

print(entry(), entry.stats.cache_hits and dict(entry.stats.cache_hits) != {})
"""


def test_what_is_called_in_another_file_is_compiled_anew_when_it_changes(tmp_path: Path) -> None:
    """As by an upgrade of the package; otherwise the old machine code would run for ever."""
    (tmp_path / "uses.py").write_text(USES)
    told = []
    for answer in (1, 2, 2):
        helper = f"from numba import njit\n\n@njit\ndef answer():\n    return {answer}\n"
        (tmp_path / "helper.py").write_text(helper)
        command = [sys.executable, "-B", "-c", "import uses"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        told.append(done.stdout.split())
    assert [answer for answer, _ in told] == ["1", "2", "2"]
    assert told[-1][1] == "True"  # nothing has changed: it was kept


def test_other_complaints_of_numba_are_passed_on() -> None:
    @cached_njit(nogil=True)
    def wrong(x):  # type: ignore[no-untyped-def]
        return x.no_such_thing

    with pytest.raises(Exception, match="no_such_thing"):
        wrong(np.zeros(1))
