"""``edgeaudio doctor``: what is here, what is missing, and the command that mends it."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from edgeaudio.cli.common import harmless, json_option, log_level_option, print_json, quiet_libraries
from edgeaudio.errors import EdgeAudioError

if TYPE_CHECKING:
    from edgeaudio.models.bundle import Bundle

__all__ = ["doctor"]

_PACKAGES = ("numpy", "numba", "PyYAML", "msgspec", "click")
_EXTRAS = {
    "sounddevice": "mic",
    "soundfile": "files",
    "soxr": "files",
    "onnxruntime": "onnx",
    "ai-edge-litert": "tflite",
    "torch": "train",
}


_SAME = {"onnxruntime": ("onnxruntime-gpu",)}
"""The same module under other names."""


class Finding(NamedTuple):
    """One line: what was looked at, how it is, and what mends it.

    ``required`` marks what `edgeaudio wake` on a file cannot do without.
    """

    name: str
    outcome: Literal["ok", "warn", "missing"]
    detail: str
    mend: str | None = None
    required: bool = False


@click.command()
@json_option("Print a JSON array with one object a finding.")
@log_level_option
def doctor(as_json: bool) -> int:
    """Say what is installed, what is missing, and the command that mends it.

    The exit code is 0 when wake words can be spotted on this machine, else 6.
    """
    findings: list[Finding] = []
    with quiet_libraries():
        for check in _CHECKS:
            for finding in check():
                findings.append(finding)
                if not as_json:
                    _print(finding)
    works = not any(finding.required and finding.outcome == "missing" for finding in findings)
    works &= any(finding.name.startswith("runtime") and finding.outcome == "ok" for finding in findings)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        click.echo("Wake words can be spotted here." if works else "Wake words cannot be spotted here yet.")
    return 0 if works else 6


def _print(finding: Finding) -> None:
    click.echo(harmless(f"{finding.outcome:<8}{finding.name:<22}{finding.detail}"))
    if finding.mend:
        click.echo(f"{'':<30}→ {harmless(finding.mend)}")


def _python() -> Iterator[Finding]:
    system = f"{platform.machine()}, {platform.system()} {platform.release()}"
    yield Finding("Python", "ok", f"{platform.python_version()} on {system}")


def _packages() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    for name in (*_PACKAGES, *_EXTRAS):
        extra = _EXTRAS.get(name)
        found = None
        for package in (name, *_SAME.get(name, ())):
            with contextlib.suppress(PackageNotFoundError):
                found = Finding(package, "ok", version(package))
        if found is not None:
            yield found
        else:
            what = f"edgeaudio[{extra}]" if extra else name
            # Training is done elsewhere; nobody needs torch on the device.
            outcome: Literal["warn", "missing"] = "warn" if extra else "missing"
            yield Finding(name, outcome, "not installed", f"pip install '{what}'", required=extra is None)


def _runtimes() -> Iterator[Finding]:
    """Import is not enough: some builds fail only when a session is made."""
    from edgeaudio.backends import RUNTIMES, installed_runtimes, open_graph, pip_command

    bundles = _sound_bundles()
    for runtime in RUNTIMES:
        name = f"runtime {runtime}"
        bundle = next((bundle for bundle in bundles if bundle.has_graph(runtime)), None)
        if runtime not in installed_runtimes():
            yield Finding(name, "missing", "not installed", pip_command(runtime))
        elif bundle is None:
            yield Finding(name, "warn", "installed; there is no model to try it with")
        else:
            try:
                open_graph(bundle, runtime)
                yield Finding(name, "ok", f"runs {bundle.name}")
            except EdgeAudioError as error:
                yield Finding(name, "missing", error.message, error.hint)


def _profile() -> Iterator[Finding]:
    from edgeaudio.profiles import detect

    choices = detect()
    chosen = next(choice for choice in choices if choice.missing is None)
    if choices[0] is not chosen:
        better = choices[0]
        missing = f"{chosen.profile.name}; {better.profile.name} ({better.reason}) needs more"
        yield Finding("profile", "warn", missing, better.missing)
    else:
        yield Finding("profile", "ok", f"{chosen.profile.name} ({chosen.reason})")


def _sound_bundles() -> list[Bundle]:
    """Load the models that can be loaded; `_models` tells of the others."""
    from edgeaudio.models.bundle import load_bundle
    from edgeaudio.models.catalogue import list_models

    bundles = []
    for entry in list_models():
        with contextlib.suppress(EdgeAudioError):
            bundles.append(load_bundle(entry.path))
    return bundles


def _sound_files() -> Iterator[Finding]:
    try:
        soundfile: Any = importlib.import_module("soundfile")
        yield Finding("libsndfile", "ok", soundfile.__libsndfile_version__)
    except ImportError:
        return  # said among the packages
    except OSError as error:
        yield Finding("libsndfile", "missing", str(error), "sudo apt-get install libsndfile1")


def _microphones() -> Iterator[Finding]:
    from edgeaudio.sources.devices import list_devices

    try:
        found = list_devices()
    except EdgeAudioError as error:
        yield Finding("microphones", "missing", error.message, error.hint)
        return
    if not found:
        yield Finding("microphones", "warn", "none found", "Plug one in; `arecord -l` must list it.")
        return
    default = next((device for device in found if device.is_default), None)
    names = f"{len(found)}, default: {default.name if default else 'none'}"
    mend = None if default else "Choose one with --device; `edgeaudio devices` lists them."
    yield Finding("microphones", "ok" if default else "warn", names, mend)


def _models() -> Iterator[Finding]:
    from edgeaudio.backends import RUNTIMES
    from edgeaudio.models.bundle import load_bundle
    from edgeaudio.models.catalogue import list_models, search_path
    from edgeaudio.models.verify import verify

    entries = list_models()
    if not entries:
        where = ", ".join(map(str, search_path()))
        yield Finding("models", "missing", f"none in {where}", "Install edgeaudio again.", required=True)
    for entry in entries:
        name = f"model {entry.name}"
        try:
            checks = list(verify(load_bundle(entry.path)))
        except EdgeAudioError as error:
            yield Finding(name, "warn", error.message, error.hint)
            continue
        failed = [check for check in checks if check.outcome == "failed"]
        replayed = [check.name for check in checks if check.outcome == "ok" and check.name in RUNTIMES]
        if failed:
            details = "; ".join(f"{check.name}: {check.detail}" for check in failed)
            yield Finding(name, "warn", details, f"edgeaudio models verify {entry.name}")
        elif replayed:
            yield Finding(name, "ok", f"verified with {', '.join(replayed)}")
        else:
            yield Finding(name, "warn", "no runtime to try it with")


def _compiled_code() -> Iterator[Finding]:
    from edgeaudio.cli.startup import cache_folder

    name = "compiled code"
    folder = cache_folder()
    if folder is None:
        mend = "export NUMBA_CACHE_DIR=/var/cache/edgeaudio   (a folder that you may write to)"
        yield Finding(name, "warn", "cannot be kept, so that every start is slow", mend)
        return
    # Beside the source there is a folder for each subpackage.
    root = folder.parent if folder.name == "__pycache__" else folder
    if n := sum(1 for _ in root.rglob("*.nbi")):
        yield Finding(name, "ok", f"{n} functions kept in {root}")
    else:
        mend = "Run edgeaudio wake once, on any file."
        yield Finding(name, "warn", "none kept yet; the first start takes longer", mend)


def _sound_system() -> Iterator[Finding]:
    servers = [name for name, seen in _servers().items() if seen]
    yield Finding("sound server", "ok" if servers else "warn", ", ".join(servers) or "none seen")
    cards = Path("/proc/asound/cards")
    text = cards.read_text(errors="replace") if cards.is_file() else ""
    if text.strip() and "no soundcards" not in text:
        names = [line.partition("]: ")[2] for line in text.splitlines() if "]: " in line]
        yield Finding("ALSA cards", "ok", ", ".join(names))
    else:
        yield Finding("ALSA cards", "warn", "none", "Plug in a microphone, or use a sound server.")
    yield from _audio_group()


def _servers() -> dict[str, bool]:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    # After su it is another user's folder: Path.exists would raise.
    there = {name: os.path.exists(f"{runtime}/{name}") for name in ("pipewire-0", "pulse/native")}  # noqa: PTH110
    return {
        "PipeWire": there["pipewire-0"],
        "PulseAudio": bool(os.environ.get("PULSE_SERVER")) or there["pulse/native"],
        "JACK": shutil.which("jackd") is not None and any(Path("/dev/shm").glob("jack*")),  # noqa: S108
    }


def _audio_group() -> Iterator[Finding]:
    """Direct access to sound cards needs the group audio; a sound server of one's own does not."""
    import grp

    try:
        group = grp.getgrnam("audio")
    except KeyError:
        return
    if os.geteuid() == 0 or group.gr_gid in os.getgroups():
        yield Finding("group audio", "ok", "may use sound cards")
    else:
        mend = 'sudo usermod -aG audio "$USER"   (then log in again)'
        yield Finding("group audio", "warn", "not a member; fine where a sound server runs", mend)


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _runtimes,
    _profile,
    _sound_files,
    _microphones,
    _sound_system,
    _models,
    _compiled_code,
)
