from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from edgeaudio.profiling.compare import Change, Comparison, compare
from edgeaudio.profiling.measurement import Measurement, Stage
from edgeaudio.profiling.statistics import summarise
from tests.profiling.synthetic import measurement

RUN = measurement(60.0)


def change_of(comparison: Comparison, name: str) -> Change:
    return next(change for change in comparison.changes if change.name == name)


def stretched(run: Measurement, name: str, factor: float) -> Measurement:
    return replace(run, stages=[scaled(s, factor) if s.name == name else s for s in run.stages])


def scaled(stage: Stage, factor: float) -> Stage:
    (mean_low, mean_high), (p95_low, p95_high) = stage.mean_interval_ms, stage.p95_interval_ms
    return replace(
        stage,
        mean_ms=factor * stage.mean_ms,
        p95_ms=factor * stage.p95_ms,
        mean_interval_ms=(factor * mean_low, factor * mean_high),
        p95_interval_ms=(factor * p95_low, factor * p95_high),
        share=factor * stage.share,
    )


def test_a_run_does_not_differ_from_itself() -> None:
    comparison = compare(RUN, RUN, allowed_percent=0)
    assert {change.verdict for change in comparison.changes} == {"same"}
    assert comparison.notes == []
    assert comparison.changes[0].name == "end to end wake-computer p95"


def test_waiting_is_no_cost() -> None:
    assert not any(change.name.startswith("wait") for change in compare(RUN, RUN).changes)


def test_a_slower_stage_is_found_and_nothing_else() -> None:
    comparison = compare(RUN, stretched(RUN, "model wake-computer", 1.3))
    assert [change.name for change in comparison.regressions] == [
        "model wake-computer p95",
        "model wake-computer mean",
    ]
    mean = comparison.regressions[1]
    assert mean.change_percent == pytest.approx(30)
    assert mean.interval is not None
    assert 0 < mean.interval[0] < mean.after - mean.before < mean.interval[1]


def test_a_quicker_stage_is_better() -> None:
    comparison = compare(stretched(RUN, "model wake-computer", 1.3), RUN)
    assert comparison.regressions == []
    assert change_of(comparison, "model wake-computer mean").verdict == "better"


@pytest.mark.parametrize(("allowed", "verdict"), [(29, "regression"), (31, "worse")])
def test_what_is_allowed_is_worse_but_no_regression(allowed: float, verdict: str) -> None:
    slow = stretched(RUN, "model wake-computer", 1.3)
    assert (
        change_of(compare(RUN, slow, allowed_percent=allowed), "model wake-computer mean").verdict == verdict
    )


def test_what_nobody_notices_is_the_same() -> None:
    # Three times 0.03 ms is still nothing to anybody.
    tripled = stretched(RUN, "decode wake-computer", 3)
    assert change_of(compare(RUN, tripled), "decode wake-computer mean").verdict == "same"


def test_noise_is_no_change() -> None:
    def noisy(run: Measurement) -> Measurement:
        wide = [replace(s, mean_interval_ms=(0.5 * s.mean_ms, 1.5 * s.mean_ms)) for s in run.stages]
        return replace(run, stages=wide)

    slow = stretched(RUN, "model wake-computer", 1.3)
    assert change_of(compare(noisy(RUN), noisy(slow)), "model wake-computer mean").verdict == "same"


def test_of_a_handful_of_events_nobody_knows_how_they_vary() -> None:
    """One event in each run differs by where in a hop its word ended: no interval tells that."""
    name = "end to end wake-computer"

    def rare(run: Measurement) -> Measurement:
        return replace(run, stages=[replace(s, count=4) if s.name == name else s for s in run.stages])

    comparison = compare(rare(RUN), rare(stretched(RUN, name, 2)))
    assert comparison.regressions == []
    assert f"stage {name}: 4 passes before, 4 after, too few to be compared" in comparison.notes


def summed_up(rng: np.random.Generator, mean_ms: float) -> Stage:
    """A stage as a run states it: with the intervals of a block bootstrap of passes that differ by 20 %."""
    moments_s = np.arange(0.0, 30.0, 0.08)
    durations_ms = rng.normal(mean_ms, 0.2 * mean_ms, len(moments_s))
    found = summarise(moments_s, durations_ms)
    return Stage(
        name="model m",
        group="model",
        count=len(moments_s),
        mean_ms=found.mean,
        p50_ms=found.p50,
        p95_ms=found.p95,
        p99_ms=found.p99,
        max_ms=found.largest,
        mean_interval_ms=found.mean_interval,
        p95_interval_ms=found.p95_interval,
        share=0.1,
    )


