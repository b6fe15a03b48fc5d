from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket as sockets
import struct
import time

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edgeaudio.errors import MissingDependencyError, OutputError, UsageError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.web import CaptionServer, FrameTap
from tests.pulse import until
from tests.sinks.samples import caption, spoken
from tests.web.conftest import PATIENCE_S, authority, joined, received

TOKEN = "a-token-of-24-characters"  # noqa: S105 - of this test


def get(server, path, method="GET", **headers):
    """Status, headers and body of an HTTP answer; `headers` may replace Host."""
    connection = http.client.HTTPConnection(authority(server), timeout=PATIENCE_S)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def words(message):
    return " ".join(word["text"] for word in message["words"])


def _tells(message, text):
    """Whether this message, a caption or the state, ends with a caption of these words."""
    captions = [message] if message["type"] == "caption" else message["captions"]
    return bool(captions) and words(captions[-1]) == text


def test_captions_reach_every_viewer_as_they_grow(serve):
    server = serve()
    with joined(server) as one, joined(server) as two:
        for viewer in (one, two):
            assert received(viewer, "state")["captions"] == []
        server.emit(caption(*spoken("one"), tentative="two"))
        for viewer in (one, two):
            message = received(viewer, "caption")
            assert (words(message), message["tentative"]) == ("one", "two")
        server.emit(caption(*spoken("one two"), final=True))
        for viewer in (one, two):
            assert received(viewer, "caption")["final"]


def test_a_late_viewer_sees_what_was_said(serve):
    server = serve(model="captions-en-small")
    server.emit(caption(*spoken("before you came"), final=True))
    with joined(server) as viewer:
        state = received(viewer, "state")
    assert state["protocol"] == 1
    assert state["model"] == "captions-en-small"
    assert words(state["captions"][0]) == "before you came"


def test_the_spectrum_comes_as_bytes_with_index_and_level(serve):
    tap = FrameTap(FrontendSpec(n_mels=80))
    server = serve(tap=tap)
    server.watch_level(lambda: -23.5)
    with joined(server, "live") as viewer:
        facts = received(viewer, "state")["spectrum"]
        assert (facts["bands"], facts["column_ms"]) == (80, 20.0)
        tap.process(np.full((6, 80), 9.0, np.float32))
        message = viewer.recv(timeout=PATIENCE_S)
    first, level = struct.unpack_from("<If", message)
    assert (first, level) == (0, -23.5)
    assert len(message) == 8 + 3 * 80
    assert set(message[8:]) == {255}


def test_a_viewer_that_does_not_read_holds_up_nobody_and_catches_up(serve):
    tap = FrameTap(FrontendSpec(n_mels=80))
    server = serve(tap=tap)
    long = "a " * 40
    with joined(server, "live", max_queue=1) as deaf, joined(server) as viewer:
        received(viewer, "state")
        longest_s = 0.0
        # Far more than all buffers between here and there: the viewer's and the system's, 64 KiB and some.
        for i in range(3000):
            began = time.monotonic()
            server.emit(caption(*spoken(f"{i} {long}"), caption_id=i, final=True))
            longest_s = max(longest_s, time.monotonic() - began)
            tap.process(np.zeros((8, 80), np.float32))
        server.emit(caption(*spoken("the end"), caption_id=3000, final=True))
        while not _tells(json.loads(viewer.recv(timeout=PATIENCE_S)), "the end"):
            pass  # on a busy machine even a viewer that reads falls behind, and is told the state anew
        # Waiting for a viewer would take until it is cut for not reading, 30 s: nothing here is near that.
        assert longest_s < 10.0
        n_captions = 0
        while True:  # now it reads
            message = deaf.recv(timeout=PATIENCE_S)
            if isinstance(message, bytes):
                continue
            facts = json.loads(message)
            n_captions += facts["type"] == "caption"
            if _tells(facts, "the end"):
                break
        assert n_captions < 2000  # what it missed was not kept for it


def test_a_viewer_that_goes_mid_word_is_forgotten(serve):
    server = serve()
    with joined(server) as stays:
        received(stays, "state")
        with joined(server) as goes:
            received(goes, "state")
            server.emit(caption(*spoken("one"), tentative="tw"))
            goes.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            goes.socket.close()  # a reset, not a goodbye
        server.emit(caption(*spoken("one two"), final=True))
        until(lambda: words(received(stays, "caption")) == "one two", PATIENCE_S, "the caption goes on")
        until(lambda: server._hub.n_viewers == 1, PATIENCE_S, "the viewer is forgotten")


