"""The classifier: steps, bounds and overlapping sounds, on networks that can be seen through."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio import ArraySource, Engine
from edgeaudio.backends.base import Signature
from edgeaudio.errors import ModelError, UsageError
from edgeaudio.events import SoundEvent, SoundStart, encode_event
from edgeaudio.listener import Listener
from edgeaudio.models.manifest import Activity
from edgeaudio.tasks.classifier import Classifier
from edgeaudio.testing import ScriptedBackend, chunkings, scripted_classifier, scripted_manifest
from tests.allocation import allocated

LABELS = ("dog", "rain", "silence")
RULES = Activity(
    threshold=0.6, smoothing_ms=120.0, least_on_ms=80.0, least_off_ms=160.0, silent_labels=("silence",)
)
HOP, WINDOW, STRIDE = 160, 400, 4


class Integrator:
    """A network with a memory: logits are leaky sums, so every frame and its order count."""

    runtime = "scripted"
    signature = Signature(step_frames=8, n_bands=40, n_out=2, n_labels=3, states=())

    def __init__(self):
        self._sums = np.zeros(3, np.float32)
        self._logits = np.zeros((2, 3), np.float32)

    def step(self, frames):
        for i, frame in enumerate(frames):
            self._sums = np.float32(0.9) * self._sums + frame[[0, 7, 39]]
            self._logits[i // 4] = self._sums
        return self._logits

    def reset(self):
        self._sums[:] = 0.0


def manifest(**changes):
    facts = {"kind": "sounds", "decision": None, "activity": RULES}
    return msgspec.structs.replace(scripted_manifest(LABELS), **(facts | changes))


def classifier(**options):
    return Classifier(Integrator(), manifest(), **options)


def frames(n, seed=0):
    """Slow swings, so that posteriors cross thresholds in both directions."""
    noise = np.random.default_rng(seed).normal(0, 3.0, (n // 10 + 1, 40))
    return np.repeat(noise, 10, axis=0)[:n].astype(np.float32)


def heard(one, table, lengths):
    """Events of a whole stream; each chunk is destroyed after the call, as the contract allows."""
    events = []
    at = 0
    for length in lengths:
        chunk = table[at : at + length].copy()
        events += one.process(chunk)
        chunk[:] = np.nan
        at += length
    return events + one.flush()


def seconds(events):
    return [(event.name, event.start_sample / 16000, event.end_sample / 16000) for event in events]


def test_every_chunking_hears_the_same():
    table = frames(1003)
    expected = heard(classifier(onsets=True), table, [1003])
    assert len([event for event in expected if isinstance(event, SoundEvent)]) > 3
    for lengths in chunkings(1003):
        assert heard(classifier(onsets=True), table, lengths) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.integers(0, 5))
def test_every_drawn_chunking_hears_the_same(lengths, seed):
    table = frames(sum(lengths), seed)
    assert heard(classifier(onsets=True), table, lengths) == heard(
        classifier(onsets=True), table, [sum(lengths)]
    )


def test_same_after_reset_different_without():
    table = frames(500)
    one = classifier()
    expected = heard(one, table, [500])
    one.reset()
    assert heard(one, table, [500]) == expected
    one.reset()
    one.process(frames(500, seed=9))
    assert heard(one, table, [500]) != expected


def test_two_streams_do_not_mix():
    table, other = frames(400), frames(400, seed=3)
    one, two = classifier(), classifier()
    events = []
    for at in range(0, 400, 20):
        events += one.process(table[at : at + 20])
        two.process(other[at : at + 20])
    assert events + one.flush() == heard(classifier(), table, [400])


def test_every_sound_begins_before_it_ends_and_inside_what_was_heard():
    events = heard(classifier(onsets=True), frames(1003), [1003])
    end = 1002 * HOP + WINDOW
    assert all(0 <= event.start_sample < event.end_sample <= end for event in events)
    for label in LABELS:
        mine = [event for event in events if event.name == label]
        assert [type(event) for event in mine] == [SoundStart, SoundEvent] * (len(mine) // 2)
        starts, sounds = mine[::2], mine[1::2]
        assert [one.start_sample for one in starts] == [one.start_sample for one in sounds]


def test_a_sound_lies_where_it_was_and_overlapping_ones_are_both_told():
    one = scripted_classifier([(1.0, 3.0, "rain"), (1.6, 2.0, "dog")])
    events = heard(one, np.zeros((400, 40), np.float32), [400])
    # In order of their ends; each within the 25 ms by which frames overlap.
    assert seconds(events) == [
        ("dog", 1.6, pytest.approx(2.0, abs=0.025)),
        ("rain", 1.0, pytest.approx(3.0, abs=0.025)),
    ]
    assert all(event.score > 0.99 for event in events)


def test_half_the_smoothing_is_taken_off_both_ends():
    """A mean over five frames passes one half when it holds three of the sound, two frames late."""
    rules = Activity(threshold=0.5, release_ratio=1.0, smoothing_ms=200.0)
    one = scripted_classifier([(1.0, 3.0, "rain")], activity=rules)
    events = heard(one, np.zeros((400, 40), np.float32), [400])
    assert seconds(events) == [("rain", 1.0, pytest.approx(3.0, abs=0.025))]


def test_an_onset_is_told_as_soon_as_it_is_sure():
    rules = Activity(threshold=0.5, least_on_ms=160.0)
    one = scripted_classifier([(1.0, 3.0, "rain")], activity=rules, onsets=True)
    at = 0
    events = []
    while not events:
        events = one.process(np.zeros((8, 40), np.float32))
        at += 8
    (start,) = events
    assert isinstance(start, SoundStart)
    # The fourth output frame of the sound, 28, is the first of the fifteenth step.
    assert (start.start_sample, start.end_sample) == (16000, 16000 + 15 * HOP + WINDOW)
    assert at == 120


def test_the_end_of_the_stream_ends_what_is_going_on():
    one = scripted_classifier([(1.0, 9.0, "rain")])
    table = np.zeros((203, 40), np.float32)
    assert one.process(table) == []
    (event,) = one.flush()
    assert (event.start_sample, event.end_sample) == (16000, 202 * HOP + WINDOW)


def test_what_begins_behind_the_end_of_the_stream_is_nothing():
    one = scripted_classifier([(2.08, 2.2, "rain")])
    assert heard(one, np.zeros((200, 40), np.float32), [200]) == []


def test_nothing_heard_is_nothing_told():
    assert classifier().flush() == []


def test_positions_count_on_from_the_reset():
    one = scripted_classifier([(1.0, 2.0, "rain")])
    (before,) = heard(one, np.zeros((300, 40), np.float32), [300])
    one.reset(at_sample=50_000)
    (after,) = heard(one, np.zeros((300, 40), np.float32), [300])
    assert after.start_sample == before.start_sample + 50_000
    assert after.end_sample == before.end_sample + 50_000


def test_only_the_named_sounds_are_told_and_with_their_thresholds():
    assert classifier().threshold_of == {"dog": 0.6, "rain": 0.6}
    assert classifier(threshold=0.7).threshold_of == {"dog": 0.7, "rain": 0.7}
    assert classifier(threshold={"dog": 0.9}).threshold_of == {"dog": 0.9, "rain": 0.6}
    only = classifier(names=["rain"])
    assert only.threshold_of == {"rain": 0.6}
    assert {event.name for event in heard(only, frames(1003), [1003])} == {"rain"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "the threshold is 1"),
        ({"threshold": {"dog": 0.0}}, "the threshold of 'dog' is 0"),
        ({"threshold": {"dgo": 0.5}}, "no sound 'dgo'\n.*'dog'"),
        ({"names": ["silence"]}, "tells of no sound 'silence'"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        classifier(**options)


def test_another_kind_of_model_is_refused_with_what_it_is_for():
    with pytest.raises(ModelError, match=r"tells no sounds apart\n.*edgeaudio wake"):
        Classifier(Integrator(), scripted_manifest(LABELS))


def test_a_step_without_sounds_allocates_nothing():
    one = Classifier(ScriptedBackend(np.full((1, 3), -8.0), rest=-8.0), manifest())
    step = np.zeros((8, 40), np.float32)

    def listen():
        for _ in range(200):
            one.process(step)

    found = allocated(listen)
    # What a call's own frames and small objects take; an array a step would be 200 times 100 bytes.
    assert found.kept < 1000
    assert found.peak < 4000


def test_the_engine_tells_how_loud_a_sound_was():
    rng = np.random.default_rng(0)
    x = 0.001 * rng.standard_normal(5 * 16000).astype(np.float32)
    x[2 * 16000 : 3 * 16000] *= 100
    (event,) = Engine(ArraySource(x), scripted_classifier([(2.0, 3.0, "dog")])).run_until_finished()
    assert event.level_dbfs == pytest.approx(-20, abs=0.2)  # 0.1 RMS, and a little of the edges
    assert event.snr_db == pytest.approx(40, abs=1.0)
    assert event.latency_s == 0.0


def test_replay_is_identical_to_the_byte_for_every_cut_of_the_source():
    x = np.random.default_rng(0).standard_normal(4 * 16000).astype(np.float32)
    sounds = [(0.5, 1.7, "rain"), (1.0, 1.2, "dog"), (3.0, 9.0, "rain")]

    def log(blocks):
        engine = Engine(ArraySource(blocks), scripted_classifier(sounds, onsets=True))
        return b"\n".join(map(encode_event, engine.run_until_finished()))

    expected = log([x])
    assert expected.count(b'"type":"sound"') == 3
    for lengths in ([1, 7, 16000, 47992], [480] * 134):
        assert log(np.split(x, np.cumsum(lengths)[:-1])) == expected


def test_a_sound_that_goes_on_when_audio_is_lost_ends_there():
    one = scripted_classifier([(0.4, 9.0, "rain")])
    listener = Listener((one,), 1280)
    events = []
    for _ in range(20):
        listener.hear(np.zeros(1280, np.float32), events)
    listener.restart(100_000, events)
    (event,) = [event for event in events if isinstance(event, SoundEvent)]
    assert event.start_sample == round(0.4 * 16000)
    assert event.end_sample <= 20 * 1280
