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
    "stream_embedded",
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
    embedding_width: int = 0
    """Values of an embedding, or 0 where the graph gives out none."""

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs that are no states."""
        widths = {"logits": self.n_labels, "embedding": self.embedding_width}
        return {name: (1, self.n_out, width) for name, width in widths.items() if width}


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

    @property
    def embedding(self) -> Frames | None:
        """What the last step made of its frames before it told labels apart.

        ``[n_out, embedding_width] float32``, a view that the next ``step`` overwrites; None if the model
        gives out none.
        """

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
    results: dict[str, TensorFacts] = {name: (shape, "float32") for name, shape in signature.outputs.items()}
    _check_names(model, "input", {"frames", *states}, set(inputs))
    _check_names(model, "output", {*results, *(f"next_{name}" for name in states)}, set(outputs))
    wanted = [("frames", inputs["frames"], frames)]
    wanted += [(name, outputs[name], result) for name, result in results.items()]
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
    if max(math.prod(shape) for shape, _ in (frames, *results.values())) > MAX_TENSOR_VALUES:
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
    return stream_embedded(graph, frames)[0]


def stream_embedded(graph: StreamingGraph, frames: Frames) -> tuple[Frames, Frames]:
    """As `stream`; besides, the embeddings ``[n / stride, embedding_width]``: no columns without any."""
    signature, step = graph.signature, graph.signature.step_frames
    n_steps = len(frames) // step
    logits = np.zeros((n_steps, signature.n_out, signature.n_labels), np.float32)
    embeddings = np.zeros((n_steps, signature.n_out, signature.embedding_width), np.float32)
    for i in range(n_steps):
        logits[i] = graph.step(frames[i * step : (i + 1) * step])
        if signature.embedding_width:
            embeddings[i] = graph.embedding
    return logits.reshape(-1, signature.n_labels), embeddings.reshape(n_steps * signature.n_out, -1)