def test_too_many_viewers_are_refused(serve):
    server = serve(max_viewers=2)
    with joined(server) as one, joined(server) as two:
        received(one, "state"), received(two, "state")
        with pytest.raises(InvalidStatus, match="503"), joined(server):
            pass
    until(lambda: server._hub.n_viewers == 0, PATIENCE_S, "places become free")
    with joined(server) as three:
        received(three, "state")


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (b"\0" * 320, 1003, "/microphone"),
        (b"", 1003, "/microphone"),
        ("", 1007, "JSON"),
        ("{", 1007, "JSON"),
        ('{"type": 3}', 1007, "JSON"),
        ('{"type": "erase"}', 1007, "start"),
        ("x" * 2000, 1009, "1024"),
        ('{"type":"start"}', 1008, "input"),  # this server has none to choose
    ],
)
def test_what_is_no_command_ends_with_a_reason(serve, message, code, reason):
    server = serve()
    with joined(server) as stays:
        received(stays, "state")
        with joined(server) as viewer:
            received(viewer, "state")
            viewer.send(message)
            with pytest.raises(ConnectionClosed) as closed:
                received(viewer, "never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
        assert reason in closed.value.rcvd.reason
        server.emit(caption(*spoken("goes on")))
        assert words(received(stays, "caption")) == "goes on"


@pytest.mark.parametrize("path", ["live", "microphone"])
def test_a_hundred_megabytes_are_refused_before_they_are_read(serve, path):
    server = serve(switchable=True)
    host, port = authority(server).split(":")
    with joined(server) as stays, sockets.create_connection((host, int(port)), PATIENCE_S) as raw:
        received(stays, "state")
        raw.sendall(
            f"GET /{path}?spectrum=0 HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert raw.recv(65536).startswith(b"HTTP/1.1 101")
        # The head of a binary frame that announces 100 MB; the rest is not waited for.
        raw.sendall(b"\x82\xff" + struct.pack(">Q", 100_000_000) + b"\0" * 4)
        answer = b""
        while piece := raw.recv(65536):
            answer += piece
        assert struct.pack(">H", 1009) in answer
        server.emit(caption(*spoken("goes on")))
        assert words(received(stays, "caption")) == "goes on"


def test_too_many_commands_are_refused(serve):
    server = serve(switchable=True)
    with joined(server) as viewer:
        received(viewer, "state")
        with contextlib.suppress(ConnectionClosed):
            for _ in range(200):
                viewer.send('{"type":"stop"}')
        with pytest.raises(ConnectionClosed) as closed:
            received(viewer, "never")
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "too many commands")


def test_the_page_and_all_it_needs_come_from_here(serve):
    server = serve()
    status, headers, page = get(server, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert "<script>" not in page
    assert " style=" not in page
    for name in (
        "page.js",
        "captions.js",
        "spectrum.js",
        "microphone.js",
        "worklet.js",
        "page.css",
        "icon.svg",
    ):
        status, headers, text = get(server, f"/{name}")
        assert status == 200
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "https://" not in text  # nothing from anywhere else
    assert get(server, "/../server.py")[0] == 404
    assert get(server, "/static/page.js")[0] == 404
    assert get(server, "/", "POST")[0] == 405
    assert get(server, "/?" + "a=1&" * 100)[0] == 400


def test_downloads(serve):
    server = serve()
    server.emit(caption(*spoken("hello world"), final=True))
    status, headers, text = get(server, "/captions.srt")
    assert status == 200
    assert headers["Content-Disposition"] == 'attachment; filename="captions.srt"'
    assert text == "1\n00:00:00,000 --> 00:00:01,000\nhello world\n\n"
    assert get(server, "/captions.vtt")[2].startswith("WEBVTT\n\n00:00:00.000 -->")
    assert get(server, "/captions.txt")[2] == "hello world\n"


def test_without_its_token_only_the_scripts_are_served(serve):
    server = serve(token=TOKEN)
    for path in ("/", "/captions.txt", "/?token=wrong-token-of-24-chars"):
        status, _, text = get(server, path)
        assert status == 401
        assert "token" in text
        assert TOKEN not in text
    assert get(server, "/page.js")[0] == 200
    assert get(server, f"/?token={TOKEN}")[0] == 200
    assert get(server, "/captions.txt", Authorization=f"Bearer {TOKEN}")[0] == 200
    for path in ("live", "microphone", "live?token=wrong"):
        with pytest.raises(InvalidStatus, match="401"), joined(server, path):
            pass
    with joined(server, f"live?token={TOKEN}") as viewer:
        received(viewer, "state")


def test_other_machines_need_a_token_and_get_one(serve):
    server = serve("0.0.0.0:0")
    address, token = server.url.split("/?token=")
    assert len(token) == 32
    assert not address.startswith("http://0.0.0.0")
    assert get(server, "/")[0] == 401
    assert get(server, f"/?token={token}")[0] == 200


def test_foreign_names_and_pages_are_refused(serve):
    server = serve()
    assert get(server, "/", Host="evil.example")[0] == 421
    assert get(server, "/captions.txt", Origin="http://evil.example")[0] == 403
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}):
        with pytest.raises(InvalidStatus, match="403"), joined(server, "live", **headers):
            pass
    with joined(server, "live", origin=f"http://{authority(server)}") as viewer:
        received(viewer, "state")


def test_the_token_is_in_no_log(serve, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve(token=TOKEN)
    get(server, f"/?token={TOKEN}")
    with joined(server, f"live?token={TOKEN}") as viewer:
        received(viewer, "state")
        viewer.send(b"nonsense")
    ours = [record for record in caplog.records if not record.name.startswith("websockets.client")]
    assert TOKEN not in "\n".join(record.getMessage() for record in ours)


def test_an_address_in_use_is_an_error_with_advice(serve):
    server = serve()
    with pytest.raises(OutputError, match=r"cannot be served on 127.0.0.1:\d+: Address already in use"):
        CaptionServer(authority(server)).start()
    with pytest.raises(OutputError, match="cannot be served"):
        CaptionServer("no-such-host.invalid:8765", token=TOKEN).start()


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(MissingDependencyError, match=r"needs uvicorn.*\n.*pip install 'edgeaudio\[web\]'"):
        CaptionServer("127.0.0.1:0").start()


def test_closing_says_goodbye_and_may_be_repeated(serve):
    server = serve()
    with joined(server) as viewer:
        received(viewer, "state")
        server.close()
        server.close()
        with pytest.raises(ConnectionClosed) as closed:
            received(viewer, "never")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012  # "service restart": come again
    server.emit(caption(*spoken("to nobody")))


def test_only_a_switchable_server_has_a_source(serve):
    with pytest.raises(UsageError, match="switchable"):
        _ = serve().source
