"""Misses, false alarms and delays of a detector that hears one tone, against counting by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeaudio.backends.base import Signature
from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import read_manifest
from edgeaudio.evaluation.mixing import NoiseBank
from edgeaudio.evaluation.speech import Excerpt, excerpts
from edgeaudio.evaluation.vad import EdgeDelays, Told, edge_delays, evaluate_vad
from edgeaudio.models.manifest import Activity
from edgeaudio.tasks.vad import Vad
from edgeaudio.testing import scripted_vad
from edgeaudio.types import Frames
from tests.evaluation.conftest import bands, tone

Make = Callable[..., Path]
RATE = 16_000
TONE_HZ = 1000


class ToneGraph:
    """The tone is speech: the logit is the level of its mel band, above what soft noise has."""

    runtime = "tones"
    signature = Signature(8, 40, 2, 1, ())

    def __init__(self) -> None:
        (self._band,) = bands(scripted_vad([]).spec, TONE_HZ)

    def step(self, frames: Frames) -> Frames:
        # A tone at half of full scale reaches about 10 in log-mel, noise at -50 dBFS about -6.
        return np.ascontiguousarray(frames[3::4, self._band, None], dtype=np.float32)

    def reset(self) -> None:
        pass


def detector(**changes: float) -> Vad:
    rules = Activity(threshold=0.6, least_off_ms=160.0)
    manifest = msgspec.structs.replace(
        scripted_vad([]).manifest, activity=msgspec.structs.replace(rules, **changes)
    )
    return Vad(ToneGraph(), manifest)  # type: ignore[arg-type]


def room(seconds: float) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1e-3, round(RATE * seconds)).astype(np.float32)


def spoken(*spans: tuple[float, float], seconds: float = 4.0) -> NDArray[np.float32]:
    samples = room(seconds)
    for start_s, end_s in spans:
        samples[round(start_s * RATE) : round(end_s * RATE)] += tone(TONE_HZ, end_s - start_s)
    return samples


def truth(*spans: tuple[float, float], seconds: float = 4.0) -> NDArray[np.int8]:
    frames = np.zeros(round(100 * seconds), np.int8)
    for start_s, end_s in spans:
        frames[round(100 * start_s) : round(100 * end_s)] = 1
    return frames


def test_a_detector_of_the_truth_misses_nothing() -> None:
    spans = ((1.0, 1.6), (2.4, 3.2))
    result = evaluate_vad([Excerpt("a", "ann", spoken(*spans), truth(*spans))], detector())
    scores = result.all.scores
    # Outputs come every 40 ms: at an edge, up to three frames are judged by their neighbour.
    assert scores.auc > 0.99
    assert scores.miss_rate + scores.false_alarm_rate < 12 / 140
    assert result.all.delays.missed == 0
    # 80 ms steps and windows that reach 15 ms further; the end is known after 160 ms of silence.
    assert result.all.delays.starts_s == pytest.approx([0.06, 0.06], abs=0.06)
    assert result.all.delays.ends_s == pytest.approx([0.24, 0.24], abs=0.08)
    assert result.heard_s == 4.0
    assert all(cost > 0 for cost in result.cost_ms)


def test_what_is_wrong_is_counted() -> None:
    """One stretch of two is silent, and another sound is taken for speech."""
    result = evaluate_vad(
        [
            Excerpt("a", "ann", spoken((1.0, 2.0)), truth((1.0, 2.0), (3.0, 3.5))),
            Excerpt("b", "bob", spoken((1.0, 2.0)), truth()),
        ],
        detector(),
    )
    scores = result.all.scores
    assert scores.miss_rate == pytest.approx(50 / 150, abs=0.03)
    assert scores.false_alarm_rate == pytest.approx(100 / 650, abs=0.02)
    assert result.all.told == pytest.approx((50 / 150, 100 / 650), abs=0.03)
    assert (len(result.all.delays.starts_s), result.all.delays.missed) == (1, 1)


def test_a_late_detector_is_judged_by_what_it_says_not_by_when() -> None:
    """Everything that is true happens 100 ms before it can be heard."""
    spans = ((1.0, 1.6), (2.4, 3.2))
    early = tuple((start - 0.1, end - 0.1) for start, end in spans)
    result = evaluate_vad([Excerpt("a", "ann", spoken(*spans), truth(*early))], detector())
    # Outputs come every 40 ms, and a window hears an edge before it has passed.
    assert result.shift_s == pytest.approx(0.1, abs=0.04 + 1e-9)
    assert result.all.scores.auc > 0.99
    assert result.all.delays.starts_s == pytest.approx([0.16, 0.16], abs=0.06)


def told(start_s: float, end_s: float, known_s: float, end_known_s: float | None) -> Told:
    at = [
        None if second is None else round(second * RATE) for second in (start_s, end_s, known_s, end_known_s)
    ]
    return Told(*at)  # type: ignore[arg-type]


def delays_of(frames: NDArray[np.int8], *stretches: Told) -> EdgeDelays:
    delays = EdgeDelays()
    edge_delays(frames, stretches, delays)
    return delays


def test_delays_at_the_edges() -> None:
    plain = delays_of(truth((1.0, 2.0)), told(0.9, 2.1, 1.2, 2.5))
    assert (plain.starts_s, plain.ends_s, plain.missed) == ([0.2], [0.5], 0)
    already = delays_of(truth((1.0, 2.0)), told(0.3, 2.1, 0.5, 2.5))
    assert already.starts_s == [0.0]
    broken = delays_of(truth((1.0, 3.0)), told(1.0, 1.5, 1.1, 1.8), told(2.0, 3.1, 2.2, 3.4))
    assert broken.starts_s + broken.ends_s == pytest.approx([0.1, 0.4])


def test_what_has_no_end_of_its_own_is_not_late() -> None:
    to_the_end = delays_of(truth((1.0, 4.0)), told(1.0, 4.0, 1.2, None))
    assert (len(to_the_end.starts_s), to_the_end.ends_s) == (1, [])
    over_the_pause = delays_of(truth((1.0, 2.0), (2.6, 3.0)), told(1.0, 3.0, 1.2, 3.4))
    assert over_the_pause.starts_s == pytest.approx([0.2, 0.0])
    assert over_the_pause.ends_s == pytest.approx([0.4])


def test_what_is_told_after_the_speech_is_missed() -> None:
    late = delays_of(truth((1.0, 2.0)), told(0.5, 0.8, 0.6, 0.9), told(2.2, 2.4, 2.3, 2.6))
    assert (late.starts_s, late.ends_s, late.missed) == ([], [], 1)


def test_each_ratio_has_its_own_figures(make_manifest: Make) -> None:
    rows = read_manifest(
        make_manifest("rows", ("speech", spoken((1.0, 2.0), seconds=3.0)), ("rain", room(2.0)))
    )
    hum = NoiseBank(read_manifest(make_manifest("noise", ("hum", tone(TONE_HZ, 3.0)))))
    result = evaluate_vad(excerpts(rows, noise=hum, snrs_db=[0, 90]), detector())
    assert list(result.by_snr) == [0, 90]
    # At 0 dB the hum is as loud as the speech, and everything but the other recording is taken for it.
    assert result.by_snr[0].scores.false_alarm_rate > 0.5
    assert result.by_snr[90].scores.false_alarm_rate < 0.05
    assert result.clips == 3


def test_nothing_but_speech_is_not_enough() -> None:
    with pytest.raises(InputError, match="anything but speech"):
        evaluate_vad([Excerpt("a", "ann", spoken((0.0, 4.0)), truth((0.0, 4.0)))], detector())


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Vad, "load", lambda *_args, threshold, **_options: detector(threshold=threshold or 0.6)
    )


@pytest.mark.usefixtures("listening")
def test_the_command_prints_json_and_a_table(
    run: Callable[..., tuple[int, str, str]], make_manifest: Make
) -> None:
    manifest = make_manifest(
        "rows",
        ("speech", spoken((1.0, 2.0), seconds=3.0)),
        ("speech:1.00-1.60,2.40-3.20", spoken((1.0, 1.6), (2.4, 3.2))),
        ("rain", room(2.0)),
    )
    noise = make_manifest("noise", ("hiss", room(5.0)))
    code, out, _ = run("evaluate", "vad", manifest, "--noise", noise, "--snr", "30,40", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["auc"] > 0.95
    low, high = found["auc_interval"]
    assert low <= found["auc"] <= high
    assert set(found["by_snr"]) == {"30", "40"}
    assert (found["clips"], found["stretches"], found["missed_stretches"]) == (4, 4, 0)
    assert found["start_delay_s"]["count"] == found["end_delay_s"]["count"] == 4
    assert 0 < found["start_delay_s"]["median"] < 0.15 < found["end_delay_s"]["median"] < 0.4
    assert found["roc"][0]["false_alarm_rate"] == found["roc"][-1]["miss_rate"] == 1.0
    assert found["frames"] > found["speech_frames"] > 300
    assert {"threshold", "model", "runtime", "cpu_ms_per_s", "real_time_factor"} <= set(found)
    code, out, _ = run("evaluate", "vad", manifest, "--threshold", "0.9")
    assert code == 0
    assert "at threshold      0.9" in out
    assert "never told        0 of 3 stretches of speech" in out


@pytest.mark.usefixtures("listening")
def test_the_command_refuses_what_cannot_be(
    run: Callable[..., tuple[int, str, str]], make_manifest: Make
) -> None:
    manifest = make_manifest("rows", ("speech", room(1.0)), ("", room(1.0)))
    for options, code, words in (
        (["--snr", "5"], 2, "--snr without --noise"),
        (["--noise", manifest], 2, "--noise without --snr"),
        (["--snr", "5,x", "--noise", manifest], 2, "no list of numbers"),
        (["--snr", "nan", "--noise", manifest], 2, "between -30 and 60 dB"),
        ([], 3, "rows.tsv:3: neither label nor text"),
    ):
        found, _, err = run("evaluate", "vad", manifest, *options)
        assert (found, words in err) == (code, True), err
