"""Speech activity: positions, steps and ends, on networks that can be seen through."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio import Engine, Frontend
from edgeaudio.backends.base import Signature
from edgeaudio.errors import ModelError, UsageError
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.evaluation.mixing import in_quiet
from edgeaudio.events import Gap, SpeechEnd, SpeechStart
from edgeaudio.models.manifest import Activity
from edgeaudio.tasks.vad import Vad
from edgeaudio.testing import ArraySource, ScriptedBackend, chunkings, scripted_manifest, scripted_vad
from tests.allocation import allocated
from tests.conftest import ROOT
from tests.staged import RATE, StagedSource, live, noise

SPEECH = ROOT / "edgeaudio" / "assets" / "speech.flac"
RULES = Activity(threshold=0.6, smoothing_ms=80.0, least_on_ms=80.0, least_off_ms=200.0, pre_roll_ms=150.0)


class Integrator:
    """A network with a memory: logits are leaky sums, so every frame and its order count."""

    runtime = "scripted"
    signature = Signature(step_frames=8, n_bands=40, n_out=2, n_labels=1, states=())

    def __init__(self):
        self._sum = np.float32(0.0)
        self._logits = np.zeros((2, 1), np.float32)

    def step(self, frames):
        for i, frame in enumerate(frames):
            self._sum = np.float32(0.9) * self._sum + frame[7]
            self._logits[i // 4] = self._sum
        return self._logits

    def reset(self):
        self._sum = np.float32(0.0)


def manifest(**changes):
    return msgspec.structs.replace(scripted_vad([], RULES).manifest, **changes)


def vad(**options):
    return Vad(Integrator(), manifest(), **options)


def frames(n, seed=0):
    """Slow swings, so that posteriors cross thresholds in both directions."""
    swings = np.random.default_rng(seed).normal(0, 3.0, (n // 10 + 1, 40))
    return np.repeat(swings, 10, axis=0)[:n].astype(np.float32)


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


def silence(seconds):
    return np.zeros((round(100 * seconds), 40), np.float32)


def ends_s(events):
    """Start and end of each stretch that is over, in seconds."""
    return [(e.start_sample / RATE, e.end_sample / RATE) for e in events if isinstance(e, SpeechEnd)]


def test_every_chunking_hears_the_same():
    table = frames(503)
    expected = heard(vad(), table, [503])
    assert len(expected) > 4
    for lengths in chunkings(503):
        assert heard(vad(), table, lengths) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.integers(0, 5))
def test_every_drawn_chunking_hears_the_same(lengths, seed):
    table = frames(sum(lengths), seed)
    assert heard(vad(), table, lengths) == heard(vad(), table, [sum(lengths)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100), st.integers(1, 700), st.floats(0, 1000), st.floats(0, 500))
def test_stretches_alternate_and_never_overlap(seed, n, pre_roll_ms, least_off_ms):
    one = vad(pre_roll_ms=pre_roll_ms, least_off_ms=least_off_ms)
    one.reset(777)
    events = heard(one, frames(n, seed), [n])
    assert [type(event) for event in events] == [SpeechStart, SpeechEnd] * (len(events) // 2)
    behind = 777
    for start, end in zip(events[::2], events[1::2], strict=True):
        assert behind <= start.start_sample == end.start_sample <= end.end_sample
        assert start.start_sample <= start.end_sample
        behind = end.end_sample
    assert behind <= 777 + (n - 1) * 160 + 400


def test_same_after_reset_different_without_and_two_do_not_mix():
    table, other = frames(500), frames(500, seed=9)
    one, two = vad(), vad()
    expected = heard(one, table, [500])
    one.reset()
    assert heard(one, table, [500]) == expected
    one.reset()
    one.process(other)
    assert heard(one, table, [500]) != expected
    one.reset()
    events = []
    for at in range(0, 500, 20):
        events += one.process(table[at : at + 20])
        two.process(other[at : at + 20])
    assert events + one.flush() == expected


def test_a_stretch_begins_with_its_onset_less_the_pre_roll():
    one = scripted_vad([(1.0, 2.0)], Activity(threshold=0.6, pre_roll_ms=300.0, least_off_ms=200.0))
    start, end = heard(one, silence(3), [300])
    # The first output frame of speech is number 25, new in it are the samples from 1.0 s on.
    assert start.start_sample == 0.7 * RATE
    # It has heard input frames 0 to 103, and is decided at once.
    assert start.end_sample == 103 * 160 + 400
    assert (end.start_sample, end.end_sample) == (start.start_sample, 199 * 160 + 400)
    assert (start.model, start.score, end.score) == ("scripted", pytest.approx(1, abs=1e-3), start.score)


def test_a_start_lies_neither_before_the_stream_nor_in_earlier_speech():
    rules = Activity(threshold=0.6, pre_roll_ms=500.0, least_off_ms=40.0)
    one = scripted_vad([(0.2, 1.0), (1.2, 2.0)], rules)
    one.reset(5000)
    first, end, second, _ = heard(one, silence(3), [300])
    assert first.start_sample == 5000
    assert second.start_sample == end.end_sample == 5000 + 99 * 160 + 400


def test_a_short_pause_is_a_part_of_the_speech():
    stretches = [(1.0, 1.4), (1.56, 2.0), (2.4, 2.8)]
    rules = Activity(threshold=0.6, least_off_ms=200.0)
    assert ends_s(heard(scripted_vad(stretches, rules), silence(4), [400])) == [(1.0, 2.015), (2.4, 2.815)]


def test_speech_that_goes_on_to_the_end_ends_there():
    one = scripted_vad([(1.0, 9.0)])
    assert ends_s(heard(one, silence(2), [200])) == [(1.0, (199 * 160 + 400) / RATE)]
    assert one.flush() == []


def test_what_begins_behind_the_end_is_nothing():
    one = scripted_vad([(2.08, 9.0)])
    assert one.process(silence(2)) == []
    assert one.flush() == []


def test_options_replace_what_the_model_says():
    script = np.full((60, 1), -8.0)
    script[20:30] = 0.0  # a posterior of 0.5

    def one(**options):
        return Vad(ScriptedBackend(script, rest=-8.0), scripted_vad([]).manifest, **options)

    assert heard(one(), silence(3), [300]) == []
    (start, _) = heard(one(threshold=0.5, pre_roll_ms=200), silence(3), [300])
    assert start.start_sample == 0.6 * RATE
    assert one(threshold=0.5).threshold == 0.5
    assert one().threshold == 0.6


@pytest.mark.parametrize(
    "options",
    [{"threshold": 1.0}, {"pre_roll_ms": -1}, {"least_off_ms": float("nan")}, {"pre_roll_ms": 60_001}],
)
def test_what_makes_no_sense_is_refused_by_name_and_value(options):
    ((key, value),) = options.items()
    with pytest.raises(UsageError, match=f"{key.removesuffix('_ms')}.* {value:g}"):
        vad(**options)


def test_models_of_other_kinds_are_refused():
    with pytest.raises(ModelError, match="edgeaudio wake"):
        Vad(Integrator(), scripted_manifest(["go"]))
    with pytest.raises(ModelError, match="does not tell whether"):
        Vad(Integrator(), manifest(kind="sounds"))
    with pytest.raises(ModelError, match="tells of music, speech"):
        Vad(Integrator(), manifest(labels=("music", "speech")))
    with pytest.raises(ModelError, match="no-such-model"):
        Vad.load("no-such-model")


def test_the_posterior_is_there_for_programs():
    one = scripted_vad([(1.0, 2.0)])
    assert (one.probability, one.speaking, one.decided) == (0.0, False, 0)
    one.process(silence(1.5))
    assert one.probability == pytest.approx(1, abs=1e-3)
    assert one.speaking
    assert one.decided == 143 * 160 + 400  # whole steps: 144 frames
    assert one.probability_between(0, RATE) < 0.01
    assert one.probability_between(0, RATE + 1) > 0.99
    assert one.probability_between(RATE, 2 * RATE) > 0.99
    assert one.probability_between(2 * RATE, 3 * RATE) == 0.0  # not heard yet
    one.process(silence(5))
    assert one.probability_between(0, 2 * RATE) == 0.0  # forgotten
    assert one.probability_between(0, 7 * RATE) < 0.01
    one.reset(RATE)
    assert one.probability_between(0, 3 * RATE) == 0.0


def test_one_silent_label_beside_speech():
    two = manifest(
        labels=("speech", "other"),
        activation="softmax",
        activity=Activity(threshold=0.6, silent_labels=("other",)),
    )
    one = Vad(ScriptedBackend([[2.0, 0.0], [0.0, 2.0]], rest=[0.0, 2.0]), two)
    assert ends_s(heard(one, silence(1), [100])) == [(0.0, (3 * 160 + 400) / RATE)]
    one.reset()
    one.process(silence(0.08))
    np.testing.assert_allclose(one.posteriors, 1 / (1 + np.exp([-2.0, 2.0])), rtol=1e-6)  # float32


def test_hearing_allocates_nothing_that_stays():
    one, table = scripted_vad([]), silence(0.08)

    def work():
        for _ in range(100):
            one.process(table)

    work()
    found = allocated(work)
    # The list of events and the loop over steps, a hundred times and gone each time.
    assert found.kept < 200
    assert found.peak < 5000


def test_a_loss_of_audio_ends_the_speech_before_it():
    def lose(source):
        source.ring.lose(RATE, "device_overflow")

    one = scripted_vad([(0.48, 9.0)])
    source = StagedSource(noise(1.0), lose, noise(1.0, seed=1))
    events, _ = live(source, one)
    kinds = [type(event) for event in events if isinstance(event, (SpeechStart, SpeechEnd, Gap))]
    assert kinds == [SpeechStart, SpeechEnd, Gap, SpeechStart, SpeechEnd]
    first, second = (event for event in events if isinstance(event, SpeechEnd))
    assert first.end_sample <= RATE
    # Behind the loss the script begins anew; a second of sound makes 98 frames.
    assert (second.start_sample, second.end_sample) == (2.48 * RATE, 2 * RATE + 97 * 160 + 400)


def test_stopping_ends_the_speech_under_way():
    engine = Engine(StagedSource(*[noise(0.2)] * 100), scripted_vad([(0.5, 99.0)]))
    with engine:
        for event in engine:
            if isinstance(event, SpeechStart):
                engine.stop()
        assert isinstance(event, SpeechEnd)


def test_in_an_engine_replays_are_the_same():
    samples = noise(3.0)

    def once():
        engine = Engine(ArraySource(samples), scripted_vad([(0.5, 1.0), (1.5, 2.5)]))
        return engine.run_until_finished()

    assert len(once()) == 4
    assert once() == once()


def test_the_shipped_model_hears_the_speech_that_is_there_however_it_is_cut():
    """A bundled recording, with two seconds of a quiet room before and behind it."""
    samples = in_quiet(read_clip(Row(path=SPEECH, origin="speech.flac")), 2 * RATE, 2 * RATE)
    one = Vad.load()
    frames = Frontend(one.spec).process(samples).copy()
    expected = heard(one, frames, [len(frames)])
    told = sum(end - start for start, end in ends_s(expected))
    assert 2.0 - 0.3 < expected[0].start_sample / RATE < 3.0
    assert expected[-1].end_sample < len(samples) - RATE
    # Mostly speech, with pauses between sentences.
    assert 0.5 < told / (len(samples) / RATE - 4) <= 1.0
    one.reset()
    assert heard(one, frames, [13] * (len(frames) // 13 + 1)) == expected