def test_intervals_hold_what_they_promise() -> None:
    # 40 comparisons of 3 figures of equal runs, and of runs of which one is 2 ms slower.
    rng = np.random.default_rng(4)
    false = found = covered = 0
    for _ in range(40):
        first, again, slower = (
            replace(RUN, stages=[summed_up(rng, mean_ms)]) for mean_ms in (20.0, 20.0, 22.0)
        )
        false += any(c.verdict != "same" for c in compare(first, again, allowed_percent=0).changes)
        mean = change_of(compare(first, slower, allowed_percent=0), "model m mean")
        found += mean.verdict == "regression"
        assert mean.interval is not None
        covered += mean.interval[0] <= 2.0 <= mean.interval[1]
    # 5 % of 40 are 2; that 6 or more come by chance has a probability of 1 %.
    assert false <= 5
    # The standard error of a difference is 0.29 ms: 2 ms are seven of them.
    assert found == 40
    # Over 300 of them 97.7 % held; that 5 or more of 40 do not comes by chance with a probability of 0.3 %.
    assert covered >= 36


def test_losses_that_were_not_there_before_are_regressions_however_much_is_allowed() -> None:
    lossy = replace(RUN, losses=replace(RUN.losses, skipped_samples=16_000, events_dropped=1))
    comparison = compare(RUN, lossy, allowed_percent=1000)
    assert [change.name for change in comparison.regressions] == ["lost samples", "lost events"]
    assert comparison.regressions[0].change_percent is None
    assert comparison.regressions[0].interval is None
    assert compare(lossy, lossy).regressions == []
    assert change_of(compare(lossy, RUN), "lost samples").verdict == "better"


@pytest.mark.parametrize(
    ("name", "cost"), [("CPU share", {"cpu_share": 0.3}), ("memory at its peak", {"peak_rss_mb": 250.0})]
)
def test_what_is_measured_once_counts_without_an_interval(name: str, cost: dict[str, float]) -> None:
    dear = replace(RUN, cost=replace(RUN.cost, **cost))
    [change] = compare(RUN, dear).regressions
    assert (change.name, change.interval) == (name, None)


def test_many_more_stalls_are_a_regression_and_a_few_more_are_chance() -> None:
    stall = RUN.stalls[0]
    assert compare(RUN, replace(RUN, stalls=[stall] * 6)).regressions == []
    assert [c.name for c in compare(RUN, replace(RUN, stalls=[stall] * 30)).regressions] == ["stalls"]


def test_a_longer_run_is_compared_by_its_rates() -> None:
    longer = replace(RUN, seconds=120.0, stalls=RUN.stalls * 2)
    assert change_of(compare(RUN, longer), "stalls").after == change_of(compare(RUN, longer), "stalls").before


def test_what_else_is_not_alike_is_told() -> None:
    machine = replace(
        RUN.machine, model="Raspberry Pi 5", load_before=3.9, versions=RUN.machine.versions | {"numpy": "2.5"}
    )
    other = replace(
        RUN,
        machine=machine,
        profile="generic",
        profile_settings=RUN.profile_settings | {"threads": 2},
        stages=[s for s in RUN.stages if s.name != "event"],
        tasks=[replace(RUN.tasks[0], provider="CUDA")],
    )
    notes = compare(RUN, other).notes
    assert "device: Raspberry Pi 4 Model B Rev 1.5 before, Raspberry Pi 5 after" in notes
    assert "profile: raspberry-pi-4 before, generic after" in notes
    assert "numpy: 2.4.6 before, 2.5 after" in notes
    assert "profile threads: 1 before, 2 after" in notes
    assert "stage event: only before" in notes
    assert "the machine was busy with something else after (load 3.9)" in notes
    assert any(note.startswith("tasks: ") and "CUDA" in note for note in notes)


def test_figures_of_zero_and_absurd_ones_are_no_trouble() -> None:
    def flat(stage: Stage, value: float) -> Any:
        same = dict.fromkeys(("mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms"), value)
        return replace(stage, **same, mean_interval_ms=(0.0, value), p95_interval_ms=(0.0, value))

    nothing = replace(RUN, stages=[flat(stage, 0.0) for stage in RUN.stages])
    vast = replace(RUN, stages=[flat(stage, 1e300) for stage in RUN.stages])
    assert change_of(compare(nothing, RUN), "model wake-computer mean").change_percent is None
    assert compare(nothing, nothing).regressions == []
    assert compare(RUN, vast).changes
