"""`edgeaudio profile` measures: options, files, interruptions, gates; with real models in real time."""

from __future__ import annotations

import contextlib
import io
import json
import re
import signal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from edgeaudio.cli import profile_matrix
from edgeaudio.cli.main import main
from edgeaudio.profiles import load_profile
from edgeaudio.profiling.files import read_measurement
from edgeaudio.profiling.measurement import Measurement
from tests.cli.conftest import Outcome, Run
from tests.cli.scripted import running
from tests.profiling.synthetic import measurement

WAIT_S = 120.0
QUICK = ("--seconds", "2", "--no-start-up", "--profile", "generic")


def interrupted(*args: str | Path, number: int, when: bytes) -> Outcome:
    """Run the command in a process of its own, and send it a signal when it has said so."""
    with running(*args, real=True) as process:
        told = b""
        for line in process.stderr or ():
            told += line
            if when in line:
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=WAIT_S)
    return Outcome(process.returncode, out.decode(), (told + err).decode())


FILES = {"output": "run.json", "html": "run.html", "trace": "trace.json"}


class Measured(NamedTuple):
    folder: Path
    out: str


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """A wake word and captions for two seconds, with all that can be written."""
    folder = tmp_path_factory.mktemp("profile")
    files = [f"--{kind}={folder / name}" for kind, name in FILES.items()]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["profile", "--task=wake", "--task=captions", *QUICK, *files]) == 0
    return Measured(folder, out.getvalue())


def test_people_get_tables_and_files(measured: Measured) -> None:
    folder, out = measured
    for words in ("frontend log_mel 40", "model wake-computer", "model captions-en-small", "p95"):
        assert words in out
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES.values())
    assert (folder / "run.html").read_text().lower().startswith("<!doctype html>")
    assert "traceEvents" in json.loads((folder / "trace.json").read_text())


def test_the_measurement_tells_what_ran(measured: Measured) -> None:
    run = read_measurement(measured.folder / "run.json")
    assert run.seconds == pytest.approx(2.0, abs=0.3)
    assert [(task.kind, task.model) for task in run.tasks] == [
        ("wake", "wake-computer"),
        ("captions", "captions-en-small"),
    ]
    assert all(task.memory_mb is not None for task in run.tasks)
    assert run.profile == "generic"
    assert run.audio == "recordings of edgeaudio, again and again"
    assert run.start_up is None
    assert msgspec.convert(run.profile_settings, type(load_profile())) == load_profile()


