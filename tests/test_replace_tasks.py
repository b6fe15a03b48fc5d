"""Other tasks amid a stream: no sample is lost, what stays does not notice, and positions are right."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaudio import ArraySource, Engine
from edgeaudio.dsp.denoise import Denoiser
from edgeaudio.errors import UsageError
from edgeaudio.events import Gap, encode_event
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.testing import scripted_recognizer, scripted_spotter
from tests.staged import RATE, Recorder, Scribe, StagedSource, captions, names, noise

OTHER = FrontendSpec(n_mels=80)
WORDS = [(0.5, "go"), (1.2, "stop"), (2.9, "go")]


class Changing:
    """An engine on an array that is delivered in blocks, before some of which its tasks are replaced."""

    def __init__(self, x, block, *tasks, **options):
        self.changes = {}
        self.engine = Engine(ArraySource(self._blocks(x, block)), *tasks, **options)

    def _blocks(self, x, block):
        for n, start in enumerate(range(0, len(x), block)):
            if n in self.changes:
                self.engine.replace_tasks(*self.changes[n])
            yield x[start : start + block]


def frames_of(spec, x):
    return Frontend(spec).process(x).copy()


@pytest.mark.parametrize("block", [777, 1280, 4096])
@pytest.mark.parametrize("at_block", [0, 1, 5])
def test_what_stays_hears_every_sample_once(at_block, block):
    x = noise(2.0)
    stays, joins, begins, goes = Recorder(), Recorder(), Recorder(OTHER), Recorder(OTHER)
    run = Changing(x, block, stays, goes)
    run.changes = {at_block: (stays, joins), at_block + 2: (stays, joins, begins)}
    events = run.engine.run_until_finished()
    assert run.engine.stats().processed_samples == len(x)
    assert not [event for event in events if isinstance(event, Gap)]
    whole = frames_of(stays.spec, x)
    np.testing.assert_array_equal(np.concatenate(stays.blocks), whole)
    # Who joins a frontend that is there hears its frames, from one on that begins where it was told.
    at = joins.resets[-1]
    assert at % 160 == 0
    np.testing.assert_array_equal(np.concatenate(joins.blocks), whole[at // 160 :])
    # A new frontend begins where its task was told, and yields whole model steps but for the rest.
    at = begins.resets[-1]
    np.testing.assert_array_equal(np.concatenate(begins.blocks), frames_of(OTHER, x[at:]))
    assert {len(frames) for frames in begins.blocks[:-2]} == {8}
    assert run.engine.tasks == (stays, joins, begins)


def test_reduced_noise_goes_on_through_a_change():
    x = noise(1.5)
    alone, stays, begins = Recorder(), Recorder(), Recorder(OTHER)
    Engine(ArraySource(x), alone, denoise=Denoiser("medium")).run_until_finished()
    run = Changing(x, 1280, stays, denoise=Denoiser("medium"))
    run.changes = {7: (stays, begins)}
    run.engine.run_until_finished()
    np.testing.assert_array_equal(np.concatenate(stays.blocks), np.concatenate(alone.blocks))
    denoiser = Denoiser("medium")
    quieter = np.concatenate((denoiser.process(x).copy(), denoiser.flush()))
    expected = frames_of(OTHER, quieter[begins.resets[-1] :])
    np.testing.assert_array_equal(np.concatenate(begins.blocks), expected)


def test_events_of_what_stays_are_the_same_to_the_byte():
    x = noise(3.0)
    expected = Engine(ArraySource(x), scripted_spotter(WORDS)).run_until_finished()
    stays = scripted_spotter(WORDS)
    run = Changing(x, 1280, stays)
    run.changes = {5: (stays, Recorder(OTHER)), 11: (Recorder(), stays), 21: (stays,)}
    assert list(map(encode_event, run.engine.run_until_finished())) == list(map(encode_event, expected))


def test_what_is_new_tells_absolute_positions():
    stays, new = Recorder(), scripted_spotter([(0.5, "go")])
    run = Changing(noise(3.0), 1280, stays)
    run.changes = {12: (stays, new)}
    (event,) = run.engine.run_until_finished()
    # Block 12 comes when all before it is heard, but for what the first block took more than the others.
    assert event.end_sample == pytest.approx(12 * 1280 + 0.5 * RATE, abs=1280)


def test_what_goes_has_a_last_word_and_may_come_back():
    stays, goes = Recorder(), scripted_recognizer([(0.4, 0.8, "one"), (0.9, 1.4, "two")])
    run = Changing(noise(4.0), 1280, stays, goes)
    run.changes = {15: (stays,), 25: (goes, stays)}
    first, second = [event for event in captions(run.engine.run_until_finished()) if event.final]
    assert first.text.startswith("one")
    assert second.text == "one two"
    assert second.start_sample > first.end_sample
    assert second.caption_id == first.caption_id + 1


def test_of_two_changes_at_once_the_last_one_counts():
    one, two, three = Recorder(), Recorder(), Recorder()
    run = Changing(noise(1.0), 1280, one)
    run.engine.replace_tasks(two)
    run.engine.replace_tasks(one, three)
    run.engine.run_until_finished()
    assert len(np.concatenate(one.blocks)) == len(np.concatenate(three.blocks)) == 98
    assert two.blocks == []


@pytest.mark.parametrize(
    ("tasks", "message"), [(lambda a: (), "nothing to listen with"), (lambda a: (a, a), "was given twice")]
)
def test_what_cannot_listen_changes_nothing(tasks, message):
    task = Recorder()
    engine = Engine(ArraySource(noise(0.5)), task)
    with pytest.raises(UsageError, match=message):
        engine.replace_tasks(*tasks(task))
    assert engine.tasks == (task,)
    engine.run_until_finished()
    assert len(np.concatenate(task.blocks)) == 48


class Story:
    """A live source of one-second scenes, before which the engine's tasks are replaced."""

    def __init__(self, *tasks):
        self.x = noise(6.0)
        self.engine = None
        self.parts = [tasks]

    def then(self, *tasks):
        self.parts.append(tasks)
        return self

    def run(self):
        seconds = np.split(self.x, 6)
        scenes = [seconds[0]]
        for tasks, second in zip(self.parts[1:], seconds[1:], strict=False):
            scenes += [lambda _source, tasks=tasks: self.engine.replace_tasks(*tasks), second]
        scenes += seconds[len(self.parts) :]
        self.engine = Engine(StagedSource(*scenes), *self.parts[0])
        with self.engine:
            return list(self.engine)


