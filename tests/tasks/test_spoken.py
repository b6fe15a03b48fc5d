"""Words that count only if somebody spoke: the same ones, whatever hears first, and however it is cut."""

from __future__ import annotations

import pytest

from edgeaudio import Engine
from edgeaudio.errors import UsageError
from edgeaudio.events import SpeechEnd, SpeechStart
from edgeaudio.models.manifest import Activity
from edgeaudio.tasks.spoken import Muted, SpokenWords
from edgeaudio.testing import ArraySource, scripted_spotter, scripted_vad
from tests.staged import RATE, StagedSource, live, names, noise

WORDS = [(0.52, "cough"), (1.52, "go"), (3.0, "door"), (4.52, "stop")]
SPEECH = [(1.0, 1.4), (4.2, 5.0)]


def heard(*, first=True, threshold=None, seconds=5.0, rules=None):
    """Names of the words of a whole stream; the detector hears each block before the spotter, or after it."""
    vad = scripted_vad(SPEECH, rules)
    words = SpokenWords(scripted_spotter(WORDS), vad, threshold=threshold)
    order = (Muted(vad), words) if first else (words, Muted(vad))
    events = Engine(ArraySource(noise(seconds)), *order).run_until_finished()
    return names(events), words


def test_words_count_only_if_somebody_spoke_during_them():
    """A word takes a second here: "go" from 0.5 s to 1.5 s, "door" from 2.0 s to 3.0 s."""
    told, words = heard()
    assert told == ["go", "stop"]
    assert words.left_out == 2


@pytest.mark.parametrize("seconds", [1.53, 1.6, 4.53, 5.0])
def test_the_order_of_the_tasks_makes_no_difference(seconds):
    assert heard(first=False, seconds=seconds)[0] == heard(seconds=seconds)[0]


def test_a_word_waits_until_the_detector_has_heard_all_of_it():
    """Speech begins within the block in which the word ends, which the spotter hears first."""
    vad = scripted_vad([(1.0, 2.0)])
    words = SpokenWords(scripted_spotter([(1.04, "go")]), vad)
    assert names(Engine(ArraySource(noise(2.0)), words, Muted(vad)).run_until_finished()) == ["go"]


def test_every_length_of_blocks_gives_the_same():
    def cut(lengths):
        vad = scripted_vad(SPEECH)
        words = SpokenWords(scripted_spotter(WORDS), vad)
        frontend = Engine(ArraySource(noise(1)), words).listener.frontends[0]
        frames = frontend.process(noise(5.0)).copy()
        events, at, n = [], 0, 0
        while at < len(frames):
            block = frames[at : at + lengths[n % len(lengths)]]
            vad.process(block)
            events += words.process(block)
            at, n = at + len(block), n + 1
        vad.flush()
        return events + words.flush()

    expected = cut([8])
    assert len(expected) == 2
    for lengths in ([1], [7], [3, 20], [500]):
        assert cut(lengths) == expected


def test_a_threshold_of_its_own():
    """Where nobody speaks, the scripted posterior is 0.0003."""
    assert heard(threshold=0.0001)[0] == [name for _, name in WORDS]
    with pytest.raises(UsageError, match=r"threshold is 1\.5"):
        SpokenWords(scripted_spotter(WORDS), scripted_vad([]), threshold=1.5)


def test_by_default_it_is_enough_that_speech_would_go_on():
    """At a threshold of 0.99995, the scripted posterior of 0.9997 begins no speech, and ends none."""
    for ratio, expected in ((0.9, ["go", "stop"]), (1.0, [])):
        rules = Activity(threshold=0.99995, release_ratio=ratio)
        assert heard(rules=rules)[0] == expected


def test_near_misses_are_left_out_too():
    spotter = scripted_spotter(WORDS)
    # The script says 0.9997 or 0.0003: everything over a bound far above 0.9997 is a near miss only.
    spotter.decide_at(0.9999, near_ratio=0.9)
    vad = scripted_vad(SPEECH)
    events = Engine(ArraySource(noise(5.0)), Muted(vad), SpokenWords(spotter, vad)).run_until_finished()
    assert [event.name for event in events] == ["go", "stop"]


def test_the_detector_may_tell_its_own_as_well():
    vad = scripted_vad(SPEECH, Activity(threshold=0.6))
    events = Engine(
        ArraySource(noise(5.0)), vad, SpokenWords(scripted_spotter(WORDS), vad)
    ).run_until_finished()
    kinds = [type(event) for event in events if isinstance(event, SpeechStart | SpeechEnd)]
    assert kinds == [SpeechStart, SpeechEnd] * 2
    assert names(events) == ["go", "stop"]


def test_behind_a_loss_both_begin_anew():
    def lose(source):
        source.ring.lose(RATE, "device_overflow")

    vad = scripted_vad([(0.4, 0.6)])
    words = SpokenWords(scripted_spotter([(0.52, "go")]), vad)
    events, _ = live(StagedSource(noise(1.0), lose, noise(1.0, seed=1)), Muted(vad), words)
    assert names(events) == ["go", "go"]
