"""Captions: what is committed stays, each ends once, nothing comes of nothing."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.backends.base import Signature
from edgeaudio.decoding.base import Hypothesis, Word
from edgeaudio.decoding.grammar import Grammar
from edgeaudio.decoding.greedy import GreedyDecoder
from edgeaudio.errors import ModelError
from edgeaudio.tasks.acoustic import StreamingAcoustic
from edgeaudio.tasks.endpoint import Endpoint
from edgeaudio.tasks.recognizer import Recognizer
from edgeaudio.testing import (
    ScriptedBackend,
    chunkings,
    scripted_captions_manifest,
    scripted_manifest,
    scripted_recognizer,
)
from tests.allocation import allocated

MANIFEST = scripted_captions_manifest(["sound"])
QUIET = (8.0, -8.0)
STEP = 2560  # samples, 160 ms


class Fickle:
    """A decoder that makes a word of every 0.32 s of sound, and changes its mind about all but the committed.

    What it says depends on nothing but how much it has read. `stable_after` words behind the newest are
    certain by themselves; None: only what is committed.
    """

    def __init__(self, stable_after=None, evidence=3.0):
        self._stable_after = stable_after
        self._evidence = evidence
        self.beam_width = 100
        self.commits = []
        self.reset()

    def process(self, log_probs):
        for row in log_probs:
            self._n += 1
            if row[0] < row[1]:
                self._n_sounding += 1
                self._last = self._n

    def hypothesis(self):
        n_words = self._n_sounding // 8
        if self._stable_after is not None:
            self._fix(n_words - self._stable_after)
        words = tuple(
            Word(self._text(i), 8 * i, 8 * i + 7, self._evidence)
            for i in range(max(n_words, len(self._fixed)))
        )
        partial = "x" if self._n_sounding % 8 >= 4 else ""
        return Hypothesis(words, len(self._fixed), partial, self._n - self._last, 0.0)

    def commit(self, n_words):
        self.commits.append(n_words)
        self._fix(n_words)

    def flush(self):
        self._n_sounding = -(-self._n_sounding // 8) * 8
        return self.hypothesis()

    def reset(self):
        self._n = self._n_sounding = self._last = 0
        self._fixed = []

    def _fix(self, n_words):
        while len(self._fixed) < n_words:
            self._fixed.append(self._text(len(self._fixed)))

    def _text(self, i):
        return self._fixed[i] if i < len(self._fixed) else "w" * (i + 1) + "abc"[self._n // 4 * (i + 1) % 3]


class Integrator:
    """A network with a memory: logits are leaky sums, so every frame and its order count."""

    runtime = "scripted"
    signature = Signature(step_frames=16, n_bands=40, n_out=4, n_labels=4, states=())

    def __init__(self):
        self._sums = np.zeros(4, np.float32)
        self._logits = np.zeros((4, 4), np.float32)

    def step(self, frames):
        for i, frame in enumerate(frames):
            self._sums = np.float32(0.9) * self._sums + frame[[0, 7, 20, 39]]
            self._logits[i // 4] = self._sums
        return self._logits

    def reset(self):
        self._sums[:] = 0.0


def fickle(sounds, *, decoder=None, endpoint=None, grammar=None, loudness=16.0, measures=None, **captions):
    """A recogniser that hears sound in the given output frames, and a `Fickle` decoder."""
    script = np.where(np.array([*sounds, False])[:, None], (0.0, loudness), QUIET)
    section = msgspec.structs.replace(MANIFEST.recognition, **captions)
    manifest = msgspec.structs.replace(MANIFEST, captions=section)
    backend = ScriptedBackend(script, step_frames=16, n_out=4, rest=QUIET)
    return Recognizer(
        StreamingAcoustic(backend, manifest),
        decoder or Fickle(),
        manifest,
        endpoint=endpoint,
        grammar=grammar,
        **({} if measures is None else {"measures": measures}),
    )


def integrating():
    manifest = scripted_captions_manifest(["go", "stop", "left"])
    decoder = GreedyDecoder(manifest.labels, "<blank>", "phones")
    manifest = msgspec.structs.replace(
        manifest, captions=msgspec.structs.replace(manifest.recognition, delay_ms=120.0)
    )
    return Recognizer(StreamingAcoustic(Integrator(), manifest), decoder, manifest)


def swings(n, seed=0):
    """Now one token, now another, and half the time blank."""
    rng = np.random.default_rng(seed)
    table = np.repeat(rng.normal(0, 3.0, (n // 12 + 1, 40)), 12, axis=0)[:n]
    table[:, 0] += np.repeat(rng.choice([0, 9], n // 150 + 1), 150)[:n]
    return table.astype(np.float32)


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


def nothing(n_frames):
    return np.zeros((n_frames, 40), np.float32)


def listened(one, n_frames):
    """Events of `n_frames` of a script, without a flush."""
    return [event for _ in range(n_frames // 16) for event in one.process(nothing(16))]


def check_captions(events):
    """What every stream of captions promises."""
    ids = [event.caption_id for event in events]
    assert ids == sorted(ids)
    for caption_id in set(ids):
        *growing, last = (event for event in events if event.caption_id == caption_id)
        assert last.final
        assert last.tentative == ""
        assert not any(event.final for event in growing)
        for before, after in itertools.pairwise([*growing, last]):
            assert after.words[: len(before.words)] == before.words
            assert after.end_sample >= before.end_sample
        places = [place for word in last.words for place in (word.start_sample, word.end_sample)]
        assert places == sorted(places)
        assert all(last.start_sample <= place <= last.end_sample for place in places)


def test_every_chunking_hears_the_same():
    table = swings(3003)
    expected = heard(integrating(), table, [3003])
    check_captions(expected)
    assert sum(event.final for event in expected) > 3
    assert len(expected) > 20
    for lengths in chunkings(3003):
        assert heard(integrating(), table, lengths) == expected


@settings(max_examples=30)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=20), st.integers(0, 5))
def test_every_drawn_chunking_hears_the_same(lengths, seed):
    table = swings(sum(lengths), seed)
    assert heard(integrating(), table, lengths) == heard(integrating(), table, [sum(lengths)])


def test_what_a_network_looks_ahead_makes_no_word_older():
    """What is heard of the words that follow does not help the decoder before it gets it."""

    def committed(lookahead_samples):
        one = fickle([True] * 200)
        one._acoustic.lookahead_samples = lookahead_samples
        one._time.n_frames += lookahead_samples // 160  # it has heard so much more than it was asked about
        return [len(event.words) for event in listened(one, 800)]

    assert committed(20_480) == committed(0)
    assert max(committed(0)) > 10


def test_same_after_reset():
    table = swings(1000)
    one = integrating()
    expected = heard(one, table, [1000])
    one.reset()
    one.process(swings(1000, seed=9))
    one.reset()
    again = heard(one, table, [1000])
    # Only the numbers of captions go on: they are unique in a stream with gaps.
    n = again[0].caption_id - expected[0].caption_id
    assert n > 0
    assert [msgspec.structs.replace(event, caption_id=event.caption_id - n) for event in again] == expected


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=8),
    st.sampled_from([None, 0, 1, 3]),
    st.sampled_from([2.0, 20.0]),
)
def test_committed_words_never_change_and_each_caption_ends_once(turns, stable_after, max_s):
    sounds = [sound for n, pause in turns for sound in [True] * n + [False] * pause]
    one = fickle(sounds, decoder=Fickle(stable_after), endpoint=Endpoint(max_s=max_s))
    check_captions(heard(one, nothing(4 * len(sounds) + 4), [4 * len(sounds) + 4]))


def test_words_and_their_times():
    one = scripted_recognizer([(0.48, 0.8, "hello"), (0.8, 1.2, "world"), (3.2, 3.6, "again")])
    events = listened(one, 600)
    check_captions(events)
    first, second = (event for event in events if event.final)
    assert [(word.text, word.start_sample, word.end_sample) for word in first.words] == [
        ("hello", 7680, 12160),  # the script's last frame of each word is blank
        ("world", 12800, 18560),
    ]
    assert (first.start_sample, first.text, second.text) == (7680, "hello world", "again")
    assert second.caption_id == first.caption_id + 1


def test_times_are_moved_back_by_the_networks_delay_and_stay_in_the_stream():
    sounds = [False] * 20 + [True] * 16
    plain = heard(fickle(sounds), nothing(200), [200])[-1]
    moved = heard(fickle(sounds, delay_ms=120.0), nothing(200), [200])[-1]
    assert [w.start_sample - 1920 for w in plain.words] == [w.start_sample for w in moved.words]
    early = heard(fickle(sounds, delay_ms=2000.0), nothing(200), [200])[-1]
    assert {word.start_sample for word in early.words} == {0}


def test_positions_are_absolute():
    script = [(0.48, 0.8, "hello")]
    expected = heard(scripted_recognizer(script), nothing(300), [300])[-1]
    one = scripted_recognizer(script)
    one.reset(at_sample=50_000)
    later = heard(one, nothing(300), [300])[-1]
    assert later.start_sample == expected.start_sample + 50_000
    assert later.end_sample == expected.end_sample + 50_000
    assert later.words[0].end_sample == expected.words[0].end_sample + 50_000


def test_an_event_ends_where_the_step_did_that_it_needed():
    (event, *_) = listened(scripted_recognizer([(0.48, 0.8, "hello")]), 160)
    # Word from 0.48 s on: seen in the fourth step; its last frame has 15 ms more than a hop.
    assert event.end_sample == 4 * STEP + 240
    assert event.tentative == "hello"


def test_a_word_is_committed_when_it_is_old_even_if_it_could_change():
    decoder = Fickle()
    events = listened(fickle([True] * 44, decoder=decoder), 176)
    assert decoder.commits == [1, 2, 3]
    for n in (1, 2, 3):
        event = next(event for event in events if len(event.words) == n)
        age = event.end_sample - event.words[n - 1].end_sample
        assert 0.75 * 16000 <= age < 0.75 * 16000 + STEP


def test_what_the_decoder_is_sure_of_is_committed_at_once():
    decoder = Fickle(stable_after=0)
    events = listened(fickle([True] * 40, decoder=decoder), 160)
    assert decoder.commits == []
    assert [len(event.words) for event in events if event.words] == [1, 2, 3, 4, 5]


def test_the_end_of_a_stream_ends_the_caption_at_once():
    one = scripted_recognizer([(0.48, 0.8, "hello")])
    assert not any(event.final for event in one.process(nothing(85)))
    *_, last = one.flush()
    assert (last.final, last.text) == (True, "hello")
    assert last.end_sample == 84 * 160 + 400  # nothing was heard behind


def test_a_pause_ends_a_caption_within_half_a_second_of_the_rule():
    rules = Endpoint(silence_s=0.5)
    events = listened(scripted_recognizer([(0.48, 0.8, "hello")], endpoint=rules), 320)
    (last,) = (event for event in events if event.final)
    silent_s = last.end_sample / 16000 - 0.76
    assert 0.5 <= silent_s <= 0.5 + 0.16 + 0.055  # a step, and what a frame has beyond its hop


@pytest.mark.parametrize("max_s", [2.0, 5.0])
def test_a_long_speech_is_cut_without_losing_a_word(max_s):
    script = [(0.24 + 0.28 * i, 0.24 + 0.28 * (i + 1), f"w{i}") for i in range(100)]
    events = heard(scripted_recognizer(script, endpoint=Endpoint(max_s=max_s)), nothing(3000), [3000])
    check_captions(events)
    finals = [event for event in events if event.final]
    assert len(finals) >= 28 / max_s
    assert [word.text for event in finals for word in event.words] == [text for *_, text in script]
    assert all(event.end_sample - event.start_sample <= (max_s + 0.5) * 16000 for event in finals)


def test_a_long_speech_is_cut_also_where_nothing_is_ever_certain():
    events = heard(fickle([True] * 400, endpoint=Endpoint(max_s=3.0)), nothing(1616), [1616])
    check_captions(events)
    assert 5 <= sum(event.final for event in events) <= 8
    # 50 words of 8 frames; a cut in the midst of one can make it two.
    assert 50 <= sum(len(event.words) for event in events if event.final) <= 58


def test_nothing_comes_of_silence_and_nothing_is_allocated():
    one = fickle([])
    block = nothing(16)
    for _ in range(10):
        assert one.process(block) == []

    def work():
        for _ in range(200):
            one.process(block)

    # Views, an empty list and numbers come and go; one step's frames would be 2,560 bytes.
    kept, peak = allocated(work)
    assert kept < 500
    assert peak < 2500
    assert one.flush() == []


def test_what_is_hardly_more_probable_than_silence_is_withheld():
    """One word's sound must be e⁹ times as probable."""
    sounds = [True] * 8 + [False] * 30
    assert heard(fickle(sounds, loudness=8.98), nothing(200), [200]) == []
    events = heard(fickle(sounds, loudness=9.02), nothing(200), [200])
    assert [event.caption_id for event in events if event.final] == [1]
    # The decoder of a grammar has weighed itself whether that was an order.
    grammar = Grammar.parse("public <order> = wa | wb | wc;")
    events = heard(fickle(sounds, loudness=1.0, grammar=grammar), nothing(200), [200])
    assert [event.command for event in events] == ["order"]


