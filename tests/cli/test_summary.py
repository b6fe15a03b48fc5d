"""What is said at the end."""

from __future__ import annotations

from edgeaudio.cli.summary import Tally
from edgeaudio.events import Clipping, DeviceLost, DigitalSilence, Gap, SpeechEnd, SpeechStart
from edgeaudio.stats import CaptureStats, EngineStats
from tests.sinks.samples import detection


def stats(**counters: float) -> EngineStats:
    return EngineStats(capture=CaptureStats(), processed_samples=960_000, busy_s=0.6, **counters)  # type: ignore[arg-type]


def test_counts_names_and_latencies() -> None:
    tally = Tally()
    for i in range(1, 21):
        tally.emit(detection("computer", end_s=i, latency_s=i / 100))
    tally.emit(detection("go", end_s=30, latency_s=0.1))
    assert tally.summary(stats(), 60.2).splitlines() == [
        "heard     60.0 s in 60.2 s, real-time factor 0.0100",
        "detected  computer 20, go 1",
        "latency   p50 0.10 s, p95 0.19 s",
        "lost      nothing",
    ]


def test_each_loss_has_its_cause() -> None:
    tally = Tally()
    tally.emit(Gap(start_sample=0, n_samples=16000, cause="consumer_lag"))
    tally.emit(Gap(start_sample=0, n_samples=8000, cause="consumer_lag"))
    tally.emit(Gap(start_sample=0, n_samples=0, cause="device_overflow"))
    summary = tally.summary(stats(events_dropped=3, nonfinite_samples=7), 60)
    assert (
        "lost      1.50 s in 2 gaps because the computer was too slow; "
        "some audio in one gap because the device overflowed; "
        "3 events because their reader was too slow; "
        "7 samples that were no sound (NaN, Inf or absurdly large)" in summary
    )


def test_trouble_is_counted_once_each() -> None:
    tally = Tally()
    tally.emit(DeviceLost(start_sample=0, device="Mic", reason="unplugged"))
    tally.emit(DigitalSilence(start_sample=0, n_samples=32000, ended=False))
    tally.emit(DigitalSilence(start_sample=0, n_samples=64000, ended=True))
    tally.emit(Clipping(start_sample=0, n_samples=20))
    summary = tally.summary(stats(), 60)
    assert "trouble   microphone gone 1, digital silence 1, clipping 1" in summary


def test_nothing_heard_divides_by_nothing() -> None:
    empty = EngineStats(capture=CaptureStats())
    assert Tally().summary(empty, 0.0).startswith("heard     0.0 s in 0.0 s\n")


def test_speech_is_told_with_its_share() -> None:
    tally = Tally(speech=True)
    assert "speech    none" in tally.summary(stats(), 60).splitlines()
    for start_s, end_s in ((1, 4), (10, 25.5)):
        first, behind = round(start_s * 16_000), round(end_s * 16_000)
        tally.emit(SpeechStart(model="m", score=1, start_sample=first, end_sample=first, latency_s=0.2))
        tally.emit(SpeechEnd(model="m", score=1, start_sample=first, end_sample=behind, latency_s=0.9))
    assert tally.summary(stats(), 60).splitlines()[1:3] == [
        "speech    18.5 s in 2 stretches, 31 % of what was heard",
        "latency   p50 0.20 s, p95 0.20 s",
    ]
