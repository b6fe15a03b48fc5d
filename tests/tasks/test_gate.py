"""The gate: which frames pass, when, and that nothing else is different."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio import Engine
from edgeaudio.errors import ModelError, UsageError
from edgeaudio.events import Caption, Gap, SoundStart, SpeechEnd
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import Activity
from edgeaudio.tasks.gate import SpeechGate
from edgeaudio.testing import ArraySource, chunkings, scripted_recognizer, scripted_vad
from tests.allocation import allocated
from tests.staged import RATE, Scribe, StagedSource, captions, live, noise

RULES = Activity(threshold=0.6, pre_roll_ms=200.0, least_on_ms=80.0, least_off_ms=320.0)
SPEECH = [(1.0, 2.0), (2.2, 2.6), (4.0, 4.4)]


class Log:
    """Says what it hears: an event for each frame with its number, and one for each flush."""

    name = "log"

    def __init__(self, spec=None):
        self.spec = spec or FrontendSpec()
        self.resets = []
        self.levels = []

    def process(self, frames):
        return [self.event("frame", int(frame[0])) for frame in frames]

    def flush(self):
        return [self.event("flush", 0)]

    def reset(self, at_sample=0):
        self.resets.append(at_sample)

    def shed(self, level):
        self.levels.append(level)

    def event(self, name, number):
        return SoundStart(
            model="log", name=name, score=1.0, start_sample=number, end_sample=number, latency_s=0.0
        )


def numbered(n, first=0):
    """Frames that know their number."""
    return np.repeat(np.arange(first, first + n, dtype=np.float32)[:, None], 40, axis=1)


def gated(speech=SPEECH, rules=RULES):
    task = Log()
    gate = SpeechGate(task, scripted_vad(speech, rules))
    task.resets.clear()
    return gate, task


def played(gate, table, lengths):
    """What the task heard of a whole stream: runs of frames between flushes."""
    events = []
    at = 0
    for length in lengths:
        chunk = table[at : at + length].copy()
        events += gate.process(chunk)
        chunk[:] = np.nan
        at += length
    return [(event.name, event.start_sample) for event in events + gate.flush()]


def runs(heard):
    """First and last frame of each run, each of which is whole and ends with one flush."""
    found, current = [], []
    for name, number in heard:
        if name == "frame":
            assert not current or number == current[-1] + 1
            current.append(number)
        else:
            found.append((current[0], current[-1]))
            current = []
    assert not current
    return found


def test_only_speech_passes_with_what_lies_around_it():
    gate, task = gated()
    heard = played(gate, numbered(600), [600])
    # From 1.0 s less 0.2 s until the step in which 0.32 s of silence are full, which begins at 2.6 s; from
    # 4.0 s and 4.4 s on likewise.
    assert runs(heard) == [(80, 295), (380, 471)]
    assert task.resets == [80 * 160, 380 * 160]
    assert gate.passed_frames == 216 + 92


def test_every_chunking_passes_the_same():
    table = numbered(503)
    expected = played(gated()[0], table, [503])
    for lengths in chunkings(503):
        assert played(gated()[0], table, lengths) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=8),
    st.sampled_from([0.0, 200.0, 1000.0]),
    st.sampled_from([0.0, 80.0, 400.0]),
    st.sampled_from([0.0, 120.0]),
    st.lists(st.integers(0, 90), min_size=1, max_size=20),
)
def test_each_frame_is_heard_once_at_most_and_none_of_the_speech_is_missed(
    pieces, pre_roll_ms, least_off_ms, smoothing_ms, lengths
):
    speech, at = [], 0
    for pause, length in pieces:
        speech.append(((at + pause) * 0.04, (at + pause + length) * 0.04))
        at += pause + length
    rules = Activity(
        threshold=0.6,
        pre_roll_ms=pre_roll_ms,
        least_on_ms=80.0,
        least_off_ms=least_off_ms,
        smoothing_ms=smoothing_ms,
    )
    n = sum(lengths)
    gate, _ = gated(speech, rules)
    heard = [number for name, number in played(gate, numbered(n), lengths) if name == "frame"]
    assert heard == sorted(set(heard))
    alone = scripted_vad(speech, rules)
    for end in alone.process(numbered(n)) + alone.flush():
        if isinstance(end, SpeechEnd):
            assert {*range(end.start_sample // 160, (end.end_sample - 400) // 160 + 1)} <= {*heard}


def test_same_after_reset_and_positions_are_absolute():
    gate, task = gated()
    expected = played(gate, numbered(500), [500])
    gate.reset(8000)
    assert played(gate, numbered(500), [500]) == expected
    assert task.resets == [80 * 160, 380 * 160, 8000, 8000 + 80 * 160, 8000 + 380 * 160]


def test_speech_known_only_at_the_end_is_heard():
    """Its posterior is over the threshold for 40 ms when the stream ends, of the 80 ms that it takes."""
    gate, _ = gated([(1.96, 9.0)])
    assert gate.process(numbered(200)) == []
    assert runs([(event.name, event.start_sample) for event in gate.flush()]) == [(176, 199)]


def test_a_gate_without_speech_lets_nothing_pass_and_allocates_nothing():
    gate, task = gated([])
    table = numbered(8)

    def work():
        for _ in range(100):
            assert gate.process(table) == []

    work()
    found = allocated(work)
    assert found.kept < 200
    # Now and then what is kept moves to the front: 38 frames of 40 bands, through a copy.
    assert found.peak < 10_000
    assert (task.resets, gate.passed_frames) == ([], 0)


def test_other_frames_are_refused():
    with pytest.raises(UsageError, match="'scripted' cannot gate 'log'") as caught:
        SpeechGate(Log(FrontendSpec(n_mels=80)), scripted_vad([]))
    assert "frontend of 'log'" in caught.value.hint
    with pytest.raises(ModelError, match="no-such-model"):
        SpeechGate.load(Log(), "no-such-model")


def test_what_the_task_is_shows_through():
    class Worker(Log):
        background = True
        graph = "graph"

    gate = SpeechGate(Worker(), scripted_vad([]))
    assert (gate.name, gate.background, gate.lasting, gate.graph) == ("log", True, False, "graph")
    plain, task = gated()
    assert (plain.background, hasattr(plain, "graph")) == (False, False)
    plain.shed(2)
    assert task.levels == [2]
    SpeechGate(scripted_recognizer([(0.5, 1.0, "one")]), scripted_vad([])).shed(1)


def test_captions_are_those_of_the_speech():
    """The script begins anew where the gate opens; an hour of silence costs no step of the network."""
    recognizer = scripted_recognizer([(0.4, 0.8, "one"), (1.0, 1.4, "two")])
    rules = msgspec.structs.replace(RULES, least_off_ms=1000.0)
    gate = SpeechGate(recognizer, scripted_vad([(2.0, 3.4), (10.0, 11.4)], rules))
    engine = Engine(ArraySource(noise(14.0)), gate)
    finals = [event for event in engine.run_until_finished() if isinstance(event, Caption) and event.final]
    assert [caption.text for caption in finals] == ["one two"] * 2
    assert [round(caption.words[0].start_sample / RATE, 1) for caption in finals] == [2.2, 10.2]
    assert len({caption.caption_id for caption in finals}) == 2


def test_in_the_second_thread_and_over_a_loss():
    """Live, the gate and its detector run in the worker; a loss ends the caption before it."""

    def lose(source):
        source.ring.lose(RATE, "device_overflow")

    class Speaker(Scribe):
        def __init__(self):
            super().__init__(spec=FrontendSpec())

    scribe = Speaker()
    gate = SpeechGate(scribe, scripted_vad([(0.48, 9.0)]))
    events, _ = live(StagedSource(noise(1.5), lose, noise(1.5, seed=1)), gate)
    assert scribe.threads == {"edgeaudio-captions"}
    assert any(isinstance(event, Gap) for event in events)
    finals = [caption for caption in captions(events) if caption.final]
    assert finals[0].end_sample <= 1.5 * RATE
    assert finals[-1].start_sample > 2.5 * RATE
    # From 0.48 s and 2.5 s + 0.48 s to the ends: 1.02 s each, but for the frames that their windows cut off.
    assert gate.passed_frames == pytest.approx(2 * 100, abs=4)
