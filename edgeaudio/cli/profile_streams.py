"""``edgeaudio profile --streams N``: how many streams one model serves at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import harmless, print_json, print_table
from edgeaudio.cli.profile_run import ProfileOptions
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile
    from edgeaudio.profiling.streams_found import StreamsFound, StreamsRun
    from edgeaudio.profiling.wanted import Wanted

__all__ = ["check_streams", "streams"]


def check_streams(options: ProfileOptions, wanted: Sequence[Wanted]) -> None:
    """Refuse what streams have no use for."""
    if len(wanted) > 1:
        raise UsageError("--streams measures one model", hint="Give one --task.")
    if options.wants_microphone:
        raise UsageError(
            "--streams hears recordings, each stream another part of them", hint="Leave the microphone out."
        )


def streams(options: ProfileOptions, wanted: Wanted, profile: Profile, signals: StopSignals) -> int:
    """Measure, and tell what was found."""
    from edgeaudio.cli.startup import load_numba
    from edgeaudio.models.bundle import load_bundle
    from edgeaudio.models.catalogue import find_model
    from edgeaudio.profiling.audio import BUNDLED, load
    from edgeaudio.profiling.files import encode, write_whole
    from edgeaudio.profiling.streams import measure_streams

    load_numba()
    bundle = load_bundle(find_model(wanted.model))
    paths = BUNDLED if options.source is None else [Path(options.source)]
    found = measure_streams(
        bundle,
        options.streams or 0,
        load(paths, channel=options.channel),
        profile=profile,
        seconds=options.seconds,
        runtime=options.backend,
        progress=lambda text: click.echo(harmless(text), err=True),
        stopping=lambda: signals.received is not None,
    )
    if options.as_json:
        print_json(found)
    else:
        _print(found)
    if options.output is not None:
        write_whole(options.output, encode(found))
    return 0


def _print(found: StreamsFound) -> None:
    click.echo(
        harmless(
            f"{found.machine.model}, profile {found.profile}, model {found.model},"
            f" rounds of {found.round_ms:g} ms\n"
        )
    )
    print_table(_HEADER, [_row(run) for run in found.compared])
    for way, reason in found.left_out.items():
        click.echo(harmless(f"{way}: not measured: {reason}"))
    budget = f"p95 within {found.budget_ms:g} ms"
    run = found.largest
    if run is None and found.complete:
        click.echo(f"\nnot even one stream keeps {budget}")
    elif run is not None:
        click.echo(f"\nmost streams with {budget}{', perhaps more' if found.more else ''}:")
        print_table(_HEADER, [_row(run)])
    if not found.complete:
        click.echo("interrupted: this is what was measured until then")
    click.echo(harmless(f"GPU: {found.gpu}"))


_HEADER = ("streams", "model", "runtime", "provider", "p50/ms", "p95/ms", "p99/ms", "busy/%", "kept")


def _row(run: StreamsRun) -> tuple[str, ...]:
    busy = run.frontend_share + run.model_share + run.decision_share
    return (
        str(run.streams),
        run.way,
        run.runtime,
        f"{run.provider} {run.precision}",
        f"{run.p50_ms:.1f}",
        f"{run.p95_ms:.1f}",
        f"{run.p99_ms:.1f}",
        f"{100 * busy:.1f}",
        "yes" if run.keeps else "no",
    )
