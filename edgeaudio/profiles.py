"""Firmware profiles: what hardware changes, and nothing else.

Thresholds and mel settings belong to models, never to a profile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edgeaudio.config import load_yaml, nearest
from edgeaudio.errors import ConfigError

__all__ = ["Profile", "list_profiles", "load_profile"]


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the engine runs on one kind of machine. The defaults are those of ``generic``."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)] = "generic"
    description: str = "Any 64-bit Linux machine"
    hop_ms: Annotated[int, Meta(ge=10, le=500)] = 80
    """How often models run. Longer costs less and answers later; a whole number of model steps is best."""
    max_lag_ms: Annotated[int, Meta(ge=100, le=60_000)] = 2000
    """How far the models may stay behind a live source before the engine jumps to the present."""
    max_caption_lag_ms: Annotated[int, Meta(ge=1000, le=60_000)] = 2500
    """The same for captions, which may be late alone. Tentative text is left out from a quarter of it
    on, and the search is narrower from half of it on."""


def load_profile(name_or_path: str | Path = "generic") -> Profile:
    """Load a profile by its name, or from a YAML file.

    Parameters
    ----------
    name_or_path : str or Path
        A Path, or a string that ends in ``.yaml``, is the file; any other string the name of one
        that comes with edgeaudio.

    Raises
    ------
    ConfigError
        If there is no such profile (with the nearest name), or something is wrong in it.

    Examples
    --------
    >>> load_profile("generic").hop_ms
    80
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith(".yaml"):
        return load_yaml(Path(name_or_path), Profile)
    known = list_profiles()
    if name_or_path not in known:
        guess = nearest(name_or_path, known)
        hint = f"Did you mean '{guess}'?" if guess else f"Known: {', '.join(known)}."
        raise ConfigError(f"unknown profile '{name_or_path}'", hint=hint)
    return load_yaml(_folder() / f"{name_or_path}.yaml", Profile)


def list_profiles() -> list[str]:
    """Return the names of the profiles that come with edgeaudio."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def _folder() -> Path:
    """Return where the profiles are: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    in_checkout = (package.parent / "pyproject.toml").is_file()
    return package.parent / "firmware_profiles" if in_checkout else package / "_bundled" / "firmware_profiles"