def test_confidence_is_calibrated_by_the_model():
    events = heard(fickle([True] * 16, confidence_scale=0.5, confidence_offset=-1.0), nothing(200), [200])
    assert events[-1].words[0].confidence == pytest.approx(1 / (1 + np.exp(-0.5)))


def test_tentative_text_that_vanishes_leaves_a_final_event_without_words():
    decoder = Fickle()
    one = fickle([True] * 9, decoder=decoder)
    (event,) = listened(one, 48)
    assert (event.words, event.final) == ((), False)
    decoder.reset()  # it gives up what it thought
    *_, last = one.flush()
    assert (last.words, last.tentative, last.final) == ((), "", True)
    assert last.caption_id == event.caption_id


def test_tentative_text_alone_changes_three_times_a_second_at_most():
    events = [event for event in listened(fickle([True] * 200), 800) if not event.final]
    for before, after in itertools.pairwise(events):
        if after.words == before.words:
            assert after.end_sample - before.end_sample >= 0.3 * 16000


def test_a_late_recogniser_shows_no_tentative_text_and_then_searches_less():
    decoder = Fickle()
    one = fickle([True] * 400, decoder=decoder)
    assert any(event.tentative for event in listened(one, 320))
    one.shed(1)
    events = listened(one, 320)
    assert events
    assert not any(event.tentative for event in events)
    assert decoder.beam_width == 100
    one.shed(2)
    assert decoder.beam_width == 25
    one.shed(0)
    assert decoder.beam_width == 100
    assert any(event.tentative for event in listened(one, 320))


