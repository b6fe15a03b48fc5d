"""Streaming through LiteRT (TensorFlow Lite)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgeaudio.backends.base import GraphSource, Signature, TensorFacts, check_tensors
from edgeaudio.errors import BackendError, ModelError
from edgeaudio.profiles.profile import Precision, Profile
from edgeaudio.types import Frames

__all__ = ["LiteRtGraph"]


class LiteRtGraph:
    """A streaming graph in LiteRT, on the CPU.

    LiteRT owns its tensors, so each state is copied from its output to its input after a step:
    0.7 µs a state, through ``get_tensor`` and ``set_tensor`` as through views.

    Parameters
    ----------
    source : GraphSource
        The model; its signature is checked.
    profile : Profile, optional
        Says how many threads; default `Profile()`.

    Raises
    ------
    ModelError
        If the graph cannot be read or is not what the manifest says.
    """

    runtime = "litert"
    provider = "cpu"

    def __init__(self, source: GraphSource, profile: Profile | None = None) -> None:
        self.signature: Signature = source.signature("litert")
        self.threads = (profile or Profile()).threads
        self._name = source.name
        self._interpreter, inputs, outputs = _open_interpreter(source, self.threads)
        check_tensors(source.name, self.signature, _facts(inputs), _facts(outputs))
        quantized = any(d["dtype"] is np.int8 for d in self._interpreter.get_tensor_details())
        self.precision: Precision = "int8" if quantized else "float32"
        self._frames = np.zeros((1, self.signature.step_frames, self.signature.n_bands), np.float32)
        self._logits = np.zeros((self.signature.n_out, self.signature.n_labels), np.float32)
        self._input = inputs["frames"]["index"]
        self._output = outputs["logits"]["index"]
        self._embedding = outputs["embedding"]["index"] if self.signature.embedding_width else None
        self._states = [
            (inputs[s.name]["index"], outputs[f"next_{s.name}"]["index"]) for s in self.signature.states
        ]
        self.reset()

    @property
    def embedding(self) -> Frames | None:
        """See :attr:`edgeaudio.backends.base.StreamingGraph.embedding`; copied only when asked for."""
        if self._embedding is None:
            return None
        rows: Frames = self._interpreter.get_tensor(self._embedding)[0]
        return rows

    def step(self, frames: Frames) -> Frames:
        """Advance by one step; see :meth:`edgeaudio.backends.base.StreamingGraph.step`."""
        if frames.shape != self._frames.shape[1:]:
            raise ValueError(f"frames must have shape {self._frames.shape[1:]}, not {frames.shape}")
        self._frames[0] = frames
        interpreter = self._interpreter
        try:
            interpreter.set_tensor(self._input, self._frames)
            interpreter.invoke()
            for now, then in self._states:
                interpreter.set_tensor(now, interpreter.get_tensor(then))
            self._logits[:] = interpreter.get_tensor(self._output)[0]
        except (RuntimeError, ValueError) as exc:
            raise BackendError(f"LiteRT failed to run model '{self._name}': {exc}") from exc
        return self._logits

    def reset(self) -> None:
        """Forget everything heard, in place."""
        for spec, (now, _) in zip(self.signature.states, self._states, strict=True):
            self._interpreter.tensor(now)().fill(spec.fill)


def _open_interpreter(source: GraphSource, threads: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return the interpreter and the details of its inputs and outputs, by name."""
    data = source.read_graph("litert")
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as exc:
        raise BackendError(
            f"LiteRT cannot be imported: {exc}", hint="pip install 'edgeaudio[tflite]'"
        ) from exc
    try:
        with _muted_native_stderr():
            interpreter = Interpreter(model_content=data, num_threads=threads)
            interpreter.allocate_tensors()
        inputs = {d["name"]: d for d in interpreter.get_input_details()}
        outputs = {d["name"]: d for d in interpreter.get_output_details()}
    except (RuntimeError, ValueError) as exc:
        raise ModelError(
            f"model '{source.name}': LiteRT cannot read its graph: {exc}",
            hint="The file is damaged, or needs a newer ai-edge-litert.",
        ) from exc
    return interpreter, inputs, outputs


@contextlib.contextmanager
def _muted_native_stderr() -> Iterator[None]:
    """Swallow the line with which XNNPACK announces itself on file descriptor 2.

    LiteRT offers Python no switch for it, and it would land in the middle of the user's live
    display. Errors are not lost: they arrive as exceptions.
    """
    try:
        saved = os.dup(2)
    except OSError:  # a daemon may have closed it
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _facts(details: dict[str, Any]) -> dict[str, TensorFacts]:
    return {
        name: (tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"]).name) for name, d in details.items()
    }
