"""One model for many streams that go in step: in batches, or one after the other through one session.

Exported graphs hear one stream. Nothing in them depends on how many: convolutions, additions and slices
along the time treat every row alike. So the first dimension of their inputs and outputs is all that
has to be written anew. Whether that is true of a model, `check_many` finds out.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import open_graph
from edgeaudio.backends.base import GraphSource, Runtime, Signature
from edgeaudio.backends.litert import LiteRtGraph
from edgeaudio.backends.onnx import OnnxGraph, open_session, provider_used, read_onnx, tensor_facts
from edgeaudio.errors import BackendError, MissingDependencyError, ModelError
from edgeaudio.profiles.profile import Profile
from edgeaudio.types import Frames

__all__ = ["ManyStreams", "Way", "check_many", "open_many"]

Way: TypeAlias = Literal["batched", "in turns"]

_MEMORY = {"cpu": "cpu", "cuda": "cuda", "tensorrt": "cuda"}
_CHECKED_STREAMS = 3
_CHECKED_STEPS = 24


class ManyStreams(Protocol):
    """A network that hears one step of each of its streams at a time."""

    @property
    def way(self) -> Way:
        """In one run of the graph, or in one run a stream."""

    @property
    def runtime(self) -> str:
        """The runtime really used."""

    @property
    def provider(self) -> str:
        """What it really computes with."""

    @property
    def precision(self) -> str:
        """What it really counts in."""

    @property
    def threads(self) -> int:
        """How many threads a run may use."""

    @property
    def signature(self) -> Signature:
        """Shapes of what goes in and comes out, of one stream."""

    def step(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Advance all streams by one step.

        Parameters
        ----------
        frames : array [n_streams, step_frames, n_bands] float32

        Returns
        -------
        array [n_streams, n_out, n_labels] float32
            Logits; a view that the next ``step`` overwrites.

        Raises
        ------
        BackendError
            When the runtime fails.
        """

    def reset(self) -> None:
        """Let all streams forget what they heard, in place."""


def open_many(
    source: GraphSource, n_streams: int, way: Way, runtime: Runtime, profile: Profile | None = None
) -> ManyStreams:
    """Open a model for `n_streams` streams.

    Raises
    ------
    MissingDependencyError
        For batches the package onnx rewrites the graph, and is not installed.
    BackendError
        The runtime or a provider is absent, or makes no batches.
    ModelError
        The graph cannot be run in this way.
    """
    profile = profile or Profile()
    if way == "batched":
        if runtime != "onnx":
            raise BackendError("LiteRT makes no batches: its graphs have their shapes written into them")
        return _Batched(source, n_streams, profile)
    if runtime == "onnx":
        return _OnnxInTurns(source, n_streams, profile)
    return _LiteRtInTurns(source, n_streams, profile)


def check_many(
    source: GraphSource,
    way: Way,
    runtime: Runtime,
    profile: Profile,
    *,
    frames: Frames,
    tolerance: float,
) -> float:
    """Check that a stream among others is answered as if it were alone, and return the largest difference.

    Parameters
    ----------
    source, way, runtime, profile
        As for `open_many`.
    frames : array [n, n_bands]
        Features of speech. Each stream hears them from another place on, so that a mix-up would show.
    tolerance : float
        Largest difference of logits that rounding explains.

    Raises
    ------
    EdgeAudioError
        What `open_many` raises; a `ModelError` if the answers differ by more.
    """
    many = open_many(source, _CHECKED_STREAMS, way, runtime, profile)
    single = open_graph(source, runtime, profile)
    step = single.signature.step_frames
    steps = [frames[i : i + step] for i in range(0, len(frames) - step + 1, step)][: 2 * _CHECKED_STEPS]
    shifted = [steps[s:] + steps[:s] for s in range(_CHECKED_STREAMS)]
    together = np.stack([many.step(np.stack(rows)).copy() for rows in zip(*shifted, strict=True)], axis=1)
    worst = 0.0
    for hears, answers in zip(shifted, together, strict=True):
        single.reset()
        alone = np.stack([single.step(block).copy() for block in hears])
        worst = max(worst, float(np.abs(alone - answers).max()))
    # "not <=" also catches NaN.
    if not worst <= tolerance:
        raise ModelError(
            f"model '{source.name}' {way} on {runtime} answers otherwise than for one stream:"
            f" by {worst:.3g} (allowed {tolerance:.3g})"
        )
    return worst


