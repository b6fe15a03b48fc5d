"""The page's tables: device and sensors, start-up, losses, what was run and where."""

from __future__ import annotations

from edgeaudio.profiling.charts import Axis, bars
from edgeaudio.profiling.markup import Html, facts, figure_cell, join, name_cell, picture_cell, table, tag
from edgeaudio.profiling.measurement import CoreShare, Measurement, Sensor
from edgeaudio.profiling.timeline import sensors
from edgeaudio.profiling.wording import (
    MEANING,
    losses_said,
    ms,
    number,
    percent,
    range_of,
    start_up_said,
    tasks_said,
)

__all__ = ["device", "losses", "meanings", "start_up", "what_and_where"]

_INTERVAL = (
    "how well this run knows the figure, from a block bootstrap over time, as neighbouring passes resemble "
    "each other; what changes from run to run, such as heat or load, is not in it"
)


def device(measurement: Measurement) -> Html:
    """Tell what the process used, and what the sensors of the device said."""
    cost = measurement.cost
    own, forced = cost.voluntary_switches, cost.involuntary_switches
    used = [
        ("CPU time of this process", f"{percent(cost.cpu_share)} of one core"),
        ("real-time factor of the engine", number(cost.real_time_factor)),
        ("resident memory", f"{number(cost.rss_mb)} MB at the end, {number(cost.peak_rss_mb)} MB at most"),
        ("page faults", f"{cost.major_faults} from disk, {cost.minor_faults} others"),
        ("context switches", f"{own} of its own accord, {forced} forced"),
    ]
    header = ("sensor", "", "lowest", "mean", "highest", "source")
    rows = [_sensor_row(sensor) for sensor in measurement.sensors]
    return join(
        (
            tag("h2", "CPU, temperature, power"),
            facts(used),
            _cores(measurement.cost.cores),
            sensors(measurement),
            table("Sensors", header, rows, right=(2, 3, 4)) if rows else tag("p", "No sensor was read."),
        )
    )


def _cores(cores: list[CoreShare]) -> Html:
    axis = Axis(0.0, 1.0)
    rows = [
        (
            name_cell(f"core {core.core}"),
            figure_cell(percent(core.busy)),
            picture_cell(bars(axis, [(0.0, core.busy, percent(core.busy))], "wait")),
        )
        for core in cores
    ]
    header = ("", "busy", Html("by everything, of the time"))
    return table("Cores", header, rows, right=(1,), narrow=True) if rows else Html()


def _sensor_row(sensor: Sensor) -> tuple[Html, ...]:
    values = range_of(sensor) if sensor.status == "measured" else None
    said: tuple[str, ...] = ("", "", "")
    if values is not None and sensor.unit:
        said = tuple(f"{number(value)} {sensor.unit}" for value in values)
    elif values is not None:
        said = ("", f"{number(100 * values.mean)} % of the time", "")
    state = tag("b", "measured", class_="good") if values is not None else tag("span", "unavailable")
    return (
        name_cell(sensor.name),
        tag("td", state, tag("small", sensor.reason), class_="state"),
        *map(figure_cell, said),
        tag("td", sensor.source, class_="source"),
    )


def start_up(measurement: Measurement) -> Html:
    """Tell what starting takes."""
    found = measurement.start_up
    if found is None:
        return join((tag("h2", "Start-up"), tag("p", "Not measured in this run.")))
    axis = Axis(0.0, max(found.total_ms, 1e-3))
    rows, begun = [], 0.0
    for name, part_ms in start_up_said(found):
        picture = bars(axis, [(begun, begun + part_ms, f"{name}: {ms(part_ms)}")], "wait")
        rows.append((name_cell(name), figure_cell(ms(part_ms)), picture_cell(picture)))
        begun += part_ms
    rows.append((name_cell("together"), figure_cell(tag("b", ms(found.total_ms))), picture_cell(Html())))
    note = "From the start of a fresh process to its first frame."
    parts = table("Start-up", ("part", "took", Html("when")), rows, right=(1,), narrow=True)
    return join((tag("h2", "Start-up"), tag("p", note, class_="note"), parts))


def losses(measurement: Measurement) -> Html:
    """Tell what was lost, and what was left out to keep up."""
    found = measurement.losses
    told = [
        (what, tag("b", amount, class_="bad") if any_ else amount)
        for what, amount, any_ in losses_said(measurement)
    ]
    told.append(("greatest lag", ms(found.max_lag_ms)))
    if any(task.kind == "captions" for task in measurement.tasks):
        told.append(("greatest lag of captions", ms(found.max_caption_lag_ms)))
    return join((tag("h2", "Lost and left out"), facts(told)))


def what_and_where(measurement: Measurement) -> Html:
    """Tell what was run, with which settings, and on what."""
    machine, overhead = measurement.machine, measurement.overhead
    stamps = (
        f"{number(overhead.timestamps_per_s)} time stamps a second, {number(overhead.timestamp_ns)} ns each"
    )
    run = [
        *(("task", said) for said in tasks_said(measurement)),
        ("command", " ".join(measurement.command)),
        ("profile", measurement.profile),
        *((key, _setting(value)) for key, value in measurement.profile_settings.items() if key != "name"),
        ("cost of measuring", f"{percent(overhead.share_of_busy)} of the engine's computing: {stamps}"),
        ("cost of sensors", f"{percent(overhead.sensors_share)} of a core, beside the engine"),
    ]
    quota = "none" if machine.quota_cores is None else f"{number(machine.quota_cores)} cores"
    place = [
        ("machine", f"{machine.model}, {machine.architecture}"),
        ("cores", f"{machine.cores}; CPU quota: {quota}"),
        ("memory", f"{machine.memory_mb} MB"),
        ("system", machine.system),
        (
            "load when the run began",
            "unknown" if machine.load_before is None else number(machine.load_before),
        ),
        ("Python", machine.python),
        ("packages", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
    ]
    return join((tag("h2", "What was run"), facts(run), tag("h2", "Where it was run"), facts(place)))


def meanings(measurement: Measurement) -> Html:
    """Tell what the page's words mean."""
    groups = dict.fromkeys(stage.group for stage in measurement.stages)
    told = [
        *((group, MEANING[group]) for group in groups),
        ("p50, p95, p99", "half, 95 %, 99 % of all passes took at most as long"),
        ("95 % interval", _INTERVAL),
        ("stall", "a moment at which audio waited longer than a hop and a half for the engine"),
    ]
    return join((tag("h2", "How to read this"), facts(told)))


def _setting(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_setting(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_setting, value)) or "none"
    return "none" if value is None else str(value)
