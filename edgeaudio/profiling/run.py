"""One measured run: the real engine with its real threads on audio that comes by the clock.

::

    measure ── Probes around the parts of an Engine ── time stamps ── stages, stalls, losses ── Measurement
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgeaudio.engine import Engine
from edgeaudio.errors import UsageError
from edgeaudio.events import DeviceLost, DeviceRestored, Event
from edgeaudio.profiles import Profile
from edgeaudio.profiling.machine import machine
from edgeaudio.profiling.measurement import Cost, Losses, Measurement, Stage, StartUp
from edgeaudio.profiling.measurement import Task as TaskFacts
from edgeaudio.profiling.overhead import overhead
from edgeaudio.profiling.passes import Window
from edgeaudio.profiling.probes import Probes
from edgeaudio.profiling.process import Counters, cost, count
from edgeaudio.profiling.sensors import Sampler
from edgeaudio.stats import WorkerStats
from edgeaudio.tasks.base import in_background
from edgeaudio.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from edgeaudio.sources import Source
    from edgeaudio.tasks.base import Task

__all__ = ["WARM_UP_S", "measure"]

WARM_UP_S = 2.0
"""What is heard before anything counts: caches fill, clocks rise, a recogniser hears its first words."""
_LEAST_STEP_MS = 40
"""No model that comes with edgeaudio runs more often, whatever the hop."""
_NEVER = 2**62


def measure(
    source: Source,
    tasks: Sequence[Task],
    *,
    profile: Profile | None = None,
    seconds: float = 60.0,
    warm_up_s: float = WARM_UP_S,
    audio: str | None = None,
    command: Sequence[str] | None = None,
    sampler: Sampler | None = None,
    start_up: StartUp | None = None,
    on_start: Callable[[Engine], None] | None = None,
) -> Measurement:
    """Run an engine for a while and say what it cost and how late it was.

    Ends after `seconds`, or earlier with the source, or when somebody stops the engine: then with what was
    measured until then. All passes of all stages are kept until the end: 24 bytes each, 5 MB an hour.

    Parameters
    ----------
    source : Source
        A live one, not started yet: a microphone, or recordings with ``paced=True``; see
        `edgeaudio.profiling.audio`.
    tasks : sequence of Task
        What listens, not used before. Each has to have another name.
    profile : Profile, optional
        What the engine runs with.
    seconds, warm_up_s : float
        How long to measure, and how long to listen before.
    audio : str, optional
        What the measurement calls the audio; default the source's name.
    command : sequence of str, optional
        What the measurement calls the command; default that of this process.
    sampler : Sampler, optional
        Reads the sensors; default those of this device, once a second. It is started and stopped here.
    start_up : StartUp, optional
        Goes into the measurement; see `edgeaudio.profiling.startup`.
    on_start : callable
        Called with the engine when it runs: for its counters, to show progress, and to stop it.

    Raises
    ------
    UsageError
        The source does not go by the clock, or two tasks have one name, or nothing was heard after
        the warm-up.
    EdgeAudioError
        What went wrong in the engine.
    """
    profile = profile or Profile()
    _check(source, tasks, seconds)
    made = datetime.now(timezone.utc)
    where = machine()
    sampler = sampler or Sampler()
    engine = Engine(source, *tasks, profile=profile)
    step_s = min(profile.hop_ms, _LEAST_STEP_MS) / 1000
    probes = Probes(engine, source, tasks, passes=(warm_up_s + seconds) / step_s)
    watch = _Watch(engine, source, probes, warm_up_s, seconds)
    probes.attach(watch.alarm)
    sampler.start()
    try:
        with engine:
            if on_start is not None:
                on_start(engine)
            for event in engine:
                probes.receive(event)
                watch.receive(event)
            watch.finish()
    finally:
        probes.release()
        sensors = sampler.stop(watch.origin_ns / 1e9)
    window, used = watch.result()
    found = probes.result(window, profile.hop_ms)
    return Measurement(
        made=made.isoformat(timespec="seconds"),
        command=list(sys.argv if command is None else command),
        audio=source.name if audio is None else audio,
        seconds=window.seconds,
        profile=profile.name,
        profile_settings=msgspec.json.decode(msgspec.json.encode(profile)),
        machine=where,
        tasks=[_facts(task, found.stages) for task in tasks],
        stages=found.stages,
        stalls=found.stalls,
        cost=used,
        losses=_losses(
            engine, probes.shed_seconds(profile.shed, window.end), found.max_lag_ms, watch.away_s(window)
        ),
        sensors=sensors,
        overhead=overhead(
            n_passes=found.n_passes,
            n_waits=found.n_waits,
            seconds=window.seconds,
            busy_s=used.real_time_factor * window.seconds,
            collecting_s=probes.collecting_s,
            sensors_share=sampler.share,
        ),
        start_up=start_up,
    )


class _Watch:
    """Looks at the clock in the engine's thread: when the warm-up is over, and when all is."""

    def __init__(
        self, engine: Engine, source: Source, probes: Probes, warm_up_s: float, seconds: float
    ) -> None:
        self._engine = engine
        self._probes = probes
        self._source = source
        self._warm_up_ns = round(warm_up_s * 1e9)
        self._length_ns = round(seconds * 1e9)
        self._counted: list[_Count] = []
        self._started_ns = 0
        self._away_ns: list[tuple[int, int]] = []
        self.origin_ns = 0
        """When sample 0 was captured."""

    def alarm(self, now_ns: int) -> int:
        """Do what is due at `now_ns`; return when the next is."""
        self._probes.ask_clock()
        if not self.origin_ns:
            return self._begin(now_ns)
        # What the engine was about to do with this block does not count: counting takes its time, too.
        self._counted.append(_Count.now(self._engine))
        if len(self._counted) == 1:
            return now_ns + self._length_ns
        self._engine.stop()
        return _NEVER

    def receive(self, event: Event) -> None:
        """Take note of when the microphone was gone."""
        if isinstance(event, DeviceLost):
            self._away_ns.append((time.monotonic_ns(), _NEVER))
        elif isinstance(event, DeviceRestored) and self._away_ns:
            self._away_ns[-1] = (self._away_ns[-1][0], time.monotonic_ns())

    def away_s(self, window: Window) -> float:
        """Return how much of a window the microphone was gone."""
        ns = [max(0, min(end, window.end) - max(start, window.begin)) for start, end in self._away_ns]
        return sum(ns) / 1e9

    def finish(self) -> None:
        """Take note that the engine has ended, perhaps with its source or because somebody stopped it."""
        if len(self._counted) == 1:
            self._counted.append(_Count.now(self._engine))

    def result(self) -> tuple[Window, Cost]:
        """Return what was looked at, and what it cost."""
        if len(self._counted) < 2:
            raise UsageError(
                "nothing was measured: the audio ended in the warm-up", hint="Give more, or make it shorter."
            )
        before, after = self._counted
        window = Window(self.origin_ns, before.at_ns, after.at_ns)
        computing_s = after.busy_s - before.busy_s
        return window, cost(before.counters, after.counters, computing_s=computing_s, audio_s=window.seconds)

    def _begin(self, now_ns: int) -> int:
        """Find the moment from which all others count."""
        self._started_ns = self._started_ns or now_ns
        if self._source.ring.written:
            self.origin_ns = int(self._source.captured_at(0) * 1e9)
            return self.origin_ns + self._warm_up_ns
        if now_ns > self._started_ns + self._warm_up_ns + self._length_ns:
            self._engine.stop()  # a microphone that says nothing
        return now_ns


