"""The outputs that a file for `edgeaudio listen` asks for: opened, and opened anew only where need be."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from edgeaudio.cli.common import size
from edgeaudio.cli.listen_config import (
    ClipsOutput,
    Config,
    ExecOutput,
    FileOutput,
    LedgerOutput,
    OutputEntry,
)
from edgeaudio.cli.listen_tasks import Place
from edgeaudio.errors import ConfigError, OutputError
from edgeaudio.events import Caption, Event
from edgeaudio.sinks import Sink

if TYPE_CHECKING:
    from edgeaudio.sinks.cutter import Tape
    from edgeaudio.sinks.hook import CommandHook
    from edgeaudio.tasks.spotter import Spotter

__all__ = ["Lines", "OutputSet", "check_outputs", "clip_seconds", "is_finished", "stdout_form"]


LONGEST_SOUND_S = 30.0
"""What of a sound is kept in a clip."""


class Lines:
    """Standard output: events as text, as JSON, or not at all.

    Parameters
    ----------
    stream : BinaryIO
    form : {"text", "json"}, optional
        May be set anew at any time.
    """

    def __init__(self, stream: BinaryIO, form: str | None) -> None:
        from edgeaudio.sinks.lines import JsonLines, PlainLines

        self.form = form
        self._json = JsonLines(stream)
        self._text = PlainLines(stream, models=True)

    def emit(self, event: Event) -> None:
        """Write one event; raises as `JsonLines.emit` does. Text is written when it is final."""
        if self.form == "json":
            self._json.emit(event)
        elif self.form == "text" and is_finished(event):
            self._text.emit(event)

    def close(self) -> None:
        """Every line was flushed already."""


def is_finished(event: Event) -> bool:
    """Say whether nothing more follows of what the event tells: all but captions under way are."""
    return not isinstance(event, Caption) or (event.final and bool(event.words))


def clip_seconds(config: Config) -> float:
    """Return the most that any output cuts out of the audio, before and after an event together.

    Always as much as clips with their usual edges need: they may be asked for later, while it listens.
    """
    usual = ClipsOutput(folder="clips")
    clips = [entry.clips for entry in config.outputs if isinstance(entry.clips, ClipsOutput)]
    return LONGEST_SOUND_S + max(section.pre_roll_s + section.post_roll_s for section in (usual, *clips))


def stdout_form(config: Config) -> str | None:
    """Return how events are written to standard output, or None for not at all."""
    return next((entry.value for entry in config.outputs if entry.kind == "stdout"), None)


class OutputSet:
    """All outputs but standard output, and what each was made from.

    Parameters
    ----------
    config : Config
    place : Place
    tape : Tape
        What clips are cut from.
    wait : bool
        Wait for outputs that are slow: for files, where nothing is lost by waiting.
    before : OutputSet, optional
        Its outputs are kept where the file says of them what it said.

    Raises
    ------
    EdgeAudioError
        One cannot be opened; none is then.
    """

    def __init__(
        self, config: Config, place: Place, tape: Tape, *, wait: bool, before: OutputSet | None = None
    ) -> None:
        self._opened: list[tuple[OutputEntry, Sink]] = []
        at_hand = list(before._opened) if before is not None else []
        try:
            for entry in config.outputs:
                kept = next((one for one in at_hand if one[0] == entry), None)
                if kept is not None:
                    at_hand.remove(kept)
                    self._opened.append(kept)
                elif entry.kind != "stdout":
                    sink = _OPENERS[entry.kind](entry.value, place, tape, wait)
                    if sink is not None:
                        self._opened.append((entry, sink))
        except BaseException:
            self.close_all_but(before)
            raise

    @property
    def sinks(self) -> list[Sink]:
        """In the file's order."""
        return [sink for _, sink in self._opened]

    def know(self, spotters: Sequence[Spotter]) -> None:
        """Let ledgers learn at which scores the words are detected."""
        from edgeaudio.sinks.ledger import LedgerSink

        for sink in self.sinks:
            if isinstance(sink, LedgerSink):
                sink.know(spotters)

    def close_all_but(self, others: OutputSet | None, *, discard: bool = False) -> None:
        """Close what is not among the others; `discard` as for a `CommandHook`."""
        kept = others.sinks if others is not None else []
        for sink in self.sinks:
            if not any(sink is other for other in kept):
                _close(sink, discard=discard)

    def check_written(self) -> None:
        """Raise an `OutputError` if a file did not take all that it should."""
        from edgeaudio.sinks.transcript_file import TranscriptFile

        for sink in self.sinks:
            if isinstance(sink, TranscriptFile) and sink.unwritten:
                raise OutputError(
                    f"events could not be written: {sink.fact()[1]}", hint="Make room on the disk."
                )

    def kill(self) -> None:
        """Kill the programs that run; for a signal handler."""
        from edgeaudio.sinks.hook import CommandHook

        for sink in self.sinks:
            if isinstance(sink, CommandHook):
                sink.kill()


