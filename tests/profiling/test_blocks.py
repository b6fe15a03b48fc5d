from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeaudio.profiling.blocks import (
    background,
    computing_share,
    costs,
    find_blocks,
    span_s,
    typical_and_worst,
)
from edgeaudio.profiling.measurement import Measurement, Stage
from tests.profiling.synthetic import HOP_S, WARM_UP_S, measurement


def costing(found: Measurement) -> list[Stage]:
    return [stage for stage in found.stages if costs(stage)]


def test_passes_stand_with_the_block_that_they_belong_to() -> None:
    blocks = find_blocks(measurement(10.0, stalls=0))
    assert len(blocks) == 124
    for number, block in enumerate(blocks):
        assert block.captured_s == pytest.approx(WARM_UP_S + HOP_S * (number + 1))
        names = [one.stage.name for one in block.passes]
        assert names[:5] == [
            "ring",
            "frontend log_mel 40",
            "model wake-computer",
            "decode wake-computer",
            "engine",
        ]
        # The recogniser's chunk is two hops long.
        assert ("model captions-en-small" in names) == bool(number % 2)


def test_the_worst_block_is_the_one_that_took_longest() -> None:
    found = measurement(30.0, stalls=3)
    blocks = typical_and_worst(found)
    assert blocks is not None
    typical, worst = blocks
    # 130 ms are the least that a stall is made of; what a block takes without one is far below.
    assert worst.done_ms > 130.0
    assert worst.done_ms == max(block.done_ms for block in find_blocks(found))
    assert typical.done_ms < 60.0
    assert {"frontend log_mel 40", "model wake-computer"} <= {one.stage.name for one in typical.passes}


def test_a_typical_block_is_one_that_was_kept_whole() -> None:
    found = measurement(30.0)
    # As in a long run: of the model only every tenth pass is kept.
    thinned = [
        msgspec.structs.replace(stage, samples=stage.samples[::10]) if stage.group == "model" else stage
        for stage in found.stages
    ]
    blocks = typical_and_worst(msgspec.structs.replace(found, stages=thinned))
    assert blocks is not None
    assert "model wake-computer" in {one.stage.name for one in blocks[0].passes}


def test_without_any_pass_there_is_no_block() -> None:
    assert typical_and_worst(measurement(stages=[])) is None
    assert span_s(measurement(seconds=5.0, stages=[])) == (0.0, 5.0)


def test_the_measured_part_begins_behind_the_warm_up() -> None:
    begin, end = span_s(measurement(10.0))
    assert WARM_UP_S < begin < WARM_UP_S + 2 * HOP_S
    assert end - begin == pytest.approx(10.0)


def test_shares_of_time_add_up_to_the_cost_of_a_stage() -> None:
    found = measurement(20.0, stalls=0)
    shares = computing_share(found, 20)
    assert [stage.name for stage, _ in shares] == [stage.name for stage in costing(found)]
    for stage, share in shares:
        assert share.mean() == pytest.approx(stage.share, rel=1e-9)
        assert np.all(share >= 0)


def test_a_stage_of_which_only_the_longest_passes_are_kept_has_no_share() -> None:
    found = measurement(20.0)
    first = costing(found)[0]
    thinned = [
        msgspec.structs.replace(stage, samples=stage.samples[1:]) if stage.name == first.name else stage
        for stage in found.stages
    ]
    kept = computing_share(msgspec.structs.replace(found, stages=thinned), 20)
    assert first.name not in {stage.name for stage, _ in kept}


def test_captions_run_in_the_background() -> None:
    found = measurement()
    names = {stage.name for stage in costing(found) if background(found, stage)}
    assert names == {"model captions-en-small", "decode captions-en-small"}
