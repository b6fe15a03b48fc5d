"""``edgeaudio profile --loopback``: from the loudspeaker into the microphone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import harmless, print_json, print_table
from edgeaudio.cli.profile_run import ProfileOptions
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile
    from edgeaudio.profiling.loopback import RoundTrip

__all__ = ["check_loopback", "loopback"]


def check_loopback(options: ProfileOptions) -> None:
    """Refuse what the round trip has no use for, and what needs it."""
    if options.loudspeaker is not None and not options.loopback:
        raise UsageError("--loudspeaker is for --loopback", hint="Give both.")
    if not options.loopback:
        return
    if options.source is not None:
        raise UsageError("--loopback hears its own clicks, no file", hint="Leave SOURCE out.")
    if options.tasks:
        raise UsageError("--loopback runs no task", hint="Leave --task out.")


def loopback(options: ProfileOptions, profile: Profile, signals: StopSignals) -> int:
    """Measure, and tell what was found."""
    from edgeaudio.profiling.files import encode, write_whole
    from edgeaudio.profiling.loopback import round_trip
    from edgeaudio.profiling.loudspeaker import Loudspeaker
    from edgeaudio.sources.microphone import Microphone

    microphone = Microphone(
        options.device, channel=options.channel, block_ms=profile.block_ms, latency=profile.capture_latency
    )
    loudspeaker = Loudspeaker(options.loudspeaker, latency=profile.capture_latency)
    click.echo(harmless(f"clicks through {loudspeaker.name} into {microphone.name}, for 9 s"), err=True)

    def going_on(_: float) -> None:
        if signals.received is not None:
            raise click.Abort

    found = round_trip(microphone, loudspeaker, progress=going_on)
    if options.as_json:
        print_json(found)
    else:
        _print(found)
    if options.output is not None:
        write_whole(options.output, encode(found))
    return 0


def _print(found: RoundTrip) -> None:
    rows = [
        ("round trip", f"{found.median_ms:.1f} ms, {found.least_ms:.1f} to {found.most_ms:.1f} ms"),
        ("clicks found", f"{found.found} of {found.played}, {100 * found.likeness:.0f} % alike"),
        ("of it the loudspeaker's, says PortAudio", f"{found.output_latency_ms:.1f} ms"),
        ("loudspeaker ran dry", f"{found.underflows} times"),
    ]
    print_table((f"{found.loudspeaker} to {found.microphone}", ""), rows)
