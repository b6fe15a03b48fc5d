"""``edgeaudio profile --tune``: a profile for this device."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import harmless, print_json, print_table
from edgeaudio.cli.profile_run import ProfileOptions
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile
    from edgeaudio.profiling.tuning import Tuning
    from edgeaudio.profiling.wanted import Wanted
    from edgeaudio.sources.base import Source

__all__ = ["check_tune", "tune"]

_FILE = Path("tuned.yaml")
_INTERRUPTED = 130
_TOLD_EVERY_S = 5.0


def check_tune(options: ProfileOptions) -> None:
    """Refuse what tuning has no use for, and a profile file that could not be written in the end."""
    from edgeaudio.profiling.files import check_writable

    if options.write is not None and not options.tune:
        raise UsageError("--write is for --tune", hint="Give both.")
    if not options.tune:
        return
    path = options.write or _FILE
    check_writable(path)
    for other in (options.output, options.source):
        if other is not None and path.resolve() == Path(other).resolve():
            raise UsageError(f"--write {path}: the same file is {other}", hint="Name another one.")


def tune(options: ProfileOptions, wanted: Sequence[Wanted], profile: Profile, signals: StopSignals) -> int:
    """Tune, tell what was found, and write the profile file."""
    from edgeaudio.cli.startup import load_numba
    from edgeaudio.profiles import dump_profile
    from edgeaudio.profiling.audio import BUNDLED, load
    from edgeaudio.profiling.files import encode, write_whole
    from edgeaudio.profiling.tune import tune as search

    load_numba()
    path = options.write or _FILE
    paths = BUNDLED if options.source is None else [Path(options.source)]
    found = search(
        wanted,
        load(paths, channel=None if options.source is None else options.channel),
        profile=profile,
        runtimes=("litert", "onnx") if options.backend is None else (options.backend,),
        seconds=options.seconds,
        audio=" + ".join(path.name for path in paths),
        microphone=_microphone(options) if options.wants_microphone else None,
        progress=_Told(),
        stopping=lambda: signals.received is not None,
    )
    if found is None:
        click.echo("interrupted before anything was known; nothing is written", err=True)
        return _INTERRUPTED
    write_whole(path, dump_profile(found.profile))
    if options.as_json:
        print_json(found)
    else:
        _print(found, path)
    if options.output is not None:
        write_whole(options.output, encode(found))
    return 0


class _Told:
    """Says on standard error how far it is: each new step at once, and else every five seconds."""

    def __init__(self) -> None:
        self._text = ""
        self._at_s = 0.0

    def __call__(self, text: str, left_s: float) -> None:
        now_s = time.monotonic()
        if sys.stderr is not None and (text != self._text or now_s - self._at_s >= _TOLD_EVERY_S):
            self._text, self._at_s = text, now_s
            click.echo(harmless(f"{text}  (at most {left_s:.0f} s left)"), err=True)


def _microphone(options: ProfileOptions) -> Callable[[Profile], Source]:
    from edgeaudio.sources.microphone import Microphone

    return lambda profile: Microphone(
        options.device,
        channel=options.channel,
        block_ms=profile.block_ms,
        latency=profile.capture_latency,
    )


def _print(found: Tuning, path: Path) -> None:
    rows = [
        ("*" if tried.winner else "", tried.settings, tried.race, str(tried.turns), f"{tried.score:.2f}")
        for tried in found.tried
    ]
    print_table(("", "settings", "race", "turns", f"cost / {found.tuned}"), rows)
    for way, reason in found.left_out.items():
        click.echo(harmless(f"left out: {way}: {reason}"))
    click.echo(f"\ndecisions compared: {found.decisions}, all equal in what is listed above")
    comparison = found.comparison
    if comparison is not None:
        header = ("", "winner", found.tuned, "ratio", "95 % interval")
        figures = [
            ("CPU share", comparison.cpu_share, comparison.profile_cpu_share, comparison.cpu_ratio, ".4f"),
            ("p95 / ms", comparison.p95_ms, comparison.profile_p95_ms, comparison.p95_ratio, ".1f"),
        ]
        print_table(
            header,
            [
                (name, f"{a:{form}}", f"{b:{form}}", f"{ratio:.3f}", f"{low:.3f} to {high:.3f}")
                for name, a, b, (ratio, low, high), form in figures
            ],
        )
    if not found.complete:
        click.echo("interrupted: this is the best so far")
    if not found.better:
        click.echo(harmless(f"nothing better was found than the settings of {found.tuned}"))
    click.echo(harmless(f"{path}: profile {found.profile.name}, for --profile {path}"))
