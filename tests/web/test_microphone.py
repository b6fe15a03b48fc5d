from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from edgeaudio.engine import Engine
from edgeaudio.sources.array import ArraySource
from edgeaudio.sources.network import NetworkSource
from edgeaudio.testing import scripted_recognizer
from edgeaudio.types import SAMPLE_RATE_HZ
from edgeaudio.web import CaptionServer
from edgeaudio.web.microphone import _Reader
from tests.pulse import until
from tests.sources.reading import Listener
from tests.web.conftest import PATIENCE_S, joined, received

SOUND = (np.random.default_rng(1).normal(0, 0.1, 8000) * 32768).astype("<i2")
BLOCK = SOUND[:1280].tobytes()
LOST = '{"type":"lost","samples":5}'


@contextmanager
def heard(server: CaptionServer) -> Iterator[Listener]:
    """Read the server's source beside the test, as an engine would."""
    listener = Listener(server.source)
    stopping = threading.Event()

    def read() -> None:
        server.source.start()
        while not stopping.is_set():
            listener.step()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield listener
    finally:
        stopping.set()
        thread.join()
        server.source.stop()


def n_heard(listener: Listener) -> int:
    return sum(map(len, list(listener.samples)))


def listening(viewer, to):
    """Wait until the server says that it listens to `to`."""
    facts = received(viewer, "input")
    while facts["listening"] != to:
        facts = received(viewer, "input")
    return facts


def closed_with(socket):
    """Wait until the server closes; its code and reason."""
    with pytest.raises(ConnectionClosed) as closed:
        received(socket, "never")
    assert closed.value.rcvd is not None, "no reason was given"
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_what_a_browser_sends_is_heard_bit_for_bit(serve):
    server = serve(switchable=True)
    with heard(server) as listener, joined(server) as viewer:
        received(viewer, "state")
        with joined(server, "microphone") as microphone:
            facts = listening(viewer, "browser")
            assert facts["name"] == "a browser's microphone"
            for part in np.split(SOUND, 5):
                microphone.send(part.tobytes())
            microphone.send(b"")  # nothing is nothing
            until(lambda: n_heard(listener) >= 8000, PATIENCE_S, "it is heard")
        listening(viewer, None)
        np.testing.assert_array_equal(listener.audio[:8000] * 32768, SOUND)


def test_floats_and_other_rates_are_understood(serve):
    server = serve(switchable=True)
    t = np.arange(48_000) / 48_000
    tone = (0.5 * np.sin(2 * np.pi * 440 * t)).astype("<f4")
    broken = np.array([np.nan, np.inf, -np.inf, 1e30], "<f4")
    with heard(server) as listener, joined(server, "microphone?rate=48000&format=f32le") as microphone:
        for part in np.split(tone, 10):
            microphone.send(part.tobytes())
        microphone.send(broken.tobytes())
        until(lambda: n_heard(listener) >= 15_000, PATIENCE_S, "it is heard")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    middle = slice(1000, 14_000)  # away from the filter's ends
    # The resampler's pass band is flat to far below a thousandth.
    np.testing.assert_allclose(listener.audio[middle], expected[middle], atol=1e-3)
    assert np.isfinite(listener.audio).all()


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("hello", 1003, "audio is binary"),
        ('{"type":"lost","samples":"many"}', 1003, "audio is binary"),
        ('{"type":"lost","samples":-5}', 1008, "no such loss"),
        ('{"type":"lost","samples":99999999999}', 1008, "no such loss"),
        (b"\0" * 333, 1007, "333 bytes are no whole samples of 2 bytes"),
        (b"\0" * 64_000, 1009, "at most one second"),
        (b"\0" * 300_000, 1009, ""),  # cut off by the websocket layer
    ],
)
def test_what_is_no_audio_ends_with_a_reason_and_the_captions_go_on(serve, message, code, reason):
    server = serve(switchable=True, opener=lambda: ArraySource(np.zeros(0, np.float32)))
    with heard(server) as listener:
        with joined(server, "microphone") as microphone:
            microphone.send(BLOCK)
            microphone.send(message)
            assert closed_with(microphone)[0] == code
        with joined(server, "microphone") as microphone:  # the place is free again
            before = n_heard(listener)
            microphone.send(BLOCK)
            until(lambda: n_heard(listener) > before, PATIENCE_S, "the next is heard")
            microphone.send(message)
            assert reason in closed_with(microphone)[1]


@given(
    st.lists(
        st.binary(max_size=400) | st.text(max_size=60) | st.sampled_from([LOST, LOST + "}"]), max_size=20
    )
)
def test_any_messages_are_samples_a_loss_or_a_verdict(messages):
    source = NetworkSource("a browser")
    reader = _Reader(source, 16_000, np.dtype("<i2"))
    expected = 0
    for message in messages:
        verdict = reader.take({"bytes": message} if isinstance(message, bytes) else {"text": message})
        if verdict is None:
            expected += len(message) // 2 if isinstance(message, bytes) else 5
        else:
            code, reason = verdict
            assert code in (1003, 1007, 1008, 1009)
            assert 0 < len(reason.encode()) <= 123  # what a close frame can hold
    assert source.ring.end == expected


