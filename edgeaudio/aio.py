"""An engine's events in asyncio, for web programs.

::

    async for event in aio.events(Engine(Microphone(), Recognizer.load())):
        await websocket.send_text(encode_event(event).decode())
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Generator

from edgeaudio.engine import Engine
from edgeaudio.events import Event

__all__ = ["events"]

_WAITING_EVENTS = 64


async def events(engine: Engine) -> AsyncGenerator[Event, None]:
    """Run an engine and yield its events; the loop never waits for audio.

    The engine is started here, in threads of its own, and closed when the iteration ends: with the source,
    by ``break``, by cancellation or by an error. A program that is too slow loses events as described
    under `Engine`, ``max_events``; from a source that goes by no clock it loses none.

    Parameters
    ----------
    engine : Engine
        One that has not run yet.

    Raises
    ------
    EdgeAudioError
        What went wrong in the engine.
    """
    pump = _Pump(engine, asyncio.get_running_loop())
    pump.start()
    try:
        while (event := await pump.take()) is not None:
            yield event
        if pump.failure is not None:
            raise pump.failure
    finally:
        # In a thread, since the engine's own threads are waited for.
        await asyncio.to_thread(pump.close)


class _Pump(threading.Thread):
    """Carries events from the engine's queue to the loop, as many as there is room for."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="edgeaudio-aio", daemon=True)
        self._engine = engine
        self._loop = loop
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._room = threading.Semaphore(_WAITING_EVENTS)
        self._closing = False
        self.failure: BaseException | None = None

    async def take(self) -> Event | None:
        """Return the next event, None behind the last."""
        event = await self._queue.get()
        self._room.release()
        return event

    def close(self) -> None:
        """Stop the engine and wait for it. Never called from the loop's thread."""
        self._closing = True
        self._engine.stop()
        self._room.release()  # should it be waiting for room
        self.join()

    def run(self) -> None:
        """Be the thread."""
        try:
            with contextlib.closing(self._events()) as events:
                for event in events:
                    self._room.acquire()
                    if self._closing:
                        break
                    self._pass(event)
        except BaseException as error:  # it goes on in the loop's thread
            self.failure = error
        finally:
            self._pass(None)

    def _events(self) -> Generator[Event, None, None]:
        return self._live() if self._engine.live else self._engine.replay()

    def _live(self) -> Generator[Event, None, None]:
        with self._engine as engine:
            yield from engine

    def _pass(self, event: Event | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, event)
        except RuntimeError:  # the loop is closed, nobody listens any more
            self._closing = True
