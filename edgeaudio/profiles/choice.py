"""Which profile is used: the one that was named, else the one that fits this machine best."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec

from edgeaudio.config import load_yaml, nearest
from edgeaudio.errors import ConfigError
from edgeaudio.profiles.hardware import Hardware, read_hardware, usable_cores
from edgeaudio.profiles.profile import Match, Profile

__all__ = ["Choice", "check_cores", "choose_profile", "detect", "list_profiles", "load_profile"]

_LOG = logging.getLogger(__name__)
_RANKS = {"device_tree": 8, "cuda_device": 4, "cpu_part": 2, "architecture": 1}
"""Each outweighs all that follow it."""


@dataclass(frozen=True)
class Choice:
    """A profile that fits a machine, and by what."""

    profile: Profile
    reason: str
    missing: str | None = None
    """What has to be installed before it can be used; None if it can be."""


def load_profile(name_or_path: str | Path = "generic") -> Profile:
    """Load a profile by its name, or from a YAML file.

    Parameters
    ----------
    name_or_path : str or Path
        A Path, or a string with a separator in it or ``.yaml`` at its end, is the file; any other string
        the name of one that comes with edgeaudio.

    Raises
    ------
    ConfigError
        If there is no such profile (with the nearest name), or something is wrong in it.

    Examples
    --------
    >>> load_profile("generic").hop_ms
    80
    """
    if isinstance(name_or_path, Path) or "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        profile = load_yaml(path, Profile)
        # Without a name of its own it would be taken for the one that comes with edgeaudio.
        named = re.search("^name[ \t]*:", path.read_text(encoding="utf-8"), re.MULTILINE)
        return profile if named else _named_after(path, profile)
    known = list_profiles()
    if name_or_path not in known:
        guess = nearest(name_or_path, known) or _abbreviated(name_or_path, known)
        hint = f"Did you mean '{guess}'?" if guess else f"Known: {', '.join(known)}."
        raise ConfigError(f"unknown profile '{name_or_path}'", hint=hint)
    return load_yaml(_folder() / f"{name_or_path}.yaml", Profile)


def _named_after(path: Path, profile: Profile) -> Profile:
    name = re.sub("[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    return msgspec.structs.replace(profile, name=name[:64] or "own")


def list_profiles() -> list[str]:
    """Return the names of the profiles that come with edgeaudio."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def detect(hardware: Hardware | None = None) -> list[Choice]:
    """Return the profiles that fit a machine, the best match first; the last one is ``generic``.

    Parameters
    ----------
    hardware : Hardware, optional
        By default this machine.
    """
    hardware = hardware or read_hardware()
    fitting = []
    for name in list_profiles():
        profile = load_profile(name)
        held = _held(profile.match, hardware)
        if held is not None:
            rank = sum(_RANKS[rule] for rule in held)
            reason = ", ".join(f"{rule.replace('_', ' ')}: {said}" for rule, said in held.items())
            fitting.append((-rank, name, Choice(profile, reason or "fits every machine", _missing(profile))))
    return [choice for _, _, choice in sorted(fitting, key=lambda entry: entry[:2])]


def choose_profile(name_or_path: str | Path | None = None) -> Profile:
    """Return the profile to run with, and name it in the log.

    Parameters
    ----------
    name_or_path : str or Path, optional
        As for `load_profile`. Without it the best match is used that needs nothing that is not
        installed, with a warning if there is a better one.

    Raises
    ------
    ConfigError
        If there is no such profile, something is wrong in it, or this machine has not what it asks for.
    """
    if name_or_path is not None:
        profile = load_profile(name_or_path)
        reason = "as asked for"
    else:
        choices = detect()
        choice = next(choice for choice in choices if choice.missing is None)
        profile, reason = choice.profile, choice.reason
        if choices[0] is not choice:
            _LOG.warning(
                "profile %s: the better match %s needs what is not installed. %s",
                profile.name,
                choices[0].profile.name,
                choices[0].missing,
            )
    check_cores(profile)
    _LOG.info("profile %s (%s)", profile.name, reason)
    return profile


def check_cores(profile: Profile) -> None:
    """Refuse a profile for more cores than this process has.

    Raises
    ------
    ConfigError
        Naming the key and the cores that there are.
    """
    cores = usable_cores()
    among = sorted(cores.intersection(profile.affinity)) if profile.affinity else sorted(cores)
    strange = sorted(set(profile.affinity) - cores)
    here = f"this process may use {_cores(cores)}"
    if strange:
        raise ConfigError(
            f"profile '{profile.name}': affinity names {_cores(strange)}; {here}",
            hint="Change affinity, or leave it out.",
        )
    if profile.threads > len(among):
        where = f"; affinity leaves it {len(among)}" if profile.affinity else ""
        raise ConfigError(
            f"profile '{profile.name}' asks for {profile.threads} threads; {here}{where}",
            hint=f"Set threads to 1, which is fastest for small networks, or to at most {len(among)}.",
        )


def _held(match: Match, hardware: Hardware) -> dict[str, str] | None:
    """Return the rules that hold, with what the machine says; None if it does not fit."""
    said: dict[str, tuple[str, ...] | None] = {
        "device_tree": None if hardware.device_tree is None else (hardware.device_tree,),
        "cuda_device": hardware.cuda_devices,
        "cpu_part": hardware.cpu_parts,
        "architecture": (hardware.architecture,),
    }
    held: dict[str, str] = {}
    asked = False
    for rule, answers in said.items():
        wanted: tuple[str, ...] = getattr(match, rule)
        asked |= bool(wanted)
        if not wanted or answers is None:
            continue
        found = next((answer for answer in answers if _agrees(rule, wanted, answer)), None)
        if found is None:
            return None
        held[rule] = found or "unnamed"
    return held if held or not asked else None


def _agrees(rule: str, wanted: Iterable[str], answer: str) -> bool:
    if rule in ("cpu_part", "architecture"):
        return answer in wanted
    # Whole words: no Raspberry Pi 4 in a Raspberry Pi 400.
    words = f" {answer.lower()} "
    return any(f" {name.lower()} " in words or (rule, name) == ("cuda_device", "any") for name in wanted)


def _abbreviated(word: str, known: list[str]) -> str | None:
    """Return what `word` is a part of, hyphens and spaces aside: pi4 is one of raspberry-pi-4."""
    part = re.sub(r"[\s_-]", "", word.lower())
    return next((name for name in known if part and part in name.replace("-", "")), None)


def _missing(profile: Profile) -> str | None:
    if profile.providers == ("cpu",):
        return None
    from edgeaudio.backends.providers import how_to_install  # only where a GPU fits: few machines have one

    if profile.precision == "float32" and find_spec("onnx") is None:
        return how_to_install(profile.providers) or "Install it: pip install onnx."
    return how_to_install(profile.providers)


def _cores(numbers: Iterable[int]) -> str:
    numbers = sorted(numbers)
    word = "core" if len(numbers) == 1 else "cores"
    return f"{word} {', '.join(map(str, numbers))}" if len(numbers) <= 8 else f"{len(numbers)} {word}"


def _folder() -> Path:
    """Return where the profiles are: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parents[1]
    in_checkout = (package.parent / "pyproject.toml").is_file()
    return package.parent / "firmware_profiles" if in_checkout else package / "_bundled" / "firmware_profiles"
