from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edgeaudio.profiling.gate import Verdict, check
from edgeaudio.profiling.measurement import Measurement
from tests.profiling.synthetic import measurement

RUN = measurement(60.0)


def judged(run: Measurement, **budgets: Any) -> list[Verdict]:
    return check(replace(run, profile_settings={"budgets": budgets}))


def slower(run: Measurement, name: str, ms: float) -> Measurement:
    """Add so many milliseconds to each pass of a stage, and to what came of it."""

    def later(stage: Any) -> Any:
        if stage.name != name and stage.group != "end to end":
            return stage
        return replace(stage, p50_ms=stage.p50_ms + ms, p95_ms=stage.p95_ms + ms, mean_ms=stage.mean_ms + ms)

    return replace(run, stages=[later(stage) for stage in run.stages])


def heard_only(run: Measurement) -> Measurement:
    """Without the task that said nothing."""
    return replace(run, tasks=run.tasks[:1])


def test_budgets_that_are_kept() -> None:
    verdicts = judged(heard_only(RUN), p95_word_to_event_ms=250, cpu_share=0.5, memory_mb=300)
    assert [verdict.name for verdict in verdicts] == ["p95 word-to-event", "CPU share", "memory"]
    assert all(verdict.kept for verdict in verdicts)
    assert [verdict.unit for verdict in verdicts] == ["ms", "% of a core", "MB"]
    assert verdicts[1].limit == 50.0
    assert verdicts[1].value == pytest.approx(20.7)


def test_sounds_and_speech_have_no_part_in_the_budget_of_words() -> None:
    beside = replace(RUN.tasks[1], kind="sounds")
    [verdict] = judged(replace(RUN, tasks=[RUN.tasks[0], beside]), p95_word_to_event_ms=250)
    assert verdict.kept
    assert judged(replace(RUN, tasks=[beside]), p95_word_to_event_ms=1) == []


def test_a_budget_is_kept_to_its_last_bit() -> None:
    share = RUN.cost.cpu_share
    assert judged(RUN, cpu_share=share)[0].kept
    assert not judged(RUN, cpu_share=share - 1e-9)[0].kept


@pytest.mark.parametrize(
    "settings", [{}, {"budgets": {}}, {"budgets": None}, {"budgets": {"cpu_share": None}}]
)
def test_without_budgets_there_is_nothing_to_judge(settings: dict[str, object]) -> None:
    assert check(replace(RUN, profile_settings=settings)) == []


@pytest.mark.parametrize(
    "stage", ["model wake-computer", "decode wake-computer", "frontend log_mel 40", "event"]
)
def test_the_stage_that_made_events_late_is_named_with_what_it_takes(stage: str) -> None:
    run = heard_only(slower(RUN, stage, 300.0))
    [verdict] = judged(run, p95_word_to_event_ms=250)
    assert not verdict.kept
    assert verdict.stage == stage
    assert verdict.value is not None
    assert f"{verdict.value - 250:.1f} ms too late; {stage} takes 30" in verdict.detail


def test_waiting_between_stages_is_named_where_no_stage_is_slow() -> None:
    late = [replace(s, p95_ms=400.0) if s.group == "end to end" else s for s in RUN.stages]
    [verdict] = judged(heard_only(replace(RUN, stages=late)), p95_word_to_event_ms=250)
    assert verdict.stage == "capture block and hop"


def test_a_stage_of_another_task_is_not_blamed() -> None:
    run = heard_only(slower(RUN, "model captions-en-small", 300.0))
    [verdict] = judged(run, p95_word_to_event_ms=250)
    assert verdict.stage != "model captions-en-small"


def test_a_budget_that_nothing_was_heard_for_is_not_kept() -> None:
    [verdict] = judged(RUN, p95_word_to_event_ms=250)
    assert (verdict.kept, verdict.value, verdict.stage) == (False, None, None)
    assert verdict.detail == "no event of captions-en-small in 60 s: profile with audio that has its words"


def test_the_dearest_stage_is_named_when_the_processor_is_too_busy() -> None:
    [verdict] = judged(RUN, cpu_share=0.1)
    assert verdict.stage == "model captions-en-small"
    computing = {s.name: s.share for s in RUN.stages if s.group in {"engine", "frontend", "model", "decode"}}
    share = 100 * RUN.cost.real_time_factor * computing[verdict.stage] / sum(computing.values())
    assert verdict.detail == (
        f"20.7 % of a core, 10.7 points too much; model captions-en-small takes {share:.1f} %"
    )


def test_a_neighbour_that_slows_all_stages_is_not_taken_for_work() -> None:
    slowed = [replace(stage, share=20 * stage.share) for stage in RUN.stages]
    assert judged(replace(RUN, stages=slowed), cpu_share=0.1) == judged(RUN, cpu_share=0.1)


def test_time_outside_the_engine_is_named_too() -> None:
    [verdict] = judged(replace(RUN, cost=replace(RUN.cost, cpu_share=0.9)), cpu_share=0.5)
    assert verdict.stage == "outside the engine"


def test_the_model_that_takes_most_memory_is_named() -> None:
    tasks = [replace(task, memory_mb=mb) for task, mb in zip(RUN.tasks, (30.0, 80.0), strict=True)]
    [verdict] = judged(replace(RUN, tasks=tasks), memory_mb=150)
    assert verdict.stage == "loading captions-en-small"
    assert verdict.detail == "188 MB at its peak, 38 MB too much; loading captions-en-small took 80 MB"
    assert judged(RUN, memory_mb=150)[0].stage is None
