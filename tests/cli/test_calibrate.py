"""`edgeaudio calibrate` in one process, and that `wake` keeps to what it set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeaudio.cli import calibrate as module
from edgeaudio.cli.rates import rate
from edgeaudio.evaluation.ledger import read_ledger
from edgeaudio.evaluation.room import RoomPoint, RoomResult
from edgeaudio.evaluation.room_log import Heard, RoomLog
from edgeaudio.models.calibrated import (
    Calibrated,
    find_calibrated,
    fingerprint,
    load_calibrated,
    save_calibrated,
)
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.testing import ScriptedBackend, scripted_spotter
from tests.cli.conftest import Run, record

MANIFEST = scripted_spotter([(1.0, "computer")]).manifest


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(
        module, "_load", lambda *_: scripted_spotter([(0.5 + at, "computer") for at in range(0, 100, 2)])
    )
    return tmp_path / "config" / "edgeaudio" / "calibrations" / "scripted.yaml"


def set_before() -> Calibrated:
    found = Calibrated(
        model="scripted",
        fingerprint=fingerprint(MANIFEST),
        threshold=0.7,
        max_false_alarms="1/day",
        reached=True,
        per_day=1.0,
        per_day_interval=(0.5, 2.0),
        method="counted",
        hours=200.0,
        calibrated_at="2026-11-21T12:00:00+00:00",
    )
    save_calibrated(found)
    return found


def test_recordings_set_a_threshold_that_wake_keeps_to(
    run: Run, five_seconds: Path, settings: Path, monkeypatch: pytest.MonkeyPatch, scripted: None
) -> None:
    script = np.full((125, 1), -9.0, np.float32)
    script[15::15, 0] = np.linspace(1.0, 3.0, 8)  # peaks of 0.73 … 0.95, one each 0.6 s
    monkeypatch.setattr(
        module, "_load", lambda *_: Spotter(ScriptedBackend(script, rest=-9.0, n_out=2), MANIFEST)
    )
    outcome = run("calibrate", five_seconds, "--max-false-alarms", "3600/hour")
    assert (outcome.code, f"set in {settings}" in outcome.out) == (0, True), outcome.err
    found = load_calibrated("scripted")
    assert found is not None
    assert 0.73 < found.threshold < 0.95
    assert "for at most 3600/hour\n" in run("wake", five_seconds, "--fast").err
    assert found.threshold == pytest.approx(json.loads(run("calibrate", "--show", "--json").out)["threshold"])
    assert "scripted  0." in run("calibrate", "--show").out
    assert run("calibrate", "--reset", "--model", "scripted").out == "scripted: back to its own threshold\n"
    assert not settings.exists()


def test_a_word_that_was_said_does_not_make_the_model_deaf(
    run: Run, five_seconds: Path, tmp_path: Path
) -> None:
    before = set_before()
    outcome = run("calibrate", five_seconds, "--max-false-alarms", "0.5/day", "--keep", tmp_path / "kept")
    assert outcome.code == 9
    assert "counted   0 in 5 s" in outcome.out
    assert "no threshold for at most 0.5/day" in outcome.out
    assert "3 of these reach the model's own threshold. Did somebody say the word?" in outcome.out
    assert "what was set before stays: at most 0.5/day would take more than 0.995 here" in outcome.err
    assert re.search(rf"The highest peaks: (1\.000 at \d\.\d s of {five_seconds}(, )?){{3}}\n", outcome.err)
    assert "without that" in outcome.err
    assert load_calibrated("scripted") == before
    assert [clip.kind for clip in read_ledger(tmp_path / "kept")] == ["detection"] * 3
    told = json.loads(run("calibrate", five_seconds, "--json").out)
    assert (told["saved"], "hardly heard" in told["refused"]) == (None, True)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (RoomPoint(0.99, 1.0, (0.0, 2.0), 1, "counted"), "no threshold of this model keeps to"),
        (RoomPoint(0.9, 0.0, (0.0, 2.0), 0, "bounded"), "would take 0.9000 or more"),
        (RoomPoint(0.996, 0.01, (0.0, 2.0), 0, "fitted"), "hardly heard"),
    ],
)
def test_what_keeps_not_to_the_rate_is_never_set(
    run: Run, five_seconds: Path, monkeypatch: pytest.MonkeyPatch, chosen: RoomPoint, told: str
) -> None:
    result = RoomResult(1.0, 0.5 / 24, chosen, RoomPoint(0.6, 3.0, (1.0, 5.0), 3, "counted"), [], None)
    monkeypatch.setattr(module, "_result", lambda *_: result)
    before = set_before()
    outcome = run("calibrate", five_seconds)
    assert (outcome.code, told in outcome.err) == (9, True), outcome.err
    assert load_calibrated("scripted") == before


def test_an_enrolled_word_has_its_own_threshold(
    run: Run, five_seconds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("edgeaudio.models.enrolments.list_enrolments", lambda: ["jarvis"])
    outcome = run("calibrate", five_seconds, "--model", "jarvis")
    assert (outcome.code, "carries its own threshold" in outcome.err) == (2, True), outcome.err


def test_programs_get_one_object(run: Run, five_seconds: Path, settings: Path) -> None:
    result = json.loads(run("calibrate", five_seconds, "--dry-run", "--json").out)
    assert result["saved"] is None
    assert result["method"] == "bounded"
    assert len(result["heard"]) == 3
    assert not settings.exists()


def test_positives_are_heard_besides(run: Run, five_seconds: Path) -> None:
    result = json.loads(
        run("calibrate", five_seconds, "--dry-run", "--json", "--positives", five_seconds).out
    )
    assert (result["positives"], result["own"]["missed"]) == (1, 0)


def test_standard_input_is_a_room_and_listening_goes_on_where_it_stopped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Path
) -> None:
    audio = record(tmp_path / "a.wav", 10.0).read_bytes()[44:]
    (tmp_path / "a.raw").write_bytes(audio)
    for nth in (1, 2):
        with (tmp_path / "a.raw").open() as file:
            monkeypatch.setattr("sys.stdin", file)
            outcome = run("calibrate", "-", "--hours", "0.005")
        assert (outcome.code, "with --fresh, without that" in outcome.err) == (9, True)
        assert ("10 s were heard until" in outcome.err) == (nth == 2)
    log = RoomLog(
        tmp_path / "state" / "edgeaudio" / "rooms" / "scripted.jsonl", "scripted", fingerprint(MANIFEST), 1
    )
    assert log.listened.seconds == pytest.approx(18.0, abs=2.1)


def test_a_muted_microphone_is_told_at_once_not_to_count(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(3 * 32000))
    with (tmp_path / "a.raw").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        outcome = run("calibrate", "-", "--hours", "1")
    assert "is the microphone muted? Muted time does not count as heard" in outcome.err
    assert (outcome.code, "a muted microphone hears nothing" in outcome.err) == (3, True), outcome.err


def test_what_was_heard_for_long_enough_is_not_heard_again(run: Run, tmp_path: Path, settings: Path) -> None:
    path = tmp_path / "state" / "edgeaudio" / "rooms" / "scripted.jsonl"
    log = RoomLog(path, "scripted", fingerprint(MANIFEST), 1)
    log.add(3600.0, [], [Heard(at="noon", name="computer", score=0.4)], "2026-11-21T12:00:00+00:00")
    log.close()
    outcome = run("calibrate", "--hours", "1")  # there is no microphone here
    assert outcome.code == 0
    assert "expected  no more than 3.7 an hour" in outcome.out
    assert "0.400  computer  noon" in outcome.out
    assert "too little was heard to call for another threshold" in outcome.out
    assert not settings.exists()


def test_a_calibration_of_another_version_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    facts = msgspec.structs.replace(set_before(), fingerprint="0" * 16)
    save_calibrated(facts)
    assert load_calibrated("scripted") == facts
    assert find_calibrated(MANIFEST) is None
    assert "made with another version" in caplog.text


@pytest.mark.usefixtures("scripted")
def test_a_broken_calibration_is_an_error(run: Run, five_seconds: Path, settings: Path) -> None:
    settings.parent.mkdir(parents=True)
    settings.write_text("model: scripted\nthreshold: 2.0\n")
    outcome = run("wake", five_seconds, "--fast")
    assert outcome.code == 7
    assert str(settings) in outcome.err


@pytest.mark.parametrize(
    ("text", "per_hour"), [("0.5/day", 0.5 / 24), ("1/hour", 1.0), ("0.1/h", 0.1), (" 2 / week ", 2 / 168)]
)
def test_rates(text: str, per_hour: float) -> None:
    assert rate(text).per_hour == pytest.approx(per_hour)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--max-false-alarms", "3"], "it says not in which time"),
        (["--max-false-alarms", "0/day"], "no threshold promises that there is never one"),
        (["--max-false-alarms", "1/fortnight"], "'fortnight' is no hour, day or week"),
        (["--max-false-alarms", "-1/day"], "is no rate"),
        (["--max-false-alarms", "nan/day"], "is no rate"),
        (["--max-false-alarms", f"{'9' * 400}/day"], "is no rate"),
        ([], "--hours is missing"),
        (["--hours", "0"], "0 is not in the range"),
        (["-", "a.wav"], "nothing can be read beside it"),
        (["a.wav", "--device", "usb"], "both recordings and --device"),
    ],
)
def test_options_that_make_no_sense(run: Run, args: list[str], message: str) -> None:
    outcome = run("calibrate", *args)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
