"""One run of a listening command: events go out, the live line is drawn, a summary ends it."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import click

from edgeaudio.cli.background import StopSignals, Ticker
from edgeaudio.cli.common import SupportsWrite, log_to, reader_has_gone, stdout_bytes
from edgeaudio.cli.summary import Tally
from edgeaudio.engine import Engine
from edgeaudio.errors import OutputError
from edgeaudio.events import Event
from edgeaudio.sinks import Reporting, Sink
from edgeaudio.sinks.hook import CommandHook
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["Live", "Session", "is_terminal", "line_output", "open_events"]

_DRAW_S = 0.1
_LOOK_S = 1.0
"""How often a pipe without events is looked at."""


@runtime_checkable
class Live(Sink, SupportsWrite, Protocol):
    """What draws on a terminal, where log records have to make way for it."""

    def draw(self, level_dbfs: float, heard_s: float) -> None:
        """Bring it up to date."""


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
    output : Sink
        Writes to standard output, or draws on a terminal if it is `Live`.
    tally : Tally
        Counts, for the summary.
    hook : CommandHook, optional
        Gets events too; closed here.
    others : sequence of Sink
        Further receivers of events, told before the others; closed here.
    """

    def __init__(
        self,
        engine: Engine,
        events: Iterable[Event],
        signals: StopSignals,
        output: Sink,
        tally: Tally,
        *,
        hook: CommandHook | None = None,
        others: Sequence[Sink] = (),
    ) -> None:
        self._engine = engine
        self._events = events
        self._signals = signals
        self._tally = tally
        self._output = output
        self._live = output if isinstance(output, Live) else None
        self._hook = hook
        self._others = others
        self._emitting = threading.Lock()
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
        # Elsewhere, log records do not stand in the way of what is drawn.
        log_to(self._live if is_terminal(sys.stderr) else None)
        try:
            for event in self._events:
                with self._emitting:
                    for sink in self._sinks:
                        sink.emit(event)
        except (OSError, OutputError) as error:
            if not isinstance(error, BrokenPipeError) and not reader_has_gone():
                raise
            self._reader_gone = True
        finally:
            wall_s = time.monotonic() - started
            self._engine.stop()
            ticker.close()
            try:
                self._close()
            finally:
                if not self._reader_gone:
                    self._print_summary(wall_s)

    def exchange(self, others: Sequence[Sink]) -> None:
        """Let these be the further receivers, from the next event on; from any thread.

        Those that are not among them any more are the caller's to be closed.
        """
        with self._emitting:
            self._others = others

    def say(self, text: str) -> None:
        """Write a line on standard error, above what is drawn there; from any thread."""
        if self._live is not None:
            self._live.write(f"{text}\n")
        else:
            click.echo(text, err=True)

    @property
    def _sinks(self) -> list[Sink]:
        hook = [self._hook] if self._hook is not None else []
        # Standard output comes last: its reader may go, and all others have had the event then.
        return [self._tally, *self._others, *hook, self._output]

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
        # A person who presses Ctrl-C does not wait for a queue of commands.
        discard = self._signals.received is not None
        for sink in (*self._others, self._hook):
            if isinstance(sink, CommandHook):
                sink.close(discard=discard)
            elif sink is not None:
                sink.close()
        try:
            if not self._reader_gone:
                self._output.close()
        except OSError as error:
            if not isinstance(error, BrokenPipeError) and not reader_has_gone():
                raise
            self._reader_gone = True
        finally:
            log_to(None)

    def _print_summary(self, wall_s: float) -> None:
        facts = [sink.fact() for sink in self._sinks if isinstance(sink, Reporting)]
        with contextlib.suppress(OSError):  # the terminal may have gone
            click.echo(self._tally.summary(self._engine.stats(), wall_s, facts), err=True)


def open_events(engine: Engine, stack: contextlib.ExitStack, *, clocked: bool) -> Iterable[Event]:
    """Return the events of an engine, which `stack` ends; `clocked` as for `Engine.replay`."""
    # Only a clock cannot wait for the reader of events; what does not go by one needs no queue.
    if engine.live:
        return stack.enter_context(engine)
    return stack.enter_context(contextlib.closing(engine.replay(clocked=clocked)))


def line_output(*, as_json: bool, models: bool = False) -> Sink:
    """Return what prints a line an event on standard output, on a terminal with the live line below.

    Parameters
    ----------
    as_json : bool
        As JSON, without the live line.
    models : bool, optional
        Say which model has heard a word.
    """
    from edgeaudio.sinks.lines import JsonLines, PlainLines

    lines: Sink = JsonLines(stdout_bytes()) if as_json else PlainLines(stdout_bytes(), models=models)
    # Both must be the terminal: where a program reads the events, its own output is on the screen.
    if as_json or not (is_terminal(sys.stdout) and is_terminal(sys.stderr)):
        return lines
    from edgeaudio.sinks.live import LiveLine

    return LiveLine(sys.stderr, lines, models=models)


def is_terminal(stream: object) -> bool:
    """Say whether people see what is written there."""
    return bool(getattr(stream, "isatty", bool)())
