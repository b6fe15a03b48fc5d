from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgeaudio.engine import Engine
from edgeaudio.evaluation.replay import Replay
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.models.manifest import Decision
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.testing import ArraySource, scripted_manifest
from tests.evaluation.conftest import OTHER_HZ, WORD_HZ, ToneGraph, tone

RNG = np.random.default_rng(8)
QUIET = RNG.normal(0, 1e-4, 16_000).astype(np.float32)


def test_a_hit_in_the_lead_in_does_not_count() -> None:
    manifest = scripted_manifest(["computer"], Decision(threshold=0.5, smoothing_ms=40, refractory_ms=100))
    replay = Replay(manifest, ["computer"], 0.04)
    early = np.zeros((50, 1), dtype=np.float32)
    early[5:8] = 1.0
    late = early.copy()
    late[30:33] = 1.0
    replay.add_positive(early, first_frame=25, words=["computer"])
    replay.add_positive(late, first_frame=25, words=["computer"])
    assert replay.misses(None) == 1


def test_a_threshold_too_low_to_be_released_is_not_chosen() -> None:
    manifest = scripted_manifest(["computer"], Decision(threshold=0.5, smoothing_ms=40, refractory_ms=100))
    replay = Replay(manifest, ["computer"], 0.04)
    replay.negatives = np.full((1000, 1), 0.2, dtype=np.float32)
    replay.negatives[50::100] = 0.8
    assert replay.false_alarms(0.01) == 1, "it fires at once and is deaf from then on"
    # The peaks pass every threshold up to their own height.
    assert replay.threshold_for(1) == pytest.approx(0.8, rel=1e-4)
    assert replay.threshold_for(10) < 0.4


@settings(max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_replayed_false_alarms_are_the_engines_detections(seed: int, threshold: float) -> None:
    """The whole point: what is counted here is what a device would have reported."""
    rng = np.random.default_rng(seed)
    decision = Decision(threshold=threshold, smoothing_ms=120.0, refractory_ms=500.0)
    manifest = scripted_manifest(["computer", "other"], decision)
    pieces = [tone(rng.choice([WORD_HZ, OTHER_HZ]), 0.4, 10 ** rng.uniform(-3, 0)) for _ in range(8)]
    audio = np.concatenate([piece for tone_ in pieces for piece in (QUIET[:8000], tone_)])
    # At the end the engine plays the last second's background on, evaluation does not.
    audio = np.concatenate([audio, QUIET, QUIET])

    engine = Engine(ArraySource(audio), Spotter(ToneGraph(manifest), manifest))
    expected = sum(event.name == "computer" for event in engine.run_until_finished())

    scorer = Scorer(Spotter(ToneGraph(manifest), manifest))
    replay = Replay(manifest, ["computer"], scorer.output_period_s)
    cuts = np.sort(rng.integers(0, len(audio), 200))
    replay.negatives = np.concatenate([scorer.process(part) for part in np.split(audio, cuts)])
    assert replay.false_alarms(None) == expected
    assert replay.false_alarms(threshold) == expected


def test_long_negatives_are_replayed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = scripted_manifest(["computer"])
    replay = Replay(manifest, ["computer"], 0.04)
    replay.negatives = RNG.uniform(0, 1, (5000, 1)).astype(np.float32) ** 4
    whole = replay.false_alarms(None)
    assert whole > 3
    monkeypatch.setattr("edgeaudio.evaluation.replay._REPLAY_ROWS", 7)
    assert replay.false_alarms(None) == whole
