"""The entry point: errors, exit codes, and nothing loaded that is not needed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgeaudio import errors
from edgeaudio.cli import main as module
from edgeaudio.cli import wake
from tests.cli.conftest import Run
from tests.cli.scripted import ROOT


def test_help_names_every_command_and_exit_code(run: Run) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    for command in ("wake", "devices", "models", "doctor", "evaluate", "train"):
        assert f"\n  {command} " in outcome.out
    assert "Exit codes: 0 success, 1 a bug, 2 usage, 3 input, 4 audio device, 5 model" in outcome.out


@pytest.mark.parametrize(
    ("args", "advice"),
    [
        (["wke"], r"No such command 'wke'\. Did you mean 'wake'\?"),
        (["wake", "--modl", "x"], r"Did you mean '?--model'?\?"),
        (["zzz"], r"No such command 'zzz'\.\n"),
        (["wake", "--backend", "tensorrt"], r"'tensorrt' is not one of 'onnx', 'litert'"),
    ],
)
def test_typing_errors_are_told(run: Run, args: list[str], advice: str) -> None:
    outcome = run(*args)
    assert outcome.code == 2
    assert re.search(advice, outcome.err)
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 2),
        (errors.InputError, 3),
        (errors.DeviceError, 4),
        (errors.ModelError, 5),
        (errors.MissingDependencyError, 6),
        (errors.BackendError, 6),
        (errors.ConfigError, 7),
        (errors.OutputError, 8),
    ],
)
def test_each_error_has_its_message_and_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: type[errors.EdgeAudioError], code: int
) -> None:
    def fail(_options: object) -> None:
        raise kind("it broke", hint="Mend it.")

    monkeypatch.setattr(wake, "_run", fail)
    outcome = run("wake", "a.wav")
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err == "edgeaudio: it broke\n  Mend it.\n"


@pytest.mark.parametrize("level", ["warning", "debug"])
def test_a_bug_says_so_and_shows_its_traceback_on_request(
    run: Run, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    def fail(_options: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(wake, "_run", fail)
    outcome = run("wake", "a.wav", "--log-level", level)
    assert outcome.code == 1
    assert "this is a bug: ZeroDivisionError: division by zero" in outcome.err
    assert "--log-level debug" in outcome.err
    assert ("Traceback" in outcome.err) == (level == "debug")


def test_an_interrupted_start_is_quiet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wake, "_run", interrupt)
    outcome = run("wake", "a.wav")
    assert outcome.code == 130
    assert "Traceback" not in outcome.err


def test_every_command_exists() -> None:
    context = click.Context(module.cli)
    for name in module.cli.list_commands(context):
        command = module.cli.get_command(context, name)
        assert command is not None
        assert command.name == name


def test_a_file_loads_nothing_that_files_do_not_need(five_seconds: Path) -> None:
    code = (
        "import sys\n"
        "from tests.cli import scripted\n"
        "scripted.wake._load = scripted.load\n"
        f"assert scripted.main(['wake', {str(five_seconds)!r}, '--fast']) == 0\n"
        "unneeded = 'torch sounddevice scipy rich matplotlib onnx edgeaudio.training'\n"
        "unneeded += ' edgeaudio.cli.train edgeaudio.cli.evaluate edgeaudio.evaluation'\n"
        "print([name for name in unneeded.split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "[]"
