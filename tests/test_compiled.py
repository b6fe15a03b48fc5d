"""Compiled code is kept where it can be, and made anew where it cannot."""

from __future__ import annotations

import subprocess
import sys

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


def test_other_complaints_of_numba_are_passed_on() -> None:
    @cached_njit(nogil=True)
    def wrong(x):  # type: ignore[no-untyped-def]
        return x.no_such_thing

    with pytest.raises(Exception, match="no_such_thing"):
        wrong(np.zeros(1))
