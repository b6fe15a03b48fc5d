"""What becomes of wake words and captions where there is little CPU time: bounded lag, counted losses."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeaudio.profiling.files import read_measurement
from edgeaudio.profiling.measurement import Measurement
from edgeaudio.profiling.run import WARM_UP_S
from edgeaudio.types import SAMPLE_RATE_HZ
from tools.benchmarks.cgroup import CannotLimitError, SlowCore
from tools.benchmarks.report import Limit, Report, Table

PACKAGES = ["numba", "ai-edge-litert", "onnxruntime"]
QUARTER = 0.25
CATCH_UP_MS = 500
"""How long a lag has to last before the engine jumps."""
_ROOT = Path(__file__).resolve().parents[2]
_TITLE = "A slow device"
_NEIGHBOURS = (0, 1, 12, 24)
_KEEPS_UP = 1
"""Neighbours with which nothing may be lost."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --task."""
    parser.add_argument(
        "--task", dest="tasks", action="append", help="as for edgeaudio profile (default: wake and captions)"
    )


def run(options: argparse.Namespace) -> Report:
    """Listen in a cgroup of a quarter core, alone, then with more and more busy neighbours in it."""
    tasks, seconds = options.tasks or ["wake", "captions"], 10.0 if options.smoke else 120.0
    try:
        found = {
            n: listen(tasks, seconds, neighbours=n)
            for n in (_NEIGHBOURS[1:3] if options.smoke else _NEIGHBOURS)
        }
    except CannotLimitError as why:
        return Report(title=_TITLE, tables=[], notes=[f"Not measured: {why}."])
    columns = [f"{n} busy neighbour{'' if n == 1 else 's'}" for n in found]
    lost = sum(sum(lost_s(measured)) for n, measured in found.items() if n <= _KEEPS_UP)
    return Report(
        title=_TITLE,
        tables=[Table(["", *columns], _rows(list(found.values())))],
        limits=[
            Limit(f"lost with {_KEEPS_UP} neighbour at most", lost, 0.0, " s", 0.0),
            *(
                Limit(f"lag with {n}, of what is promised", _of_promise(measured), 1.0, "", 1.0)
                for n, measured in found.items()
            ),
        ],
        notes=[
            f"{' and '.join(tasks)} on the recordings that come with edgeaudio, {seconds:.0f} s each, in a "
            f"cgroup with {QUARTER:g} of a core: 2.5 ms of every 10 ms. Neighbours compute without a pause "
            "in the same cgroup. Models are loaded outside of it.",
            "Promised is a lag of the profile's max_lag_ms, half a second to catch up, and twice the longest "
            "time that the engine's thread was held up. With 24 neighbours it gets a hundredth of a core.",
        ],
        packages=PACKAGES,
    )


def listen(
    tasks: Sequence[str],
    seconds: float,
    *,
    warm_up_s: float = WARM_UP_S,
    neighbours: int = 0,
    profile: str | Path = "generic",
    listener: str = "tools.benchmarks.slow_listener",
) -> Measurement:
    """Measure in a cgroup of a quarter core.

    Parameters
    ----------
    tasks, seconds, warm_up_s, profile
        As for `edgeaudio.profiling.run.measure`, tasks and profile by their names.
    neighbours : int
        Processes in the same cgroup that are busy while the engine runs.
    listener : str
        The module that listens.

    Raises
    ------
    CannotLimitError
        There are no such cgroups here.
    RuntimeError
        The listening process failed; its complaint is on standard error.
    """
    arguments = [f"--task={task}" for task in tasks]
    arguments += [f"--seconds={seconds}", f"--warm-up={warm_up_s}", f"--profile={profile}"]
    with tempfile.TemporaryDirectory() as folder, SlowCore(QUARTER) as core:
        output = Path(folder) / "measurement.json"
        with subprocess.Popen(
            [sys.executable, "-m", listener, output, *arguments],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as process:
            try:
                _expect(process, "loaded")
                core.add(process.pid)
                _go_on(process)
                _expect(process, "listening")
                core.crowd(neighbours)
                _expect(process, "heard")
                core.clear()
                if process.wait() != 0:
                    raise RuntimeError(f"the listening process ended with {process.returncode}")
            finally:
                process.kill()
        return read_measurement(output)


def _expect(process: subprocess.Popen[str], said: str) -> None:
    if process.stdout is None or process.stdout.readline().strip() != said:
        raise RuntimeError(f"the listening process ended before it {said}")


def _go_on(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.write("\n")


def lost_s(measured: Measurement) -> tuple[float, float]:
    """Return the audio that nothing heard, and what captions missed besides."""
    losses = measured.losses
    samples = losses.skipped_samples + losses.dropped_samples, losses.caption_skipped_samples
    return samples[0] / SAMPLE_RATE_HZ, samples[1] / SAMPLE_RATE_HZ


def held_up_ms(measured: Measurement) -> float:
    """Return the longest time that the engine's thread took for a step of milliseconds at most."""
    captions = {task.model for task in measured.tasks if task.kind == "captions"}
    steps = ("wait", "engine", "frontend", "model", "decode", "task")
    return max(one.max_ms for one in measured.stages if one.group in steps and one.task not in captions)


def promised_lag_ms(measured: Measurement) -> float:
    """Return how late the engine may be: it jumps when it is too late for a while, once it may run."""
    return int(str(measured.profile_settings["max_lag_ms"])) + CATCH_UP_MS + 2 * held_up_ms(measured)


def _of_promise(measured: Measurement) -> float:
    return measured.losses.max_lag_ms / promised_lag_ms(measured)


def _rows(found: Sequence[Measurement]) -> list[list[str]]:
    def row(name: str, value: Callable[[Measurement], float], form: str = ".2f") -> list[str]:
        return [name, *(format(value(measured), form) for measured in found)]

    def p95_s(group: str, kind: str) -> Callable[[Measurement], float]:
        return lambda measured: max(
            (
                one.p95_ms / 1000
                for one in measured.stages
                for task in measured.tasks
                if one.group == group and one.task == task.model and task.kind == kind
            ),
            default=float("nan"),
        )

    return [
        row("CPU time that it got, of a core", lambda measured: measured.cost.cpu_share, ".4f"),
        row("longest time that its thread was held up, s", lambda measured: held_up_ms(measured) / 1000),
        row("wake words", lambda measured: _events(measured, "wake"), ".0f"),
        row("from the end of a word to its event, p95, s", p95_s("word", "wake")),
        row("captions: from the end of a word to its event, p95, s", p95_s("word", "captions")),
        row("largest lag, s", lambda measured: measured.losses.max_lag_ms / 1000),
        row(
            "largest lag of captions behind it, s", lambda measured: measured.losses.max_caption_lag_ms / 1000
        ),
        row("without tentative text, s", lambda measured: _shed_s(measured, "tentative_text")),
        row("with a narrower search, s", lambda measured: _shed_s(measured, "search_width")),
        row("not heard, s", lambda measured: lost_s(measured)[0]),
        row("not heard by captions alone, s", lambda measured: lost_s(measured)[1]),
    ]


def _events(measured: Measurement, kind: str) -> int:
    return sum(task.events for task in measured.tasks if task.kind == kind)


def _shed_s(measured: Measurement, name: str) -> float:
    return measured.losses.shed_seconds.get(name, 0.0)
