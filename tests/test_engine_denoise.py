"""The engine with noise reduction: the same positions, a little later, through losses and ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import edgeaudio
from edgeaudio import ArraySource, Engine, Frontend, Spotter
from edgeaudio.dsp.denoise import Denoiser
from edgeaudio.errors import UsageError
from edgeaudio.history import History
from edgeaudio.profiles import Profile
from edgeaudio.testing import scripted_spotter
from tests.staged import RATE, Recorder, Scribe, StagedSource, captions, live, names, noise

DEMO = Path(edgeaudio.__file__).parent / "assets" / "demo.flac"


def frames_of(x):
    """What a task must hear of a stretch of sound: its whole frames, without noise."""
    denoiser, frontend = Denoiser(), Frontend(Recorder().spec)
    whole = np.concatenate([denoiser.process(x).copy(), denoiser.flush()])
    assert len(whole) == len(x)
    return frontend.process(whole)


@pytest.mark.parametrize("hop_ms", [20, 80])
def test_tasks_hear_the_whole_stream_without_noise_however_it_is_cut(hop_ms):
    x = noise(1.23)
    recorder = Recorder()
    source = ArraySource(np.split(x, [7, 1000, 1001, 9000]))
    Engine(source, recorder, profile=Profile(hop_ms=hop_ms), denoise=Denoiser()).run_until_finished()
    np.testing.assert_array_equal(np.concatenate(recorder.blocks), frames_of(x))


def test_every_block_yields_whole_steps_as_without_it():
    recorder = Recorder()
    Engine(ArraySource(noise(1.0)), recorder, denoise=Denoiser()).run_until_finished()
    *whole, rest, _flushed = [len(block) for block in recorder.blocks]
    assert set(whole) == {8}
    assert sum(whole) + rest <= 98


def test_words_lie_where_they_lay_and_are_told_later():
    def told(denoise):
        spotter = scripted_spotter([(0.5, "go"), (2.0, "stop")])
        engine = Engine(ArraySource(noise(3.0)), spotter, denoise=denoise)
        return [
            (event.name, event.start_sample, event.end_sample, engine.stats().processed_samples)
            for event in engine.replay()
        ]

    without, with_it, denoiser = told(None), told(Denoiser()), Denoiser()
    assert [event[:3] for event in with_it] == [event[:3] for event in without]
    later = [after[3] - before[3] for after, before in zip(with_it, without, strict=True)]
    # All of the delay but one hop, which the first block's whole hops leave over: 320 to 400 samples.
    assert all(denoiser.window_samples - denoiser.hop_samples <= n <= denoiser.delay_samples for n in later)


def test_what_was_held_back_is_heard_before_a_gap_and_nothing_goes_over_it():
    x, y = noise(1.0), noise(1.0, seed=1)
    heard = []

    class Keeping(Recorder):
        def reset(self, at_sample=0):
            heard.append([at_sample, getattr(self, "blocks", [])])
            super().reset(at_sample)

    recorder = Keeping()
    lost = StagedSource(x, lambda source: source.ring.lose(5000, "device_overflow"), y)
    live(lost, recorder, denoise=Denoiser())
    assert heard[-1][0] == RATE + 5000
    np.testing.assert_array_equal(np.concatenate(heard[-1][1]), frames_of(x))
    np.testing.assert_array_equal(np.concatenate(recorder.blocks), frames_of(y))


def test_captions_end_with_all_that_was_said_when_the_engine_is_stopped():
    scribe, period = Scribe(period=4), 4 * 160
    lost = StagedSource(noise(0.5), lambda source: source.ring.lose(800, "device_overflow"), noise(0.25))
    events, _ = live(lost, scribe, denoise=Denoiser())
    last_before = max(e.end_sample for e in captions(events) if e.end_sample <= 8000)
    assert 8000 - last_before < period + scribe.spec.window_samples


def test_history_and_levels_are_those_of_the_recording():
    x = noise(1.0)
    history = History(RATE)
    engine = Engine(ArraySource(x), scripted_spotter([(0.7, "go")]), history=history, denoise=Denoiser())
    (event,) = engine.run_until_finished()
    np.testing.assert_array_equal(history.read(0, RATE), x)
    assert event.level_dbfs == pytest.approx(-20, abs=0.5)


def test_a_shipped_model_hears_the_same_words_at_the_same_places():
    x, _ = soundfile.read(DEMO, dtype="float32")
    spotter = Spotter.load("wake-computer")
    without = Engine(ArraySource(x), spotter).run_until_finished()
    with_it = Engine(ArraySource(x), spotter, denoise=Denoiser("light")).run_until_finished()
    assert len(names(without)) == len(names(with_it)) > 0
    for before, after in zip(without, with_it, strict=True):
        # Other scores can cross the threshold a model's step, 80 ms, earlier or later.
        assert abs(after.end_sample - before.end_sample) <= 1280


def test_another_rate_is_refused():
    with pytest.raises(UsageError, match="48000 Hz, not 16000 Hz"):
        Engine(ArraySource(noise(1.0)), Recorder(), denoise=Denoiser(sample_rate_hz=48_000))
