"""Getting a lost microphone back, in a thread of its own: any step of it may hang for long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edgeaudio.errors import DeviceError
from edgeaudio.sources.portaudio import InputStream, close_within, refresh_devices

__all__ = ["CLOSE_S", "FIRST_BLOCK_S", "Reopener"]

_log = logging.getLogger(__name__)

CLOSE_S = 5.0
"""How long a dying stream may take to close. PulseAudio takes milliseconds, a dead JACK for ever."""

FIRST_BLOCK_S = 1.5
"""A stream that opens but delivers nothing for so long does not count as restored."""

_LAST_ATTEMPT_S = 1.0
"""How long an attempt under way is waited for when it is not wanted any more; it takes a tenth of that."""

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0


class Reopener:
    """Closes a dead stream and tries to open it again until it succeeds or is stopped.

    Pauses between attempts begin at 0.25 s and double up to 5 s.

    Parameters
    ----------
    dead : InputStream
        The stream that was lost; muted.
    open_again : callable
        Opens a new, muted stream on the same device, or raises `DeviceError`.
    """

    def __init__(self, dead: InputStream, open_again: Callable[[], InputStream]) -> None:
        self.attempts = 0
        self.last_error = "no attempt has ended yet"
        self._dead = dead
        self._hanging = False
        self._open_again = open_again
        self._stream: InputStream | None = None
        self._stop = threading.Event()
        self._handover = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="edgeaudio-reopen", daemon=True)
        self._thread.start()

    def take(self) -> InputStream | None:
        """The restored stream, once, still muted."""
        with self._handover:
            stream, self._stream = self._stream, None
        return stream

    def stop(self) -> bool:
        """Give up, closing what is open; False if PortAudio hangs in what it is doing."""
        self._stop.set()
        self._thread.join(_LAST_ATTEMPT_S)
        self._close_untaken()
        return not (self._thread.is_alive() or self._hanging)

    def _close_untaken(self) -> None:
        stream = self.take()
        if stream is not None:
            self._close(stream)

    def _run(self) -> None:
        self._close(self._dead)
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            self.attempts += 1
            try:
                stream = self._attempt()
            except Exception as error:  # whatever a half-present device throws, the attempts go on
                self.last_error = getattr(error, "message", str(error))
                _log.debug("attempt %d: %s", self.attempts, self.last_error)
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            with self._handover:
                self._stream = stream
            if self._stop.is_set():  # nobody waits for it any more
                self._close_untaken()
            return

    def _attempt(self) -> InputStream:
        if not self._hanging:
            refresh_devices()
        stream = self._open_again()
        deadline = time.monotonic() + FIRST_BLOCK_S
        while stream.port.callbacks == 0:
            if self._stop.wait(0.01) or time.monotonic() > deadline or not stream.active:
                self._close(stream)
                raise DeviceError(f"it opens, but sends nothing within {FIRST_BLOCK_S} s")
        return stream

    def _close(self, stream: InputStream) -> None:
        if not close_within(stream, CLOSE_S):
            # Restarting PortAudio under a stream that is still being closed would crash.
            self._hanging = True
            _log.warning("a lost stream does not close; the list of devices stays as it was")
