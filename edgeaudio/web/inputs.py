"""Who is listened to: the server's own input, one viewer's microphone, or nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from edgeaudio.errors import EdgeAudioError
from edgeaudio.sources.base import Source
from edgeaudio.sources.network import NetworkSource
from edgeaudio.sources.switch import Opener, SwitchSource

__all__ = ["Inputs"]

_Kind: TypeAlias = Literal["server", "browser"] | None


class Inputs:
    """Carries out what viewers ask for. Everybody shares one input, one recogniser and one transcript.

    A browser's microphone takes the place of the server's input until it ends; then what was listened to
    before goes on. One browser speaks at a time. May be used from any thread.

    Parameters
    ----------
    show : callable
        Gets the facts that viewers should see, after each change.
    opener : callable, optional
        Opens the server's own input; None where it has none.
    name : str
        What the server's own input is called.
    """

    def __init__(
        self, show: Callable[[dict[str, Any]], None], opener: Opener | None, name: str = "microphone"
    ) -> None:
        self._show = show
        self._opener = opener
        self._name = name
        self._lock = threading.RLock()
        self._kind: _Kind = None
        self._before: _Kind = None
        self._browser: NetworkSource | None = None
        self._message = ""
        self.source = SwitchSource(self._begun, self._ended)
        """What the engine listens to."""
        self._tell()

    @property
    def has_own(self) -> bool:
        """Whether there is an input of the server's own."""
        return self._opener is not None

    def start(self) -> None:
        """Listen to the server's own input."""
        with self._lock:
            self._let_go()
            if self._opener is None:
                self._message = "this server has no microphone"
            elif self._kind != "server":
                self._kind, self._message = "server", ""
                self.source.select(self._opener)
            self._tell()

    def stop(self) -> None:
        """Listen to nobody."""
        with self._lock:
            self._let_go()
            self._kind, self._message = None, ""
            self.source.select(None)
            self._tell()

    def take(self, browser: NetworkSource) -> bool:
        """Listen to a viewer's microphone; False if another one is in use."""
        with self._lock:
            if self._browser is not None:
                return False
            if self._kind != "browser":  # else the last one's end has not been heard yet
                self._before = self._kind
            self._browser, self._kind, self._message = browser, "browser", ""
            self.source.select(lambda: browser)
            self._tell()
            return True

    def release(self, browser: NetworkSource) -> None:
        """Say that a viewer's microphone has ended: its last samples are still heard."""
        browser.end()
        with self._lock:
            if self._browser is browser:
                self._browser = None

    def _let_go(self) -> None:
        """End a browser's microphone that is in use."""
        browser, self._browser = self._browser, None
        self._before = None
        if browser is not None:
            browser.stop()

    def _begun(self, source: Source) -> None:
        """Take note of a source that was opened, in the engine's thread."""
        with self._lock:
            if isinstance(source, NetworkSource):
                self._kind = "browser"
            else:
                self._kind, self._name, self._message = "server", source.name, ""
            self._tell()

    def _ended(self, source: Source | None, error: EdgeAudioError | None) -> None:
        """Go on with what was listened to before a browser's microphone; in the engine's thread."""
        with self._lock:
            if isinstance(source, NetworkSource):
                if self._kind != "browser" or self._browser not in (None, source):
                    return  # somebody chose another input
                self._browser = None
                self._kind, self._before = self._before, None
                self.source.select(self._opener if self._kind else None)
            elif self._kind == "server":
                self._kind = None
                self._message = error.message if error else f"{self._name} has ended"
            self._tell()

    def _tell(self) -> None:
        name = self._browser.name if self._kind == "browser" and self._browser else self._name
        self._show(
            {
                "listening": self._kind,
                "name": name if self._kind else None,
                "server": self._name if self._opener else None,
                "choices": ["server", "browser"] if self._opener else ["browser"],
                "message": self._message,
            }
        )
