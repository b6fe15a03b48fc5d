"""The trace follows Google's "Trace Event Format", as chrome://tracing and Perfetto read it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from edgeaudio.errors import OutputError
from edgeaudio.profiling.measurement import Sensor, Stall
from edgeaudio.profiling.trace import trace, write_trace
from tests.profiling.synthetic import measurement

FIELDS = {
    "X": {"name", "cat", "pid", "tid", "ts", "dur"},
    "b": {"name", "cat", "pid", "tid", "ts", "id2"},
    "e": {"name", "cat", "pid", "tid", "ts", "id2"},
    "i": {"name", "cat", "pid", "tid", "ts", "s", "args"},
    "C": {"name", "pid", "tid", "ts", "args"},
    "M": {"name", "pid", "tid", "args"},
}
"""What an event of each phase has, from the format's description; the phase itself is left out."""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("trace") / "run.json"
    write_trace(path, measurement(20.0))
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["displayTimeUnit"] == "ms"
    events: list[dict[str, Any]] = found["traceEvents"]
    return events


def named(events: list[dict[str, Any]], kind: str) -> dict[tuple[int, int], str]:
    return {(one["pid"], one["tid"]): one["args"]["name"] for one in events if one["name"] == kind}


def test_each_event_has_the_fields_of_its_phase(events: list[dict[str, Any]]) -> None:
    assert {event["ph"] for event in events} == set(FIELDS)
    for event in events:
        assert set(event) - {"ph"} == FIELDS[event["ph"]]
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert event["ph"] == "M" or event["ts"] >= 0
        assert event.get("dur", 0) >= 0


def test_moments_never_go_back(events: list[dict[str, Any]]) -> None:
    moments = [event["ts"] for event in events if event["ph"] != "M"]
    assert moments == sorted(moments)


def test_every_row_has_a_name_and_every_stage_a_row(events: list[dict[str, Any]]) -> None:
    rows, threads = named(events, "thread_name"), named(events, "process_name")
    for event in events:
        if event["ph"] in "Xbe":
            assert rows[event["pid"], event["tid"]] == event["name"]
        assert (event["pid"], 0) in threads
    where = {stage: threads[pid, 0] for (pid, _), stage in rows.items()}
    assert where["model wake-computer"] == where["wait"] == "engine's thread"
    assert where["model captions-en-small"] == "caption worker's thread"
    assert where["ring"] == where["event"] == "on the way"
    assert set(where) == {stage.name for stage in measurement(20.0).stages}


def test_passes_of_a_row_follow_each_other(events: list[dict[str, Any]]) -> None:
    # What begins within another one, and ends behind it, Perfetto drops.
    done: defaultdict[tuple[int, int], float] = defaultdict(lambda: float("-inf"))
    for event in events:
        if event["ph"] == "X":
            row = (event["pid"], event["tid"])
            assert event["ts"] >= done[row]
            done[row] = round(event["ts"] + event["dur"], 3)


def test_what_begins_ends(events: list[dict[str, Any]]) -> None:
    pairs: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] in "be":
            pairs[event["cat"], event["id2"]["local"]].append(event)
    assert all(int(name, 16) >= 0 for _, name in pairs)
    assert all(sorted(one["ph"] for one in pair) == ["b", "e"] for pair in pairs.values())
    ring = next(stage for stage in measurement(20.0).stages if stage.group == "ring")
    begun = sorted(event["ts"] for (cat, _), pair in pairs.items() if cat == "ring" for event in pair[:1])
    # Written to a thousandth of a microsecond.
    assert begun == pytest.approx([1e6 * moment for moment, _ in ring.samples], abs=1e-3)


def test_all_passes_are_there_at_their_moments(events: list[dict[str, Any]]) -> None:
    for stage in measurement(20.0).stages:
        found = [
            (event["ts"], event["dur"])
            for event in events
            if event["ph"] == "X" and event["name"] == stage.name
        ]
        if found:
            assert len(found) == stage.count
            expected = [(1e6 * moment, 1000 * duration) for moment, duration in stage.samples]
            # A microsecond: the rounding of moments, which may move a pass behind the one before it.
            assert [ts for ts, _ in found] == pytest.approx([ts for ts, _ in expected], abs=1.0)
            assert [dur for _, dur in found] == pytest.approx([dur for _, dur in expected], abs=1e-3)


def test_lag_and_sensors_are_counters(events: list[dict[str, Any]]) -> None:
    counters = {event["name"] for event in events if event["ph"] == "C"}
    assert {"lag", "process busy", "cpu temperature", "throttled"} <= counters
    assert "power" not in counters  # unavailable
    values = [value for event in events if event["ph"] == "C" for value in event["args"].values()]
    assert all(isinstance(value, (int, float)) for value in values)


def test_what_was_read_before_the_first_sample_is_left_out() -> None:
    early = Sensor(name="early", unit="W", status="measured", source="x", samples=[(-0.3, 1.0), (0.2, 2.0)])
    events = trace(measurement(5.0, sensors=[early]))["traceEvents"]
    assert [event["ts"] for event in events if event["name"] == "early"] == [0.2e6]
    assert min(event["ts"] for event in events if event["ph"] != "M") >= 0


def test_stalls_are_marked() -> None:
    stall = Stall(at_s=3.25, duration_ms=120.0, stage="model wake-computer")
    found = [
        event for event in trace(measurement(5.0, found_stalls=[stall]))["traceEvents"] if event["ph"] == "i"
    ]
    assert [(event["ts"], event["args"]["ms"]) for event in found] == [(3.25e6, 120.0)]


def test_an_empty_measurement_is_a_trace_too() -> None:
    found = trace(measurement(stages=[], sensors=[], found_stalls=[]))
    assert all(event["ph"] == "M" for event in found["traceEvents"])


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        write_trace(tmp_path / "nowhere" / "run.json", measurement(5.0))
