"""A measurement as a run would write it: a wake word and captions on a small board, invented from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgeaudio.profiling.measurement import (
    CoreShare,
    Cost,
    Losses,
    Machine,
    Measurement,
    Overhead,
    Sensor,
    Stage,
    Stall,
    StartUp,
    Task,
)

HOP_S = 0.08
WARM_UP_S = 2.0
Values = npt.NDArray[np.float64]


def measurement(
    seconds: float = 60.0,
    *,
    seed: int = 6,
    stalls: int = 3,
    found_stalls: list[Stall] | None = None,
    **changes: Any,
) -> Measurement:
    """Invent what a run of so many seconds found, with so many stalls in it.

    Further arguments replace fields of the `Measurement`, `found_stalls` the stalls that it names.
    """
    rng = np.random.default_rng(seed)
    captured = WARM_UP_S + np.arange(1, round(seconds / HOP_S)) * HOP_S
    n = len(captured)
    slow = rng.choice(n, size=min(stalls, n), replace=False)
    asleep, busy = slow[1:], slow[:1]
    woken = 0.6 * rng.lognormal(0.0, 0.3, n)
    woken[asleep] += rng.uniform(130.0, 320.0, len(asleep))
    frontend = 0.12 * rng.lognormal(0.0, 0.12, n)
    model = 1.9 * rng.lognormal(0.0, 0.1, n) + (rng.random(n) < 0.03) * 4.0
    model[busy] += 140.0
    trigger = 0.03 * rng.lognormal(0.0, 0.2, n)
    rest = 0.08 * rng.lognormal(0.0, 0.15, n)
    read, done = _queue(captured, woken / 1000, (frontend + model + trigger + rest) / 1000)
    lag = 1000 * (read - captured)
    heard = read + frontend / 1000
    decided = heard + (model + trigger) / 1000
    chunk = np.arange(1, n, 2)
    acoustic = 21.0 * rng.lognormal(0.0, 0.08, len(chunk))
    search = 4.0 * rng.lognormal(0.0, 0.5, len(chunk))
    handed, _ = _queue(decided[chunk] + 0.0001, np.zeros(len(chunk)), (acoustic + search) / 1000)
    word = np.arange(20, n - 1, 45)
    late = 0.2 * rng.lognormal(0.0, 0.4, len(word))
    to_caller = 1000 * (decided[word] - captured[word]) + late + 20.0
    wake, captions = "wake-computer", "captions-en-small"
    stages = [
        stage("wait", "wait", done[:-1], 1000 * (read[1:] - done[:-1]), seconds),
        stage("ring", "ring", captured, lag, seconds),
        stage("frontend log_mel 40", "frontend", read, frontend, seconds),
        stage(f"model {wake}", "model", heard, model, seconds, wake),
        stage(f"decode {wake}", "decode", heard + model / 1000, trigger, seconds, wake),
        stage("engine", "engine", decided, rest, seconds),
        stage(f"model {captions}", "model", handed, acoustic, seconds, captions),
        stage(f"decode {captions}", "decode", handed + acoustic / 1000, search, seconds, captions),
        stage("event", "event", decided[word], late, seconds),
        stage(f"end to end {wake}", "end to end", captured[word] - 0.02, to_caller, seconds, wake),
        stage(f"word {wake}", "word", captured[word] - 0.22, to_caller + 200.0, seconds, wake),
    ]
    facts: dict[str, Any] = {
        "made": "2026-11-21T15:20:03Z",
        "command": [
            "edgeaudio",
            "profile",
            "--task",
            "wake",
            "--task",
            "captions",
            "--seconds",
            f"{seconds:g}",
        ],
        "audio": "bundled recordings, repeated",
        "seconds": seconds,
        "profile": "raspberry-pi-4",
        "profile_settings": {
            "block_ms": 40,
            "hop_ms": 80,
            "runtime": ["litert", "onnx"],
            "threads": 1,
            "max_lag_ms": 2000,
            "budgets": {"p95_word_to_event_ms": 250, "cpu_share": 0.5, "memory_mb": 300},
        },
        "machine": Machine(
            model="Raspberry Pi 4 Model B Rev 1.5",
            architecture="aarch64",
            cores=4,
            memory_mb=3794,
            system="Linux 6.6.31+rpt-rpi-v8",
            python="3.11.7",
            versions={"edgeaudio": "0.1.0", "numpy": "2.4.6", "numba": "0.68.1", "ai-edge-litert": "2.1.0"},
            quota_cores=None,
            load_before=0.12,
        ),
        "tasks": [
            _task("wake", "wake-computer", 8),
            _task("captions", "captions-en-small", 31),
        ],
        "stages": stages,
        "stalls": [
            Stall(
                at_s=float(captured[i]),
                duration_ms=float(lag[i]),
                stage="wait" if i in asleep else f"model {wake}",
            )
            for i in sorted([*asleep, *(busy + 1)])
            if i < n
        ],
        "cost": Cost(
            cpu_share=0.207,
            real_time_factor=0.193,
            cores=[CoreShare(core=i, busy=busy) for i, busy in enumerate((0.11, 0.22, 0.06, 0.04))],
            rss_mb=182.4,
            peak_rss_mb=188.0,
            minor_faults=412,
            major_faults=0,
            voluntary_switches=5210,
            involuntary_switches=87,
        ),
        "losses": Losses(shed_seconds={"tentative_text": 0.4}, max_lag_ms=float(lag.max())),
        "sensors": _sensors(rng, seconds),
        "overhead": Overhead(timestamp_ns=61.0, timestamps_per_s=112.0, share_of_busy=0.0004),
        "start_up": StartUp(
            import_ms=412.0, compile_ms=208.0, model_load_ms=96.0, first_frame_ms=91.0, total_ms=807.0
        ),
    }
    if found_stalls is not None:
        facts["stalls"] = found_stalls
    return Measurement(**(facts | changes))


def stage(  # noqa: PLR0917
    name: str, group: Any, moments_s: Values, durations_ms: Values, seconds: float, task: str | None = None
) -> Stage:
    """Sum passes up as a run does, with intervals that are only plausible."""
    p50, p95, p99 = (float(np.quantile(durations_ms, q)) for q in (0.5, 0.95, 0.99))
    mean = float(durations_ms.mean())
    return Stage(
        name=name,
        group=group,
        task=task,
        count=len(durations_ms),
        mean_ms=mean,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(durations_ms.max()),
        mean_interval_ms=(0.97 * mean, 1.03 * mean),
        p95_interval_ms=(0.95 * p95, 1.06 * p95),
        share=0.0
        if group in {"wait", "ring", "event", "end to end", "word"}
        else float(durations_ms.sum()) / 1000 / seconds,
        samples=[(float(t), float(d)) for t, d in zip(moments_s, durations_ms, strict=True)],
    )


def _queue(captured: Values, woken_s: Values, computing_s: Values) -> tuple[Values, Values]:
    """Return when each block is read, which is not before the one before it is done, and when it is done."""
    read, done = np.empty_like(captured), np.empty_like(captured)
    free = 0.0
    for i, moment in enumerate(captured):
        read[i] = max(moment + woken_s[i], free)
        done[i] = free = read[i] + computing_s[i]
    return read, done


def _task(kind: str, model: str, events: int) -> Task:
    return Task(
        kind=kind,
        model=model,
        runtime="litert",
        provider="XNNPACK",
        precision="int8",
        threads=1,
        events=events,
    )


def _sensors(rng: np.random.Generator, seconds: float) -> list[Sensor]:
    t = np.arange(0.5, WARM_UP_S + seconds, 0.5)
    frequency = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"

    def sensor(name: str, unit: str, source: str, values: Values) -> Sensor:
        samples = [(float(a), float(b)) for a, b in zip(t, values, strict=True)]
        return Sensor(name=name, unit=unit, status="measured", source=source, samples=samples)

    return [
        sensor("process busy", "%", "clock of this process", rng.normal(20.7, 1.5, len(t))),
        *(
            sensor(
                f"cpu{core} frequency",
                "MHz",
                frequency.format(core),
                rng.choice([600.0, 1500.0, 1800.0], len(t)),
            )
            for core in range(4)
        ),
        sensor(
            "cpu temperature",
            "°C",
            "/sys/class/thermal/thermal_zone0/temp",
            48 + 9 * (1 - np.exp(-t / 25)) + rng.normal(0.0, 0.3, len(t)),
        ),
        sensor("throttled", "", "vcgencmd get_throttled", ((t > 31) & (t < 34)).astype(np.float64)),
        Sensor(
            name="power",
            unit="W",
            status="unavailable",
            source="/sys/class/hwmon/*/power1_input",
            reason="this board has no power sensor",
        ),
    ]