def test_json_on_standard_output_is_the_measurement(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    outcome = run("profile", five_seconds, *QUICK, "--json", "--output", tmp_path / "run.json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == (tmp_path / "run.json").read_text()
    found = read_measurement(tmp_path / "run.json")
    assert found.audio == f"{five_seconds}, again and again"


def test_a_start_is_measured_in_a_process_of_its_own(run: Run, five_seconds: Path) -> None:
    outcome = run("profile", five_seconds, *QUICK, "--start-up", "--json")
    assert outcome.code == 0
    start_up = json.loads(outcome.out)["start_up"]
    assert 0 < start_up["import_ms"] < start_up["total_ms"]


def profile_file(folder: Path, **budgets: float) -> Path:
    settings = {"name": "mine", "budgets": budgets}
    (folder / "mine.yaml").write_bytes(msgspec.yaml.encode(settings))
    return folder / "mine.yaml"


def test_a_broken_budget_ends_with_9_when_all_is_told(run: Run, five_seconds: Path, tmp_path: Path) -> None:
    mine = profile_file(tmp_path, cpu_share=0.0001, memory_mb=5000.0)
    options = ("--seconds", "2", "--no-start-up", "--profile", mine, "--gate", "--json")
    outcome = run("profile", five_seconds, *options, "--output", tmp_path / "run.json")
    assert outcome.code == 9
    assert outcome.err.startswith("edgeaudio: 1 of 2 budgets broken\n  CPU share: ")
    assert outcome.out == (tmp_path / "run.json").read_text()


def test_an_interrupted_run_tells_what_it_measured(one_minute: Path, tmp_path: Path) -> None:
    # The progress line comes every ten seconds: eight have been measured then.
    options = ("--seconds", "600", "--no-start-up", "--json", "--output", tmp_path / "run.json")
    outcome = interrupted("profile", one_minute, *options, number=signal.SIGINT, when=b"measuring: ")
    assert outcome.code == 0
    found = read_measurement(tmp_path / "run.json")
    assert 5 < found.seconds < 60
    assert found.command[:4] == ["edgeaudio", "profile", str(one_minute), "--seconds"]
    assert f"interrupted: this is what {found.seconds:.1f} of 600 s say\n" in outcome.err


def test_interrupted_before_anything_was_measured_there_is_nothing_to_tell(
    one_minute: Path, tmp_path: Path
) -> None:
    options = ("--no-start-up", "--output", tmp_path / "run.json", "--log-level", "debug")
    outcome = interrupted("profile", one_minute, *options, number=signal.SIGTERM, when=b"first frame")
    assert outcome.code == 130
    assert outcome.out == ""
    assert "interrupted before anything was measured\n" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--task", "wak"), 2, "there is no task 'wak'\n  Did you mean 'wake'?"),
        (("--task", "captions="), 2, "--task captions= names no model"),
        (("--task", "wake=wake-computr"), 5, "wake-computer"),
        (("--task", "wake=captions-en-small"), 5, "captions-en-small"),
        (("--task", "wake", "--task", "wake"), 2, "model 'wake-computer' was asked for twice"),
        (("--profile", "raspberry-pi-44"), 7, "Did you mean 'raspberry-pi-4'?"),
        (("--seconds", "0"), 2, "is not between 1 and 86400"),
        (("--seconds", "nan"), 2, "is not between 1 and 86400"),
        (("-",), 2, "standard input goes by no clock"),
        (("",), 2, "SOURCE is empty"),
        (("missing.wav",), 3, "cannot read missing.wav"),
        (("a.wav", "--microphone"), 2, "both a source and a microphone were given"),
        (("a.wav", "b.wav"), 2, "unexpected extra argument"),
        (("--channel", "0"), 2, "have one channel"),
        (("--output", "/nowhere/run.json"), 8, "the folder /nowhere does not exist"),
        (("--html", "/dev/null"), 8, "is not a regular file"),
        (("--output", "x.json", "--trace", "./x.json"), 2, "--trace x.json: the same file is --output"),
        (("a.wav", "--output", "a.wav"), 2, "the same file is what is read"),
        (("--tasks-matrix", "--task", "wake=nobody", "--task", "wake"), 5, "nobody"),
        (("--tasks-matrix", "--task", "wake"), 2, "Give --task twice or more."),
        (("--tasks-matrix", "--html", "x.html"), 2, "has a table and JSON"),
        (("--tasks-matrix", "--gate"), 2, "has a table and JSON"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, nowhere: Path, args: tuple[str, ...], code: int, message: str
) -> None:
    outcome = run("profile", *args, "--no-start-up")
    assert outcome.code == code
    assert message in outcome.err
    assert list(nowhere.iterdir()) == []


def test_a_gate_without_budgets_is_found_out_before_the_run(run: Run, tmp_path: Path) -> None:
    outcome = run("profile", "--gate", "--profile", profile_file(tmp_path))
    assert outcome.code == 7
    assert "profile 'mine' has no budgets" in outcome.err


def test_help_names_the_subcommands(run: Run) -> None:
    told = run("profile", "--help").out
    assert "Usage: edgeaudio profile [OPTIONS] [SOURCE]" in told
    assert re.search(r"^  compare .*\n  report ", told, flags=re.MULTILINE)
    assert "Usage: edgeaudio profile compare [OPTIONS] BEFORE AFTER" in run("profile", "compare", "-h").out


def test_options_may_stand_behind_the_source(run: Run) -> None:
    assert run("profile", "missing.wav", "--seconds", "2", "--no-start-up").code == 3


class _Runs:
    """Stands in for the processes of a matrix: invents what each measures, or fails, or is interrupted."""

    def __init__(self, signals: Any) -> None:
        self.signals = signals
        self.asked: list[list[str]] = []
        _Runs.newest = self

    newest: _Runs
    fails_at = interrupted_at = 99

    def measure(self, arguments: list[str]) -> Measurement | int:
        self.asked.append(arguments)
        if len(self.asked) == self.fails_at:
            return 5
        if len(self.asked) == self.interrupted_at:
            self.signals.received = signal.SIGINT
        models = [text.rpartition("=")[2] for text in arguments if text.startswith("--task=")]
        run = measurement(5.0)
        tasks = [replace(run.tasks[0], model=model) for model in models]
        cost = replace(run.cost, real_time_factor=0.01 * len(tasks), peak_rss_mb=100.0 + 10 * len(tasks))
        return replace(run, tasks=tasks, cost=cost)


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> type[_Runs]:
    monkeypatch.setattr(profile_matrix, "_Children", _Runs)
    monkeypatch.setattr(_Runs, "fails_at", 99)
    monkeypatch.setattr(_Runs, "interrupted_at", 99)
    return _Runs


TASKS = ("--task", "wake", "--task", "wake=commands-12", "--task", "captions")


def test_a_matrix_says_what_each_further_task_costs(run: Run, invented: type[_Runs], tmp_path: Path) -> None:
    options = ("--tasks-matrix", *TASKS, "--seconds", "5", "--profile", "generic")
    outcome = run("profile", *options, "--json", "--output", tmp_path / "matrix.json")
    assert outcome.code == 0
    told = json.loads(outcome.out)
    assert told == json.loads((tmp_path / "matrix.json").read_text())
    assert [row["model"] for row in told["rows"]] == ["wake-computer", "commands-12", "captions-en-small"]
    value, low, high = told["rows"][1]["further"]
    assert value == pytest.approx(1.0)
    assert low < value < high
    assert told["rows"][2]["further_memory_mb"] == pytest.approx(10)
    assert told["together"][0] == pytest.approx(3.0)
    assert [sum(text.startswith("--task=") for text in asked) for asked in invented.newest.asked] == [
        1,
        1,
        2,
        1,
        3,
    ]
    assert all({"--seconds=5.0", "--profile=generic"} <= set(asked) for asked in invented.newest.asked)
    assert outcome.err.startswith("run 1 of 5: wake-computer, 55 s left\n")


def test_people_get_a_table_of_tasks(run: Run, invented: type[_Runs]) -> None:
    lines = run("profile", "--tasks-matrix", "--seconds", "5").out.splitlines()
    row = r"commands-12 +1\.00 +1\.00 +0\.\d\d to 1\.\d\d +120 +10 +1 +\d+\.\d"
    assert any(re.fullmatch(row, line) for line in lines)
    assert lines[-1] == "together 3.00 %, apart 3.00 %"


def test_a_matrix_passes_on_what_went_wrong_in_a_run(
    run: Run, invented: type[_Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invented, "fails_at", 2)
    outcome = run("profile", "--tasks-matrix", *TASKS)
    assert (outcome.code, outcome.out) == (5, "")
    assert len(invented.newest.asked) == 2


def test_an_interrupted_matrix_tells_the_tasks_that_it_has(
    run: Run, invented: type[_Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invented, "interrupted_at", 5)
    outcome = run("profile", "--tasks-matrix", *TASKS, "--json")
    assert outcome.code == 0
    assert [row["model"] for row in json.loads(outcome.out)["rows"]] == ["wake-computer", "commands-12"]
    monkeypatch.setattr(invented, "interrupted_at", 3)
    outcome = run("profile", "--tasks-matrix", *TASKS, "--json")
    assert (outcome.code, outcome.out) == (130, "")
    assert "interrupted before two tasks were measured" in outcome.err


@pytest.mark.slow
def test_a_real_matrix_of_two_tasks(run: Run, five_seconds: Path) -> None:
    tasks = ("--task", "wake", "--task", "wake=commands-12")
    outcome = run("profile", five_seconds, "--tasks-matrix", *tasks, "--seconds", "3", "--json")
    assert outcome.code == 0
    first, second = json.loads(outcome.out)["rows"]
    # Both hear the same features, so that the second pays for no frontend.
    assert (first["frontends"], second["frontends"]) == (1, 1)
    assert first["memory_mb"] > 20


@pytest.mark.parametrize(("typed", "meant"), [("comapre", "compare"), ("repot", "report")])
def test_a_mistyped_subcommand_names_the_nearest(run: Run, typed: str, meant: str) -> None:
    outcome = run("profile", typed, "a.json", "b.json")
    assert outcome.code == 2
    assert f"No such command '{typed}'. Did you mean '{meant}'?" in outcome.err
