"""Recordings and a command line for all tests of the command."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edgeaudio.cli import caption, common, listen_tasks, vad, wake
from edgeaudio.cli.main import main
from edgeaudio.sinks.clips import write_wav
from edgeaudio.types import SAMPLE_RATE_HZ
from tests.cli.scripted import LISTED, load, load_recognizer, load_vad


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command in this process."""

    def call(*args: str | Path) -> Outcome:
        code = main([str(arg) for arg in args])
        return Outcome(code, *capfd.readouterr())

    yield call
    root = logging.getLogger("edgeaudio")
    root.handlers, root.propagate = [], True
    root.setLevel(logging.NOTSET)
    common.log_to(None)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listen with models that follow a script, see `tests.cli.scripted`."""
    monkeypatch.setattr(wake, "_load", load)
    monkeypatch.setattr(caption, "_load", load_recognizer)
    monkeypatch.setattr(listen_tasks, "LOADERS", {**listen_tasks.LOADERS, **LISTED})
    monkeypatch.setattr(vad, "_load", load_vad)


def record(path: Path, length_s: float) -> Path:
    noise = np.random.default_rng(1).normal(0, 0.05, round(length_s * SAMPLE_RATE_HZ))
    write_wav(path, noise.astype(np.float32))
    return path


@pytest.fixture(scope="session")
def five_seconds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of noise: five words for the scripted model."""
    return record(tmp_path_factory.mktemp("audio") / "five.wav", 5.0)


@pytest.fixture(scope="session")
def one_minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough, in real time, to be interrupted."""
    return record(tmp_path_factory.mktemp("audio") / "minute.wav", 60.0)
