"""The page's server: a sink for events that many browsers watch."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any

from edgeaudio.errors import MissingDependencyError, OutputError, UsageError
from edgeaudio.events import Event
from edgeaudio.sources.switch import Opener, SwitchSource
from edgeaudio.web.access import DEFAULT_ADDRESS, Access, Address, parse_address
from edgeaudio.web.board import Board
from edgeaudio.web.inputs import Inputs
from edgeaudio.web.microphone import LONGEST_MESSAGE
from edgeaudio.web.tap import FrameTap
from edgeaudio.web.viewer import Hub

__all__ = ["CaptionServer"]

_LOG = logging.getLogger(__name__)
_SEND_BUFFER_BYTES = 64 * 1024
"""What the system keeps for a viewer that does not read; beyond it, the viewer's own task waits."""
_DEAF_MS = 30_000
"""After so long without reading anything, a viewer's connection is cut."""
_JOIN_S = 5.0


class CaptionServer:
    """Serves the page from a thread of its own; the engine never waits for a viewer.

    Parameters
    ----------
    address : str
        ``HOST:PORT``; port 0 is any free one.
    token : str, optional
        What viewers must show. Where the address can be reached from other machines, one is made if none
        is given.
    model : str
        Name to show.
    tap : FrameTap, optional
        Listens beside the recogniser, for the spectrogram.
    opener : callable, optional
        Opens the server's own input, each time that somebody starts it.
    input_name : str, optional
        What that input is called until it was opened.
    switchable : bool
        Whether viewers choose the input; `source` is then what the engine has to listen to.
    max_viewers : int
        Further ones are refused.

    Raises
    ------
    UsageError
        The address or the token makes no sense.

    Examples
    --------
    A page without an engine::

        with CaptionServer() as server:
            print(server.url)
            server.emit(caption)
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        token: str | None = None,
        model: str = "",
        tap: FrameTap | None = None,
        opener: Opener | None = None,
        input_name: str = "microphone",
        switchable: bool = False,
        max_viewers: int = 100,
    ) -> None:
        self._address = parse_address(address)
        if token is None and not self._address.is_loopback:
            token = secrets.token_urlsafe(24)
        Access(self._address, token)  # checks both
        self._token = token
        self._max_viewers = max_viewers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self._waking = False
        self._board = Board({"model": model, "spectrum": _describe(tap)}, self._wake)
        self._hub = Hub(self._board, tap)
        self._inputs = Inputs(self._board.show_input, opener, input_name) if switchable else None
        if self._inputs is None:
            fixed = {
                "listening": "server",
                "name": input_name,
                "server": input_name,
                "choices": [],
                "message": "",
            }
            self._board.show_input(fixed)

    @property
    def source(self) -> SwitchSource:
        """What the engine has to listen to where viewers choose the input.

        Raises
        ------
        UsageError
            They do not.
        """
        if self._inputs is None:
            raise UsageError("this page does not choose the input", hint="Make it with switchable=True.")
        return self._inputs.source

    @property
    def url(self) -> str:
        """Where a browser finds the page, with the token."""
        host = _own_address() if self._address.is_wildcard else self._address.host
        query = f"/?token={self._token}" if self._token else "/"
        return f"http://{Address(host, self._address.port)}{query}"

    def watch_level(self, level_dbfs: Callable[[], float]) -> None:
        """Show this level from now on; it is asked about ten times a second, from the server's thread."""
        self._hub.level_dbfs = level_dbfs

    def start(self, *, listening: bool = True) -> None:
        """Begin to serve, and to listen to the server's own input if there is one.

        Raises
        ------
        MissingDependencyError
            Starlette, uvicorn or websockets are not installed.
        OutputError
            The address cannot be used.
        """
        uvicorn = _uvicorn()
        from edgeaudio.web.app import build_app

        bound = _bind(self._address)
        self._address = Address(self._address.host, bound.getsockname()[1])
        access = Access(self._address, self._token)
        config = uvicorn.Config(
            build_app(access, self._hub, self._inputs, max_viewers=self._max_viewers),
            loop="asyncio",
            http="h11",
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            log_level="critical",  # its lines hold the addresses, and with them the token
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=2 * self._max_viewers + 16,
            timeout_graceful_shutdown=1,
            ws_max_size=LONGEST_MESSAGE,
            ws_per_message_deflate=False,
        )
        self._server = uvicorn.Server(config)
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(bound, started), name="edgeaudio-web", daemon=True
        )
        self._thread.start()
        started.wait(_JOIN_S)
        if self._inputs is not None and self._inputs.has_own and listening:
            self._inputs.start()

    def emit(self, event: Event) -> None:
        """Show an event to all viewers. Never waits for any of them."""
        self._board.post(event)

    def close(self) -> None:
        """Tell all viewers that it is over, and end; idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._server.should_exit = True
            thread.join(_JOIN_S)

    def __enter__(self) -> CaptionServer:  # noqa: PYI034 - Self is in typing since 3.11 only
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _run(self, bound: socket.socket, started: threading.Event) -> None:
        """Be the server's thread."""

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            ticking = asyncio.ensure_future(self._hub.tick())
            started.set()
            try:
                await self._server.serve(sockets=[bound])
            finally:
                ticking.cancel()

        try:
            asyncio.run(serve())
        except Exception:
            _LOG.exception("the page's server has failed; captions go on without it")
        finally:
            self._loop = None
            started.set()
            bound.close()

    def _wake(self) -> None:
        """Have all viewers look at the board soon; at most one such call waits in the loop."""
        loop = self._loop
        if loop is None or self._waking:
            return
        self._waking = True
        try:
            loop.call_soon_threadsafe(self._wake_all)
        except RuntimeError:  # the loop was closed a moment ago
            self._waking = False

    def _wake_all(self) -> None:
        self._waking = False  # before looking, so that what comes now wakes them again
        self._hub.wake()


def _describe(tap: FrameTap | None) -> dict[str, Any] | None:
    """Say what the binary messages hold."""
    if tap is None:
        return None
    return {
        "bands": tap.n_bands,
        "column_ms": tap.column_ms,
        "min_db": tap.min_db,
        "max_db": tap.max_db,
        "fmin_hz": tap.spec.fmin_hz,
        "fmax_hz": tap.spec.fmax_hz,
    }


def _own_address() -> str:
    """Return this machine's address in its network, as numbers; its name if it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: it only chooses the way there
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _uvicorn() -> Any:
    try:
        import starlette  # noqa: F401
        import uvicorn
        import websockets  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"the page needs {error.name}, which is not installed", hint="pip install 'edgeaudio[web]'"
        ) from error
    return uvicorn


def _bind(address: Address) -> socket.socket:
    """Return a listening socket whose connections keep little for those who do not read."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAF_MS)
        bound.bind((address.host, address.port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        raise OutputError(
            f"the page cannot be served on {address}: {error.strerror or error}",
            hint="Choose another one with --web HOST:PORT; port 0 is any free one.",
        ) from error
    return bound
