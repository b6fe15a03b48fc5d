"""What a profiling run found, as it is written to JSON and read again by reports and comparisons.

Durations are in milliseconds, moments in seconds since the first sample was captured.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "COMPUTING",
    "FORMAT",
    "CoreShare",
    "Cost",
    "Group",
    "Losses",
    "Machine",
    "Measurement",
    "Overhead",
    "Sensor",
    "Stage",
    "Stall",
    "StartUp",
    "Task",
]

FORMAT = 1
"""Counts up when a field changes its meaning or goes."""

Group = Literal[
    "wait", "ring", "engine", "frontend", "model", "decode", "task", "event", "end to end", "word"
]
"""``engine`` is the rest of its thread's work on a block: reading, level meter, delivery. ``end to end`` runs
from the capture of the last sample that a decision needed to the caller's hands, ``word`` to there from the
end of the word itself: a model hears on before it is sure."""
COMPUTING = frozenset({"engine", "frontend", "model", "decode", "task"})
"""Groups of stages that cost computing time; the others wait, or sum others up."""


class Stage(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One stage of the audio's way, over all its passes after the warm-up."""

    name: str
    """Unique, such as ``frontend log_mel 40`` or ``model wake-computer``."""
    group: Group
    task: str | None = None
    """Whose stage it is; None for what tasks share."""
    count: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    mean_interval_ms: tuple[float, float]
    p95_interval_ms: tuple[float, float]
    """95 % intervals by a block bootstrap over time: neighbouring passes resemble each other."""
    share: float
    """Time in this stage as a part of the audio's length; of waiting no cost."""
    samples: list[tuple[float, float]] = []
    """``(moment_s, duration_ms)``: all passes, or an even choice of them that holds the longest ones."""


class Stall(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A moment at which audio waited longer than a hop and a half for the engine."""

    at_s: float
    duration_ms: float
    stage: str
    """The longest stage of that block."""


class Task(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What was run."""

    kind: str
    model: str
    runtime: str
    provider: str
    """The one that really ran."""
    precision: str
    threads: int
    events: int
    memory_mb: float | None = None
    """Resident memory that loading it added; what tasks share is counted with the first of them."""


class CoreShare(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How busy a core was, by everything (``busy``), as parts of the time."""

    core: int
    busy: float


class Cost(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the process used while it listened."""

    cpu_share: float
    """CPU time of this process / wall time: 1.0 is one core. Sensor readings and probes included."""
    real_time_factor: float
    """Computing time of the engine's threads / length of the audio."""
    cores: list[CoreShare]
    rss_mb: float
    """Resident memory at the end."""
    peak_rss_mb: float
    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int


class Losses(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What was lost or shed; see `EngineStats` and `WorkerStats` for each."""

    dropped_samples: int = 0
    device_overflows: int = 0
    device_away_s: float = 0.0
    """How long the microphone was gone."""
    skipped_samples: int = 0
    caption_skipped_samples: int = 0
    events_dropped: int = 0
    shed_seconds: dict[str, float] = {}
    """By name of what was shed: how long it was."""
    max_lag_ms: float = 0.0
    max_caption_lag_ms: float = 0.0


class Sensor(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A quantity of the device over time."""

    name: str
    """Such as ``cpu0 frequency``, ``cpu temperature``, ``throttled``, ``power``."""
    unit: str
    status: Literal["measured", "unavailable"]
    source: str
    """Which file or program says it, or would say it."""
    reason: str = ""
    """Why it is unavailable."""
    samples: list[tuple[float, float]] = []


class StartUp(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """From the start of a process to its first frame, each part in milliseconds, in a fresh process."""

    import_ms: float
    compile_ms: float
    """Loading or making compiled kernels, and the warm-up block."""
    model_load_ms: float
    first_frame_ms: float
    total_ms: float


class Overhead(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What measuring costs."""

    timestamp_ns: float
    """One of them, with its storing."""
    timestamps_per_s: float
    share_of_busy: float
    """Of the engine's computing time; measured by counting and timing, beside the run."""
    sensors_share: float = 0.0
    """Part of a core that reading the sensors took, in a thread of its own."""


class Machine(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where it was measured."""

    model: str
    """Device-tree model, or the name of the processor."""
    architecture: str
    cores: int
    memory_mb: int
    system: str
    python: str
    versions: dict[str, str]
    """Of edgeaudio and of the packages that do the work."""
    quota_cores: float | None = None
    """CPU that a cgroup allows."""
    load_before: float | None = None
    """Load average when the run began."""


class Measurement(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One run of ``edgeaudio profile``."""

    format: int = FORMAT
    made: str
    """ISO 8601, UTC."""
    command: list[str]
    audio: str
    seconds: float
    profile: str
    profile_settings: dict[str, object]
    machine: Machine
    tasks: list[Task]
    stages: list[Stage]
    stalls: list[Stall]
    cost: Cost
    losses: Losses
    sensors: list[Sensor]
    overhead: Overhead
    start_up: StartUp | None = None
