"""What the package asks of an inference runtime, and nothing more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from edgeaudio.errors import ModelError
from edgeaudio.profiles.profile import Runtime
from edgeaudio.types import Frames

__all__ = [
    "GraphSource",
    "Runtime",
    "Signature",
    "StateSpec",
    "StreamingGraph",
    "TensorFacts",
    "check_tensors",
    "stream",
]


@dataclass(frozen=True)
class StateSpec:
    """One state tensor: input ``name``, output ``next_<name>``; a reset fills it with ``fill``."""

    name: str
    fill: float


@dataclass(frozen=True)
class Signature:
    """What a graph must look like to be run; checked when it is opened."""

    step_frames: int
    n_bands: int
    n_out: int
    n_labels: int
    states: tuple[StateSpec, ...]


MAX_TENSOR_VALUES = 2**24

TensorFacts: TypeAlias = tuple[tuple[int, ...], str]
"""Shape and dtype of a tensor."""


class GraphSource(Protocol):
    """Where a graph comes from: in practice a :class:`edgeaudio.models.bundle.Bundle`."""

    @property
    def name(self) -> str:
        """The model's name, for messages."""

    def signature(self, runtime: Runtime) -> Signature:
        """Return what the graph must look like for ``runtime``."""

    def read_graph(self, runtime: Runtime) -> bytes:
        """Return the checked bytes of the graph for ``runtime``."""

    def has_graph(self, runtime: Runtime) -> bool:
        """Say whether the model carries a graph for ``runtime``."""


class StreamingGraph(Protocol):
    """A network that hears a few frames at a time and remembers what it heard.

    One instance serves one stream and one thread.
    """

    @property
    def runtime(self) -> str:
        """The runtime really used: ``"onnx"`` or ``"litert"``."""

    @property
    def provider(self) -> str:
        """What it really computes with: ``"cpu"``, ``"cuda"`` or ``"tensorrt"``."""

    @property
    def precision(self) -> str:
        """What it really counts in: ``"int8"`` or ``"float32"``."""

    @property
    def threads(self) -> int:
        """How many threads a step may use."""

    @property
    def signature(self) -> Signature:
        """Shapes of what goes in and comes out."""

    def step(self, frames: Frames) -> Frames:
        """Advance by one step.

        Parameters
        ----------
        frames : array [step_frames, n_bands] float32
            Copied before the call returns.

        Returns
        -------
        array [n_out, n_labels] float32
            Logits; a view that the next ``step`` overwrites.

        Raises
        ------
        BackendError
            When the runtime fails.
        """

    def reset(self) -> None:
        """Forget everything heard, in place: as if newly opened."""


def check_tensors(
    model: str,
    signature: Signature,
    inputs: dict[str, TensorFacts],
    outputs: dict[str, TensorFacts],
) -> None:
    """Check a graph's tensors, name → (shape, dtype), against what the manifest says.

    Raises
    ------
    ModelError
        Naming the first tensor that is missing, unexpected or of another shape or dtype.
    """
    states = [state.name for state in signature.states]
    frames: TensorFacts = ((1, signature.step_frames, signature.n_bands), "float32")
    logits: TensorFacts = ((1, signature.n_out, signature.n_labels), "float32")
    _check_names(model, "input", {"frames", *states}, set(inputs))
    _check_names(model, "output", {"logits", *(f"next_{name}" for name in states)}, set(outputs))
    wanted = [("frames", inputs["frames"], frames), ("logits", outputs["logits"], logits)]
    for state in signature.states:
        shape, dtype = inputs[state.name]
        # Symbolic dimensions are strings; the bound keeps a hostile graph from taking all memory.
        fixed = all(isinstance(n, int) and n > 0 for n in shape) and math.prod(shape) <= MAX_TENSOR_VALUES
        if dtype not in {"int8", "uint8", "float32"} or not fixed:
            raise ModelError(
                f"model '{model}': graph input {state.name} is {dtype} {list(shape)}, not a state"
            )
        if dtype != "float32" and not np.iinfo(dtype).min <= state.fill <= np.iinfo(dtype).max:
            raise ModelError(
                f"model '{model}': state {state.name} cannot begin with {state.fill:g}, it is {dtype}",
                hint="Graph and model.yaml belong to different models.",
            )
        wanted.append((f"next_{state.name}", outputs[f"next_{state.name}"], inputs[state.name]))
    if max(math.prod(frames[0]), math.prod(logits[0])) > MAX_TENSOR_VALUES:
        raise ModelError(f"model '{model}': a step of {signature.step_frames} frames is too large")
    for name, found, expected in wanted:
        if found != expected:
            raise ModelError(
                f"model '{model}': graph tensor {name} is {found[1]} {list(found[0])}, "
                f"the manifest wants {expected[1]} {list(expected[0])}",
                hint="Graph and model.yaml belong to different models or frontends.",
            )


def _check_names(model: str, kind: str, expected: set[str], found: set[str]) -> None:
    for names, what in ((expected - found, "lacks"), (found - expected, "has an unexpected")):
        if names:
            raise ModelError(
                f"model '{model}': the graph {what} {kind} {', '.join(sorted(names))}",
                hint="Graph and model.yaml belong to different models.",
            )


def stream(graph: StreamingGraph, frames: Frames) -> Frames:
    """Run ``frames [n, n_bands]`` step by step; logits ``[n / stride, n_labels]``, newly allocated.

    Frames beyond the last whole step are left out.
    """
    step = graph.signature.step_frames
    outputs = [graph.step(frames[i : i + step]).copy() for i in range(0, len(frames) - step + 1, step)]
    return np.concatenate(outputs) if outputs else np.zeros((0, graph.signature.n_labels), np.float32)
