"""The caption worker: what is late, lost or broken in it, with and without its thread."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from edgeaudio import ArraySource, Engine
from edgeaudio.errors import DeviceError
from edgeaudio.events import Detection, DeviceLost, Gap, encode_event
from edgeaudio.frontend import FrontendSpec
from edgeaudio.listener import Listener
from edgeaudio.profiles import Profile
from edgeaudio.testing import scripted_spotter
from edgeaudio.worker import Relay, Worker
from tests.allocation import allocated
from tests.staged import RATE, Recorder, Scribe, StagedSource, captions, live, names, noise

BLOCK_S = 0.08
HOP = 160


def frames(n):
    return np.zeros((n, 80), np.float32)


class Room:
    """A machine with its own clock: frames come every 80 ms, and hearing some takes as long as it is told."""

    def __init__(self, cost, max_lag_s=2.0, n_measures=2):
        self.now_s = 0.0
        self.written = 0
        self.cost = cost
        self.delays_s = []
        self.scribe = Scribe(heard=self.take_time)
        self.scribe.reset()
        self.relay = Relay(
            self.scribe, max_lag_s, lambda: None, n_measures=n_measures, clock=lambda: self.now_s
        )

    def take_time(self, scribe):
        begun_at = self.relay._ring.position / RATE
        self.delays_s.append(self.now_s - begun_at)
        self.now_s += self.cost(scribe.level)
        self.deliver()

    def deliver(self):
        """Write what has been captured by now."""
        while (self.written + 8) * HOP / RATE <= self.now_s:
            self.relay.process(frames(8))
            self.written += 8

    def run(self, seconds):
        events = []
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            if not self.relay.work(events):
                self.now_s += 0.01
            self.deliver()
        return events


def test_a_worker_that_keeps_up_sheds_nothing():
    room = Room(lambda level: 0.07)
    events = room.run(20)
    assert room.scribe.shed_levels == []
    assert max(room.delays_s) < 0.2
    assert not [event for event in events if isinstance(event, Gap)]
    assert room.relay.stats().skipped_samples == 0


def test_text_without_a_tail_is_tried_before_a_narrower_search_and_that_before_a_jump():
    room = Room(lambda level: 0.3)  # for at most 0.16 s of audio
    events = room.run(60)
    assert room.scribe.shed_levels == [1, 2]
    gaps = [event for event in events if isinstance(event, Gap)]
    assert len(gaps) > 2
    assert {gap.cause for gap in gaps} == {"consumer_lag"}
    stats = room.relay.stats()
    assert stats.skipped_samples == sum(gap.n_samples for gap in gaps)
    assert stats.shed_level == 2
    heard = len(room.scribe.blocks) * HOP
    assert heard + stats.skipped_samples + room.relay._ring.waiting * HOP == room.written * HOP
    # The largest lag, the patience above it, and the two calls of 0.3 s in which both are noticed.
    assert max(room.delays_s) < 2.0 + 0.25 + 2 * 0.3 + 2 * BLOCK_S


def test_what_may_not_be_left_out_is_not_and_then_it_jumps():
    room = Room(lambda level: 0.3, n_measures=0)
    events = room.run(60)
    assert room.scribe.shed_levels == []
    assert sum(isinstance(event, Gap) for event in events) > 2


def test_before_a_jump_the_caption_ends_and_the_next_begins_in_the_present():
    room = Room(lambda level: 0.3)
    events = room.run(60)
    for at, gap in enumerate(events):
        if isinstance(gap, Gap):
            *_, last = captions(events[:at])
            assert last.final
            assert last.end_sample <= gap.start_sample
            first = captions(events[at:])[0]
            assert first.caption_id == last.caption_id + 1
            assert first.start_sample > gap.start_sample + gap.n_samples
            assert gap.start_sample + gap.n_samples in room.scribe.resets


def test_where_a_narrower_search_is_enough_nothing_is_lost():
    room = Room(lambda level: 0.3 if level < 2 else 0.1)
    events = room.run(60)
    assert room.scribe.shed_levels[:2] == [1, 2]
    assert not [event for event in events if isinstance(event, Gap)]
    assert max(room.delays_s) < 2.0


def test_full_work_is_taken_up_again():
    room = Room(lambda level: 0.3)
    room.run(30)
    room.cost = lambda level: 0.01
    room.scribe.shed_levels.clear()
    events = room.run(10)
    assert room.scribe.shed_levels == [1, 0]
    assert captions(events)[-2].tentative
    assert room.relay.stats().lag_samples == 0


def test_a_burst_is_worked_off_whole():
    room = Room(lambda level: 0.002)
    room.now_s = 6.0  # a server stalled, and six seconds come at once
    room.deliver()
    events = room.run(3)
    assert room.scribe.shed_levels == []
    assert not [event for event in events if isinstance(event, Gap)]
    assert len(room.scribe.blocks) == room.written - room.relay._ring.waiting


def test_a_task_without_levels_jumps_all_the_same():
    room = Room(lambda level: 0.3)
    room.relay._shed = None
    assert [event for event in room.run(60) if isinstance(event, Gap)]


def test_what_a_stuck_worker_cannot_hold_is_a_gap_at_its_place():
    scribe = Scribe()
    scribe.reset()
    relay = Relay(scribe, 2.0, lambda: None, clock=lambda: 0.0)
    for _ in range(200):  # 16 s, where 10 fit
        relay.process(frames(8))
    relay.flush()
    events = []
    while relay.work(events):
        pass
    (gap,) = (event for event in events if isinstance(event, Gap))
    assert gap == Gap(start_sample=10 * RATE, n_samples=6 * RATE, cause="consumer_lag")
    assert relay.stats().skipped_samples == 6 * RATE
    assert relay.stats().high_water_samples == 10 * RATE
    assert len(scribe.blocks) == 1000


def test_a_loss_in_the_midst_of_a_caption_ends_it_with_what_was_said():
    scribe = Scribe()
    scribe.reset()
    relay = Relay(scribe, 2.0, lambda: None, clock=lambda: 0.0)
    relay.process(frames(50))  # two words and a half
    relay.reset(5 * RATE)
    relay.process(frames(50))
    relay.flush()
    events = []
    while relay.work(events):
        pass
    relay.rest(events)
    relay.rest(events)
    ends = [event for event in events if event.final]
    assert [len(event.words) for event in ends] == [2, 2]
    assert [event.caption_id for event in ends] == [0, 1]
    assert ends[0].end_sample <= 50 * HOP
    assert ends[1].start_sample == 5 * RATE + 20 * HOP
    assert not [event for event in events if isinstance(event, Gap)]  # told by whoever noticed it


def test_the_audio_path_allocates_nothing_on_its_way_to_the_worker():
    """Per block of 5120 bytes: views, and counters that replace each other."""

    class Deaf(Scribe):
        def process(self, frames):
            return []

    wake = threading.Event()
    relays = []

    def take_on(task):
        relays.append(Relay(task, 2.0, wake.set, clock=lambda: 0.0))
        return relays[-1]

    listener = Listener((Deaf(), scripted_spotter([(0.1, "go")])), 1280)
    listener.warm_up()
    listener.hand_over(take_on)
    block = noise(0.08)
    block.flags.writeable = False
    events = []

    def hear(n):
        for _ in range(n):
            listener.hear(block, events)
            relays[0].work(events)

    hear(300)
    kept, peak = allocated(lambda: hear(300))
    assert kept < 512  # a counter that grew beyond the small integers is a new object
    assert peak < 4096
    assert relays[0].stats().skipped_samples == 0


STORY = (
    noise(1.5),
    lambda source: source.ring.lose(5000, "device_overflow"),
    noise(1.0, seed=1),
    noise(2.1, seed=2),
)


def test_live_decisions_equal_those_of_a_replay():
    """Live, another thread hears the captions' frames; the words and where captions end are the same."""

    def heard(is_live):
        source = StagedSource(*STORY)
        source.live = is_live
        scribe, spotter = Scribe(), scripted_spotter([(0.5, "go")])
        engine = Engine(source, scribe, spotter)
        if is_live:
            with engine:
                events = list(engine)
        else:
            events = engine.run_until_finished()
        texts = [(e.caption_id, e.text, e.final, e.start_sample, e.end_sample) for e in captions(events)]
        return texts, names(events), np.array(scribe.blocks), scribe.threads

    texts, words, blocks, threads = heard(is_live=True)
    replayed = heard(is_live=False)
    assert texts == replayed[0]
    assert words == replayed[1] == ["go", "go"]
    np.testing.assert_array_equal(blocks, replayed[2])
    assert threads == {"edgeaudio-captions"}
    assert replayed[3] == {threading.current_thread().name}
    assert [text[2] for text in texts].count(True) == 6  # every fourth word, at the gap, at the end


