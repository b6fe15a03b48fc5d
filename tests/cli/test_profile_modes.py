"""`edgeaudio profile` that measures something else: streams, and the way through the air."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeaudio.profiles import Budgets, Profile, dump_profile
from tests.cli.conftest import Run
from tests.cli.test_profile import ended
from tests.pulse import PulseServer, pulse

__all__ = ["pulse"]


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
        (("--loopback", "speech.wav"), "--loopback hears its own clicks"),
    ],
)
def test_options_that_contradict_each_other(run: Run, args: tuple[str, ...], message: str) -> None:
    outcome = run("profile", *args)
    assert outcome.code == 2
    assert message in outcome.err


def test_streams_are_counted(tmp_path: Path) -> None:
    # A budget that nothing keeps: so the search ends after three numbers.
    profile = Profile(name="strict", budgets=Budgets(p95_word_to_event_ms=1e-3))
    (tmp_path / "strict.yaml").write_text(dump_profile(profile))
    arguments = ("--streams", "4", "--seconds", "1", "--profile", tmp_path / "strict.yaml")
    outcome = ended("profile", *arguments, "--output", tmp_path / "streams.json")
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
    assert "makes captions" in outcome.err


@pytest.mark.pulse
def test_the_round_trip_is_told(pulse: PulseServer, tmp_path: Path) -> None:
    outcome = ended("profile", "--loopback", "--device", "pulse", "--output", tmp_path / "trip.json")
    assert outcome.code == 0, outcome.err
    assert "round trip" in outcome.out
    trip = json.loads((tmp_path / "trip.json").read_text())
    # Where the machine is so busy that the player runs dry, clicks come late, and that is counted.
    assert trip["played"] == 10
    assert trip["found"] == 10 or (trip["found"] >= 5 and trip["underflows"] > 0)
    assert 1.0 < trip["least_ms"] <= trip["median_ms"] <= trip["most_ms"] < 1500.0
    assert f"{trip['median_ms']:.1f} ms" in outcome.out
