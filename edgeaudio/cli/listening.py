"""What commands that listen share: where the audio comes from, and a program that is told what was heard."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeaudio.cli.common import seconds
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from contextlib import ExitStack

    from edgeaudio.cli.background import StopSignals
    from edgeaudio.dsp.denoise import Denoiser
    from edgeaudio.events import Event
    from edgeaudio.profiles import Profile
    from edgeaudio.sinks.hook import CommandHook
    from edgeaudio.sources.base import Source

__all__ = [
    "DenoiseOptions",
    "HookOptions",
    "SourceOptions",
    "attach_hook",
    "backend_option",
    "check_source",
    "denoise_option",
    "hook_options",
    "open_denoiser",
    "open_source",
    "profile_option",
    "settle_denoise",
    "settle_profile",
    "source_options",
]

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])
_DEFAULT_STRENGTH = "light"
"""It does models the least harm, see docs/sounds.md."""

backend_option = click.option(
    "--backend", type=click.Choice(["onnx", "litert"]), help="Runtime, instead of the profile's."
)
profile_option = click.option(
    "--profile",
    metavar="NAME|FILE",
    help="What this machine needs; see edgeaudio profiles.  [default: the best match]",
)


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What `source_options` yields."""

    source: str | None
    fast: bool
    device: str | None
    channel: int | None
    give_up_s: float | None


@dataclass(frozen=True, kw_only=True)
class HookOptions:
    """What `hook_options` yields."""

    command: str | None
    command_timeout_s: float


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions:
    """What `denoise_option` yields, once `settle_denoise` has seen it."""

    denoise: str | None


def source_options(command: _COMMAND) -> _COMMAND:
    """Add SOURCE and the options of `SourceOptions`."""
    for decorate in reversed(
        (
            click.argument("source", required=False),
            click.option(
                "--fast", is_flag=True, help="Read a file as fast as possible instead of in real time."
            ),
            click.option("--device", metavar="INDEX|NAME", help="Microphone: its index or part of its name."),
            click.option(
                "--channel",
                type=click.IntRange(min=0),
                help="Listen to this channel only, from 0.  [default: mean of all]",
            ),
            click.option(
                "--give-up",
                "give_up_s",
                metavar="SECONDS",
                type=seconds(0, 1e9),
                help="End when the microphone has been gone for so many seconds.  [default: never]",
            ),
        )
    ):
        command = decorate(command)
    return command


def hook_options(what: str) -> Callable[[_COMMAND], _COMMAND]:
    """Add the options of `HookOptions`; `what` is the command told of."""

    def add(command: _COMMAND) -> _COMMAND:
        command = click.option(
            "--exec-timeout",
            "command_timeout_s",
            metavar="SECONDS",
            type=seconds(0.1, 3600),
            default=10.0,
            show_default=True,
            help="Kill the command after so many seconds.",
        )(command)
        return click.option(
            "--exec",
            "command",
            metavar="COMMAND",
            help=f"Run this for each {what}, with the event as JSON on its input.",
        )(command)

    return add


def denoise_option(command: _COMMAND) -> _COMMAND:
    """Add the option of `DenoiseOptions`."""
    return click.option(
        "--denoise",
        is_flag=False,
        flag_value=_DEFAULT_STRENGTH,
        metavar="[light|medium|strong]",
        help="Reduce steady noise in what is listened to.  [default strength: light]",
    )(command)


def settle_denoise(options: dict[str, Any]) -> None:
    """Tell the strength that follows ``--denoise`` from the SOURCE."""
    found = options["denoise"]
    if found is None:
        return
    from edgeaudio.dsp.denoise import STRENGTHS

    if found in STRENGTHS:
        return
    if options["source"] is not None or not (found == "-" or Path(found).exists()):
        raise UsageError(
            f"--denoise {found} is no strength", hint=f"Say one of {', '.join(STRENGTHS)}, or nothing."
        )
    options["denoise"], options["source"] = _DEFAULT_STRENGTH, found


def open_denoiser(options: DenoiseOptions) -> Denoiser | None:
    """Return the noise reduction that was asked for, or None."""
    if options.denoise is None:
        return None
    from edgeaudio.dsp.denoise import Denoiser

    return Denoiser(options.denoise)  # type: ignore[arg-type]


def check_source(options: SourceOptions, command: str) -> None:
    """Refuse options that contradict each other; `command` is what the user has called."""
    if options.source == "":
        raise UsageError("SOURCE is empty", hint="Give a file or -, or nothing at all for the microphone.")
    if options.source is not None and options.device is not None:
        raise UsageError("both a source and --device were given", hint="Give one of them.")
    if options.source is not None and options.give_up_s is not None:
        raise UsageError("--give-up is for microphones", hint="Leave it out.")
    if options.fast and options.source in (None, "-"):
        raise UsageError("--fast needs a file; live audio comes at its own pace", hint="Leave it out.")
    if options.source == "-":
        if options.channel is not None:
            raise UsageError("raw audio on standard input has one channel", hint="Leave --channel out.")
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "standard input is no audio",
                hint=f"For example: arecord -t raw -r 16000 -f S16_LE -c 1 | edgeaudio {command} -",
            )


def settle_profile(name_or_path: str | None) -> Profile:
    """Return the profile to run with, and stay on its cores from now on."""
    from edgeaudio.profiles import choose_profile, pin

    profile = choose_profile(name_or_path)
    pin(profile.affinity)
    return profile


def open_source(options: SourceOptions, profile: Profile) -> Source:
    """Return the source that was asked for, not started yet."""
    if options.source is None:
        from edgeaudio.sources.microphone import Microphone

        return Microphone(
            options.device,
            channel=options.channel,
            give_up_s=options.give_up_s,
            block_ms=profile.block_ms,
            latency=profile.capture_latency,
        )
    if options.source == "-":
        from edgeaudio.sources.stdin import StdinSource

        return StdinSource(sys.stdin.buffer)
    from edgeaudio.sources.file import FileSource

    return FileSource(options.source, paced=not options.fast, channel=options.channel)


def attach_hook(
    options: HookOptions,
    wanted: Callable[[Event], bool],
    signals: StopSignals,
    stack: ExitStack,
    *,
    wait: bool,
) -> CommandHook | None:
    """Return the program to run for each event that is `wanted`, or None if there is none.

    A second signal kills it, and `stack` closes it.
    """
    if options.command is None:
        return None
    from edgeaudio.sinks.hook import CommandHook, parse_command

    hook = CommandHook(parse_command(options.command), wanted, timeout_s=options.command_timeout_s, wait=wait)
    stack.callback(hook.close, discard=True)
    signals.on_second = hook.kill
    return hook
