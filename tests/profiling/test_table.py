from __future__ import annotations

import pytest

from edgeaudio.profiling.gate import Verdict, check
from edgeaudio.profiling.measurement import Losses, Sensor
from edgeaudio.profiling.table import render
from tests.profiling.synthetic import measurement


def test_it_fits_a_terminal_of_eighty_columns() -> None:
    found = measurement()
    lines = render(found, check(found)).split("\n")
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("width", [1, 60, 132, 1000])
def test_columns_of_numbers_keep_their_width(width: int) -> None:
    lines = render(measurement(), width=width).split("\n")
    rows = lines[lines.index("") + 1 :]
    header, first = rows[0], rows[1]
    assert len(header) == len(first) == min(max(width, 60), 100)
    assert header.split() == ["ms", "a", "pass", "passes", "mean", "p50", "p95", "p99", "longest", "cost"]


def test_every_stage_has_its_row_with_its_figures() -> None:
    found = measurement()
    rows = render(found).split("\n")
    for stage in found.stages:
        row = next(row for row in rows if row.startswith(f"{stage.name} "))
        cells = row.removeprefix(stage.name).split()
        assert int(cells[0]) == stage.count
        # Three digits are written, or three places.
        assert float(cells[3]) == pytest.approx(stage.p95_ms, rel=5e-3, abs=5e-4)
        assert float(cells[5]) == pytest.approx(stage.max_ms, rel=5e-3, abs=5e-4)


def test_names_are_cut_before_numbers() -> None:
    found = measurement(5.0)
    found.stages[0].name = "frontend " + 80 * "x"
    row = next(line for line in render(found).split("\n") if line.startswith("frontend x"))
    assert len(row) == 80
    assert "…" in row


def test_what_a_sensor_does_not_tell_has_its_reason() -> None:
    text = render(measurement())
    assert "cpu temperature: 4" in text
    assert "power: unavailable, this board has no power sensor" in text
    assert "throttled: 4." in text


def test_many_sensors_of_a_kind_share_a_line() -> None:
    cores = [
        Sensor(
            name=f"cpu{i} frequency", unit="MHz", status="measured", source="x", samples=[(0.0, 1000.0 + i)]
        )
        for i in range(64)
    ]
    text = render(measurement(sensors=cores))
    assert "64 of MHz: 1000 to 1063 MHz, mean 1032" in text


def test_losses_and_what_was_left_out_are_told() -> None:
    losses = Losses(skipped_samples=24_000, events_dropped=2, shed_seconds={"search_width": 1.5})
    text = " ".join(render(measurement(losses=losses)).split())
    assert "engine was behind and jumped forward: 1.50 s" in text
    assert "caller was slow: 2 events" in text
    assert "left out: search width: 1.50 s" in text
    assert "lost nothing" in " ".join(render(measurement(losses=Losses())).split())


def test_a_broken_budget_says_by_what() -> None:
    verdict = Verdict(
        name="CPU share",
        unit="% of a core",
        limit=10.0,
        value=20.7,
        kept=False,
        stage=None,
        detail="too much",
    )
    text = render(measurement(), [verdict])
    assert "1 of 1 budget broken: CPU share." in text
    assert "CPU share BROKEN: 20.7, at most 10.0 % of a core; too much" in text


def test_names_from_outside_neither_steer_the_terminal_nor_begin_lines() -> None:
    found = measurement(5.0, audio="talk\x1b[2J.wav\nstalls     none")
    found.machine.model = "Board\u202e\r\n"
    text = render(found)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\nstalls     none" not in text.replace("\nstalls     3", "")


def test_without_stages_and_sensors_it_still_reads() -> None:
    text = render(measurement(stages=[], sensors=[], found_stalls=[], start_up=None))
    assert "stalls     none" in text
