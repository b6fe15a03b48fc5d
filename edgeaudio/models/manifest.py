"""``model.yaml``: everything that must be known about a model to run it and to judge it."""

from __future__ import annotations

import math
import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import yaml
from msgspec import Meta

from edgeaudio.config import load_yaml
from edgeaudio.errors import ModelError, UsageError
from edgeaudio.frontend import FrontendSpec

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
Probability = Annotated[float, Meta(gt=0.0, lt=1.0)]
Milliseconds = Annotated[float, Meta(ge=0.0, le=60_000.0)]
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


class ClipDecision(_Strict, frozen=True, kw_only=True):
    """How a whole short recording is decided, see :func:`edgeaudio.tasks.clip.clip_decision`."""

    word_threshold: Probability
    silence_threshold: Probability


class Decision(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """How posteriors become events, see :class:`edgeaudio.tasks.trigger.Trigger`.

    ``thresholds`` overrides ``threshold`` for some labels. ``silent_labels`` (such as unknown and
    silence) never become events. ``clip`` is for models tested on recordings of one word each.
    """

    threshold: Probability
    smoothing_ms: Milliseconds
    refractory_ms: Milliseconds
    guard_ms: Milliseconds = 0.0
    release_ratio: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    silent_labels: tuple[str, ...] = ()
    thresholds: dict[str, Probability] = {}
    clip: ClipDecision | None = None


class Activity(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """How posteriors become stretches of time, see :class:`edgeaudio.tasks.hysteresis.Hysteresis`.

    A stretch begins where the smoothed posterior reaches ``threshold`` and stays at least at
    ``threshold * release_ratio`` for ``least_on_ms``; it ends where it has been below that for
    ``least_off_ms``. Its start is told ``pre_roll_ms`` earlier. ``thresholds`` overrides ``threshold`` for
    some labels, ``silent_labels`` never become events.
    """

    threshold: Probability
    release_ratio: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    smoothing_ms: Milliseconds = 0.0
    least_on_ms: Milliseconds = 0.0
    least_off_ms: Milliseconds = 0.0
    pre_roll_ms: Milliseconds = 0.0
    thresholds: dict[str, Probability] = {}
    silent_labels: tuple[str, ...] = ()


class Window(_Strict, frozen=True, kw_only=True):
    """How a network that is not streaming is run over a stream: in overlapping windows.

    Each run sees ``left_ms`` of what was decided before, ``chunk_ms`` of what is decided now, and
    ``lookahead_ms`` of what comes after it. A graph with states remembers the past and needs no
    ``left_ms`` of it.
    """

    left_ms: Milliseconds
    chunk_ms: Milliseconds
    lookahead_ms: Milliseconds


class Search(_Strict, frozen=True, kw_only=True):
    """How log-probabilities become words, see :mod:`edgeaudio.decoding`.

    ``language_weight`` multiplies the language model's natural logarithms, ``word_bonus`` is added for
    each word, ``beam_width`` hypotheses survive that are at most ``beam_score`` behind the best.
    """

    beam_width: Annotated[int, Meta(ge=1, le=5000)] = 200
    beam_score: Annotated[float, Meta(gt=0.0, le=1000.0)] = 14.0
    language_weight: Annotated[float, Meta(ge=0.0, le=20.0)] = 1.0
    word_bonus: Annotated[float, Meta(ge=-20.0, le=20.0)] = 0.0
    blank_scale: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0


class Captions(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """What a recogniser needs besides its graph; the manifest's ``labels`` are its tokens.

    ``blank`` is CTC's blank among the labels. ``language`` names the lexicon and language model used
    by default. Word times are moved back by ``delay_ms``, the network's mean lateness. A word's
    confidence is ``1 / (1 + exp(-(scale * x + offset)))`` of what the search says about it.
    """

    units: Literal["phones", "characters", "pieces"]
    blank: str = "<blank>"
    language: str | None = None
    delay_ms: Annotated[float, Meta(ge=-1000.0, le=2000.0)] = 0.0
    normalise: Literal["none", "running"] = "none"
    window: Window | None = None
    search: Search = Search()
    confidence_scale: float = 1.0
    confidence_offset: float = 0.0

    def confidence(self, evidence: float) -> float:
        """Return the probability that a word is right, from what the search says about it."""
        odds = self.confidence_scale * evidence + self.confidence_offset
        # Bounded, since the exponential of what is absurdly certain overflows.
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, odds))))


class Voices(_Strict, frozen=True, kw_only=True):
    """How what two voices have in common becomes a decision, see :class:`edgeaudio.tasks.speaker.Speaker`.

    A score is ``scale * x + offset`` of the logarithmic ratio ``x`` that the space of voices gives: how
    many times more probable one person is than two, as a natural logarithm. ``false_accepts`` lists parts of
    other people who pass, rising, each with the score from which one passes, falling; both measured
    on people whom the network has never heard, by pieces of ``seconds``. Less speech than ``least_speech_ms``
    tells nothing.
    """

    scale: Annotated[float, Meta(gt=0.0, le=1e6)]
    offset: float
    seconds: Annotated[float, Meta(gt=0.0, le=600.0)]
    least_speech_ms: Milliseconds
    false_accepts: Annotated[tuple[tuple[Probability, float], ...], Meta(min_length=2, max_length=100)]

    def __post_init__(self) -> None:
        numbers = (self.offset, *(score for _, score in self.false_accepts))
        if not all(map(math.isfinite, numbers)):
            raise ValueError("a score is not finite")
        for (rate, score), (next_rate, next_score) in pairwise(self.false_accepts):
            if not (rate < next_rate and score > next_score):
                raise ValueError("false_accepts must rise, and their scores fall")

    def threshold(self, false_accepts: float) -> float:
        """Return the score that so many other people reach, a part of 1.

        Between two known parts it is a straight line over the quantiles of the normal distribution.

        Raises
        ------
        UsageError
            If that was not measured.
        """
        rates, scores = zip(*self.false_accepts, strict=True)
        if not rates[0] <= false_accepts <= rates[-1]:
            raise UsageError(
                f"the model does not know which score {false_accepts:.3%} of other voices reach",
                hint=f"It was measured from {rates[0]:.1%} to {rates[-1]:.0%}.",
            )
        from statistics import NormalDist  # milliseconds at the start of every command otherwise

        place = NormalDist().inv_cdf
        return float(np.interp(place(false_accepts), [place(rate) for rate in rates], scores))


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
    "speaker": ("tells voices apart", "speaker"),
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
