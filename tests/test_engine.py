"""The engine: from samples to events, through losses, slow callers, failures and ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import edgeaudio
from edgeaudio import ArraySource, Classifier, Engine, FileSource, Recognizer, Spotter, Vad
from edgeaudio.backends import RUNTIMES
from edgeaudio.errors import DeviceError, UsageError
from edgeaudio.events import (
    Caption,
    Detection,
    DeviceLost,
    DeviceRestored,
    DigitalSilence,
    Gap,
    SoundEvent,
    SpeechEnd,
    encode_event,
)
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.history import History
from edgeaudio.listener import Listener
from edgeaudio.models.catalogue import list_models
from edgeaudio.profiles import Profile
from edgeaudio.testing import chunkings, scripted_spotter
from tests.allocation import allocated
from tests.staged import RATE, Recorder, StagedSource, live, names, noise

DEMO = Path(edgeaudio.__file__).parent / "assets" / "demo.flac"
LOADERS = {"captions": Recognizer, "commands": Spotter, "sounds": Classifier, "vad": Vad, "wake": Spotter}
WORDS = [(0.5, "go"), (1.2, "stop"), (2.9, "go")]


def test_a_file_is_heard_to_its_end():
    engine = Engine(ArraySource(noise(3.0)), scripted_spotter(WORDS))
    assert names(engine.run_until_finished()) == ["go", "stop", "go"]
    stats = engine.stats()
    assert stats.processed_samples == stats.capture.written_samples == 3 * RATE
    assert stats.events == 3


def test_replay_is_identical_to_the_byte_for_every_cut_of_the_source():
    x = np.concatenate((noise(2.0), np.zeros(3 * RATE, np.float32), noise(1.03)))
    x[5] = np.nan

    def log(blocks):
        events = Engine(ArraySource(blocks), scripted_spotter(WORDS)).run_until_finished()
        return b"\n".join(map(encode_event, events))

    expected = log([x])
    assert expected.count(b"detection") == 3
    assert expected.count(b"digital_silence") == 2
    for lengths in chunkings(len(x)):
        assert log(np.split(x, np.cumsum(lengths)[:-1])) == expected


@pytest.mark.parametrize("backend", RUNTIMES)
@pytest.mark.parametrize(
    ("model", "kind"),
    [(entry.name, LOADERS[entry.manifest.kind]) for entry in list_models() if entry.manifest.kind in LOADERS],
)
def test_replay_of_a_shipped_model_is_identical_to_the_byte(model, kind, backend):
    """Read as a file, and as an array in pieces by a task that has heard other things before."""
    options = {} if kind is Recognizer else {"threshold": 0.3}
    task = kind.load(model, backend=backend, **options)
    first = Engine(FileSource(DEMO), task).run_until_finished()
    assert any(isinstance(event, (Caption, Detection, SoundEvent, SpeechEnd)) for event in first)
    x, _ = soundfile.read(DEMO, dtype="float32")
    Engine(ArraySource(x[77_777:150_000]), task).run_until_finished()
    # A recogniser goes on counting its captions.
    fresh = Recognizer.load(model, backend=backend) if kind is Recognizer else task
    again = Engine(ArraySource(np.array_split(x, 123)), fresh).run_until_finished()
    assert list(map(encode_event, again)) == list(map(encode_event, first))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=12), st.sampled_from([20, 80, 100]))
def test_frames_equal_those_of_one_large_block(lengths, hop_ms):
    """However the source delivers and whatever the hop: every frame, each once, to the last bit."""
    x = noise(sum(lengths) / RATE)[: sum(lengths)]
    recorder = Recorder()
    source = ArraySource(np.split(x, np.cumsum(lengths)[:-1]))
    Engine(source, recorder, profile=Profile(hop_ms=hop_ms)).run_until_finished()
    whole = Recorder()
    listener = Listener((whole,), len(x))
    listener.hear(x, [])
    frames = [np.zeros((0, 40), np.float32), *recorder.blocks]
    np.testing.assert_array_equal(
        np.concatenate(frames), np.concatenate([np.zeros((0, 40), np.float32), *whole.blocks])
    )


def test_every_block_yields_whole_steps_from_the_first_on():
    recorder = Recorder()
    Engine(ArraySource(noise(1.0)), recorder).run_until_finished()
    *whole, rest = [len(block) for block in recorder.blocks if len(block)]
    assert set(whole) == {8}
    assert rest == 2  # one second holds 98 frames


def test_tasks_of_equal_specs_share_a_frontend():
    one, two, other = Recorder(), Recorder(), Recorder(FrontendSpec(n_mels=80))
    listener = Listener((one, other, two), 1280)
    assert len(listener._lanes) == 2
    listener.hear(noise(0.5), [])
    np.testing.assert_array_equal(one.blocks[0], two.blocks[0])
    assert other.blocks[0].shape[1] == 80


def test_ten_tasks_of_one_spec_cost_one_frontend_and_one_pass_of_the_ring(monkeypatch):
    made, samples, frames = [], [], []

    class Counting(Frontend):
        def __init__(self, spec):
            super().__init__(spec)
            made.append(spec)

        def process(self, x):
            found = super().process(x)
            samples.append(len(x))
            frames.append(len(found))
            return found

    monkeypatch.setattr("edgeaudio.listener.Frontend", Counting)
    source = ArraySource(noise(2.0))
    tasks = [Recorder(FrontendSpec(n_mels=40)) for _ in range(10)]
    engine = Engine(source, *tasks)
    engine.listener.warm_up()
    samples.clear()
    frames.clear()
    monkeypatch.setattr(engine.listener, "warm_up", lambda: None)
    engine.run_until_finished()
    assert made == [FrontendSpec()]
    # Two seconds hold 198 windows of 25 ms, 10 ms apart.
    assert (sum(samples), sum(frames)) == (2 * RATE, 198)
    assert engine.stats().processed_samples == source.stats().written_samples == 2 * RATE
    assert all(sum(map(len, task.blocks)) == 198 for task in tasks)


def test_a_task_that_is_given_twice_is_refused():
    task = Recorder()
    with pytest.raises(UsageError, match="given twice"):
        Engine(ArraySource(noise(1.0)), task, task)


def test_the_audio_path_allocates_nothing_after_its_warm_up():
    """What is allocated for a moment are views and counters: less than one block of samples."""
    listener = Listener((scripted_spotter([(0.1, "go")]), scripted_spotter([(0.1, "up")])), 1280)
    listener.warm_up()
    block = noise(0.08)
    block.flags.writeable = False
    events = []
    for _ in range(50):
        listener.hear(block, events)

    def work():
        for _ in range(200):
            listener.hear(block, events)

    kept, peak = allocated(work)
    assert kept < 512  # a counter that grew beyond the small integers is a new object
    assert peak < 4096  # a block of 1280 float32 would be 5120 bytes


def test_five_lines_from_another_thread():
    with Engine(ArraySource(noise(3.0)), scripted_spotter(WORDS)) as engine:
        heard = [event.name for event in engine]
    assert heard == ["go", "stop", "go"]
    assert list(engine) == []  # and the iteration has ended for good


def test_latency_counts_from_the_capture_of_the_last_needed_sample():
    events, _ = live(StagedSource(noise(3.0)), scripted_spotter(WORDS), max_lag_ms=5000)
    # The source says that every sample was captured 125 ms ago; two looks at the clock lie between.
    assert [event.latency_s for event in events] == pytest.approx([0.125] * 3, abs=0.05)
    replayed = Engine(ArraySource(noise(3.0)), scripted_spotter(WORDS)).run_until_finished()
    assert [event.latency_s for event in replayed] == [0.0] * 3


def test_latency_on_a_paced_source_is_within_the_goal():
    words = [(0.3 + 0.55 * k, "go") for k in range(5)]
    with Engine(ArraySource(noise(3.0), paced=True), scripted_spotter(words)) as engine:
        latencies = [event.latency_s for event in engine]
    assert len(latencies) == 5
    assert np.median(latencies) < 0.25
    assert max(latencies) < 0.4


def test_level_and_snr_are_those_of_the_audio():
    x = noise(3.0) * 0.01
    x[20_000:26_400] += noise(0.4, seed=1)
    (event,) = Engine(ArraySource(x), scripted_spotter([(1.7, "go")])).run_until_finished()
    assert event.level_dbfs == pytest.approx(-20, abs=0.5)
    assert event.snr_db == pytest.approx(40, abs=1.0)  # the percentile's bias, see the level's test
    assert (event.start_sample, event.end_sample) == (20_000, 26_400)


def test_a_gap_resets_everything_and_keeps_the_clock():
    recorder = Recorder()
    lost = StagedSource(
        noise(1.0), lambda source: source.ring.lose(5000, "device_overflow"), noise(1.0, seed=1)
    )
    events, stats = live(lost, recorder, scripted_spotter([(0.5, "go")]))
    gap = Gap(start_sample=RATE, n_samples=5000, cause="device_overflow")
    first, second, third = events
    assert (names([first]), second, names([third])) == (["go"], gap, ["go"])  # the script begins again
    assert third.end_sample - RATE - 5000 == first.end_sample
    assert recorder.resets[-1] == RATE + 5000
    assert stats.processed_samples == 2 * RATE
    fresh = Recorder()
    Engine(ArraySource(noise(1.0, seed=1)), fresh).run_until_finished()
    np.testing.assert_array_equal(np.concatenate(recorder.blocks), np.concatenate(fresh.blocks))


def test_a_loss_of_unknown_length_is_a_gap_too():
    lost = StagedSource(noise(0.33), lambda source: source.ring.lose(0, "device_overflow"), noise(0.5))
    events, stats = live(lost, Recorder())
    assert events == [Gap(start_sample=5280, n_samples=0, cause="device_overflow")]
    assert stats.processed_samples == 5280 + 8000


def test_a_task_that_stays_too_slow_makes_the_engine_skip_and_count():
    class Slow(Recorder):
        def process(self, frames):
            time.sleep(0.1)  # for 80 ms of audio
            return super().process(frames)

    recorder = Slow()
    events, stats = live(StagedSource(noise(4.0), noise(0.5)), recorder, max_lag_ms=1000)
    (gap,) = events
    assert gap.cause == "consumer_lag"
    assert gap.start_sample >= 1520  # it tried for half a second first
    assert gap.start_sample + gap.n_samples == 4 * RATE - 1520  # and went on with the newest hop
    assert stats.skipped_samples == gap.n_samples
    assert stats.processed_samples + stats.skipped_samples == stats.capture.written_samples
    assert recorder.resets[-1] == 4 * RATE - 1520


def test_a_burst_after_a_stall_is_worked_off_without_loss():
    events, stats = live(StagedSource(noise(1.0), noise(4.0), noise(1.0)), Recorder(), max_lag_ms=1000)
    assert events == []
    assert stats.skipped_samples == 0
    assert stats.processed_samples == 6 * RATE


def test_files_are_never_skipped():
    engine = Engine(ArraySource([noise(3.9)]), Recorder(), max_lag_ms=300)
    assert engine.run_until_finished() == []
    assert engine.stats().skipped_samples == 0


def test_what_happens_to_the_device_is_told_in_order():
    lost = DeviceLost(start_sample=8000, device="mic", reason="unplugged")
    back = DeviceRestored(start_sample=8000, device="mic", away_s=1.0, attempts=2)
    events, _ = live(StagedSource(noise(0.5), lost, back, noise(0.5)), Recorder())
    assert events == [lost, back]


def test_a_slow_caller_loses_detections_which_are_counted_but_no_news():
    notices = [DeviceLost(start_sample=k, device="mic", reason="unplugged") for k in range(10)]
    words = [(0.3 * k, "go") for k in range(1, 13)]
    with Engine(
        StagedSource(noise(4.0), *notices), scripted_spotter(words), max_events=3, max_lag_ms=5000
    ) as engine:
        engine._thread.join(30)
        events = list(engine)
    stats = engine.stats()
    assert len(names(events)) == 3
    assert [event for event in events if isinstance(event, DeviceLost)] == notices
    assert stats.events == len(events)
    assert stats.events + stats.events_dropped == 6 + len(notices)  # 500 ms refractory: every other word


def test_no_queue_grows_without_bound():
    notices = [DeviceLost(start_sample=k, device="mic", reason="unplugged") for k in range(200)]
    with Engine(StagedSource(*notices, noise(0.5)), Recorder(), max_events=3) as engine:
        engine._thread.join(30)
        assert len(list(engine)) == 3 + 64
    assert engine.stats().events_dropped == 200 - 67


def test_an_error_in_the_thread_reaches_the_caller_after_the_events_before_it():
    lost = DeviceLost(start_sample=8000, device="mic", reason="unplugged")
    error = DeviceError("mic stayed away", hint="Plug it in.")
    source = StagedSource(noise(0.5), lost, error)
    heard = []
    with Engine(source, Recorder()) as engine, pytest.raises(DeviceError) as caught:
        heard.extend(engine)
    assert caught.value is error
    assert heard == [lost]
    assert source.stopped


def test_an_error_in_a_task_reaches_the_caller():
    class Broken(Recorder):
        def process(self, frames):
            if len(self.blocks) > 3:
                raise ValueError("broken on purpose")
            return super().process(frames)

    with Engine(ArraySource(noise(2.0)), Broken()) as engine, pytest.raises(ValueError, match="on purpose"):
        list(engine)
    source = StagedSource(noise(2.0))
    source.live = False
    with pytest.raises(ValueError, match="on purpose"):
        Engine(source, Broken()).run_until_finished()
    assert source.stopped


def test_stop_from_another_thread_ends_the_iteration():
    endless = ArraySource((noise(0.1) for _ in iter(int, 1)), paced=True)
    with Engine(endless, scripted_spotter([(0.2, "go")])) as engine:
        iterator = iter(engine)
        assert next(iterator).name == "go"
        threading.Thread(target=engine.stop).start()
        assert list(iterator) == []
        engine.stop()
    engine.close()
    assert not engine._thread.is_alive()


def test_a_signal_ends_the_iteration_cleanly():
    program = """
