"""Streaming through onnxruntime: every tensor is bound once, states change places."""

from __future__ import annotations

import contextlib
import copy
import io
from collections import Counter
from typing import Any

import numpy as np

from edgeaudio.backends.base import GraphSource, Signature, TensorFacts, check_tensors
from edgeaudio.backends.providers import ORT_NAMES, advice, with_options
from edgeaudio.errors import BackendError, ModelError
from edgeaudio.profiles.profile import Precision, Profile, Provider
from edgeaudio.types import Frames

__all__ = ["OnnxGraph", "open_session", "provider_used", "read_onnx", "tensor_facts"]

_DTYPES = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}


class OnnxGraph:
    """A streaming graph in onnxruntime.

    Two sets of state arrays are bound in turn as input and output, so no state is ever copied (but by a
    GPU's provider, to the device and back).

    Parameters
    ----------
    source : GraphSource
        The model; its signature is checked.
    profile : Profile, optional
        Says with which providers, precision and threads; default `Profile()`.

    Raises
    ------
    BackendError
        If onnxruntime or a provider is absent, or a provider can compute nothing of the graph.
    ModelError
        If the graph cannot be read or is not what the manifest says.
    """

    runtime = "onnx"

    def __init__(self, source: GraphSource, profile: Profile | None = None) -> None:
        profile = profile or Profile()
        self.threads = profile.threads
        self._name = source.name
        data, self.signature, self.precision = read_onnx(source, profile)
        self._session = open_session(source.name, data, profile)
        self.provider = provider_used(source.name, self._session, profile)
        inputs, outputs = tensor_facts(self._session.get_inputs()), tensor_facts(self._session.get_outputs())
        check_tensors(source.name, self.signature, inputs, outputs)
        self._bind(inputs)
        self.reset()

    def _bind(self, inputs: dict[str, TensorFacts]) -> None:
        import onnxruntime as ort

        signature = self.signature
        frames = np.zeros((1, signature.step_frames, signature.n_bands), np.float32)
        results = {name: np.zeros(shape, np.float32) for name, shape in signature.outputs.items()}
        self._frames: Frames = frames[0]
        self._logits: Frames = results["logits"][0]
        self.embedding: Frames | None = results["embedding"][0] if "embedding" in results else None
        self._states = [
            {spec.name: np.zeros(*inputs[spec.name]) for spec in signature.states} for _ in range(2)
        ]
        # The OrtValues borrow the numpy buffers, which this object keeps alive.
        value: Any = ort.OrtValue.ortvalue_from_numpy
        self._bindings = []
        for now, then in (self._states, self._states[::-1]):
            binding = self._session.io_binding()
            binding.bind_ortvalue_input("frames", value(frames))
            for name, result in results.items():
                binding.bind_ortvalue_output(name, value(result))
            for name in now:
                binding.bind_ortvalue_input(name, value(now[name]))
                binding.bind_ortvalue_output(f"next_{name}", value(then[name]))
            self._bindings.append(binding)

    def step(self, frames: Frames) -> Frames:
        """Advance by one step; see :meth:`edgeaudio.backends.base.StreamingGraph.step`."""
        if frames.shape != self._frames.shape:
            raise ValueError(f"frames must have shape {self._frames.shape}, not {frames.shape}")
        self._frames[:] = frames
        try:
            self._session.run_with_iobinding(self._bindings[self._phase])
        except Exception as exc:  # onnxruntime's exceptions share no base class
            raise BackendError(f"onnxruntime failed to run model '{self._name}': {exc}") from exc
        self._phase ^= 1
        return self._logits

    def sibling(self) -> OnnxGraph:
        """Return a graph for another stream through the same session, with states of its own."""
        twin = copy.copy(self)
        twin._bind(tensor_facts(self._session.get_inputs()))
        twin.reset()
        return twin

    def reset(self) -> None:
        """Forget everything heard, in place."""
        self._phase = 0
        for spec in self.signature.states:
            self._states[0][spec.name].fill(spec.fill)