def test_the_profile_says_what_a_late_recogniser_does_without_first():
    decoder = Fickle()
    one = fickle([True] * 400, decoder=decoder, measures=("search_width",))
    one.shed(1)
    assert decoder.beam_width == 25
    assert any(event.tentative for event in listened(one, 320))
    one.shed(2)  # there is nothing more to do without
    assert any(event.tentative for event in listened(one, 320))
    one.shed(0)
    assert decoder.beam_width == 100


def test_a_grammar_says_what_a_caption_means_and_when_it_is_complete():
    grammar = Grammar.parse("public <light> = turn (on {state=on} | off {state=off}) the light [please];")
    script = [(0.4, 0.6, "turn"), (0.6, 0.8, "off"), (0.8, 1.0, "the"), (1.0, 1.2, "light")]
    open_ended = listened(scripted_recognizer(script, grammar=grammar), 320)[-1]
    assert (open_ended.command, open_ended.slots) == ("light", {"state": "off"})
    polite = [*script, (1.2, 1.4, "please")]
    complete = listened(scripted_recognizer(polite, grammar=grammar), 320)[-1]
    assert (complete.final, complete.command) == (True, "light")
    # 0.2 s later said, and earlier over: 0.4 s of silence instead of 0.8.
    assert complete.end_sample < open_ended.end_sample
    strange = listened(scripted_recognizer(script[:2], grammar=grammar), 320)[-1]
    assert (strange.text, strange.command, strange.slots) == ("turn off", None, {})


def test_the_rules_read_unfinished_words_apart_from_those_before_them():
    asked = set()
    rules = Endpoint(complete_s=0.04, is_complete=asked.add)
    # Half a word behind two whole ones, whose texts the decoder changes all the time.
    listened(fickle([True] * 20, endpoint=rules), 200)
    assert {tuple(map(len, text.split())) for text in asked} == {(2, 3, 1)}


def test_a_spotter_is_refused():
    manifest = scripted_manifest(["go"])
    acoustic = StreamingAcoustic(Integrator(), scripted_captions_manifest(["go", "stop", "left"]))
    with pytest.raises(ModelError, match="'scripted' spots single words"):
        Recognizer(acoustic, Fickle(), manifest)


def test_an_unknown_model_is_refused():
    with pytest.raises(ModelError, match="no-such-model"):
        Recognizer.load("no-such-model")