import signal, sys
import numpy as np
import edgeaudio
from edgeaudio import ArraySource, Engine, FileSource, Spotter
from edgeaudio.backends import RUNTIMES
from edgeaudio.testing import scripted_spotter

noise = np.random.default_rng(0).normal(0, 0.1, 1600).astype(np.float32)
source = ArraySource((noise for _ in iter(int, 1)), paced=True)
with Engine(source, scripted_spotter([(0.1, "go")])) as engine:
    signal.signal(signal.SIGTERM, lambda *_: engine.stop())
    for event in engine:
        print(event.name, flush=True)
print("processed", engine.stats().processed_samples > 0)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "go\n"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert (process.returncode, output) == (0, "processed True\n")


def test_leaving_early_stops_the_source():
    source = StagedSource(noise(2.0))
    with Engine(source, scripted_spotter(WORDS)) as engine:
        for _ in engine:
            break
    assert source.stopped
    assert not engine._thread.is_alive()


def test_a_source_that_cannot_start_is_the_callers_error():
    source = StagedSource()
    source.start = lambda: (_ for _ in ()).throw(DeviceError("no microphone"))
    with pytest.raises(DeviceError, match="no microphone"), Engine(source, Recorder()):
        pass


def test_the_history_gets_all_audio_at_its_place():
    history = History(4 * RATE)
    x = noise(2.0)
    source = StagedSource(x[:RATE], lambda source: source.ring.lose(160, "ring_full"), x[RATE:])
    live(source, Recorder(), history=history)
    np.testing.assert_array_equal(history.read(0, RATE), x[:RATE])
    np.testing.assert_array_equal(history.read(RATE, RATE + 160), np.zeros(160))
    np.testing.assert_array_equal(history.read(RATE + 160, 3 * RATE), x[RATE:])