def test_replay_is_identical_to_the_byte():
    def log(blocks):
        source = ArraySource(blocks)
        events = Engine(source, Scribe(), scripted_spotter([(0.5, "go")])).run_until_finished()
        return [encode_event(event) for event in events]

    x = noise(3.0)
    assert log([x]) == log(np.array_split(x, 37))


def test_a_file_heard_by_a_thread_waits_for_its_captions():
    """It is not live: nothing may be skipped however fast it can be read."""
    scribe = Scribe()
    with Engine(ArraySource(noise(30.0)), scribe) as engine:
        events = list(engine)
    assert len(captions(events)) == 2998 // 20 + 1
    assert engine.stats().captions is None


def test_latency_counts_from_the_capture_of_the_newest_sample_needed():
    events, _ = live(StagedSource(noise(2.0)), Scribe())
    # The source says that every sample was captured 125 ms ago; two looks at the clock lie between.
    assert [event.latency_s for event in events] == pytest.approx([0.125] * len(events), abs=0.05)


def test_a_wake_word_does_not_wait_for_a_caption():
    release, spotted = threading.Event(), threading.Event()

    scribe = Scribe(heard=lambda _: release.wait(30))
    with Engine(StagedSource(noise(3.0)), scribe, scripted_spotter([(0.5, "go"), (2.5, "stop")])) as engine:
        heard = []
        for event in engine:
            heard.append(event)
            if names([event]) == ["stop"]:
                assert not scribe.blocks
                spotted.set()
                release.set()
    assert spotted.is_set()
    assert [type(event) for event in heard[:2]] == [Detection, Detection]
    assert captions(heard)[-1].final


