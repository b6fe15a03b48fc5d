"""The listening of ``edgeaudio calibrate``: to a room, hour after hour, or to recordings."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.background import StopSignals, Ticker
from edgeaudio.cli.calibrate import source_options
from edgeaudio.cli.common import harmless, log_to
from edgeaudio.cli.listening import open_source
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.rates import length
from edgeaudio.cli.session import is_terminal
from edgeaudio.engine import Engine
from edgeaudio.evaluation.manifest import path_text
from edgeaudio.evaluation.room_log import Heard, Listened, RoomLog, rooms_folder
from edgeaudio.events import Clipping, DigitalSilence, Event, NearMiss
from edgeaudio.sinks.lines import describe
from edgeaudio.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from edgeaudio.cli.calibrate import Options
    from edgeaudio.evaluation.manifest import Row
    from edgeaudio.evaluation.room_task import RoomTask
    from edgeaudio.profiles import Profile
    from edgeaudio.sinks.ledger import LedgerSink

__all__ = ["listen", "open_keep", "read"]

_KEEP_S = 60.0
_TELL_S = 600.0


def open_keep(options: Options) -> LedgerSink | None:
    """Return the ledger for clips, if they are to be kept."""
    if options.keep is None:
        return None
    from edgeaudio.sinks.ledger import LedgerSink

    sink = LedgerSink(options.keep, wait=not options.in_room)
    click.echo(f"what sounds like the word is recorded in {options.keep}", err=True)
    return sink


def listen(
    options: Options, task: RoomTask, profile: Profile, signals: StopSignals, *, keep: LedgerSink | None
) -> Listened:
    """Listen to a room until it was heard for long enough, or somebody ends it; goes on from before."""
    from edgeaudio.models.calibrated import fingerprint

    path = rooms_folder() / f"{task.name}.jsonl"
    if options.fresh:
        RoomLog.delete(path)
    log = RoomLog(path, task.name, fingerprint(task.manifest), len(task.manifest.spotted))
    wanted_s = 3600 * (options.hours or 0.0)
    with contextlib.closing(log):
        before_s = log.listened.seconds
        if before_s:
            click.echo(
                f"{length(before_s / 3600)} were heard until {log.listened.until[:16].replace('T', ' ')}; "
                "--fresh forgets them",
                err=True,
            )
        if before_s < wanted_s:
            words = " or ".join(f"'{word.replace('_', ' ')}'" for word in task.manifest.spotted)
            click.echo(
                f"listening for {length((wanted_s - before_s) / 3600)}; live as usual, but do not say "
                f"{harmless(words)}. Ctrl-C keeps what was heard",
                err=True,
            )
            source = open_source(source_options(options), profile)
            history = None if keep is None else keep.history
            engine = Engine(source, task, profile=profile, history=history)
            _Room(engine, task, log, keep, wanted_s).listen(signals)
        return log.listened


class _Room:
    """One session of listening."""

    def __init__(
        self, engine: Engine, task: RoomTask, log: RoomLog, keep: LedgerSink | None, wanted_s: float
    ) -> None:
        self._engine = engine
        self._task = task
        self._log = log
        self._keep = keep
        self._wanted_s = wanted_s
        self._kept_s = 0.0
        self._silence = _Silence()
        self._heard: list[Heard] = []
        self._highest = 0.0
        self._n_heard = 0
        self._lock = threading.Lock()
        self._kept_at = self._told_at = time.monotonic()
        self._draws = is_terminal(sys.stderr)

    def listen(self, signals: StopSignals) -> None:
        signals.watch(self._engine.stop)
        ticker = Ticker(0.5, self._tick)
        try:
            with self._events() as events:
                for event in events:
                    self._take(event)
        finally:
            self._engine.stop()
            ticker.close()
            self._store(ended=True)
            if self._draws:
                click.echo("\r\033[K", nl=False, err=True)

    @contextlib.contextmanager
    def _events(self) -> Iterator[Iterable[Event]]:
        if self._engine.live:
            with self._engine as engine:
                yield engine
        else:
            with contextlib.closing(self._engine.replay(clocked=True)) as events:
                yield events

    def _take(self, event: Event) -> None:
        self._silence.note(event)
        if isinstance(event, NearMiss):
            at = datetime.now().astimezone().isoformat(timespec="seconds")
            with self._lock:
                self._heard.append(Heard(at=at, name=event.name, score=round(event.score, 6)))
            self._n_heard += 1
            self._highest = max(self._highest, event.score)
            if self._keep is not None:
                self._keep.emit(event)
        elif not isinstance(event, Clipping):
            muted = isinstance(event, DigitalSilence) and not event.ended
            told = f"{describe(event)}{' Muted time does not count as heard' if muted else ''}"
            click.echo(("\r\033[K" if self._draws else "") + harmless(told), err=True)

    def _seconds(self) -> float:
        """Return how long was heard in this session; a muted microphone hears nothing."""
        processed = self._engine.stats().processed_samples
        return max(0.0, (processed - self._silence.samples(processed)) / SAMPLE_RATE_HZ)

    def _tick(self) -> None:
        now = time.monotonic()
        if self._log.listened.seconds - self._kept_s + self._seconds() >= self._wanted_s:
            self._engine.stop()
        if now - self._kept_at >= _KEEP_S:
            self._kept_at = now
            self._store()
        if self._draws or now - self._told_at >= _TELL_S:
            self._told_at = now
            with contextlib.suppress(OSError):  # the terminal may have gone
                self._tell()

    def _store(self, *, ended: bool = False) -> None:
        seconds = self._seconds()
        with self._lock:
            heard, self._heard = self._heard, []
        until = datetime.now().astimezone().isoformat(timespec="seconds")
        self._log.add(seconds - self._kept_s, self._task.take(ended=ended), heard, until)
        self._kept_s = seconds

    def _tell(self) -> None:
        heard_s = self._log.listened.seconds - self._kept_s + self._seconds()
        text = f"{heard_s / 3600:.3f} of {self._wanted_s / 3600:g} h"
        muted = self._silence.silent
        text += "  muted: does not count" if muted else f"  {self._engine.stats().level_dbfs:4.0f} dBFS"
        if self._n_heard:
            text += f"  {self._n_heard} times like the word, up to {self._highest:.2f}"
        click.echo(f"\r\033[K{text}" if self._draws else text, nl=not self._draws, err=True)


class _Silence:
    """Counts the samples in which the input was dead."""

    def __init__(self) -> None:
        self._ended = 0
        self._since: int | None = None

    def note(self, event: Event) -> None:
        if isinstance(event, DigitalSilence):
            self._since = None if event.ended else event.start_sample
            self._ended += event.n_samples if event.ended else 0

    @property
    def silent(self) -> bool:
        """Whether it is dead now."""
        return self._since is not None

    def samples(self, until: int) -> int:
        return self._ended + (0 if self._since is None else max(0, until - self._since))


def read(
    options: Options,
    task: RoomTask,
    profile: Profile,
    signals: StopSignals,
    *,
    rows: list[Row],
    keep: LedgerSink | None,
) -> Listened:
    """Hear recordings, each as a stream of its own, as fast as possible."""
    listened = Listened()
    wanted_s = float("inf") if options.hours is None else 3600 * options.hours
    running: list[Engine] = []

    def stop() -> None:
        for engine in running:
            engine.stop()

    signals.watch(stop)
    log_to(None)
    with progress_bar("hearing recordings") as progress:
        for done, row in enumerate(rows, start=1):
            if signals.received is not None or listened.seconds >= wanted_s:
                break
            source = open_source(source_options(options, str(row.path)), profile)
            engine = Engine(source, task, profile=profile, history=None if keep is None else keep.history)
            running[:] = [engine]
            name = path_text(row.path)
            heard: list[Heard] = []
            silence = _Silence()
            for event in engine.replay():
                silence.note(event)
                if isinstance(event, NearMiss):
                    at = f"{event.end_sample / SAMPLE_RATE_HZ:.1f} s"
                    heard.append(Heard(at=at, name=event.name, score=round(event.score, 6), source=name))
                    if keep is not None:
                        keep.emit(event)
            processed = engine.stats().processed_samples
            seconds = (processed - silence.samples(processed)) / SAMPLE_RATE_HZ
            listened.add(seconds, task.take(ended=True), heard)
            if keep is not None:
                keep.restart()
            progress(done, len(rows))
    return listened
