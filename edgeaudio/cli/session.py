"""One run of a listening command: events go out, the live line is drawn, a summary ends it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable

import click

from edgeaudio.cli.background import StopSignals, Ticker
from edgeaudio.cli.common import log_to, reader_has_gone, stdout_bytes
from edgeaudio.cli.summary import Tally
from edgeaudio.engine import Engine
from edgeaudio.events import Event
from edgeaudio.sinks import Sink
from edgeaudio.sinks.clips import ClipSaver
from edgeaudio.sinks.hook import CommandHook
from edgeaudio.sinks.lines import JsonLines, PlainLines
from edgeaudio.sinks.live import LiveLine
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["Session"]

_DRAW_S = 0.1
_LOOK_S = 1.0
"""How often a pipe without events is looked at."""


class Session:
    """Passes the engine's events to standard output and whatever else was asked for.

    Parameters
    ----------
    engine : Engine
        For its counters, and to be stopped.
    events : iterable of Event
        The engine itself, or its replay.
    signals : StopSignals
        Entered already.
    as_json : bool
        Print JSON lines; otherwise plain lines, with a live line below them on a terminal.
    hook, clips : optional
        Further receivers of events, closed here.
    """

    def __init__(
        self,
        engine: Engine,
        events: Iterable[Event],
        signals: StopSignals,
        *,
        as_json: bool,
        hook: CommandHook | None = None,
        clips: ClipSaver | None = None,
    ) -> None:
        self._engine = engine
        self._events = events
        self._signals = signals
        self._hook = hook
        self._clips = clips
        self._tally = Tally()
        lines: Sink = JsonLines(stdout_bytes()) if as_json else PlainLines(stdout_bytes())
        # Both must be the terminal: where a program reads the events, its own output is on the screen.
        watched = not as_json and _is_terminal(sys.stdout) and _is_terminal(sys.stderr)
        self._live = LiveLine(sys.stderr, lines) if watched else None
        self._sinks: list[Sink] = [self._tally]
        self._sinks += [sink for sink in (clips, hook, self._live or lines) if sink is not None]
        self._reader_gone = False

    def listen(self) -> None:
        """Pass events on until the source ends, a signal comes, or nobody reads any more.

        Raises
        ------
        EdgeAudioError
            What ended the engine, after the summary was printed.
        """
        self._signals.watch(self._engine.stop)
        started = time.monotonic()
        ticker = Ticker(_DRAW_S if self._live else _LOOK_S, self._tick)
        log_to(self._live)
        try:
            for event in self._events:
                for sink in self._sinks:
                    sink.emit(event)
        except BrokenPipeError:
            self._reader_gone = True
        finally:
            wall_s = time.monotonic() - started
            self._engine.stop()
            ticker.close()
            self._close()
            if not self._reader_gone:
                self._print_summary(wall_s)

    def _tick(self) -> None:
        """Do what is due beside the events."""
        if self._live is not None:
            stats = self._engine.stats()
            with contextlib.suppress(OSError):  # the terminal may have gone
                self._live.draw(stats.level_dbfs, stats.processed_samples / SAMPLE_RATE_HZ)
        if reader_has_gone():
            self._reader_gone = True
            self._engine.stop()

    def _close(self) -> None:
        if self._clips is not None:
            self._clips.close()
        if self._hook is not None:
            # A person who presses Ctrl-C does not wait for a queue of commands.
            self._hook.close(discard=self._signals.received is not None)
        if self._live is not None:
            self._live.close()
        log_to(None)

    def _print_summary(self, wall_s: float) -> None:
        summary = self._tally.summary(self._engine.stats(), wall_s, hook=self._hook, clips=self._clips)
        click.echo(summary, err=True)


def _is_terminal(stream: object) -> bool:
    return bool(getattr(stream, "isatty", bool)())
