"""``edgeaudio devices``: the microphones that can be given to ``--device``."""

from __future__ import annotations

import click

from edgeaudio.cli.common import json_option, log_level_option, print_json, print_table, quiet_libraries
from edgeaudio.errors import DeviceError

__all__ = ["devices"]


@click.command()
@json_option("Print a JSON array with one object a device.")
@log_level_option
def devices(as_json: bool) -> None:
    """List the microphones; the default one is marked with a star.

    The exit code is 4 when there is none, 6 when the audio library is missing.
    """
    from edgeaudio.sources.devices import list_devices

    with quiet_libraries():
        found = list_devices()
    if as_json:
        print_json(found)
    elif found:
        rows = [
            (
                str(device.index),
                "*" if device.is_default else "",
                device.name,
                device.host_api,
                str(device.channels),
                f"{device.default_rate_hz:g}",
            )
            for device in found
        ]
        print_table(("index", "", "name", "host API", "channels", "rate/Hz"), rows)
    if not found:
        raise DeviceError(
            "there is no microphone on this machine",
            hint="Plug one in and see whether `arecord -l` lists it. With a sound server, start edgeaudio in"
            " the session it runs in; a service needs its user in the group audio.",
        )