class _Count(NamedTuple):
    """Counters at one moment."""

    at_ns: int
    counters: Counters
    busy_s: float

    @classmethod
    def now(cls, engine: Engine) -> _Count:
        counters = count()
        return cls(time.monotonic_ns(), counters, engine.stats().busy_s)


def _check(source: Source, tasks: Sequence[Task], seconds: float) -> None:
    if not source.live:
        raise UsageError(
            f"{source.name} does not go by the clock, so that nothing can be late",
            hint="Open it with paced=True.",
        )
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise UsageError(f"two tasks have one name: {', '.join(names)}")
    if not seconds > 0:
        raise UsageError(f"cannot measure for {seconds:g} s")


def _facts(task: Task, stages: Sequence[Stage]) -> TaskFacts:
    n_events = next((one.count for one in stages if one.group == "event" and one.task == task.name), 0)
    graph = getattr(task, "graph", None)
    return TaskFacts(
        kind=_kind(task),
        model=task.name,
        runtime=getattr(graph, "runtime", "none"),
        provider=getattr(graph, "provider", "CPU"),
        precision=getattr(graph, "precision", "unknown"),
        threads=getattr(graph, "threads", 1),
        events=n_events,
    )


def _kind(task: Task) -> str:
    """Name what a task does as `Wanted` does."""
    if in_background(task):
        return "captions"
    kind = getattr(getattr(task, "manifest", None), "kind", "wake")
    return kind if kind in {"sounds", "vad", "speaker"} else "wake"


def _losses(
    engine: Engine, shed_seconds: dict[str, float], max_lag_ms: float, device_away_s: float
) -> Losses:
    stats = engine.stats()
    captions = stats.captions or WorkerStats()
    return Losses(
        dropped_samples=stats.capture.dropped_samples,
        device_overflows=stats.capture.device_overflows,
        device_away_s=device_away_s,
        skipped_samples=stats.skipped_samples,
        caption_skipped_samples=captions.skipped_samples,
        events_dropped=stats.events_dropped,
        shed_seconds=shed_seconds,
        max_lag_ms=max_lag_ms,
        max_caption_lag_ms=1000 * captions.high_water_samples / SAMPLE_RATE_HZ,
    )