def test_captions_begin_stay_and_end_in_the_workers_thread():
    stays, first, second = Recorder(), Scribe(), Scribe()
    second.name = "other"
    story = Story(stays).then(stays, first).then(first, stays, second).then(stays, second).then(stays)
    events = story.run()
    assert story.engine.stats().processed_samples == 6 * RATE
    assert not [event for event in events if isinstance(event, Gap)]
    np.testing.assert_array_equal(np.concatenate(stays.blocks), frames_of(stays.spec, story.x))
    for scribe in (first, second):
        assert scribe.threads == {"edgeaudio-captions"}
        at = scribe.resets[1]  # behind the warm-up
        heard = np.array(scribe.blocks)
        np.testing.assert_array_equal(heard, frames_of(OTHER, story.x[at:])[: len(heard)])
        # Two whole seconds, whatever was lost at their edges: nothing.
        assert len(heard) in range(199, 202)
        told = [event for event in captions(events) if event.model == scribe.name]
        assert told[-1].final
        assert [event.caption_id for event in told if event.final] == list(range(told[-1].caption_id + 1))
    assert story.engine.stats().captions.skipped_samples == 0


def test_captions_that_come_back_begin_anew():
    stays, scribe = Recorder(), Scribe()
    story = Story(stays, scribe).then(stays).then(stays, scribe)
    events = captions(story.run())
    finals = [event for event in events if event.final]
    assert [event.caption_id for event in finals] == list(range(len(finals)))
    # Up to a block and a window of each second wait for the next one.
    assert [at for at in scribe.resets if 2 * RATE - 1680 <= at <= 2 * RATE]
    assert len(scribe.blocks) == pytest.approx(500, abs=12)


def test_a_live_word_is_heard_by_what_came_for_it():
    new = scripted_spotter([(0.5, "go")])
    stays = Recorder()
    scenes = [noise(1.0), lambda _source: engine.replace_tasks(stays, new), noise(1.5)]
    engine = Engine(StagedSource(*scenes), stays)
    with engine:
        assert names(engine) == ["go"]