def _close(sink: Sink, *, discard: bool) -> None:
    from edgeaudio.sinks.hook import CommandHook

    if isinstance(sink, CommandHook):
        sink.close(discard=discard)
    else:
        sink.close()


def check_outputs(config: Config, place: Place) -> None:
    """Say what is wrong with outputs that can be told without writing anything.

    Raises
    ------
    EdgeAudioError
        A program was not found, or a file has no folder.
    """
    for entry in config.outputs:
        section = entry.value
        if isinstance(section, ExecOutput):
            _command(section, place)
        elif isinstance(section, FileOutput):
            path = place.path(section.path)
            if not path.parent.is_dir():
                raise ConfigError(f"outputs: there is no folder {path.parent}", hint="Make it first.")
            if path.is_dir():
                raise ConfigError(f"outputs: {path} is a folder", hint="Name a file in it.")


def _command(section: ExecOutput, place: Place) -> list[str]:
    """Return program and arguments; a program that is named by a path lies relative to the file."""
    from edgeaudio.sinks.hook import parse_command

    program, blank, arguments = section.command.partition(" ")
    if "/" in program and not program.startswith(("/", "~", "'", '"')):
        program = shlex.quote(str(place.path(program)))
    return parse_command(f"{program}{blank}{arguments}")


def _open_exec(section: ExecOutput, place: Place, _tape: Tape, wait: bool) -> CommandHook:
    from edgeaudio.sinks.hook import CommandHook

    return CommandHook(_command(section, place), _wanted(section), timeout_s=section.timeout_s, wait=wait)


def _wanted(section: ExecOutput) -> Callable[[Event], bool]:
    def wanted(event: Event) -> bool:
        if event.__struct_config__.tag not in section.events or not is_finished(event):
            return False
        name = event.command if isinstance(event, Caption) else getattr(event, "name", None)
        return not section.names or name in section.names

    return wanted


def _open_file(section: FileOutput, place: Place, _tape: Tape, _wait: bool) -> Sink:
    from edgeaudio.sinks.transcript_file import TranscriptFile

    return TranscriptFile(place.path(section.path), section.format)


def _open_clips(section: ClipsOutput, place: Place, tape: Tape, wait: bool) -> Sink | None:
    from edgeaudio.cli.clips import ClipOptions, open_clips

    options = ClipOptions(
        clips_dir=place.path(section.folder),
        pre_roll_s=section.pre_roll_s,
        post_roll_s=section.post_roll_s,
        clips_limit_bytes=size(section.limit),
    )
    return open_clips(options, tape, wait=wait)


def _open_ledger(section: LedgerOutput, place: Place, tape: Tape, wait: bool) -> Sink | None:
    from edgeaudio.cli.keeping import KeepingOptions, open_ledger

    options = KeepingOptions(
        near_misses=False,
        near_from=0.5,  # both are a wake task's business
        ledger_dir=place.path(section.folder),
        ledger_clips=section.clips,
        ledger_bytes=size(section.limit),
        ledger_days=section.days,
    )
    return open_ledger(options, tape, wait=wait)


_OPENERS: dict[str, Callable[..., Sink | None]] = {
    "file": _open_file,
    "exec": _open_exec,
    "clips": _open_clips,
    "ledger": _open_ledger,
}
