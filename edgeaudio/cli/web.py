"""``--web``: what `edgeaudio caption` listens to is chosen on a page, and read there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from edgeaudio.errors import DeviceError, MissingDependencyError, UsageError

if TYPE_CHECKING:
    from edgeaudio.engine import Engine
    from edgeaudio.sources.base import Source
    from edgeaudio.tasks.recognizer import Recognizer

__all__ = ["Page", "WebOptions", "first_source", "settle_web", "web_options"]

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])
_LOG = logging.getLogger(__name__)
_DEFAULT = ""
"""Stands for --web without an address; the real default is known only where the server is."""


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """What `web_options` yields."""

    web: str | None
    token: str | None


def web_options(command: _COMMAND) -> _COMMAND:
    """Add the options of `WebOptions`."""
    command = click.option(
        "--token",
        metavar="TEXT",
        envvar="EDGEAUDIO_TOKEN",
        help="What viewers of the page must show.  [default: none on this machine, else made up]",
    )(command)
    return click.option(
        "--web",
        is_flag=False,
        flag_value=_DEFAULT,
        metavar="[HOST:PORT]",
        help="Show the captions on a page, too.  [default address: 127.0.0.1:8765]",
    )(command)


def settle_web(options: dict[str, Any]) -> None:
    """Tell what follows ``--web`` from the SOURCE, and refuse what makes no sense with a page.

    Raises
    ------
    UsageError
        The address or the token is none, or --token or --fast have no place here.
    """
    address = options["web"]
    if address is None:
        given = click.get_current_context().get_parameter_source("token")
        if given is ParameterSource.COMMANDLINE:  # the environment may hold it for other commands
            raise UsageError("--token is for --web", hint="Leave it out.")
        return
    from edgeaudio.web.access import DEFAULT_ADDRESS, Access, parse_address

    if address == _DEFAULT:
        options["web"] = DEFAULT_ADDRESS
    else:
        try:
            parse_address(address)
        except UsageError:
            if options["source"] is not None:
                raise
            options["source"], options["web"] = address, DEFAULT_ADDRESS
    if options["token"] is not None:
        Access(parse_address(options["web"]), options["token"])
    if options["fast"]:
        raise UsageError(
            "--web shows captions as they are said; --fast leaves no time to", hint="Leave it out."
        )


def first_source(open_source: Callable[[], Source], *, optional: bool) -> Source | None:
    """Open what the page listens to at first; None if it is optional and missing.

    Raises
    ------
    EdgeAudioError
        It cannot be opened and is not optional.
    """
    try:
        return open_source()
    except (DeviceError, MissingDependencyError) as error:
        if not optional:
            raise
        _LOG.warning("%s; a browser's microphone can be chosen on the page", error.message)
        return None


class Page:
    """The server, and what it needs from the engine.

    Parameters
    ----------
    options : WebOptions
        With an address.
    first : Source, optional
        What is listened to until somebody chooses otherwise.
    open_source : callable
        Opens it again, when it was stopped and somebody starts it.
    recognizer : Recognizer
        Whose captions are shown, and whose frames.
    """

    def __init__(
        self,
        options: WebOptions,
        first: Source | None,
        open_source: Callable[[], Source],
        recognizer: Recognizer,
    ) -> None:
        from edgeaudio.web import CaptionServer, FrameTap

        self._first = first
        self._waiting = first
        self._open_source = open_source
        self.tap = FrameTap(recognizer.spec)
        self.server = CaptionServer(
            options.web or "",
            token=options.token,
            model=recognizer.name,
            tap=self.tap,
            opener=self._opened,
            input_name=first.name if first else "microphone",
            switchable=True,
        )

    def start(self, engine: Engine) -> None:
        """Serve, and say where.

        Raises
        ------
        EdgeAudioError
            The address cannot be used, or a package is missing.
        """
        self.server.watch_level(lambda: engine.stats().level_dbfs)
        self.server.start(listening=self._first is not None)
        click.echo(f"captions at {self.server.url}", err=True)

    def _opened(self) -> Source:
        source, self._waiting = self._waiting, None
        return source or self._open_source()
