"""``edgeaudio profiles``: which firmware profiles there are, and which one this machine gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import json_option, log_level_option, print_json, print_table

if TYPE_CHECKING:
    from edgeaudio.profiles import Choice, Profile

__all__ = ["profiles"]


@click.group()
def profiles() -> None:
    """List, show and detect firmware profiles: what a machine needs."""


@profiles.command("list")
@json_option("Print a JSON array with one object a profile.")
@log_level_option
def list_(as_json: bool) -> None:
    """List the profiles that come with edgeaudio, and mark the best match for this machine."""
    from edgeaudio.profiles import detect, list_profiles, load_profile

    found = [load_profile(name) for name in list_profiles()]
    best = detect()[0].profile.name
    if as_json:
        print_json([{**_plain(profile), "best_match": profile.name == best} for profile in found])
        return
    rows = [
        (
            "*" if profile.name == best else "",
            profile.name,
            profile.description,
            f"{profile.hop_ms} ms",
            _computing(profile),
        )
        for profile in found
    ]
    print_table(("", "name", "for", "hop", "computes with"), rows)


@profiles.command()
@click.argument("profile", metavar="[NAME|FILE]", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a profile file instead, for editors.")
@json_option("Print one JSON object instead of YAML.")
@log_level_option
def show(profile: str | None, schema: bool, as_json: bool) -> None:
    """Print all settings of a profile as YAML, those left out of its file included.

    Without NAME the best match for this machine is shown. What is printed is a profile file again.
    """
    from edgeaudio.errors import UsageError
    from edgeaudio.profiles import choose_profile, dump_profile, json_schema, load_profile

    if schema:
        if profile is not None:
            raise UsageError("the schema is the same for all profiles", hint="Leave the name out.")
        import json

        click.echo(json.dumps(json_schema(), indent=2))
        return
    shown = choose_profile() if profile is None else load_profile(profile)
    if as_json:
        print_json(_plain(shown))
        return
    if shown.measured is None:
        click.echo("# The budgets are estimates: nothing was measured on this device.")
    click.echo(dump_profile(shown), nl=False)


@profiles.command("detect")
@json_option("Print one JSON object: chosen, machine, fitting.")
@log_level_option
def detect_(as_json: bool) -> None:
    """Say what this machine says of itself, which profiles fit it, and which one is used."""
    from edgeaudio.profiles import detect, read_hardware

    hardware = read_hardware()
    choices = detect(hardware)
    chosen = next(choice for choice in choices if choice.missing is None)
    if as_json:
        fitting = [
            {"name": choice.profile.name, "reason": choice.reason, "missing": choice.missing}
            for choice in choices
        ]
        print_json({"chosen": chosen.profile.name, "machine": hardware, "fitting": fitting})
        return
    gpus = ", ".join(name or "without a name" for name in hardware.cuda_devices)
    rows = [
        ("device tree", hardware.device_tree or "none"),
        ("CUDA device", gpus or "none"),
        ("CPU part", ", ".join(hardware.cpu_parts or ()) or "none"),
        ("architecture", hardware.architecture),
    ]
    print_table(("this machine", ""), rows)
    click.echo()
    print_table(("fits", "because of"), [(choice.profile.name, choice.reason) for choice in choices])
    click.echo()
    click.echo(f"used: {chosen.profile.name}")
    if choices[0] is not chosen:
        click.echo(_better(choices[0]))


def _better(choice: Choice) -> str:
    return f"The better match {choice.profile.name} needs what is not installed. {choice.missing}"


def _computing(profile: Profile) -> str:
    runtimes = " or ".join(profile.runtime)
    if profile.providers == ("cpu",):
        return runtimes
    return f"{runtimes} on {', '.join(profile.providers)}"


def _plain(profile: Profile) -> dict[str, Any]:
    import msgspec

    return {key: msgspec.to_builtins(getattr(profile, key)) for key in profile.__struct_fields__}
