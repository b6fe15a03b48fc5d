"""When a stream counts as lost."""

from __future__ import annotations

import time

from edgeaudio.ring import RingBuffer
from edgeaudio.sources.callback import Port
from edgeaudio.sources.watch import Watch
from tests.sources.fakes import FakeStream


def test_silence_of_the_callback_is_a_loss_but_not_that_of_a_stopped_process() -> None:
    watch = Watch()
    stream = FakeStream(Port(RingBuffer(1000), 16000, 1, None))
    now = time.monotonic()
    assert watch.trouble(stream, now) is None
    for step in range(15):
        assert watch.trouble(stream, now + 0.1 * step) is None
    # This process was stopped for a minute: whatever came meanwhile has to be waited for first.
    now += 60
    for step in range(15):
        assert watch.trouble(stream, now + 0.1 * step) is None
    assert watch.trouble(stream, now + 1.6) == "no sound for 1.6 s"
    stream.feed(160)
    assert watch.trouble(stream, now + 1.7) is None


def test_a_stream_that_ended_is_a_loss_at_once() -> None:
    stream = FakeStream(Port(RingBuffer(1000), 16000, 1, None))
    watch = Watch()
    stream.active = False
    assert watch.trouble(stream, time.monotonic()) == "the device went away"
