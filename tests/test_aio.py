"""Events in asyncio: all of them, errors too, and a cancelled reader leaves nothing running."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from edgeaudio import aio
from edgeaudio.engine import Engine
from edgeaudio.errors import BackendError
from edgeaudio.testing import ArraySource, scripted_recognizer, scripted_spotter

NOISE = np.random.default_rng(1).normal(0, 0.01, 16000 * 4).astype(np.float32)
WORDS = [(0.5, 0.8, "hello"), (0.9, 1.3, "world")]


def engine(*, paced=False, words=WORDS, samples=NOISE):
    return Engine(ArraySource(samples, paced=paced), scripted_recognizer(words))


async def collected(source):
    return [event async for event in aio.events(source)]


def helpers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("edgeaudio")]


def test_all_events_of_a_replay_arrive_in_order():
    expected = engine().run_until_finished()
    assert len(expected) > 3
    assert asyncio.run(collected(engine())) == expected
    assert helpers() == []


def test_live_events_arrive_while_it_runs():
    texts = []

    async def listen():
        async for event in aio.events(engine(paced=True, samples=NOISE[:32000])):
            texts.append(event.text)

    asyncio.run(asyncio.wait_for(listen(), 30))
    assert texts[-1] == "hello world"
    assert helpers() == []


def test_a_reader_slower_than_the_pump_loses_nothing_of_a_replay():
    words = [(0.5 + i, "go") for i in range(200)]
    samples = np.tile(NOISE, 51)

    async def read_slowly():
        found = []
        async for event in aio.events(Engine(ArraySource(samples), scripted_spotter(words))):
            await asyncio.sleep(0.001)
            found.append(event)
        return found

    assert len(asyncio.run(read_slowly())) == 200


def test_the_loop_goes_on_while_nothing_is_heard():
    async def count():
        turns = 0
        task = asyncio.create_task(collected(engine(paced=True, words=[], samples=NOISE[:8000])))
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(count()) > 100  # a loop that waits for audio turns once an event


def test_cancellation_stops_the_engine():
    running = engine(paced=True, words=[])

    async def cancel():
        task = asyncio.create_task(collected(running))
        while running.stats().processed_samples == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return running.stats().processed_samples

    assert asyncio.run(asyncio.wait_for(cancel(), 30)) < len(NOISE)
    assert helpers() == []


@pytest.mark.parametrize("paced", [False, True])
def test_leaving_the_loop_stops_the_engine(paced):
    async def first():
        stream = aio.events(engine(paced=paced, samples=NOISE[:24000]))
        async for event in stream:
            await stream.aclose()
            return event
        return None

    event = asyncio.run(asyncio.wait_for(first(), 30))
    assert event is not None
    assert event.tentative == "hello"
    assert helpers() == []


@pytest.mark.parametrize("paced", [False, True])
def test_errors_of_the_engine_arrive(paced):
    task = scripted_recognizer([])

    def fail(frames):
        raise BackendError("the runtime failed")

    task.process = fail
    with pytest.raises(BackendError, match="the runtime failed"):
        asyncio.run(collected(Engine(ArraySource(NOISE, paced=paced), task)))
    assert helpers() == []
