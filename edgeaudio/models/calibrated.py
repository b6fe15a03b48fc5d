"""Thresholds that were set for this room: the user's settings, one small YAML file a model.

They lie in ``$XDG_CONFIG_HOME/edgeaudio/calibrations`` (``~/.config`` by default). Each names the model that
it was made with by a fingerprint of its graph and its decision, so that a newer model of the same name does
not run at the older one's threshold.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta

from edgeaudio.config import load_yaml
from edgeaudio.errors import OutputError
from edgeaudio.models.manifest import ModelManifest

__all__ = [
    "Calibrated",
    "calibrations_folder",
    "find_calibrated",
    "fingerprint",
    "forget_calibrated",
    "load_calibrated",
    "save_calibrated",
]

_LOG = logging.getLogger(__name__)


class Calibrated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A threshold for all words of one model, and how it was found.

    ``per_day`` are the false alarms that are expected, ``per_day_interval`` the 95 % interval of that;
    ``reached`` says whether they are few enough, as far as is known; ``method`` is described in
    `edgeaudio.evaluation.room`.
    """

    model: str
    fingerprint: str
    threshold: Annotated[float, Meta(gt=0.0, lt=1.0)]
    max_false_alarms: str
    reached: bool
    per_day: float
    per_day_interval: tuple[float, float]
    method: Literal["counted", "fitted", "bounded"]
    hours: float
    calibrated_at: str


def fingerprint(manifest: ModelManifest) -> str:
    """Return what a model's scores and decisions depend on, as 16 hexadecimal digits."""
    graphs = [graph.sha256 for graph in (manifest.graphs.onnx, manifest.graphs.tflite) if graph is not None]
    facts = [graphs, manifest.labels, manifest.frontend_fingerprint, manifest.spotting]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]


def calibrations_folder() -> Path:
    """Return where they lie."""
    # expanduser leaves ~ as it is for a user without a home, where Path.home raises.
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    return Path(config) / "edgeaudio" / "calibrations"


def find_calibrated(manifest: ModelManifest) -> Calibrated | None:
    """Return what was set for a model; None, and a warning, where that was for another one of its name.

    Raises
    ------
    ConfigError
        The file is there and makes no sense.
    """
    found = load_calibrated(manifest.name)
    if found is not None and found.fingerprint != fingerprint(manifest):
        _LOG.warning(
            "the calibration of '%s' was made with another version of it and is not used; "
            "run edgeaudio calibrate again, or with --reset",
            manifest.name,
        )
        return None
    return found


def load_calibrated(name: str) -> Calibrated | None:
    """Return what was set for a model of that name, whatever its version; raises as `find_calibrated`."""
    path = _path(name)
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where one may not look
        return None
    return load_yaml(path, Calibrated)


def save_calibrated(calibrated: Calibrated) -> Path:
    """Write it in one piece, in place of what was there, and return where.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    path = _path(calibrated.model)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    text = yaml.safe_dump(msgspec.to_builtins(calibrated), sort_keys=False, default_flow_style=None)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(
            f"the calibration cannot be saved in {path}: {error.strerror}",
            hint=f"It is {calibrated.threshold:.4g}: give it to edgeaudio wake --threshold.",
        ) from error
    return path


def forget_calibrated(name: str) -> bool:
    """Delete what was set for a model; False if nothing was.

    Raises
    ------
    OutputError
        It cannot be deleted.
    """
    path = _path(name)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"{path} cannot be deleted: {error.strerror}") from error
    return True


def _path(name: str) -> Path:
    return calibrations_folder() / f"{name}.yaml"