@pytest.mark.parametrize(
    "query",
    # The last two begin like a rate that is allowed; Python reads no integer of 5000 digits.
    [
        *("rate=2", "rate=many", "rate=", "format=mp3", "rate=0000099990"),
        pytest.param(f"rate=000016000{5000 * '9'}", id="rate=000016000999…"),
    ],
)
def test_absurd_formats_are_refused(serve, query):
    with joined(serve(switchable=True), f"microphone?{query}") as microphone:
        code, reason = closed_with(microphone)
    assert code == 1008
    assert query.partition("=")[0] in reason


def test_audio_faster_than_it_can_be_spoken_is_refused(serve):
    server = serve(switchable=True)
    second = bytes(2 * SAMPLE_RATE_HZ)
    with heard(server), joined(server, "microphone") as microphone:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(1000):
                microphone.send(second)
        assert closed_with(microphone) == (1008, "audio comes faster than it can have been spoken")


def test_who_sends_nothing_for_long_loses_its_place(serve, monkeypatch):
    monkeypatch.setattr("edgeaudio.web.microphone._SILENT_S", 0.2)
    server = serve(switchable=True)
    with heard(server), joined(server, "microphone") as microphone:
        assert closed_with(microphone) == (1008, "no audio came for 0.2 s")


def test_one_browser_at_a_time(serve):
    server = serve(switchable=True)
    with heard(server), joined(server) as viewer, joined(server, "microphone") as first:
        listening(viewer, "browser")
        with joined(server, "microphone") as second:
            assert closed_with(second) == (4409, "another browser's microphone is in use")
        first.send(BLOCK)


def test_what_the_sender_left_out_becomes_a_gap(serve):
    server = serve(switchable=True)
    with heard(server) as listener, joined(server, "microphone") as microphone:
        microphone.send(BLOCK)
        microphone.send('{"type":"lost","samples":800}')
        microphone.send(BLOCK)
        until(lambda: bool(listener.gaps) and n_heard(listener) == 2560, PATIENCE_S, "both blocks are heard")
    gap = listener.gaps[0]
    assert (gap.start_sample, gap.n_samples, gap.cause) == (1280, 800, "device_overflow")


def test_start_and_stop(serve):
    noise = np.random.default_rng(2).normal(0, 0.1, 160_000).astype(np.float32)
    server = serve(switchable=True, opener=lambda: ArraySource(noise, paced=True))
    with heard(server) as listener, joined(server) as viewer:
        assert received(viewer, "state")["input"]["choices"] == ["server", "browser"]
        until(lambda: n_heard(listener) > 0, PATIENCE_S, "the server's input is heard from the start")
        viewer.send('{"type":"stop"}')
        listening(viewer, None)
        viewer.send('{"type":"start"}')
        listening(viewer, "server")
        until(lambda: bool(listener.gaps), PATIENCE_S, "the pause is told")
        assert listener.gaps[0].cause == "paused"


def test_after_a_browser_the_server_s_own_input_goes_on(serve):
    noise = np.random.default_rng(2).normal(0, 0.1, 160_000).astype(np.float32)
    opened = []
    server = serve(
        switchable=True, opener=lambda: opened.append(1) or ArraySource(noise, paced=True), input_name="noise"
    )
    with heard(server), joined(server) as viewer:
        until(lambda: len(opened) == 1, PATIENCE_S, "the server's input is open")
        with joined(server, "microphone") as microphone:
            listening(viewer, "browser")
            microphone.send(BLOCK)
        listening(viewer, "server")
        until(lambda: len(opened) == 2, PATIENCE_S, "the server's input is open again")


def test_who_is_replaced_is_told(serve):
    server = serve(switchable=True, opener=lambda: ArraySource(np.zeros(160_000, np.float32), paced=True))
    with heard(server), joined(server) as viewer, joined(server, "microphone") as microphone:
        listening(viewer, "browser")
        viewer.send('{"type":"start"}')
        assert closed_with(microphone) == (4410, "somebody chose another input")
        listening(viewer, "server")


def test_an_input_that_ends_or_fails_is_told(serve):
    server = serve(
        switchable=True, opener=lambda: ArraySource(np.zeros(1600, np.float32)), input_name="talk.wav"
    )
    with heard(server), joined(server) as viewer:
        state = received(viewer, "state")["input"]
        facts = state if state["listening"] is None else listening(viewer, None)
        assert "has ended" in facts["message"]


def test_a_server_without_an_input_of_its_own_says_so(serve):
    server = serve(switchable=True)
    with heard(server), joined(server) as viewer:
        assert received(viewer, "state")["input"]["choices"] == ["browser"]
        viewer.send('{"type":"start"}')
        assert received(viewer, "input")["message"] == "this server has no microphone"


def test_captions_of_a_browser_s_microphone_reach_all_viewers_and_survive_its_end(serve):
    server = serve(switchable=True)
    words = [(0.4, 0.8, "one"), (0.8, 1.2, "two"), (1.2, 1.6, "three")]
    engine = Engine(server.source, scripted_recognizer(words))

    def run() -> None:
        with engine:
            for event in engine:
                server.emit(event)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with joined(server) as viewer, joined(server) as other:
            received(viewer, "state"), received(other, "state")
            with joined(server, "microphone") as microphone:
                for _ in range(14):  # 1.12 s: it goes amid the second word
                    microphone.send(BLOCK)
                listening(viewer, "browser")
            for each in (viewer, other):
                message = received(each, "caption")
                while not message["final"]:
                    message = received(each, "caption")
                texts = [word["text"] for word in message["words"]]
                assert texts[:2] == ["one", "two"]
    finally:
        engine.stop()
        thread.join()