def test_broken_samples_are_counted_and_do_no_harm():
    x = noise(3.0)
    x[[100, 20_000]] = np.nan, np.inf
    engine = Engine(ArraySource(x), scripted_spotter(WORDS))
    assert names(engine.run_until_finished()) == ["go", "stop", "go"]
    assert engine.stats().nonfinite_samples == 2


def test_digital_silence_is_reported_on_files():
    events = Engine(ArraySource(np.zeros(3 * RATE, np.float32)), Recorder()).run_until_finished()
    assert events == [DigitalSilence(start_sample=0, n_samples=2 * RATE, ended=False)]


@pytest.mark.parametrize("n", [0, 1, 399, 400, 1519, 1520, 1521])
def test_short_files_end(n):
    engine = Engine(ArraySource(noise(1.0)[:n]), scripted_spotter([(0.05, "go")]))
    engine.run_until_finished()
    assert engine.stats().processed_samples == n


class TestMisuse:
    def test_nothing_to_listen_with(self):
        with pytest.raises(UsageError, match="nothing to listen with"):
            Engine(ArraySource(noise(0.1)))

    def test_another_rate(self):
        spec = FrontendSpec(sample_rate_hz=8000, n_fft=256, fmax_hz=4000.0)
        with pytest.raises(UsageError, match="'recorder' wants 8000 Hz"):
            Engine(ArraySource(noise(0.1)), Recorder(spec))

    def test_too_little_lag(self):
        with pytest.raises(UsageError, match="max_lag_ms is 100"):
            Engine(ArraySource(noise(0.1)), Recorder(), max_lag_ms=100)

    def test_iterating_without_with(self):
        with pytest.raises(UsageError, match="with Engine"):
            next(iter(Engine(ArraySource(noise(0.1)), Recorder())))

    def test_replaying_what_goes_by_the_clock(self):
        with pytest.raises(UsageError, match="goes by the clock"):
            Engine(ArraySource(noise(0.1), paced=True), Recorder()).run_until_finished()

    def test_running_twice(self):
        engine = Engine(ArraySource(noise(0.1)), Recorder())
        engine.run_until_finished()
        with pytest.raises(UsageError, match="runs once"):
            engine.run_until_finished()
