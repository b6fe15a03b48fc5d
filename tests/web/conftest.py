"""A page's server for tests, and clients of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("websockets")

from websockets.sync.client import ClientConnection, connect

from edgeaudio.web import CaptionServer

PATIENCE_S = 60.0
"""Nothing here takes longer, on a machine that does other things besides."""

Serve = Callable[..., CaptionServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers on free ports; all are closed in the end."""
    with ExitStack() as stack:

        def start(address: str = "127.0.0.1:0", **options: Any) -> CaptionServer:
            return stack.enter_context(CaptionServer(address, **options))

        yield start


def authority(server: CaptionServer) -> str:
    """Host and port of a server."""
    return server.url.split("/")[2]


@contextmanager
def joined(
    server: CaptionServer, path: str = "live?spectrum=0", **options: Any
) -> Iterator[ClientConnection]:
    """Connect to one of the websockets."""
    address = f"ws://{authority(server)}/{path}"
    with connect(address, max_size=None, proxy=None, **options) as socket:
        yield socket


def received(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of this type."""
    while True:
        message = socket.recv(timeout=PATIENCE_S)
        if isinstance(message, str):
            facts: dict[str, Any] = json.loads(message)
            if facts["type"] == kind:
                return facts
