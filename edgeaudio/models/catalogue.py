"""Which models there are, and where."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeaudio.config import nearest
from edgeaudio.errors import ModelError
from edgeaudio.models.manifest import MANIFEST_FILE, ModelManifest, holds_model, load_manifest

__all__ = ["ModelEntry", "find_language", "find_model", "list_models", "search_path"]

_LANGUAGE_FILE = "language.bin"  # that of edgeaudio.decoding.language, which takes longer to import


@dataclass(frozen=True)
class ModelEntry:
    """A folder that holds a model. ``manifest`` is None where ``error`` says why it cannot be read."""

    name: str
    path: Path
    manifest: ModelManifest | None
    error: str | None = None


def search_path() -> tuple[Path, ...]:
    """Return the folders that are searched for models: the bundled ones, then the user's own."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    # An editable checkout has the models beside the package, an installed wheel inside it.
    in_checkout = (checkout / "pyproject.toml").is_file()
    bundled = checkout / "models" if in_checkout else package / "_bundled" / "models"
    # expanduser leaves ~ as it is for a user without a home, where Path.home raises.
    data_home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111
    return bundled, Path(data_home) / "edgeaudio" / "models"


def find_model(name_or_path: str | Path) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    name_or_path : str or Path
        A Path, or a string with a separator in it, is taken as the folder itself (or its
        ``model.yaml``); any other string is a name to look up in :func:`search_path`.

    Raises
    ------
    ModelError
        If there is no such model: with the nearest name, and where it was looked for.
    """
    path = _as_path(name_or_path)
    if path is not None:
        folder = path.parent if path.name == MANIFEST_FILE else path
        if not holds_model(folder):
            raise ModelError(f"{folder} holds no model: no {MANIFEST_FILE}")
        return folder
    return _named("model", str(name_or_path), _folders())


def find_language(name_or_path: str | Path) -> Path:
    """Return the file with a lexicon and a language model.

    Parameters
    ----------
    name_or_path : str or Path
        A Path, or a string with a separator in it, is taken as the file itself or its folder;
        any other string is a name to look up in :func:`search_path`.

    Raises
    ------
    ModelError
        If there is no such file: with the nearest name, and where it was looked for.
    """
    path = _as_path(name_or_path)
    if path is not None:
        file = path / _LANGUAGE_FILE if os.path.isdir(path) else path  # noqa: PTH112 - as below
        if not os.path.isfile(file):  # noqa: PTH113 - as in `holds_model`
            raise ModelError(f"{file}: there is no such language model")
        return file
    return _named("language model", str(name_or_path), _folders(_holds_language)) / _LANGUAGE_FILE


def _as_path(name_or_path: str | Path) -> Path | None:
    """Return the path that was given; None for a name."""
    if isinstance(name_or_path, Path) or "/" in name_or_path or os.sep in name_or_path:
        return Path(os.path.expanduser(name_or_path))  # noqa: PTH111 - as in `search_path`
    return None


def _named(what: str, name: str, folders: dict[str, Path]) -> Path:
    if name in folders:
        return folders[name]
    searched = ", ".join(str(folder) for folder in search_path())
    guess = nearest(name, list(folders))
    advice = f"Did you mean '{guess}'? " if guess else ""
    if os.path.exists(name):  # noqa: PTH110 - Path.exists raises for names that are too long
        kind = "folder" if os.path.isdir(name) else "file"  # noqa: PTH112 - as above
        advice = f"For the {kind} of that name write './{name}'. "
    known = f"Known: {', '.join(folders)}. " if folders and not guess else ""
    raise ModelError(f"unknown {what} '{name}'", hint=f"{advice}{known}Searched: {searched}")


def _holds_language(folder: Path) -> bool:
    return os.path.isfile(folder / _LANGUAGE_FILE)  # noqa: PTH113 - as in `holds_model`


def list_models() -> list[ModelEntry]:
    """Return every model found, by name; a broken one is listed with what is wrong with it."""
    entries = []
    for name, path in sorted(_folders().items()):
        try:
            entries.append(ModelEntry(name, path, load_manifest(path / MANIFEST_FILE)))
        except ModelError as exc:
            entries.append(ModelEntry(name, path, None, str(exc)))
    return entries


def _folders(holds: Callable[[Path], bool] = holds_model) -> dict[str, Path]:
    """Map names to folders that hold something; the first folder on the search path wins."""
    found: dict[str, Path] = {}
    for root in search_path():
        with contextlib.suppress(OSError):  # it need not exist, and may be closed to us
            for path in sorted(root.iterdir()):
                if holds(path):
                    found.setdefault(path.name, path)
    return found
