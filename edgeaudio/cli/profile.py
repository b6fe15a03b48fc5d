"""``edgeaudio profile``: what it costs to listen on this device, and how late the answers are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import log_level_option, quiet_libraries, seconds
from edgeaudio.cli.listening import backend_option, profile_option, settle_profile
from edgeaudio.cli.profile_compare import compare
from edgeaudio.cli.profile_loopback import check_loopback, loopback
from edgeaudio.cli.profile_matrix import check_matrix, measure_matrix
from edgeaudio.cli.profile_report import check_files, no_budgets, report, report_options, tell
from edgeaudio.cli.profile_run import ProfileOptions, check_input, run
from edgeaudio.cli.profile_streams import check_streams, streams
from edgeaudio.cli.profile_tune import check_tune, tune
from edgeaudio.config import nearest
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile
    from edgeaudio.profiling.wanted import Wanted

__all__ = ["profile"]

_INTERRUPTED = 130
_TASKS = ("wake",)
_MATRIX = ("wake", "wake=commands-12", "captions")


class _ProfileGroup(click.Group):
    """Measures by itself; where the first word is a subcommand's name, it is that subcommand."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self.commands:
            name, *rest = args
            return self.commands[name].make_context(f"{info_name} {name}", rest, parent, **extra)
        first = args[0] if args else ""  # parsing uses the list up
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            near = nearest(first, list(self.commands))
            if near and "extra argument" in error.message:
                told = f"No such command '{first}'. Did you mean '{near}'?"
                raise click.UsageError(told, error.ctx) from None
            raise


@click.group(
    cls=_ProfileGroup,
    invoke_without_command=True,
    subcommand_metavar="| COMMAND …",
    # Here a further word is a mistake, and options may stand behind SOURCE.
    context_settings={"allow_interspersed_args": True, "allow_extra_args": False},
)
@click.argument("source", required=False)
@click.option("--microphone", is_flag=True, help="Listen to the microphone instead of recordings.")
@click.option("--device", metavar="INDEX|NAME", help="The same, to this one.")
@click.option(
    "--channel", type=click.IntRange(min=0), help="This channel only, from 0.  [default: mean of all]"
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASK[=MODEL]",
    help="What listens: wake, captions, sounds, vad or speaker, with another model if need be; repeatable.  "
    "[default: wake]",
)
@click.option(
    "--seconds",
    metavar="SECONDS",
    type=seconds(1, 86_400),
    default=30.0,
    show_default=True,
    help="How long to measure.",
)
@profile_option
@backend_option
@click.option("--start-up/--no-start-up", default=True, help="Measure a start, too, in a process of its own.")
@click.option("--tasks-matrix", "matrix", is_flag=True, help="Measure what each further task costs instead.")
@click.option(
    "--streams",
    type=int,
    metavar="N",
    help="Measure N streams at once through one model instead, and how many are possible.",
)
@click.option(
    "--loopback",
    is_flag=True,
    help="Measure instead how long clicks take through the loudspeaker into the microphone.",
)
@click.option("--loudspeaker", metavar="INDEX|NAME", help="The one for --loopback.  [default: the system's]")
@click.option("--tune", is_flag=True, help="Find the best settings for this device instead.")
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The profile file of --tune.  [default: tuned.yaml]",
)
@report_options
@log_level_option
def profile(**options: Any) -> int | None:
    """Measure what listening costs on this device, and how late the answers are.

    Runs the real engine in real time on SOURCE, a file, or on the recordings that come with edgeaudio,
    again and again, or on a microphone. Ctrl-C ends it early, with what was measured.
    """
    return _run(ProfileOptions(**options))


profile.add_command(compare)
profile.add_command(report)


def _run(options: ProfileOptions) -> int | None:
    from edgeaudio.profiles import Budgets
    from edgeaudio.profiling.wanted import Wanted

    wanted = [Wanted.parse(text) for text in options.tasks or (_MATRIX if options.matrix else _TASKS)]
    _check(options)
    check_input(options, wanted)
    if options.matrix:
        check_matrix(options, wanted)
    if options.streams is not None:
        check_streams(options, wanted)
    check_loopback(options)
    check_tune(options)
    chosen = settle_profile(options.profile)
    if options.gate and chosen.budgets == Budgets():
        raise no_budgets(chosen.name)
    signals = StopSignals()
    with signals.caught(), quiet_libraries():
        if options.matrix:
            return measure_matrix(options, wanted, chosen, signals)
        if options.streams is not None:
            return streams(options, wanted[0], chosen, signals)
        if options.loopback:
            return loopback(options, chosen, signals)
        if options.tune:
            return tune(options, wanted, chosen, signals)
        return _measure(options, wanted, chosen, signals)


def _measure(
    options: ProfileOptions, wanted: list[Wanted], profile: Profile, signals: StopSignals
) -> int | None:
    from edgeaudio.cli.startup import load_numba
    from edgeaudio.profiling.startup import measure_start_up

    # Before anything is loaded here: a small device has not the memory for two of everything.
    start_up = measure_start_up(wanted, profile, options.backend) if options.start_up else None
    load_numba()
    measurement = run(options, wanted, profile, signals, start_up) if signals.received is None else None
    if measurement is None:
        click.echo("interrupted before anything was measured", err=True)
        return _INTERRUPTED
    if signals.received is not None:
        click.echo(
            f"interrupted: this is what {measurement.seconds:.1f} of {options.seconds:g} s say", err=True
        )
    tell(measurement, options)
    return None


def _check(options: ProfileOptions) -> None:
    """Refuse options that contradict each other, and files that could not be written in the end."""
    asked = {
        "--tasks-matrix": options.matrix,
        "--streams": options.streams is not None,
        "--loopback": options.loopback,
        "--tune": options.tune,
    }
    instead = [name for name, given in asked.items() if given]
    if len(instead) > 1:
        raise UsageError(f"{' and '.join(instead)} are different measurements", hint="Give one of them.")
    if instead and (options.gate or options.html is not None or options.trace is not None):
        raise UsageError(
            f"{instead[0]} has a table and JSON, and nothing else",
            hint="Leave --gate, --html and --trace out.",
        )
    if options.source in ("", "-"):
        what = "standard input goes by no clock" if options.source else "SOURCE is empty"
        raise UsageError(what, hint="Give a file, --microphone, or nothing for the recordings of edgeaudio.")
    if options.source is not None and options.wants_microphone:
        raise UsageError("both a source and a microphone were given", hint="Give one of them.")
    if options.source is None and options.channel is not None and not options.wants_microphone:
        raise UsageError("the recordings of edgeaudio have one channel", hint="Leave --channel out.")
    check_files(options, options.source)
