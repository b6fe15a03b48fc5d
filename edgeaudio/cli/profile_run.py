"""What each way of profiling needs: the audio, the tasks, a run with progress that can be interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from edgeaudio.cli.background import StopSignals, Ticker
from edgeaudio.cli.profile_report import ReportOptions
from edgeaudio.cli.session import is_terminal
from edgeaudio.errors import InputError, UsageError
from edgeaudio.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from edgeaudio.backends.base import Runtime
    from edgeaudio.engine import Engine
    from edgeaudio.profiles import Profile
    from edgeaudio.profiling.measurement import Measurement, StartUp
    from edgeaudio.profiling.wanted import Wanted
    from edgeaudio.sources.base import Source
    from edgeaudio.tasks.base import Task

__all__ = ["ProfileOptions", "check_input", "load_tasks", "open_audio", "run"]

_DRAW_S = 1.0
_PLAIN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(ReportOptions):
    """What is heard, by whom, for how long, and what becomes of it."""

    source: str | None
    microphone: bool
    device: str | None
    channel: int | None
    tasks: tuple[str, ...]
    seconds: float
    profile: str | None
    backend: Runtime | None
    start_up: bool
    matrix: bool
    streams: int | None
    loopback: bool
    loudspeaker: str | None
    tune: bool
    write: Path | None

    @property
    def wants_microphone(self) -> bool:
        """Whether a microphone was asked for."""
        return self.microphone or self.device is not None


def check_input(options: ProfileOptions, wanted: Sequence[Wanted]) -> None:
    """Refuse models and files that do not exist, before what takes its time.

    Raises
    ------
    EdgeAudioError
        There is no such model or file, or a model is asked for twice.
    """
    from edgeaudio.models.catalogue import find_model

    folders = [find_model(one.model).resolve() for one in wanted]
    for one, folder in zip(wanted, folders, strict=True):
        if folders.count(folder) > 1:
            raise UsageError(f"model '{one.model}' was asked for twice", hint="Ask for it once.")
    # What else may be wrong with it is found when it is opened; to look now would load half of everything.
    if options.source is not None and not Path(options.source).is_file():
        raise InputError(f"cannot read {options.source}: it is no file", hint="Check the path.")


def open_audio(options: ProfileOptions, profile: Profile) -> tuple[Source, str]:
    """Return a source that goes by the clock, not started yet, and what it plays."""
    if options.wants_microphone:
        from edgeaudio.sources.microphone import Microphone

        microphone = Microphone(
            options.device,
            channel=options.channel,
            block_ms=profile.block_ms,
            latency=profile.capture_latency,
        )
        return microphone, f"microphone {microphone.name}"
    from edgeaudio.profiling.audio import recordings

    if options.source is None:
        return recordings(), "recordings of edgeaudio, again and again"
    return recordings([Path(options.source)], channel=options.channel), f"{options.source}, again and again"


def load_tasks(
    wanted: Sequence[Wanted], profile: Profile, backend: Runtime | None
) -> tuple[list[Task], dict[str, float]]:
    """Load what listens; also return by how many MB each made this process larger."""
    from edgeaudio.profiling.process import count

    tasks, memory_mb = [], {}
    for one in wanted:
        before = count().rss_mb
        task = one.load(profile, backend)
        tasks.append(task)
        memory_mb[task.name] = max(0.0, count().rss_mb - before)
    return tasks, memory_mb


def run(
    options: ProfileOptions,
    wanted: Sequence[Wanted],
    profile: Profile,
    signals: StopSignals,
    start_up: StartUp | None,
) -> Measurement | None:
    """Measure; None if it was interrupted before anything was measured."""
    from edgeaudio.profiling.run import WARM_UP_S, measure

    source, audio = open_audio(options, profile)
    tasks, memory_mb = load_tasks(wanted, profile, options.backend)
    with _progress(WARM_UP_S + options.seconds) as show:

        def started(engine: Engine) -> None:
            signals.watch(engine.stop)
            show(lambda: engine.stats().processed_samples / SAMPLE_RATE_HZ)

        try:
            measurement = measure(
                source,
                tasks,
                profile=profile,
                seconds=options.seconds,
                audio=audio,
                command=["edgeaudio", *sys.argv[1:]],
                start_up=start_up,
                on_start=started,
            )
        except UsageError:
            if signals.received is None:
                raise
            return None
    facts = [replace(task, memory_mb=memory_mb[task.model]) for task in measurement.tasks]
    return replace(measurement, tasks=facts)


@contextmanager
def _progress(total_s: float) -> Iterator[Callable[[Callable[[], float]], None]]:
    """Yield a function to call when it begins, with one that says how many seconds have been heard.

    Not the bar that other commands draw: its ten drawings a second would be measured, too.
    """
    drawn = is_terminal(sys.stderr)
    ticker: Ticker | None = None

    def show(heard_s: Callable[[], float]) -> None:
        nonlocal ticker

        def tell() -> None:
            line = f"measuring: {min(heard_s(), total_s):.0f} of {total_s:.0f} s"
            with suppress(OSError):  # the terminal may have gone
                print(f"\r{line}" if drawn else line, file=sys.stderr, end="" if drawn else "\n", flush=True)

        ticker = Ticker(_DRAW_S if drawn else _PLAIN_S, tell)

    try:
        yield show
    finally:
        if ticker is not None:
            ticker.close()
        if drawn:
            with suppress(OSError):
                print("\r\x1b[K", file=sys.stderr, end="", flush=True)
