"""The best wins, although the machine's noise is larger than what lies between the runners."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import truediv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.profiling.race import paired_interval, planned_turns, race


def runners(costs: dict[str, float], noise: float, seed: int = 0) -> tuple[Callable[[str], float], list[str]]:
    """A machine whose speed wanders by a factor of two, and on which each turn is a little uncertain."""
    rng = np.random.default_rng(seed)
    turns: list[str] = []

    def cost(runner: str) -> float:
        turns.append(runner)
        load = 1.5 + 0.5 * math.sin(len(turns) / 9)
        return costs[runner] * load * float(rng.lognormal(0, noise))

    return cost, turns


@pytest.mark.parametrize("seed", range(10))
def test_the_best_of_many_wins_while_the_machine_wanders(seed: int) -> None:
    costs = {f"r{i}": 1.0 + 0.1 * i for i in range(12)} | {"shipped": 1.3}
    cost, turns = runners(costs, 0.02, seed)
    left: list[int] = []
    run = race([name for name in costs if name != "shipped"], "shipped", cost, truediv, ended=left.append)
    assert run.complete
    # Neighbours are 10 % apart, and the wandering between two turns of a lap is about as much.
    assert run.order[0] in {"r0", "r1"}
    assert run.results[run.order[0]].score == pytest.approx(1.0 / 1.3, rel=0.2)
    assert run.results["r11"].laps < run.results[run.order[0]].laps, "the slow ones gave up early"
    assert len(turns) == planned_turns(12)
    assert left == list(range(len(turns) - 1, -1, -1)), "the estimate of what is left is exact"


@given(n=st.integers(0, 40))
@settings(max_examples=40)
def test_the_plan_is_what_is_run(n: int) -> None:
    cost, turns = runners({str(i): 1.0 + i for i in range(n)} | {"shipped": 1.0}, 0.0)
    run = race([str(i) for i in range(n)], "shipped", cost, truediv)
    assert len(turns) == planned_turns(n)
    assert len(run.results) == n
    assert sum(result.given_up is None for result in run.results.values()) == min(n, 1)


@pytest.mark.parametrize("n_turns", [0, 1, 5, 7])
def test_a_race_that_is_broken_off_keeps_what_is_known(n_turns: int) -> None:
    costs = {"a": 3.0, "b": 1.0, "c": 2.0, "d": 4.0, "shipped": 2.0}
    cost, turns = runners(costs, 0.0)

    def take_turn(name: str) -> float | None:
        return cost(name) if len(turns) < n_turns else None

    run = race(["a", "b", "c", "d"], "shipped", take_turn, truediv)
    assert not run.complete
    assert len(turns) == n_turns
    if n_turns >= 5:
        assert run.order[0] == "b"
    if n_turns == 0:
        assert run.results == {}


def test_a_pair_that_shares_its_noise_is_told_apart() -> None:
    rng = np.random.default_rng(3)
    load = rng.uniform(1, 3, 12)
    ratio, low, high = paired_interval(0.9 * load, load)
    assert (ratio, low, high) == pytest.approx((0.9, 0.9, 0.9))
    equal = paired_interval(load * rng.lognormal(0, 0.05, 12), load * rng.lognormal(0, 0.05, 12))
    assert equal[1] < 1.0 < equal[2]
