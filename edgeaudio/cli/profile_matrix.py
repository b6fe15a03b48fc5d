"""``edgeaudio profile --tasks-matrix``: what each further task costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import harmless, print_json, print_table
from edgeaudio.cli.profile_run import ProfileOptions
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile
    from edgeaudio.profiling.matrix import Matrix
    from edgeaudio.profiling.measurement import Measurement
    from edgeaudio.profiling.wanted import Wanted

__all__ = ["check_matrix", "measure_matrix"]

_AROUND_S = 6.0
"""What a run takes beside its seconds: to start, and to warm up."""


def check_matrix(options: ProfileOptions, wanted: Sequence[Wanted]) -> None:
    """Refuse what a matrix has no use for."""
    if len(wanted) < 2:
        raise UsageError(
            "--tasks-matrix compares tasks, and one was given", hint="Give --task twice or more."
        )


def measure_matrix(
    options: ProfileOptions, wanted: Sequence[Wanted], profile: Profile, signals: StopSignals
) -> int:
    """Run combinations of tasks, each in a process of its own with its own memory, and compare them."""
    from edgeaudio.profiling.files import encode, write_whole
    from edgeaudio.profiling.matrix import combinations, matrix

    children = _Children(signals)
    runs: dict[tuple[int, ...], Measurement] = {}
    planned = combinations(len(wanted))
    for n, chosen in enumerate(planned):
        names = " + ".join(wanted[i].model for i in chosen)
        left_s = (len(planned) - n) * (options.seconds + _AROUND_S)
        click.echo(harmless(f"run {n + 1} of {len(planned)}: {names}, {left_s:.0f} s left"), err=True)
        found = children.measure(_arguments(options, [wanted[i] for i in chosen], profile))
        if signals.received is not None:
            break  # the last run is too short to be compared with the others
        if isinstance(found, int):
            return found
        runs[chosen] = found
    if (0, 1) not in runs:
        click.echo("interrupted before two tasks were measured", err=True)
        return 130
    result = matrix(runs)
    if options.as_json:
        print_json(result)
    else:
        _print(result)
    if options.output is not None:
        write_whole(options.output, encode(result))
    return 0


class _Children:
    """Runs the command once more, and ends that when it shall end itself."""

    def __init__(self, signals: StopSignals) -> None:
        self._signals = signals
        self._child: subprocess.Popen[bytes] | None = None
        signals.watch(self._stop)

    def measure(self, arguments: list[str]) -> Measurement | int:
        """Return what a new process measured, or its exit code when it has told what was wrong."""
        from edgeaudio.profiling.files import decode

        command = [sys.executable, "-m", "edgeaudio", "profile", *arguments, "--json", "--no-start-up"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as child:
            self._child = child
            if self._signals.received is not None:
                self._stop()
            out, said = child.communicate()
        if child.returncode == 0 and self._signals.received is None:
            return decode(out, "what a run said")
        click.echo(harmless(said.decode(errors="replace")), err=True, nl=False)
        return child.returncode

    def _stop(self) -> None:
        if self._child is not None:
            self._child.terminate()


def _arguments(options: ProfileOptions, tasks: Sequence[Wanted], profile: Profile) -> list[str]:
    given: dict[str, object] = {
        "--device": options.device,
        "--channel": options.channel,
        "--seconds": options.seconds,
        "--profile": options.profile or profile.name,
        "--backend": options.backend,
    }
    arguments = [f"{name}={value}" for name, value in given.items() if value is not None]
    arguments += [f"--task={task.kind}={task.model}" for task in tasks]
    if options.microphone:
        arguments.append("--microphone")
    return arguments if options.source is None else [*arguments, "--", options.source]


def _print(result: Matrix) -> None:
    click.echo(
        harmless(
            f"{result.machine}, profile {result.profile}, {result.seconds:.0f} s a run of {result.audio}\n"
            "computing in % of a core; further: more than without it, with its 95 % interval\n"
        )
    )
    header = (
        "task",
        "alone %",
        "further %",
        "interval",
        "memory MB",
        "further MB",
        "frontends",
        "first task p95 ms",
    )
    rows = [
        (
            row.model,
            f"{row.alone.value:.2f}",
            f"{row.further.value:.2f}" if n else "",
            f"{row.further.low:.2f} to {row.further.high:.2f}" if n else "",
            f"{row.memory_mb:.0f}",
            f"{row.further_memory_mb:.0f}" if n else "",
            str(row.frontends),
            "-" if row.first_p95_ms is None else f"{row.first_p95_ms:.1f}",
        )
        for n, row in enumerate(result.rows)
    ]
    print_table(header, rows)
    click.echo(f"\ntogether {result.together.value:.2f} %, apart {result.apart.value:.2f} %")
    lost = sum(row.lost_samples for row in result.rows)
    if lost:
        click.echo(f"{lost} samples were lost: this device is too slow for these tasks")
