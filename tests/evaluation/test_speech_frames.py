"""Frames of speech and others: rates, areas and intervals against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeaudio.errors import InputError
from edgeaudio.evaluation.speech_frames import RocPoint, on_frames, score_frames


def drawn(n_clips: int = 30) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int8]]]:
    """Probabilities that overlap, of clips whose second half is speech; every tenth frame is not judged."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.array([0, 1], np.int8), 100)
    truth[::10] = -1
    values = [1 / (1 + np.exp(-rng.normal(2 * truth - 1, 1.5))) for _ in range(n_clips)]
    return [v.astype(np.float32) for v in values], [truth] * n_clips


def test_the_area_is_the_chance_that_speech_scores_higher() -> None:
    probabilities, truths = drawn()
    scores = score_frames(probabilities, truths)
    speech = np.concatenate([p[t == 1] for p, t in zip(probabilities, truths, strict=True)])
    other = np.concatenate([p[t == 0] for p, t in zip(probabilities, truths, strict=True)])
    # The definition, every pair compared; thresholds are quantiles in thousandths, so ties cost that at most.
    chance = (speech[:, None] > other[None]).mean()
    assert scores.auc == pytest.approx(chance, abs=1e-3)
    assert (scores.n_speech, scores.n_other) == (len(speech), len(other))
    low, high = scores.auc_interval
    assert low < chance < high < low + 0.05
    assert scores.miss_rate == pytest.approx((speech < 0.5).mean(), abs=1e-12)
    assert scores.false_alarm_rate == pytest.approx((other >= 0.5).mean(), abs=1e-12)
    (low_miss, high_miss), (low_false, high_false) = scores.intervals
    assert low_miss < scores.miss_rate < high_miss
    assert low_false < scores.false_alarm_rate < high_false


def test_a_detector_that_says_yes_or_no_has_one_point_between_the_ends() -> None:
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, -1], np.int8)
    says = np.array([1, 1, 1, 0, 0, 1, 0, 0, 1], np.float32)
    scores = score_frames([says], [truth])
    inner = [point for point in scores.roc if point not in (scores.roc[0], scores.roc[-1])]
    assert {(point.miss_rate, point.false_alarm_rate) for point in inner} == {(0.25, 0.25)}
    assert scores.roc[0] == RocPoint(0.0, 0.0, 1.0)
    assert scores.roc[-1] == RocPoint(1.0, 1.0, 0.0)
    assert scores.auc == 0.75
    assert scores.miss_rate_at(0.25) == 0.25
    assert scores.miss_rate_at(0.125) == 0.625  # half-way to saying nothing at all
    assert scores.miss_interval_at(0.25) == (0.25, 0.25)  # one recording: every draw is the same


def test_a_frame_at_the_threshold_is_speech() -> None:
    scores = score_frames([np.array([0.5, 0.25], np.float32)], [np.array([1, 0], np.int8)], threshold=0.5)
    assert (scores.miss_rate, scores.false_alarm_rate, scores.auc) == (0.0, 0.0, 1.0)
    scores = score_frames([np.array([0.5, 0.25], np.float32)], [np.array([1, 0], np.int8)], threshold=0.2)
    assert (scores.miss_rate, scores.false_alarm_rate) == (0.0, 1.0)


def test_intervals_are_drawn_from_whole_groups() -> None:
    """Ten copies of one clip tell no more than one; ten clips of their own do."""
    probabilities, truths = drawn(n_clips=8)
    alone = score_frames(probabilities, truths)
    copied = score_frames(probabilities * 10, truths * 10, groups=[str(i) for i in range(8)] * 10)
    assert copied.auc_interval == pytest.approx(alone.auc_interval, abs=1e-3)


def test_one_kind_of_frames_is_not_enough() -> None:
    values = np.zeros(3, np.float32)
    with pytest.raises(InputError, match="no frame of speech"):
        score_frames([values], [np.array([0, 0, -1], np.int8)])
    with pytest.raises(InputError, match="anything but speech"):
        score_frames([values], [np.array([1, 1, -1], np.int8)])


def test_what_lies_behind_the_shorter_one_is_not_judged() -> None:
    values = np.array([0.9, 0.1, 0.9], np.float32)
    scores = score_frames([values], [np.array([1, 0], np.int8)])
    assert (scores.n_speech, scores.n_other) == (1, 1)


def test_a_frame_gets_what_was_said_of_its_middle() -> None:
    # 32 ms: the middles 5, 15, 25 lie in the first stretch, 35, 45, 55 in the second, 65 behind both.
    spread = on_frames([0.25, 0.75], period_s=0.032, n_frames=7)
    assert spread.tolist() == [0.25] * 3 + [0.75] * 4
    assert on_frames([], period_s=0.03, n_frames=2).tolist() == [0.0, 0.0]
