"""``model.yaml``: everything that must be known about a model to run it and to judge it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import yaml
from msgspec import Meta

from edgeaudio.config import load_yaml
from edgeaudio.errors import ModelError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.sections import (
    Activity,
    Captions,
    ClipDecision,
    Decision,
    Search,
    Voices,
    Window,
)

__all__ = [
    "MANIFEST_FILE",
    "Activity",
    "Captions",
    "ClipDecision",
    "Decision",
    "GraphFile",
    "Graphs",
    "ModelManifest",
    "Search",
    "StateFill",
    "StateTensor",
    "Voices",
    "Window",
    "dump_manifest",
    "holds_model",
    "load_manifest",
]

MANIFEST_FILE = "model.yaml"

# A plain name inside the bundle's folder: no separator, no leading dot, so no way out of it.
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Count = Annotated[int, Meta(ge=1, le=100_000)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class GraphFile(_Strict, frozen=True, kw_only=True):
    """One exported graph and the checksum it was shipped with."""

    file: FileName
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Graphs(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """The same network for each runtime."""

    onnx: GraphFile | None = None
    tflite: GraphFile | None = None


class StateFill(_Strict, frozen=True, kw_only=True):
    """What a state tensor holds after a reset: the quantized value of "nothing heard".

    The ONNX graph counts in uint8, the TFLite graph in int8.
    """

    onnx: Annotated[int, Meta(ge=0, le=255)]
    tflite: Annotated[int, Meta(ge=-128, le=127)]


class StateTensor(_Strict, frozen=True, kw_only=True):
    """One state tensor, in the order of the graph's inputs; its shape is the graph's own."""

    name: Annotated[str, Meta(pattern=r"^state_[A-Za-z0-9_.]+$", max_length=100)]
    fill: StateFill


_SECTIONS = {
    "decision": ("commands", "wake"),
    "captions": ("captions",),
    "activity": ("sounds", "vad"),
    "voices": ("speaker",),
}
"""Which kinds of models have, and need, which section."""

_PURPOSES = {
    "commands": ("spots single words", "wake"),
    "wake": ("spots single words", "wake"),
    "captions": ("makes captions", "caption"),
    "sounds": ("tells sounds apart", "sounds"),
    "vad": ("tells whether somebody speaks", "vad"),
    "speaker": ("tells voices apart", "speaker identify"),
}
"""What a model of each kind does, and the command that uses it."""


class ModelManifest(_Strict, frozen=True, kw_only=True):
    """The contents of ``model.yaml``.

    ``embedding_width`` is 0 for a model that gives out no embedding beside its logits.
    ``results`` maps freely what was measured to figures, each with the data it was measured on.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
    kind: Literal["commands", "wake", "captions", "sounds", "vad", "speaker"]
    version: str
    description: str
    licence: str
    data: tuple[str, ...]
    frontend: FrontendSpec
    frontend_fingerprint: str
    labels: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]
    activation: Literal["softmax", "sigmoid"]
    step_frames: Count
    stride: Count
    receptive_field_frames: Count
    graphs: Graphs
    states: Annotated[tuple[StateTensor, ...], Meta(max_length=256)]
    embedding_width: Annotated[int, Meta(ge=0, le=100_000)] = 0
    decision: Decision | None = None
    captions: Captions | None = None
    activity: Activity | None = None
    voices: Voices | None = None
    golden: FileName = "golden.npz"
    results: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.step_frames % self.stride:
            raise ValueError(f"step_frames {self.step_frames} is no multiple of stride {self.stride}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels holds a label twice")
        for section, kinds in _SECTIONS.items():
            if (self.kind in kinds) != (getattr(self, section) is not None):
                listed = " or ".join(kinds)
                raise ValueError(f"a model of kind {listed}, and no other, has a section {section}")
        if self.captions is not None and self.captions.blank not in self.labels:
            raise ValueError(f"captions names the blank {self.captions.blank!r}, not among the labels")
        self._check_decision()
        self._check_window()
        if self.graphs.onnx is None and self.graphs.tflite is None:
            raise ValueError("graphs is empty")

    @property
    def run_frames(self) -> int:
        """Frames that go into a run of the graph: a step, and what of a window lies around it."""
        around_ms = 0.0
        if self.captions is not None and self.captions.window is not None:
            around_ms = self.captions.window.left_ms + self.captions.window.lookahead_ms
        return self.step_frames + round(around_ms / self.frontend.hop_ms)

    @property
    def spotting(self) -> Decision:
        """How a spotter decides; a `ModelError` for a model that spots no words."""
        if self.decision is None:
            raise self.misused("it spots no words")
        return self.decision

    @property
    def recognition(self) -> Captions:
        """What a recogniser needs; a `ModelError` for a model that is none."""
        if self.captions is None:
            raise self.misused("it makes no captions")
        return self.captions

    @property
    def stretches(self) -> Activity:
        """How stretches of sound or speech are told; a `ModelError` for a model that tells none."""
        if self.activity is None:
            raise self.misused("it tells neither sounds nor speech")
        return self.activity

    @property
    def telling(self) -> Voices:
        """How voices are told apart; a `ModelError` for a model that tells none."""
        if self.voices is None:
            raise self.misused("it tells no voices apart")
        return self.voices

    @property
    def spotted(self) -> tuple[str, ...]:
        """The labels that become events: none of a recogniser, whose labels are parts of words."""
        deciding = self.decision or self.activity
        silent = deciding.silent_labels if deciding else self.labels
        return tuple(label for label in self.labels if label not in silent)

    def misused(self, why: str) -> ModelError:
        """Return the error for a model that is asked for what it cannot do, naming what it can."""
        does, command = _PURPOSES[self.kind]
        return ModelError(
            f"model '{self.name}' {does}, {why}", hint=f"Use it so: edgeaudio {command} --model {self.name}"
        )

    def _check_window(self) -> None:
        window = None if self.captions is None else self.captions.window
        if window is None:
            return
        for key in ("left_ms", "chunk_ms", "lookahead_ms"):
            frames = getattr(window, key) / self.frontend.hop_ms
            if frames % self.stride:
                raise ValueError(f"{key} is no multiple of {self.stride * self.frontend.hop_ms:g} ms")
        if window.chunk_ms != self.step_frames * self.frontend.hop_ms:
            raise ValueError(f"chunk_ms {window.chunk_ms:g} is not that of {self.step_frames} step_frames")

    def _check_decision(self) -> None:
        for section, deciding in (("decision", self.decision), ("activity", self.activity)):
            if deciding is None:
                continue
            strangers = ({*deciding.silent_labels} | {*deciding.thresholds}) - {*self.labels}
            if strangers:
                raise ValueError(f"{section} names {', '.join(sorted(strangers))}, not among the labels")


