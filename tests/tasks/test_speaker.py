"""Voices: what is measured of a stretch, how two are compared, and turns that do not depend on chunks."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pytest

import edgeaudio
from edgeaudio.errors import ModelError, UsageError
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.events import SpeakerTurn
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.models.background import embedding_fingerprint
from edgeaudio.models.enrolments import Enrolment, Estimate, SpeakerNumbers
from edgeaudio.tasks.speaker import Speaker, Voiceprint, loud, mean_voice, pool, spectrum
from edgeaudio.tasks.turns import SpeakerTask
from edgeaudio.tasks.vad import Vad
from edgeaudio.testing import chunkings, scripted_vad
from tests.voices import RULES, manifest, speaker, spoken

HOP = 160
ASSETS = Path(edgeaudio.__file__).parent / "assets"
SPEECH = [(0.4, 3.0), (3.6, 5.2), (6.0, 6.2), (7.0, 24.0)]


def print_of(person: int, seed: int) -> Voiceprint:
    frames = spoken(person, 300, seed)
    return speaker().print_of(frames, np.ones((75, 3), np.float32), np.ones(75, np.float32))


def conversation() -> np.ndarray:
    """Somebody, somebody else, and after a cough the first one at length."""
    n = 2600
    table = np.full((n, 40), -12.0, np.float32)
    for (start, end), person in zip(SPEECH, (1, 2, 2, 1), strict=True):
        first, last = round(100 * start), round(100 * end)
        table[first:last] = spoken(person, last - first, seed=first)
    return table


def turns(task: SpeakerTask, table: np.ndarray, lengths: list[int]) -> list[SpeakerTurn]:
    """Every chunk is destroyed after the call, as the contract allows."""
    events, at = [], 0
    for length in lengths:
        chunk = table[at : at + length].copy()
        events += task.process(chunk)
        chunk[:] = np.nan
        at += length
    return [*events, *task.flush()]


def task() -> SpeakerTask:
    voices = {
        name: mean_voice([print_of(person, seed) for seed in (7, 8)])
        for person, name in ((1, "ann"), (2, "bob"))
    }
    return SpeakerTask(speaker(), scripted_vad(SPEECH), voices, false_accepts=0.02)


def test_what_is_pooled_is_a_weighted_mean_and_deviation() -> None:
    features = np.array([[0.0, 5.0], [2.0, 5.0], [100.0, 5.0]], np.float32)
    found = pool(features, np.array([1.0, 1.0, 0.0], np.float32))
    # What does not vary gets the least deviation, 0.01; the weight of 0 still counts a millionth.
    np.testing.assert_allclose(found, [1.0, 5.0, 1.0, 0.01], atol=0.02)


def test_a_spectrum_knows_neither_level_nor_pauses() -> None:
    frames = spoken(3, 200)
    quiet = np.full((60, 40), -9.0, np.float32)
    np.testing.assert_allclose(spectrum(frames - 5.0), spectrum(frames), atol=1e-5)  # float32 frames
    heard = loud(np.concatenate((quiet, frames, quiet)))
    assert not heard[:60].any()
    assert not heard[-60:].any()
    assert heard[60:-60].mean() > 0.9
    # One movement of 300, from the pause into speech, is what the pauses leave in it.
    np.testing.assert_allclose(
        spectrum(np.concatenate((quiet, frames)))[:80], spectrum(frames)[:80], atol=0.05
    )


def test_one_voice_is_nearer_than_another_and_all_prints_lie_equally_far() -> None:
    ear = speaker()
    own, other = print_of(1, 0), print_of(2, 0)
    assert np.linalg.norm(own.vector) == pytest.approx(np.sqrt(80.0))  # eight directions of variance 1 + 9
    voice = mean_voice([print_of(1, seed) for seed in (1, 2, 3)])
    assert np.linalg.norm(voice) == pytest.approx(np.sqrt(80.0))
    scores = ear.score(voice, np.stack([own.vector, other.vector]))
    assert scores[0] > RULES.threshold(0.01) > RULES.threshold(0.2) > scores[1]


def test_the_threshold_lies_between_those_measured_and_shares_false_accepts_among_voices() -> None:
    ear = speaker()
    assert ear.threshold(0.01) == 3.0
    assert 0.0 < ear.threshold(0.05) < 3.0 < ear.threshold(0.01, voices=5) < 6.0
    for rate in (0.0005, 0.3):
        with pytest.raises(UsageError, match="does not know which score"):
            ear.threshold(rate)
    # More voices than the model can tell thresholds for: the strictest that it knows.
    assert ear.threshold(0.01, voices=50) == 6.0


def test_a_recording_is_heard_the_same_again() -> None:
    ear = speaker()
    samples = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    first = ear.hear(samples)
    ear.hear(samples[:5000])
    np.testing.assert_array_equal(ear.hear(samples).vector, first.vector)
    with pytest.raises(UsageError, match="so short a sound"):
        ear.hear(samples[:300])


def test_turns_name_those_who_are_known() -> None:
    found = turns(task(), conversation(), [2600])
    # The long one in parts of six seconds; of the cough nobody can tell.
    assert [turn.name for turn in found] == ["ann", "bob", None, "ann", "ann", "ann"]
    assert found[2].score is None
    assert all(turn.score > 3.0 for turn in found if turn.score is not None)
    lengths = [(turn.end_sample - turn.start_sample) / 16000 for turn in found]
    assert lengths == pytest.approx([2.6, 1.6, 0.2, 6.0, 6.0, 5.0], abs=0.05)  # frames of 40 ms
    assert found[4].start_sample == found[3].end_sample


def test_long_speech_is_told_while_it_lasts() -> None:
    # From 7 s on, in parts of 6 s, each when the detector cannot change its mind any more.
    told = task().process(conversation()[:1500])
    assert [(turn.name, turn.end_sample // 16_000) for turn in told[3:]] == [("ann", 13)]


def test_turns_do_not_depend_on_chunks() -> None:
    table = conversation()
    wanted = turns(task(), table, [len(table)])
    one = task()
    for lengths in (*islice(chunkings(len(table)), 4), [13] * 200):
        assert turns(one, table, lengths) == wanted
        one.reset()


def test_after_a_loss_positions_go_on_and_nothing_is_left() -> None:
    one, table = task(), conversation()
    turns(one, table[:200], [200])
    one.reset(at_sample=100 * HOP)
    wanted = turns(task(), table, [2600])
    moved = turns(one, table, [2600])
    assert [turn.start_sample - 100 * HOP for turn in moved] == [turn.start_sample for turn in wanted]
    assert [turn.name for turn in moved] == [turn.name for turn in wanted]


def test_nobody_is_known_without_voices() -> None:
    one = SpeakerTask(speaker(), scripted_vad(SPEECH), {})
    found = turns(one, conversation(), [2600])
    assert [(turn.name, turn.score) for turn in found] == [(None, None)] * 6


def test_both_networks_must_hear_the_same_frames() -> None:
    vad = scripted_vad([])
    vad._manifest = msgspec.structs.replace(vad.manifest, frontend=FrontendSpec(n_mels=80))
    with pytest.raises(ModelError, match="different frames"):
        SpeakerTask(speaker(), vad, {})


def test_a_voice_of_another_model_is_refused() -> None:
    fingerprint = embedding_fingerprint(manifest())
    numbers = SpeakerNumbers(voice=(0.0,) * 8, speech_s=20.0)
    enrolment = Enrolment(
        name="ann",
        kind="speaker",
        model="ear",
        model_version="1",
        fingerprint=fingerprint,
        created="",
        recordings=1,
        estimate=Estimate(missed=0, of=0, interval=(0.0, 1.0)),
        speaker=numbers,
    )
    ear = speaker()
    assert ear.check(enrolment).shape == (8,)
    short = SpeakerNumbers(voice=(0.0,) * 7, speech_s=1.0)
    for changes, words in (
        ({"fingerprint": "1" * 64}, "was enrolled with ear 1, not with"),
        ({"speaker": short}, "'ann' is enrolled as 7 values, and a voice has 8"),
    ):
        other = msgspec.structs.replace(enrolment, **changes)
        with pytest.raises(ModelError, match=words):
            ear.check(other)


def test_the_shipped_model_knows_a_reader_again() -> None:
    """The first half of a recording of running speech against its second half, and against others."""
    reader, other = (read_clip(Row(ASSETS / name, name)) for name in ("speech.flac", "demo.flac"))
    half = len(reader) // 2
    ear = Speaker.load()
    voice = mean_voice([ear.hear(reader[:half])])
    vectors = np.stack([ear.hear(reader[half:]).vector, ear.hear(other).vector])
    own, foreign = ear.score(voice, vectors)
    assert own > ear.threshold(0.01) > ear.threshold(0.05) > foreign
    frames = Frontend(ear.spec).process(reader).copy()
    one = SpeakerTask(ear, Vad.load(), {"reader": voice})
    wanted = turns(one, frames, [len(frames)])
    assert [turn.name for turn in wanted] == ["reader"] * 4
    one.reset()
    assert turns(one, frames, [8] * (len(frames) // 8) + [len(frames) % 8]) == wanted
