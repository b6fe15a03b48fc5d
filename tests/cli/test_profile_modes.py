"""`edgeaudio profile` that measures something else: streams, and the way through the air."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from edgeaudio.profiles import Budgets, Profile, dump_profile, load_profile
from edgeaudio.profiling.audio import BUNDLED
from tests.cli.conftest import Outcome, Run
from tests.cli.scripted import running
from tests.pulse import PulseServer, pulse

__all__ = ["pulse"]

WAIT_S = 120.0


def interrupted(*args: str | Path, when: bytes) -> Outcome:
    """Run the command in a process of its own, and press Ctrl-C when it has said so."""
    with running(*args, real=True) as process:
        told = b""
        for line in process.stderr or ():
            told += line
            if when in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_S)
    return Outcome(process.returncode, out.decode(), (told + err).decode())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--streams", "2", "--loopback"), "--streams and --loopback are different measurements"),
        (("--streams", "2", "--html", "x.html"), "--streams has a table and JSON"),
        (("--loopback", "--gate"), "--loopback has a table and JSON"),
        (("--streams", "2", "--task", "wake", "--task", "captions"), "--streams measures one model"),
        (("--streams", "2", "--microphone"), "--streams hears recordings"),
        (("--streams", "0"), "0 streams cannot be measured"),
        (("--streams", "5000"), "5000 streams cannot be measured"),
        (("--loudspeaker", "pulse"), "--loudspeaker is for --loopback"),
        (("--loopback", "--task", "wake"), "--loopback runs no task"),
        (("--tune", "--streams", "2"), "--streams and --tune are different measurements"),
        (("--tune", "--html", "x.html"), "--tune has a table and JSON"),
        (("--write", "mine.yaml"), "--write is for --tune"),
        (("--tune", "--write", "x.json", "--output", "x.json"), "the same file is x.json"),
        (("--loopback", str(BUNDLED[0])), "--loopback hears its own clicks"),
    ],
)
def test_options_that_contradict_each_other(run: Run, args: tuple[str, ...], message: str) -> None:
    outcome = run("profile", *args)
    assert outcome.code == 2
    assert message in outcome.err


def test_streams_are_counted(run: Run, tmp_path: Path) -> None:
    # A budget that nothing keeps: so the search ends after three numbers.
    profile = Profile(name="strict", budgets=Budgets(p95_word_to_event_ms=1e-3))
    (tmp_path / "strict.yaml").write_text(dump_profile(profile))
    arguments = ("--streams", "4", "--seconds", "1", "--profile", str(tmp_path / "strict.yaml"))
    outcome = run("profile", *arguments, "--output", str(tmp_path / "streams.json"))
    assert outcome.code == 0
    for words in ("wake-computer", "batched", "in turns", "not even one stream keeps p95 within 0.001 ms"):
        assert words in outcome.out
    assert "GPU: not measured: the profile 'strict' computes on the CPU" in outcome.out
    found = json.loads((tmp_path / "streams.json").read_text())
    assert [run["streams"] for run in found["compared"]] == [4, 4, 4]
    assert found["largest"] is None
    assert "4 streams" in outcome.err


def test_streams_of_what_makes_captions_are_refused(run: Run) -> None:
    outcome = run("profile", "--streams", "2", "--task", "captions")
    assert outcome.code == 5
    assert "is for captions" in outcome.err


def test_an_interrupted_tuning_writes_what_it_had(run: Run, tmp_path: Path) -> None:
    """In a process of its own, as a person would: Ctrl-C when it races in real time."""
    file = tmp_path / "mine.yaml"
    files = ("--write", file, "--output", tmp_path / "tuning.json")
    outcome = interrupted("profile", "--tune", "--profile", "generic", *files, when=b"real time")
    assert outcome.code == 0, outcome.err
    assert "interrupted: this is the best so far" in outcome.out
    assert "equal decisions? onnx int8, 1 thread" in outcome.err
    assert "s left" in outcome.err
    profile = load_profile(file)
    assert profile.name == "generic-tuned"
    assert profile.measured is not None
    assert profile.measured.results["search"] == "ended early: the best so far"
    assert json.loads((tmp_path / "tuning.json").read_text())["profile"]["name"] == "generic-tuned"
    assert list(tmp_path.glob(".*")) == [], "no drafts are left"
    again = run("profile", "--profile", str(file), "--seconds", "1", "--no-start-up")
    assert again.code == 0, again.err


def test_a_tuning_that_is_interrupted_at_once_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    outcome = interrupted("profile", "--tune", "--write", file, when=b"equal decisions")
    assert outcome.code == 130
    assert "nothing is written" in outcome.err
    assert not file.exists()


def test_a_tuning_that_could_not_be_written_is_refused_first(run: Run, tmp_path: Path) -> None:
    outcome = run("profile", "--tune", "--write", str(tmp_path / "nowhere" / "mine.yaml"))
    assert outcome.code == 8
    assert "does not exist" in outcome.err


@pytest.mark.pulse
def test_the_round_trip_is_told(pulse: PulseServer, run: Run, tmp_path: Path) -> None:
    file, trip_file = tmp_path / "patient.yaml", tmp_path / "trip.json"
    # Long buffers: on a busy machine the player would run dry.
    file.write_text(dump_profile(Profile(name="patient", latency=300)))
    arguments = ("--device", "pulse", "--loudspeaker", "pulse", "--profile", str(file))
    for _ in range(3):  # where the machine is so busy that the sound server stalls, once more
        outcome = run("profile", "--loopback", *arguments, "--output", str(trip_file))
        if outcome.code == 0:
            break
    assert outcome.code == 0, outcome.err
    assert "round trip" in outcome.out
    trip = json.loads(trip_file.read_text())
    # Where the machine is so busy that the player runs dry, clicks come late, and that is counted.
    assert trip["played"] == 10
    assert trip["found"] == 10 or (trip["found"] >= 5 and trip["underflows"] > 0)
    assert 1.0 < trip["least_ms"] <= trip["median_ms"] <= trip["most_ms"] < 1500.0
    assert f"{trip['median_ms']:.1f} ms" in outcome.out