def test_lag_is_reported_while_it_lasts():
    release, begun = threading.Event(), threading.Event()

    def wait(_):
        begun.set()
        release.wait(30)

    source = StagedSource(noise(3.0))
    with Engine(source, Scribe(heard=wait)) as engine:
        assert begun.wait(30)
        while engine.stats().processed_samples < 3 * RATE:
            time.sleep(0.001)  # a condition, checked again and again
        lag = engine.stats().captions.lag_samples
        release.set()
        events = list(engine)
    # All but the newest block's frames, and the first block may have been taken already.
    assert 2.7 * RATE < lag < 3.0 * RATE
    assert engine.stats().captions.lag_samples == 0
    assert engine.stats().captions.high_water_samples >= lag
    assert engine.stats().busy_s > engine.stats().captions.busy_s > 0
    assert not [event for event in events if isinstance(event, Gap)]


def test_a_failure_in_the_worker_reaches_the_caller_after_the_events_before_it():
    def fail_late(scribe):
        if len(scribe.blocks) > 150:
            raise ValueError("broken on purpose")

    endless = ArraySource((noise(0.1) for _ in iter(int, 1)), paced=True)
    heard = []
    with Engine(endless, Scribe(heard=fail_late)) as engine, pytest.raises(ValueError, match="on purpose"):
        heard.extend(engine)
    assert len(captions(heard)) >= 7
    assert not engine._thread.is_alive()


def test_a_failure_of_the_source_ends_the_caption_first():
    source = StagedSource(noise(0.5), DeviceError("mic stayed away"))
    heard = []
    with Engine(source, Scribe()) as engine, pytest.raises(DeviceError):
        heard.extend(engine)
    assert [event.final for event in heard] == [False, False, True]


def test_stop_ends_the_running_caption_and_comes_soon():
    endless = ArraySource((noise(0.1) for _ in iter(int, 1)), paced=True)
    with Engine(endless, Scribe(period=30)) as engine:
        heard = []
        for event in engine:
            heard.append(event)
            engine.stop()
    assert heard[-1].final
    assert [event.final for event in heard].count(True) == 1
    assert not engine._worker._thread.is_alive()


