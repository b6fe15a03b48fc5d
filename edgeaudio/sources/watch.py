"""Noticing that a device is gone, however quietly it went."""

from __future__ import annotations

import time

from edgeaudio.sources.portaudio import InputStream

__all__ = ["SILENT_S", "Watch"]

SILENT_S = 1.5
"""No callback for so long: the device is lost, whatever PortAudio says."""

_LOOK_S = 0.5
"""Who did not look for so long (a stopped process, a debugger) has to look again before judging."""


class Watch:
    """Notices when a stream has died."""

    def __init__(self) -> None:
        self._callbacks = 0
        self._heard_at = self._looked_at = time.monotonic()

    def trouble(self, stream: InputStream, now: float) -> str | None:
        """Why the stream counts as lost, or None while it is well."""
        callbacks = stream.port.callbacks
        if callbacks != self._callbacks:
            self._callbacks, self._heard_at, self._looked_at = callbacks, now, now
            return None
        if not stream.active:
            return "the device went away"
        if now - self._looked_at > _LOOK_S:
            self._heard_at = now
        self._looked_at = now
        silent_s = now - self._heard_at
        return f"no sound for {silent_s:.1f} s" if silent_s > SILENT_S else None
