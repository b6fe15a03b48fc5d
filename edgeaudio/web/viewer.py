"""Bringing the board to one viewer, as fast as that one reads and no faster."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from edgeaudio.web.board import Board
from edgeaudio.web.inputs import Inputs
from edgeaudio.web.tap import FrameTap

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

__all__ = ["Allowance", "Hub", "close_quietly", "watch"]

BAD_DATA, NOT_UNDERSTOOD, REFUSED, TOO_BIG = 1003, 1007, 1008, 1009
"""Close codes of RFC 6455, as the protocol's documentation explains them."""

_TICK_S = 0.1
_LONGEST_COMMAND = 1024
_COMMANDS_A_SECOND, _COMMANDS_AT_ONCE = 5.0, 20.0
_HEADER = struct.Struct("<If")


class Allowance:
    """So much a second, and some in advance.

    Parameters
    ----------
    a_second : float
        What is earned.
    at_once : float
        What can be saved up; it is there from the beginning.
    clock : callable, optional
        Monotonic seconds.

    Examples
    --------
    >>> allowance = Allowance(1.0, 2.0, clock=lambda: 0.0)
    >>> [allowance.spend(1.0) for _ in range(3)]
    [True, True, False]
    """

    def __init__(
        self, a_second: float, at_once: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._a_second, self._at_once, self._clock = a_second, at_once, clock
        self._saved = at_once
        self._counted_at = clock()

    def spend(self, amount: float) -> bool:
        """Take `amount`; False if there is not so much."""
        now = self._clock()
        self._saved = min(self._at_once, self._saved + self._a_second * (now - self._counted_at))
        self._counted_at = now
        if amount > self._saved:
            return False
        self._saved -= amount
        return True


class Hub:
    """All viewers, woken together; lives in the server's event loop.

    Parameters
    ----------
    board : Board
        What they should see.
    tap : FrameTap, optional
        Where the spectrogram comes from.
    """

    def __init__(self, board: Board, tap: FrameTap | None) -> None:
        self.board = board
        self.level_dbfs: Callable[[], float] = lambda: -120.0
        """The input's level now."""
        self._tap = tap
        self._sleepers: set[asyncio.Event] = set()
        self._drawn: tuple[int, int, bytes] = (0, 0, b"")

    @property
    def n_viewers(self) -> int:
        """How many are connected."""
        return len(self._sleepers)

    @property
    def n_columns(self) -> int:
        """Columns of the spectrogram so far."""
        return self._tap.written if self._tap is not None else 0

    def enter(self) -> asyncio.Event:
        """Return what is set whenever there is news, until `leave`."""
        bell = asyncio.Event()
        self._sleepers.add(bell)
        return bell

    def leave(self, bell: asyncio.Event) -> None:
        """Forget a viewer."""
        self._sleepers.discard(bell)

    def wake(self) -> None:
        """Tell all viewers that something changed."""
        for bell in self._sleepers:
            bell.set()

    async def tick(self) -> None:
        """Wake all viewers ten times a second while frames come in."""
        seen = -1
        while True:
            await asyncio.sleep(_TICK_S)
            if self.n_columns != seen:
                seen = self.n_columns
                self.wake()

    def columns(self, first: int) -> tuple[int, bytes]:
        """Return the number to ask with next time and the message with the columns from `first` on.

        Viewers that keep up ask for the same columns; they are put together once.
        """
        if self._tap is None or self._tap.written <= first:
            return first, b""
        end = self._tap.written
        if self._drawn[:2] != (first, end):
            begin, values = self._tap.read(first)
            header = _HEADER.pack(begin & 0xFFFFFFFF, self.level_dbfs())
            self._drawn = (first, begin + len(values), header + values.tobytes())
        return self._drawn[1], self._drawn[2]


async def watch(socket: WebSocket, hub: Hub, inputs: Inputs | None) -> None:
    """Serve one accepted viewer until it goes or breaks the rules."""
    bell = hub.enter()
    wants_columns = socket.query_params.get("spectrum") != "0"
    telling = asyncio.ensure_future(_tell(socket, hub, bell, wants_columns=wants_columns))
    listening = asyncio.ensure_future(_listen(socket, inputs))
    try:
        await asyncio.wait((telling, listening), return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.leave(bell)
        for task in (telling, listening):
            task.cancel()
        results = await asyncio.gather(telling, listening, return_exceptions=True)
    verdict = results[1]
    if isinstance(verdict, tuple):
        await close_quietly(socket, *verdict)


async def close_quietly(socket: WebSocket, code: int, reason: str) -> None:
    """Close, whether or not the other side is still there."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: starlette's word for "closed already"
        await socket.close(code, reason)


async def _tell(socket: WebSocket, hub: Hub, bell: asyncio.Event, *, wants_columns: bool) -> None:
    """Send what is new, captions first. Awaiting a send waits for the viewer, and for nobody else."""
    news = hub.board.state()
    at_column = hub.n_columns
    while True:
        for message in news.messages:
            await socket.send_text(message)
        if wants_columns and not news.messages:
            at_column, columns = hub.columns(at_column)
            if columns:
                await socket.send_bytes(columns)
        await bell.wait()
        bell.clear()
        news = hub.board.since(news.version)


async def _listen(socket: WebSocket, inputs: Inputs | None) -> tuple[int, str] | None:
    """Carry out commands; return the close code and reason for a viewer that sends something else."""
    allowance = Allowance(_COMMANDS_A_SECOND, _COMMANDS_AT_ONCE)
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text = message.get("text")
        if text is None:
            return BAD_DATA, "commands are text; audio goes to /microphone"
        if len(text) > _LONGEST_COMMAND:
            return TOO_BIG, f"a command has at most {_LONGEST_COMMAND} characters"
        if not allowance.spend(1.0):
            return REFUSED, "too many commands"
        try:
            command = msgspec.json.decode(text, type=dict[str, str])
        except msgspec.DecodeError:
            return NOT_UNDERSTOOD, 'a command is a JSON object such as {"type":"start"}'
        if command not in ({"type": "start"}, {"type": "stop"}):
            return NOT_UNDERSTOOD, 'there are the commands {"type":"start"} and {"type":"stop"}'
        if inputs is None:
            return REFUSED, "this server's input cannot be started and stopped"
        if command["type"] == "start":
            inputs.start()
        else:
            inputs.stop()
