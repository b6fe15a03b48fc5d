"""Streaming through onnxruntime: every tensor is bound once, states change places."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaudio.backends.base import GraphSource, Signature, TensorFacts, check_tensors
from edgeaudio.errors import BackendError, ModelError
from edgeaudio.types import Frames

__all__ = ["OnnxGraph"]

_DTYPES = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}


class OnnxGraph:
    """A streaming graph in onnxruntime, on one thread.

    Two sets of state arrays are bound in turn as input and output, so no state is ever copied.

    Parameters
    ----------
    source : GraphSource
        The model; its signature is checked.

    Raises
    ------
    ModelError
        If the graph cannot be read or is not what the manifest says.
    """

    runtime = "onnx"

    def __init__(self, source: GraphSource) -> None:
        self.signature: Signature = source.signature("onnx")
        self._name = source.name
        self._session = _open_session(source)
        inputs, outputs = _facts(self._session.get_inputs()), _facts(self._session.get_outputs())
        check_tensors(source.name, self.signature, inputs, outputs)
        self._bind(inputs)
        self.reset()

    def _bind(self, inputs: dict[str, TensorFacts]) -> None:
        import onnxruntime as ort

        signature = self.signature
        frames = np.zeros((1, signature.step_frames, signature.n_bands), np.float32)
        logits = np.zeros((1, signature.n_out, signature.n_labels), np.float32)
        self._frames: Frames = frames[0]
        self._logits: Frames = logits[0]
        self._states = [
            {spec.name: np.zeros(*inputs[spec.name]) for spec in signature.states} for _ in range(2)
        ]
        # The OrtValues borrow the numpy buffers, which this object keeps alive.
        value: Any = ort.OrtValue.ortvalue_from_numpy
        self._bindings = []
        for now, then in (self._states, self._states[::-1]):
            binding = self._session.io_binding()
            binding.bind_ortvalue_input("frames", value(frames))
            binding.bind_ortvalue_output("logits", value(logits))
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

    def reset(self) -> None:
        """Forget everything heard, in place."""
        self._phase = 0
        for spec in self.signature.states:
            self._states[0][spec.name].fill(spec.fill)


def _open_session(source: GraphSource) -> Any:
    data = source.read_graph("onnx")
    # Weights outside the file would be read from wherever the graph points. Every reference to
    # them carries the key "location" (onnx.proto, TensorProto.external_data); our graphs have none.
    if b"location" in data:
        raise ModelError(
            f"model '{source.name}': its ONNX graph refers to data outside the file",
            hint="Export it again with all weights inside.",
        )
    try:
        import onnxruntime as ort
    except ImportError as exc:
        raise BackendError(
            f"onnxruntime cannot be imported: {exc}", hint="pip install 'edgeaudio[onnx]'"
        ) from exc
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what matters arrives as an exception
    try:
        # Without its fallback, which prints to stdout and tries the same again.
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as exc:  # onnxruntime's exceptions share no base class
        raise ModelError(
            f"model '{source.name}': onnxruntime cannot read its graph: {_first_line(exc)}",
            hint="The file is damaged, or needs a newer onnxruntime.",
        ) from exc


def _facts(tensors: Any) -> dict[str, TensorFacts]:
    return {t.name: (tuple(t.shape), _DTYPES.get(t.type, t.type)) for t in tensors}


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:300]
