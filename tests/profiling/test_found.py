"""A stage that became slower is found by whoever compares two runs, and by the gate: on the real engine."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from msgspec.structs import replace

from edgeaudio.profiles import Budgets, Profile
from edgeaudio.profiling.compare import compare
from edgeaudio.profiling.gate import check
from edgeaudio.profiling.measurement import Measurement
from edgeaudio.profiling.run import measure
from edgeaudio.sources.array import ArraySource
from edgeaudio.testing import scripted_spotter

NOISE = np.random.default_rng(2).normal(0, 0.05, 16_000 * 8).astype(np.float32)
BUDGETS = Profile(budgets=Budgets(p95_word_to_event_ms=300.0, cpu_share=0.9))


def measured(delay_ms: float = 0.0) -> Measurement:
    """Four seconds, with a word at the end of every seventh hop, and each step so much slower."""
    spotter = scripted_spotter([(0.32 + 0.56 * i, "go") for i in range(13)])
    if delay_ms:
        step = spotter.graph.step

        def slower(frames: Any) -> Any:
            time.sleep(delay_ms / 1000)
            return step(frames)

        spotter.graph.step = slower  # type: ignore[method-assign]
    source = ArraySource(NOISE, paced=True)
    return measure(source, [spotter], profile=BUDGETS, seconds=4.0, warm_up_s=0.5)


def test_a_slower_model_is_a_regression_of_its_stage_and_of_the_whole_way() -> None:
    before, after = measured(), measured(delay_ms=30.0)
    model = next(stage.name for stage in before.stages if stage.group == "model")
    found = {change.name: change for change in compare(before, after).regressions}
    assert f"{model} mean" in found
    assert f"{model} p95" in found
    mean = found[f"{model} mean"]
    # A sleep lasts at least as long as asked for; how much longer is the machine's business.
    assert mean.after - mean.before >= 30.0
    assert any(name.startswith("end to end") for name in found)
    broken = replace(after, profile_settings={"budgets": {"p95_word_to_event_ms": 20.0}})
    [verdict] = check(broken)
    assert (verdict.kept, verdict.stage) == (False, model)
    assert all(verdict.kept for verdict in check(before))
