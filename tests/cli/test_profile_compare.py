"""`edgeaudio profile compare` and `report`: what they say of files, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from edgeaudio.profiling.files import encode, read_measurement
from edgeaudio.profiling.measurement import Measurement
from tests.cli.conftest import Run
from tests.profiling.synthetic import measurement

RUN = measurement(10.0)
HEARD = replace(RUN, tasks=RUN.tasks[:1])
"""Without the task that said nothing."""


COUNTS = ("computing", "CPU share", "memory at its peak", "start-up", "stalls", "work shed")


def written(path: Path, run: Measurement = RUN) -> Path:
    path.write_bytes(encode(run))
    return path


def dearer(percent: float) -> Measurement:
    return replace(RUN, cost=replace(RUN.cost, peak_rss_mb=RUN.cost.peak_rss_mb * (1 + percent / 100)))


def with_budgets(**budgets: float) -> Measurement:
    return replace(HEARD, profile_settings={"budgets": budgets})


def test_equal_runs_are_told_to_be_equal(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json")
    outcome = run("profile", "compare", path, path)
    assert (outcome.code, outcome.err) == (0, "")
    told = outcome.out.splitlines()
    assert told[0].endswith("figures did not change beyond noise.")
    # What happened three times is no figure, and nothing else is not alike.
    assert all("too few to be compared" in line for line in told[1:])


def test_a_regression_is_an_exit_code_and_is_named(run: Run, tmp_path: Path) -> None:
    before, after = written(tmp_path / "a.json"), written(tmp_path / "b.json", dearer(20))
    outcome = run("profile", "compare", before, after)
    assert outcome.code == 9
    assert outcome.err == "edgeaudio: 1 regression of more than 10 %: memory at its peak\n"
    assert "+20.0 %" in outcome.out
    assert "REGRESSION" in outcome.out
    # The other way round it is better.
    assert run("profile", "compare", after, before).code == 0


@pytest.mark.parametrize(("allow", "code"), [("25", 0), ("25%", 0), ("19.9", 9), ("0", 9)])
def test_what_is_allowed_is_no_regression(run: Run, tmp_path: Path, allow: str, code: int) -> None:
    before, after = written(tmp_path / "a.json"), written(tmp_path / "b.json", dearer(20))
    outcome = run("profile", "compare", before, after, "--allow", allow)
    assert outcome.code == code
    assert ("worse" in outcome.out) == (code == 0)


def test_programs_get_every_figure(run: Run, tmp_path: Path) -> None:
    before, after = written(tmp_path / "a.json"), written(tmp_path / "b.json", dearer(20))
    outcome = run("profile", "compare", before, after, "--json")
    assert outcome.code == 9
    told = json.loads(outcome.out)
    assert set(told) == {"allowed_percent", "changes", "notes"}
    assert {change["verdict"] for change in told["changes"]} == {"same", "regression"}
    assert all(len(change["interval"]) == 2 for change in told["changes"] if change["interval"])


def test_everything_is_listed_when_asked_for(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json")
    lines = run("profile", "compare", path, path, "--all").out.splitlines()
    compared = [stage for stage in RUN.stages if stage.group != "wait" and stage.count >= 5]
    figures = [line for line in lines[1:] if not line.startswith("not alike")]
    assert len(figures) == 2 * len(compared) + len(COUNTS)
    assert all(" none " in line for line in figures)
    assert all(any(line.startswith(name) for line in lines) for name in COUNTS)


def test_what_is_not_alike_is_told(run: Run, tmp_path: Path) -> None:
    other = written(tmp_path / "b.json", replace(RUN, profile="generic\x1b[2J"))
    out = run("profile", "compare", written(tmp_path / "a.json"), other).out
    assert "not alike: profile: raspberry-pi-4 before, generic" in out
    assert "\x1b" not in out


def test_another_version_and_other_files_are_refused(run: Run, tmp_path: Path) -> None:
    path, old = written(tmp_path / "a.json"), written(tmp_path / "old.json", replace(RUN, format=0))
    outcome = run("profile", "compare", old, path)
    assert outcome.code == 3
    assert "old.json has format 0, and this version reads format 1" in outcome.err
    (tmp_path / "lamp.json").write_text('{"type":"detection"}')
    assert run("profile", "compare", path, tmp_path / "lamp.json").code == 3
    assert run("profile", "compare", path, tmp_path / "missing.json").code == 3
    assert run("profile", "compare", path, tmp_path).code == 3


@pytest.mark.parametrize("allow", ["-1", "nan", "ten", "inf", "", "1e99"])
def test_percentages_that_make_no_sense_are_refused(run: Run, tmp_path: Path, allow: str) -> None:
    path = written(tmp_path / "a.json")
    outcome = run("profile", "compare", path, path, f"--allow={allow}")
    assert outcome.code == 2
    assert "is no percentage" in outcome.err


def test_a_report_repeats_what_was_measured(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json")
    outcome = run("profile", "report", path, "--json", "--output", tmp_path / "b.json")
    assert outcome.code == 0
    assert outcome.out == path.read_text()
    assert read_measurement(tmp_path / "b.json") == RUN


def test_a_budget_that_is_kept_is_no_error(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", with_budgets(p95_word_to_event_ms=250, cpu_share=0.5, memory_mb=300))
    assert run("profile", "report", path, "--gate", "--json").code == 0


def test_broken_budgets_are_told_with_the_stage_that_broke_them(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", with_budgets(p95_word_to_event_ms=10, cpu_share=0.1, memory_mb=300))
    assert run("profile", "report", path, "--json").code == 0
    outcome = run("profile", "report", path, "--gate", "--json", "--output", tmp_path / "b.json")
    assert outcome.code == 9
    first, latency, processor = outcome.err.splitlines()
    assert first == "edgeaudio: 2 of 3 budgets broken"
    assert latency.startswith("  p95 word-to-event: end to end wake-computer: ")
    assert latency.endswith(" (budget 10 ms)")
    assert "10.7 points too much; model captions-en-small takes" in processor
    # What was measured is told and written all the same.
    assert outcome.out == path.read_text() == (tmp_path / "b.json").read_text()


def test_a_gate_without_budgets_is_an_error(run: Run, tmp_path: Path) -> None:
    outcome = run("profile", "report", written(tmp_path / "a.json", with_budgets()), "--gate", "--json")
    assert outcome.code == 7
    assert "profile 'raspberry-pi-4' has no budgets" in outcome.err


def test_what_is_read_is_not_written_over(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json")
    (tmp_path / "same.json").symlink_to(path)
    for name in ("a.json", "same.json"):
        outcome = run("profile", "report", path, "--json", "--output", tmp_path / name)
        assert outcome.code == 2
        assert "the same file is what is read" in outcome.err
