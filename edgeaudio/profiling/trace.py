"""A measurement as a trace that chrome://tracing and ui.perfetto.dev show.

The format is the JSON object of Google's "Trace Event Format": complete events (``X``) for passes,
asynchronous ones (``b``, ``e``) for what overlaps itself, counters (``C``), instants (``i``) for stalls,
names (``M``). Moments and durations are in microseconds. What the viewers call a process is a thread here,
and each of its rows a stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgeaudio.profiling.blocks import background
from edgeaudio.profiling.files import write_whole
from edgeaudio.profiling.measurement import Measurement, Stage

__all__ = ["trace", "write_trace"]

_ENGINE, _CAPTIONS, _WAYS, _DEVICE = 1, 2, 3, 4
_NAMES = {
    _ENGINE: "engine's thread",
    _CAPTIONS: "caption worker's thread",
    _WAYS: "on the way",
    _DEVICE: "lag and sensors",
}
_UNTHREADED = frozenset({"ring", "event", "end to end", "word"})
"""Their passes overlap where somebody is late."""

Event = dict[str, Any]


def write_trace(path: Path, measurement: Measurement) -> None:
    """Write the trace of `trace` to a file.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    write_whole(path, msgspec.json.encode(trace(measurement)))


def trace(measurement: Measurement) -> dict[str, Any]:
    """Return a measurement as a trace, ready to be encoded as JSON."""
    events: list[Event] = []
    shown: dict[int, list[str]] = {}
    for stage in measurement.stages:
        process = _process(measurement, stage)
        row = shown.setdefault(process, [])
        row.append(stage.name)
        events += (_overlapping if process == _WAYS else _passes)(stage, process, len(row))
    events += _counters(measurement)
    events += _stalls(measurement)
    shown[_DEVICE] = []
    return {
        "traceEvents": [*_metadata(shown), *sorted(events, key=lambda event: float(event["ts"]))],
        "displayTimeUnit": "ms",
        "otherData": {
            "made": measurement.made,
            "machine": measurement.machine.model,
            "profile": measurement.profile,
            "audio": measurement.audio,
        },
    }


def _process(measurement: Measurement, stage: Stage) -> int:
    if stage.group in _UNTHREADED:
        return _WAYS
    return _CAPTIONS if background(measurement, stage) else _ENGINE


def _metadata(shown: dict[int, list[str]]) -> Iterator[Event]:
    for process, stages in shown.items():
        yield _named("process_name", process, 0, name=_NAMES[process])
        yield _named("process_sort_index", process, 0, sort_index=process)
        for row, stage in enumerate(stages, 1):
            yield _named("thread_name", process, row, name=stage)
            yield _named("thread_sort_index", process, row, sort_index=row)


def _named(kind: str, process: int, row: int, **arguments: str | int) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": row, "args": arguments}


def _passes(stage: Stage, process: int, row: int) -> Iterator[Event]:
    done_us = float("-inf")
    for moment_s, duration_ms in sorted(stage.samples):
        # Moments are rounded to a microsecond; viewers drop what begins before the one before it has ended.
        begun_us = max(_us(moment_s), done_us)
        length_us = round(1000 * duration_ms, 3)
        done_us = round(begun_us + length_us, 3)
        yield {
            "ph": "X",
            "name": stage.name,
            "cat": stage.group,
            "pid": process,
            "tid": row,
            "ts": begun_us,
            "dur": length_us,
        }


def _overlapping(stage: Stage, process: int, row: int) -> Iterator[Event]:
    for i, (moment_s, duration_ms) in enumerate(stage.samples):
        # Perfetto reads numbers only, and without "local" they would be those of all processes.
        which = {"local": hex(row << 24 | i)}
        same = {"name": stage.name, "cat": stage.group, "id2": which, "pid": process, "tid": row}
        yield {**same, "ph": "b", "ts": _us(moment_s)}
        yield {**same, "ph": "e", "ts": round(_us(moment_s) + 1000 * duration_ms, 3)}


def _counters(measurement: Measurement) -> Iterator[Event]:
    for stage in measurement.stages:
        if stage.group == "ring":
            for moment_s, age_ms in stage.samples:
                yield _counter("lag", "ms", moment_s + age_ms / 1000, age_ms)
    for sensor in measurement.sensors:
        for moment_s, value in sensor.samples:
            if moment_s < 0:
                continue  # read before the first sample was captured; Perfetto knows no moment before zero
            yield _counter(sensor.name, sensor.unit or "yes", moment_s, value)


def _counter(name: str, unit: str, moment_s: float, value: float) -> Event:
    return {"ph": "C", "name": name, "pid": _DEVICE, "tid": 0, "ts": _us(moment_s), "args": {unit: value}}


def _stalls(measurement: Measurement) -> Iterator[Event]:
    for stall in measurement.stalls:
        yield {
            "ph": "i",
            "s": "g",  # across all rows
            "name": f"stall: {stall.stage}",
            "cat": "stall",
            "pid": _ENGINE,
            "tid": 1,
            "ts": _us(stall.at_s),
            "args": {"ms": stall.duration_ms},
        }


def _us(moment_s: float) -> float:
    return round(1e6 * moment_s, 3)