def test_stop_in_a_replay_ends_the_running_caption():
    engine = Engine(ArraySource(noise(60.0)), Scribe(period=30))
    heard = []
    for event in engine.replay():
        heard.append(event)
        engine.stop()
    assert [event.final for event in heard] == [False, True]
    assert engine.stats().processed_samples < 2 * RATE


def test_stop_does_not_wait_for_what_was_not_heard_yet():
    release, begun = threading.Event(), threading.Event()

    def wait(_):
        begun.set()
        release.wait(30)

    scribe = Scribe(heard=wait)
    with Engine(StagedSource(noise(4.0)), scribe) as engine:
        assert begun.wait(30)
        while engine.stats().processed_samples < 4 * RATE:
            time.sleep(0.001)  # a condition, checked again and again
        engine.stop()
        while not engine._worker._stopping:
            time.sleep(0.001)
        release.set()
        list(engine)
    assert len(scribe.blocks) <= 16


def test_where_no_audio_comes_any_more_the_caption_ends(monkeypatch):
    monkeypatch.setattr("edgeaudio.worker._STARVED_S", 0.05)
    over = threading.Event()

    def stay_away(source):
        if not over.is_set():
            source.scenes.insert(0, stay_away)

    lost = DeviceLost(start_sample=8000, device="mic", reason="unplugged")
    source = StagedSource(noise(0.5), lost, stay_away, noise(0.5))
    heard = []
    with Engine(source, Scribe()) as engine:
        for event in engine:
            heard.append(event)
            if getattr(event, "final", False):
                over.set()
    ends = [event for event in captions(heard) if event.final]
    assert [len(event.words) for event in ends] == [2, 2]
    # The frames went on without a break: positions count from where they stopped.
    assert ends[1].start_sample == 48 * HOP + 20 * HOP


def test_a_slow_caller_loses_no_text():
    with Engine(
        StagedSource(*(noise(1.0, seed=k) for k in range(8))), Scribe(period=5), max_events=2
    ) as engine:
        engine._thread.join(30)
        events = list(engine)
    ends = [event for event in captions(events) if event.final]
    assert [event.caption_id for event in ends] == list(range(len(ends)))
    assert sum(len(event.words) for event in ends) == 798 // 5
    stats = engine.stats()
    assert stats.events == len(events)
    assert stats.events + stats.events_dropped == 798 // 5 + 1


def test_there_is_no_second_thread_without_a_task_for_it():
    scribe = Scribe()
    scribe.background = False
    live(StagedSource(noise(0.5)), scribe)
    assert scribe.threads == {"edgeaudio-engine"}


def test_two_background_tasks_share_the_thread():
    one, two = Scribe(), Scribe(period=33, spec=FrontendSpec(n_mels=40))
    events, stats = live(StagedSource(noise(2.0), noise(1.0)), one, two)
    assert one.threads == two.threads == {"edgeaudio-captions"}
    assert len(one.blocks) == len(two.blocks) == 298
    assert stats.captions.skipped_samples == 0
    assert [event for event in captions(events) if not event.final]


def test_the_engines_threads_stay_on_the_cores_of_the_profile():
    seen = {}

    def look(_=None):
        seen[threading.current_thread().name] = os.sched_getaffinity(0)

    class Looking(Recorder):
        def process(self, frames):
            look()
            return super().process(frames)

    before = os.sched_getaffinity(0)
    profile = Profile(affinity=(min(before),))
    source = ArraySource(np.zeros(RATE, np.float32), paced=True)
    live(source, Looking(), Scribe(heard=look), profile=profile)
    del seen["MainThread"]  # the warm-up
    assert seen == {f"edgeaudio-{who}": {min(before)} for who in ("engine", "captions")}
    assert os.sched_getaffinity(0) == before


def test_a_task_that_is_called_back_before_it_has_left_stays():
    worker, scribe, events = Worker(lambda events: None, Profile()), Scribe(period=4), []
    relay = worker.take_on(scribe)
    relay.flush()
    assert worker.take_on(scribe) is relay
    relay.reset(RATE)
    while worker._turn(events):
        pass
    assert worker.tasks == [scribe]
    relay.process(frames(8))
    while worker._turn(events):
        pass
    assert captions(events)[-1].end_sample > RATE