def holds_model(folder: Path) -> bool:
    """Say whether there is a ``model.yaml`` in `folder`; not where one may not look."""
    return os.path.isfile(folder / MANIFEST_FILE)  # noqa: PTH113 - Path.is_file raises where one may not look


def load_manifest(path: Path) -> ModelManifest:
    """Read ``model.yaml`` at ``path`` and check that its frontend is the one it was made with.

    Raises
    ------
    ModelError
        Naming file and key; an unknown key comes with the nearest known one.
    """
    manifest = load_yaml(path, ModelManifest, error=ModelError)
    actual = manifest.frontend.fingerprint
    if actual != manifest.frontend_fingerprint:
        raise ModelError(
            f"{path}: frontend does not match frontend_fingerprint "
            f"({actual[:12]}… against {manifest.frontend_fingerprint[:12]}…)",
            hint="The graph was made for other features: restore the frontend section it came with.",
        )
    return manifest


def dump_manifest(manifest: ModelManifest) -> str:
    """Return the manifest as YAML that :func:`load_manifest` reads back.

    Raises
    ------
    ModelError
        If ``results`` holds something that is no plain value.
    """
    try:
        plain = msgspec.to_builtins(manifest, enc_hook=_plain)
    except TypeError as exc:
        raise ModelError(f"model '{manifest.name}' cannot be written: {exc}") from exc
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)


def _plain(value: Any) -> Any:
    """Turn numpy's scalars, which measured results are full of, into Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain value")
