"""Thresholds for a room: nothing that the trigger needs is lost, and rates are what they would be."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import OutputError
from edgeaudio.evaluation.replay import Replay
from edgeaudio.evaluation.room import Excursions, RoomResult, calibrate_room, joined
from edgeaudio.evaluation.room_log import Heard, RoomLog
from edgeaudio.evaluation.room_task import RoomTask
from edgeaudio.events import NearMiss
from edgeaudio.models.manifest import Decision
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.testing import ScriptedBackend, scripted_manifest
from edgeaudio.types import Frames

FRAME_MS = 40.0
FRAMES_PER_HOUR = 90_000
DECISION = Decision(
    threshold=0.8, smoothing_ms=120.0, refractory_ms=400.0, guard_ms=200.0, silent_labels=("no",)
)
MANIFEST = scripted_manifest(["go", "stop", "no"], DECISION)


def replay(negatives: Frames) -> Replay:
    one = Replay(MANIFEST, MANIFEST.spotted, FRAME_MS / 1000)
    one.negatives = negatives
    return one


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.1), st.lists(st.integers(1, 300), max_size=4))
def test_what_is_kept_decides_as_the_whole_stream_does(seed: int, density: float, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    stream = rng.uniform(0, 0.019, (1200, 3)).astype(np.float32)
    for at in np.flatnonzero(rng.random(1190) < density):
        stream[at : at + rng.integers(1, 9), rng.integers(3)] = rng.uniform(0, 1)
    excursions = Excursions(MANIFEST, FRAME_MS)
    for piece in np.split(stream, np.cumsum(cuts)):
        excursions.add(piece)
    excursions.interrupt()
    kept = joined(excursions.take(), MANIFEST, FRAME_MS)
    stream[:, 2] = 0.0  # a silent label changes nothing
    for threshold in (0.05, 0.1, 0.3, 0.6, 0.9):
        assert replay(kept).false_alarms(threshold) == replay(stream).false_alarms(threshold)


def test_of_a_quiet_day_nothing_is_kept() -> None:
    excursions = Excursions(MANIFEST, FRAME_MS)
    excursions.add(np.full((5000, 3), 0.019, np.float32))
    excursions.add(np.full((50, 3), np.nan, np.float32))
    excursions.interrupt()
    assert excursions.take() == []


def peaks(heights: np.ndarray) -> Frames:
    """One word in a hundred frames, at its height for as long as the smoothing looks."""
    table = np.zeros((100 * len(heights), 3), np.float32)
    for k in range(3):
        table[50 + k :: 100, 0] = heights
    return table


def exponential(n: int, seed: int, scale: float = 0.8) -> np.ndarray:
    """Heights whose log odds exceed 0 exponentially."""
    odds = np.random.default_rng(seed).exponential(scale, n)
    return np.asarray(1 / (1 + np.exp(-odds)))


def calibrated(heights: np.ndarray, hours: float, per_hour: float) -> RoomResult:
    return calibrate_room(replay(peaks(heights)), MANIFEST, FRAME_MS, hours, per_hour)


def test_what_was_heard_for_long_enough_is_counted() -> None:
    heights = exponential(200, 1)
    result = calibrated(heights, hours=100.0, per_hour=0.1)
    assert (result.chosen.method, result.chosen.counted, result.reached) == ("counted", 10, True)
    tenth, eleventh = np.sort(heights)[[-10, -11]]
    assert eleventh <= result.chosen.threshold <= tenth
    low, high = result.chosen.interval
    assert low < 0.1 < high


@pytest.mark.parametrize("seed", range(6))
def test_what_was_heard_for_too_short_a_time_is_extrapolated(seed: int) -> None:
    """Sixty peaks in two hours; one in twenty hours is wanted, which two hours cannot count."""
    result = calibrated(exponential(60, seed), hours=2.0, per_hour=0.05)
    true = 30.0 * math.exp(-math.log(result.chosen.threshold / (1 - result.chosen.threshold)) / 0.8)
    assert result.chosen.method == "fitted"
    assert result.chosen.per_hour <= 0.05 * 1.001
    low, high = result.chosen.interval
    # Three of its own standard deviations, so that it fails once in 400 draws at most.
    assert low / (high / low) ** 0.27 < true < high * (high / low) ** 0.27
    assert result.hours_to_count == pytest.approx(100.0)


def test_too_little_is_said_to_be_too_little() -> None:
    result = calibrated(np.array([0.5, 0.6]), hours=1.0, per_hour=0.5 / 24)
    assert (result.chosen.method, result.chosen.threshold, result.reached) == ("bounded", 0.8, False)
    assert result.chosen.interval == (0.0, pytest.approx(3.69, abs=0.01))
    # ... but what was heard clearly raises it.
    assert calibrated(np.array([0.5, 0.95]), 1.0, 0.02).chosen.threshold == pytest.approx(0.95, abs=1e-3)


def test_no_threshold_lies_where_nothing_was_kept() -> None:
    """In a quiet room every threshold keeps to the rate; what lies below 0.02 was never written down."""
    result = calibrated(np.linspace(0.1, 0.6, 11), hours=1200.0, per_hour=0.5 / 24)
    assert (result.chosen.method, result.chosen.counted) == ("counted", 11)
    assert result.chosen.threshold >= 2 * 0.02 / DECISION.release_ratio
    # ... and a handful of peaks does not make the model easier to wake.
    few = calibrated(np.array([0.5, 0.6]), hours=1200.0, per_hour=0.5 / 24)
    assert (few.chosen.method, few.chosen.threshold) == ("bounded", 0.8)


def test_a_word_that_is_heard_as_surely_as_can_be_cannot_be_kept_out() -> None:
    result = calibrated(np.ones(40), hours=10.0, per_hour=0.5)
    assert not result.reached
    assert result.chosen.per_hour == pytest.approx(4.0)
    # ... nor can what it says of other thresholds be anything but numbers.
    assert all(math.isfinite(point.interval[1]) for point in calibrated(np.full(12, 0.5), 1.0, 0.1).curve)


def test_the_curve_tells_what_is_missed() -> None:
    one = replay(peaks(exponential(60, 3)))
    for height in (0.6, 0.7, 0.9, 0.97):
        one.add_positive(peaks(np.array([height])), first_frame=0, words=["go"])
    result = calibrate_room(one, MANIFEST, FRAME_MS, 60.0, 0.5)
    assert result.own.missed == 2
    assert [point.missed for point in result.curve] == sorted(point.missed or 0 for point in result.curve)
    assert result.to_json()["positives"] == 4


def listener(script: list[float], **options: object) -> RoomTask:
    rows = [[math.log(p / (1 - p)), -8.0, -8.0] for p in script]
    return RoomTask(Spotter(ScriptedBackend(rows, rest=-8.0), MANIFEST), 0.5, **options)


def test_it_hears_peaks_of_any_height_and_never_fires() -> None:
    script = [0.001] * 10 + [0.9] * 4 + [0.001] * 30 + [0.5] * 4 + [0.001] * 30 + [0.3] * 4 + [0.001] * 30
    task = listener(script)
    events = [event for _ in range(60) for event in task.process(np.zeros((8, 40), np.float32))]
    heard = [(type(event), round(event.score, 4), event.threshold) for event in events]  # type: ignore[union-attr]
    assert heard == [(NearMiss, 0.9, 0.8), (NearMiss, 0.5, 0.8)]
    table = joined(task.take(ended=True), MANIFEST, FRAME_MS)
    assert replay(table).false_alarms(None) == 1
    assert replay(table).false_alarms(0.25) == 3


def test_the_engines_warm_up_and_half_a_word_before_a_loss_are_no_words() -> None:
    task = listener([0.9] * 4)
    task.process(np.zeros((8, 40), np.float32))
    task.reset()
    assert task.take(ended=True) == []
    task.process(np.zeros((16, 40), np.float32))
    task.reset(32_000)
    assert [len(stretch) for stretch in task.take()] == [4]


def stretch(*values: float) -> Frames:
    return np.array([[value, 0.25] for value in values], np.float32)


def test_a_log_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "rooms" / "m.jsonl"
    log = RoomLog(path, "m", "f1", 2)
    log.add(60.0, [stretch(0.5, 0.75)], [Heard(at="noon", name="go", score=0.5)], "noon")
    log.add(30.0, [], [], "later")
    log.close()
    with path.open("ab") as file:
        file.write(b'{"seconds":60.0,"stret')  # kill -9
    log = RoomLog(path, "m", "f1", 2)
    log.add(10.0, [stretch(0.25)], [], "last")
    log.close()
    listened = RoomLog(path, "m", "f1", 2).listened
    assert (listened.seconds, listened.until, len(listened.heard)) == (100.0, "last", 1)
    assert [part.tolist() for part in listened.stretches] == [[[0.5, 0.25], [0.75, 0.25]], [[0.25, 0.25]]]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_another_version_heard_is_of_no_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "m.jsonl"
    log = RoomLog(path, "m", "f1", 2)
    log.add(60.0, [], [], "noon")
    log.close()
    assert RoomLog(path, "m", "f2", 2).listened.seconds == 0.0
    assert "another version of 'm'" in caplog.text


def test_what_a_full_disk_does_not_take_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "m.jsonl"
    log = RoomLog(path, "m", "f1", 2)

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    log.add(60.0, [], [], "noon")
    log.add(60.0, [], [], "noon")
    monkeypatch.undo()
    assert caplog.text.count("not on the disk yet") == 1
    log.add(60.0, [], [], "noon")
    log.close()
    assert RoomLog(path, "m", "f1", 2).listened.seconds == 180.0


def test_a_place_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="what is heard cannot be kept"):
        RoomLog(tmp_path / "file" / "m.jsonl", "m", "f1", 2)
    with pytest.raises(OutputError, match="cannot be deleted"):
        RoomLog.delete(tmp_path / "file" / "m.jsonl")
