"""Learning from held-out people at last: who learns from whom, and who is measured by whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import Decision
from edgeaudio.training import refit
from edgeaudio.training.build import Reporter, SpotterJob
from edgeaudio.training.corpus import Clip, in_first_half
from edgeaudio.training.nets import NetSpec, SpotterNet
from edgeaudio.training.refit import bundles_by_half, by_half, refitted
from edgeaudio.training.spotter import Material, SpotterPlan
from edgeaudio.training.streams import Pools
from edgeaudio.training.wake_tests import Heard

NET = NetSpec(40, 3, stem=((4, 3, 2),), blocks=((3, 1),))
PLAN = SpotterPlan(FrontendSpec(), NET, mine_at=(0.3,))
LABELS = ("lamp", "unknown", "silence")


def clip(speaker: str, label: str = "lamp", split: str = "") -> Clip:
    return Clip("people", speaker, np.zeros(800, np.int16), label, speaker=speaker, split=split)


@pytest.fixture
def material() -> Material:
    known = clip("ann")
    kept = [clip(f"s{i}") for i in range(8)]
    others = [clip("eve", "lump"), clip("dan", split="test")]
    return Material(("lamp",), Pools([[known]], [[]], [], []), [], [], [*kept, *others], {"people": 1})


def job(tmp_path: Path, minutes: float | None) -> SpotterJob:
    return SpotterJob(None, None, tmp_path / "lamp", refit=minutes, checkpoint_dir=tmp_path)


def test_each_half_and_then_all_are_learned_from(
    tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned_from: list[set[str]] = []
    begun_with: list[SpotterNet] = []
    made = [SpotterNet(NET) for _ in range(3)]

    def fit(plan: SpotterPlan, given: Material, checkpoint: Path, **options: Any) -> SpotterNet:
        assert plan.loop.minutes == 2.0
        assert plan.loop.learning_rate < PLAN.loop.learning_rate
        learned_from.append({c.speaker for c in given.pools.real[0]})
        begun_with.append(options["start"])
        return made[len(learned_from) - 1]

    monkeypatch.setattr(refit, "fit", fit)
    net = SpotterNet(NET)
    learned = refitted(job(tmp_path, 2.0), PLAN, material, net, Reporter())
    people = {f"s{i}" for i in range(8)}
    first = {c.speaker for c in material.development if c.speaker in people and in_first_half(c)}
    assert 0 < len(first) < 8
    # Nor the corpus's own test part nor who said something else; and who was known before stays known.
    assert learned_from == [first | {"ann"}, (people - first) | {"ann"}, people | {"ann"}]
    assert begun_with == [net] * 3
    assert learned.net is made[2]
    assert learned.late == 8
    assert learned.material.used == {"people": 9}
    # The second half (False) is heard by who learned from the first, and the other way round.
    assert learned.for_half == (made[0], made[1])
    assert "8 recordings" in learned.facts(2.0)["people"]


@pytest.mark.parametrize("minutes", [None, 2.0])
def test_without_minutes_or_people_nothing_changes(
    tmp_path: Path, material: Material, minutes: float | None
) -> None:
    if minutes is not None:
        material.development[:] = [clip("dan", split="test")]
    net = SpotterNet(NET)
    learned = refitted(job(tmp_path, minutes), PLAN, material, net, Reporter())
    assert learned.net is net
    assert learned.for_half == (net, net)
    assert learned.material is material
    assert not learned.facts(minutes)
    with bundles_by_half(
        tmp_path / "lamp", learned, lambda *_: pytest.fail("it is there already")
    ) as bundles:
        assert bundles == (tmp_path / "lamp",) * 2


def test_people_are_heard_by_who_does_not_know_them() -> None:
    ears = [lambda audio, name=name: [f"{name}{int(x[0])}" for x in audio] for name in "ab"]
    audio = [np.full(1, i, np.float32) for i in range(4)]
    assert by_half(ears, audio, [True, False, False, True]) == ["b0", "a1", "a2", "b3"]


def heard(peaks: list[float], alarm: float) -> Heard:
    stream = np.zeros((500, 3), np.float32)
    stream[100, 0] = alarm
    decision = Decision(threshold=0.5, smoothing_ms=20, refractory_ms=400, silent_labels=LABELS[1:])
    return Heard(LABELS, decision, {"people": np.array(peaks)}, (stream, stream[:0]), (1.0, 0.0), np.zeros(0))


def test_other_networks_are_compared_at_their_own_thresholds() -> None:
    """One that is surer of everything, also of what is wrong, is no better for it."""
    own = heard([0.99, 0.99, 0.99, 0.99], alarm=0.5)
    sure, unsure = heard([0.95, 0.6, 0.95, 0.6], alarm=0.9), heard([0.3, 0.1, 0.3, 0.1], alarm=0.2)
    together = own.with_people((sure, unsure), {"people": [False, False, True, True]}, per_hour=0.0)
    threshold = together.threshold_for(0.0)
    assert threshold == own.threshold_for(0.0)
    assert list(together.peaks["people"] >= threshold) == [True, False, True, False]