class _Batched:
    """All streams in one run; the states stay in the device's memory."""

    way: Way = "batched"
    runtime = "onnx"

    def __init__(self, source: GraphSource, n_streams: int, profile: Profile) -> None:
        self.threads = profile.threads
        self._name = source.name
        data, self.signature, self.precision = read_onnx(source, profile)
        self._session = open_session(source.name, _with_rows(source.name, data, n_streams), profile)
        self.provider = provider_used(source.name, self._session, profile)
        self._bind(n_streams)

    def _bind(self, n_streams: int) -> None:
        import onnxruntime as ort

        signature, memory = self.signature, _MEMORY[self.provider]
        inputs = tensor_facts(self._session.get_inputs())
        self._frames = np.zeros((n_streams, signature.step_frames, signature.n_bands), np.float32)
        self._logits = np.zeros((n_streams, signature.n_out, signature.n_labels), np.float32)
        self._rest = {}
        for spec in signature.states:
            shape, dtype = inputs[spec.name]
            self._rest[spec.name] = np.full(shape, spec.fill, dtype)
        # On the CPU an OrtValue borrows numpy's buffer, so each gets one of its own.
        value: Any = ort.OrtValue.ortvalue_from_numpy
        self._states = [
            {name: value(array.copy(), memory, 0) for name, array in self._rest.items()} for _ in range(2)
        ]
        self._bindings = []
        for now, then in (self._states, self._states[::-1]):
            binding = self._session.io_binding()
            binding.bind_ortvalue_input("frames", value(self._frames))
            binding.bind_ortvalue_output("logits", value(self._logits))
            for name in now:
                binding.bind_ortvalue_input(name, now[name])
                binding.bind_ortvalue_output(f"next_{name}", then[name])
            self._bindings.append(binding)
        self._phase = 0

    def step(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Advance all streams by one step."""
        self._frames[:] = frames
        try:
            self._session.run_with_iobinding(self._bindings[self._phase])
        except Exception as exc:  # onnxruntime's exceptions share no base class
            raise BackendError(f"onnxruntime failed to run model '{self._name}': {exc}") from exc
        self._phase ^= 1
        return self._logits

    def reset(self) -> None:
        """Let all streams forget what they heard."""
        self._phase = 0
        for name, array in self._rest.items():
            self._states[0][name].update_inplace(array)


class _OnnxInTurns:
    """One session, and a set of states for each stream."""

    way: Way = "in turns"
    runtime = "onnx"

    def __init__(self, source: GraphSource, n_streams: int, profile: Profile) -> None:
        first = OnnxGraph(source, profile)
        self.provider, self.precision, self.threads = first.provider, first.precision, first.threads
        self.signature = first.signature
        self._graphs = [first, *(first.sibling() for _ in range(n_streams - 1))]
        self._logits = np.zeros((n_streams, self.signature.n_out, self.signature.n_labels), np.float32)

    def step(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Advance all streams by one step."""
        for graph, block, logits in zip(self._graphs, frames, self._logits, strict=True):
            logits[:] = graph.step(block)
        return self._logits

    def reset(self) -> None:
        """Let all streams forget what they heard."""
        for graph in self._graphs:
            graph.reset()


class _LiteRtInTurns(LiteRtGraph):
    """One interpreter, into which each stream's states are put when it is its turn.

    That costs no more than one stream does: LiteRT's states are copied after each step in any case.
    """

    way: Way = "in turns"

    def __init__(self, source: GraphSource, n_streams: int, profile: Profile) -> None:
        self._kept: list[list[NDArray[Any]]] = [[] for _ in range(n_streams)]
        super().__init__(source, profile)
        self._many_logits = np.zeros((n_streams, *self._logits.shape), np.float32)

    def step(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Advance all streams by one step."""
        interpreter = self._interpreter
        try:
            for stream, kept in enumerate(self._kept):
                interpreter.set_tensor(self._input, frames[stream : stream + 1])
                for (now, _), state in zip(self._states, kept, strict=True):
                    interpreter.set_tensor(now, state)
                interpreter.invoke()
                kept[:] = [interpreter.get_tensor(then) for _, then in self._states]
                self._many_logits[stream] = interpreter.get_tensor(self._output)[0]
        except (RuntimeError, ValueError) as exc:
            raise BackendError(f"LiteRT failed to run model '{self._name}': {exc}") from exc
        return self._many_logits

    def reset(self) -> None:
        """Let all streams forget what they heard."""
        super().reset()
        rest = [self._interpreter.get_tensor(now) for now, _ in self._states]
        for kept in self._kept:
            kept[:] = [state.copy() for state in rest]


def _with_rows(model: str, data: bytes, n_streams: int) -> bytes:
    """Return the graph for so many rows at a time instead of one."""
    try:
        import onnx
    except ImportError as exc:
        raise MissingDependencyError(
            f"model '{model}' is made for one stream; a graph for batches is written by the package onnx",
            hint="pip install onnx",
        ) from exc
    graph = onnx.load_from_string(data)
    for value in (*graph.graph.input, *graph.graph.output):
        shape = value.type.tensor_type.shape.dim
        if not shape or shape[0].dim_value != 1:
            raise ModelError(f"model '{model}': {value.name} has no dimension for streams")
        shape[0].dim_value = n_streams
    # Shapes in between were worked out for one row; onnxruntime does so again.
    del graph.graph.value_info[:]
    return bytes(graph.SerializeToString())