def _runtime(profile: Profile) -> Any:
    """Return onnxruntime, if it was built with the profile's providers."""
    try:
        import onnxruntime as ort
    except ImportError as exc:
        raise BackendError(
            f"onnxruntime cannot be imported: {exc}", hint="pip install 'edgeaudio[onnx]'"
        ) from exc
    available = ort.get_available_providers()
    absent = [provider for provider in profile.providers if ORT_NAMES[provider] not in available]
    if absent:
        raise BackendError(
            f"onnxruntime {ort.__version__} is installed without {' and '.join(absent)}, which the profile"
            f" '{profile.name}' asks for",
            hint=f"{advice(absent)} Or choose a profile for the CPU: edgeaudio profiles list",
        )
    if profile.providers != ("cpu",) and hasattr(ort, "preload_dlls"):
        # CUDA's and cuDNN's libraries, where pip has installed them. It prints what it does not find, on
        # standard output; what matters is told when the provider cannot be loaded.
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()
    return ort


def read_onnx(source: GraphSource, profile: Profile) -> tuple[bytes, Signature, Precision]:
    """Return the graph in the precision that was asked for, its signature, and the precision it has."""
    data, signature = source.read_graph("onnx"), source.signature("onnx")
    # Weights outside the file would be read from wherever the graph points. Every reference to
    # them carries the key "location" (onnx.proto, TensorProto.external_data); our graphs have none.
    if b"location" in data:
        raise ModelError(
            f"model '{source.name}': its ONNX graph refers to data outside the file",
            hint="Export it again with all weights inside.",
        )
    if b"QLinearConv" not in data:
        return data, signature, "float32"
    if profile.precision == "int8":
        return data, signature, "int8"
    _runtime(profile)  # a missing provider is told before what only it needs
    from edgeaudio.backends.widen import widen

    return *widen(source.name, data, signature), "float32"


def open_session(model: str, data: bytes, profile: Profile) -> Any:
    """Return an `onnxruntime.InferenceSession` as the profile wants it; raises as `OnnxGraph` does."""
    ort = _runtime(profile)
    options = ort.SessionOptions()
    options.intra_op_num_threads = profile.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # So that it can be told what really computes (since onnxruntime 1.24; older ones ignore it).
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if "cpu" not in profile.providers:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    options.log_severity_level = 4  # what matters arrives as an exception
    wanted = [with_options(provider) for provider in profile.providers]
    try:
        # Without its fallback, which prints to stdout and tries the same again.
        session = ort.InferenceSession(data, options, providers=wanted, enable_fallback=0)
    except Exception as exc:  # onnxruntime's exceptions share no base class
        if "fallback to CPU EP has been explicitly disabled" in str(exc):
            raise BackendError(
                f"{' and '.join(profile.providers)} cannot compute all of model '{model}'",
                hint=f"Name cpu at the end of providers in the profile '{profile.name}'.",
            ) from exc
        raise ModelError(
            f"model '{model}': onnxruntime cannot read its graph: {_first_line(exc)}",
            hint="The file is damaged, or needs a newer onnxruntime.",
        ) from exc
    _check_loaded(session, profile)
    return session


def _check_loaded(session: Any, profile: Profile) -> None:
    """Refuse a session that goes on without a provider whose libraries could not be loaded."""
    loaded = session.get_providers()
    absent = [provider for provider in profile.providers if ORT_NAMES[provider] not in loaded]
    if absent:
        needed = {"cuda": "CUDA and cuDNN", "tensorrt": "TensorRT"}
        libraries = " and ".join(needed[provider] for provider in absent if provider in needed)
        raise BackendError(
            f"onnxruntime cannot load {' and '.join(absent)}, which the profile '{profile.name}' asks for:"
            f" a library of {libraries} is missing, or no GPU answers",
            hint=f"{advice(absent)} `nvidia-smi` must list the GPU.",
        )


def provider_used(model: str, session: Any, profile: Profile) -> Provider:
    """Return what computes most of the graph.

    Raises
    ------
    BackendError
        If the provider that was asked for first computes nothing of it.
    """
    first = profile.providers[0]
    if profile.providers == ("cpu",) or not hasattr(session, "get_provider_graph_assignment_info"):
        return first
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    used = [provider for provider in profile.providers if counts[ORT_NAMES[provider]]]
    if used and used[0] != first:
        raise BackendError(
            f"{first}, which the profile '{profile.name}' asks for, can compute nothing of model '{model}'",
            hint=f"Leave {first} out of its providers.",
        )
    return max(used, key=lambda provider: counts[ORT_NAMES[provider]], default=first)


def tensor_facts(tensors: Any) -> dict[str, TensorFacts]:
    """Return name → (shape, dtype) of a session's inputs or outputs."""
    return {t.name: (tuple(t.shape), _DTYPES.get(t.type, t.type)) for t in tensors}


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:300]
