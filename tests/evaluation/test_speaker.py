"""Pieces, pairs and errors of voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import Row
from edgeaudio.evaluation.speaker import Piece, evaluate_speaker, judge, make_trials, pieces
from edgeaudio.sinks.clips import write_wav
from tests.voices import speaker

RATE = 16_000


def rows(folder: Path, lengths: dict[str, list[float]]) -> list[Row]:
    """Recordings of these lengths in seconds, each filled with a number of its own."""
    made = []
    for who, own in lengths.items():
        for i, seconds in enumerate(own):
            path = folder / f"{who}-{i}.wav"
            write_wav(path, np.full(round(seconds * RATE), 0.01 * (len(made) + 1), np.float32))
            made.append(Row(path, f"list:{len(made)}", speaker=who))
    return made


def piece(who: str, *names: str) -> Piece:
    return Piece(who, frozenset(names), np.zeros(0, np.float32))


def test_long_recordings_are_cut_and_short_ones_joined(tmp_path: Path) -> None:
    found = list(pieces(rows(tmp_path, {"ann": [7.5], "bob": [1.5, 0.5, 1.5, 0.2], "": [9.0]}), seconds=2.0))
    assert [one.speaker for one in found] == ["ann"] * 3 + ["bob"]
    assert all(len(one.samples) == 2 * RATE for one in found)
    assert len({one.recordings for one in found[:3]}) == 1
    assert len(found[3].recordings) >= 2
    assert len(np.unique(found[3].samples)) == len(found[3].recordings)


def test_each_recording_gives_one_piece_before_any_gives_two(tmp_path: Path) -> None:
    found = list(pieces(rows(tmp_path, {"ann": [3.0, 3.0, 3.0]}), seconds=1.0, most=4))
    assert len(found) == 4
    assert len({one.recordings for one in found[:3]}) == 3


def test_pairs_of_one_recording_count_only_where_there_are_no_others() -> None:
    found = [piece("ann", "a"), piece("ann", "a"), piece("ann", "b"), piece("bob", "c"), piece("bob", "c")]
    trials = make_trials(found)
    pairs = set(zip(trials.first.tolist(), trials.second.tolist(), strict=True))
    assert pairs == {(0, 2), (1, 2), (3, 4)} | {(a, b) for a in (0, 1, 2) for b in (3, 4)}
    assert trials.same.sum() == 3
    assert trials.one_recording == 1
    for few in ([found[0], found[1]], [found[0], found[3]]):
        with pytest.raises(InputError, match="nothing to compare"):
            make_trials(few)


def test_the_equal_error_rate_of_two_normal_distributions() -> None:
    """Two of variance 1 that lie 3 apart cross at 1.5 deviations: 6.7 %."""
    found = [piece(str(who), str(i)) for who in range(40) for i in range(4)]
    trials = make_trials(found)
    rng = np.random.default_rng(0)
    scores = rng.normal(0.0, 1.0, len(trials.same)) + 3.0 * trials.same
    result = judge(scores, trials, found, promised={0.01: 2.326, 0.05: 1.645})
    assert result.eer == pytest.approx(0.0668, abs=0.03)  # 240 pairs of one: two deviations of the binomial
    assert result.interval[0] < result.eer < result.interval[1]
    assert result.threshold == pytest.approx(1.5, abs=0.3)
    for point in result.promised:
        # 12,480 pairs of two.
        assert point["false_accepts"] == pytest.approx(point["promised"], rel=0.25)
        assert point["interval"][0] <= point["false_accepts"] <= point["interval"][1]
    assert result.promised[0]["misses"] > result.promised[1]["misses"]
    misses = [point["misses"] for point in result.curve]
    assert misses == sorted(misses, reverse=True)
    assert result.to_json()["trials"] == {"same": 240, "different": 12480, "from_one_recording": 0}


def test_scores_without_errors_give_none() -> None:
    found = [piece(who, str(i)) for who in "abcd" for i in range(3)]
    trials = make_trials(found)
    result = judge(np.where(trials.same, 1.0, -1.0), trials, found, promised={0.01: 0.0})
    assert result.eer == result.promised[0]["misses"] == result.promised[0]["false_accepts"] == 0.0


def test_people_of_a_manifest_are_compared(tmp_path: Path) -> None:
    made = []
    for who in range(4):
        for i in range(2):
            rng = np.random.default_rng(10 * who + i)
            seconds = np.arange(2 * RATE) / RATE
            tone = sum(np.sin(2 * np.pi * (who + 1) * 300 * k * seconds + k) for k in (1, 2, 5))
            path = tmp_path / f"{who}-{i}.wav"
            write_wav(path, (0.1 * tone + rng.normal(0, 0.01, len(seconds))).astype(np.float32))
            made.append(Row(path, "", speaker=str(who)))
    told: list[tuple[int, int]] = []
    result = evaluate_speaker(made, speaker(), seconds=1.0, progress=lambda done, of: told.append((done, of)))
    assert (result.speakers, result.pieces, result.same) == (4, 16, 16)
    assert result.eer < 0.1
    assert told[-1] == (4, 4)
